"""The table and the plots of the controller study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from experiments.report.document import (
    Axis,
    Band,
    Cell,
    Plot,
    Rule,
    Series,
    Table,
    to_number,
)
from experiments.report.thinning import find_kept_rows, round_values
from experiments.study.control_readings import Reading, group_cases

SIMULATED: Final = Axis("simulated time [s]")
FREQUENCY: Final = Axis("tunnel frequency [Hz]", "log")
POINTS: Final = 500
"""Points of a line at most."""
DIGITS: Final = 4
"""Significant digits of the table."""
Measure = Callable[[Reading], float | None]


def _worst_settling(reading: Reading) -> float | None:
    answers = reading.load_responses or reading.responses
    return max((answer.settling_s for answer in answers), default=None)


def _worst_overshoot(reading: Reading) -> float | None:
    answers = reading.load_responses or reading.responses
    return max((answer.overshoot for answer in answers), default=None)


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share


COLUMNS: Final[tuple[tuple[str, Measure], ...]] = (
    ("floor reached [s]", lambda each: each.reached_s),
    ("settling [s]", _worst_settling),
    ("overshoot [rungs]", _worst_overshoot),
    ("below floor [%]", lambda each: _percent(each.violations)),
    ("least r [-]", lambda each: each.least),
    ("late events [Hz]", lambda each: each.late_hz),
    ("of best fixed [-]", lambda each: _of(each, each.fixed)),
    ("of oracle [-]", lambda each: _of(each, each.oracle)),
    (
        "rung changes [1/s]",
        lambda each: each.activity.rung_changes_per_s if each.activity else None,
    ),
    (
        "travel [rungs/s]",
        lambda each: each.activity.travel_rungs_per_s if each.activity else None,
    ),
    ("offer decides [%]", lambda each: _percent(each.offered_share)),
    ("off the ideal [rungs]", lambda each: each.tracking_rungs),
    ("stale [%]", lambda each: _percent(each.stale_share)),
)
"""Headings, and what each column shows of a run."""


def _of(reading: Reading, yardstick: Any) -> float | None:
    return reading.compare(yardstick) if reading.objective == "floor" else None


def build_table(readings: Sequence[Reading]) -> Table:
    """Build the table: a row per case, repetitions averaged.

    Args:
        readings: Measured jobs.
    """
    cases = group_cases(readings)
    has_several = any(len(group) > 1 for group in cases.values())
    rows = []
    for case, group in cases.items():
        cells: list[Cell] = [case, len(group)] if has_several else [case]
        for _, measure in COLUMNS:
            known = [value for each in group if (value := measure(each)) is not None]
            mean = float(np.mean(known)) if known else None
            cells.append(None if mean is None else float(f"{mean:.{DIGITS}g}"))
        rows.append(tuple(cells))
    heads = ("objective, load, sensor", *(("runs",) if has_several else ()))
    return Table(
        "The cases",
        (*heads, *(name for name, _ in COLUMNS)),
        tuple(rows),
        "Settling and overshoot are the worst over all changes of the load, or those "
        "of the beginning where the load does not count (objective floor). Cost, "
        "activity and distance from the ideal frequency are those of the later half. "
        "The ideal is what the true load leaves, at least the best fixed frequency.",
    )


def build_plots(readings: Sequence[Reading]) -> tuple[Plot, ...]:
    """Build the plots for which there are runs.

    Args:
        readings: Measured jobs.
    """
    plots = (_plot_search(readings), *_plot_loads(readings), _plot_faults(readings))
    return tuple(plot for plot in plots if plot is not None)


def _plot_search(readings: Sequence[Reading]) -> Plot | None:
    """Show how the cheapest frequency is found, beside the yardsticks."""
    frugal = [each for each in readings if each.objective == "floor" and each.is_sound]
    if not frugal:
        return None
    first = frugal[0]
    lines = [_draw(first, "frequency_hz", "controller")]
    points = first.oracle.get("schedule") or ()
    if points:
        times, values = zip(*points, strict=True)
        lines.append(Series("oracle", tuple(times), tuple(values), "step"))
    best_hz = to_number(first.fixed.get("late_hz"))
    name = "" if best_hz is None else f"best fixed, {best_hz:.1f} Hz"
    rules = () if best_hz is None else (Rule(best_hz, name),)
    return Plot(
        "Finding the cheapest frequency",
        SIMULATED,
        FREQUENCY,
        tuple(lines),
        rules,
        caption="The controller begins at the top and sees nothing but r; the oracle "
        "tries out every choice before it takes it.",
    )


def _plot_loads(readings: Sequence[Reading]) -> list[Plot]:
    """Show frequency and coherence over time, a line per load."""
    sound = {
        case: group[0]
        for case, group in group_cases(
            each for each in readings if each.is_sound
        ).items()
    }
    following = {
        case: each for case, each in sound.items() if each.objective != "floor"
    }
    plots = []
    if following:
        lines = [_draw(each, "frequency_hz", case) for case, each in following.items()]
        first = next(iter(following.values()))
        best_hz = to_number(first.fixed.get("late_hz"))
        rules = () if best_hz is None else (Rule(best_hz, "needed by the floor"),)
        title = "Frequency under loads that change"
        plots.append(Plot(title, SIMULATED, FREQUENCY, tuple(lines), rules))
    if sound:
        # The rise from random phases would press the rest into a line.
        lines = [
            _draw(each, "coherence", case, (each.reached_s or 0.0, np.inf))
            for case, each in sound.items()
        ]
        floor = next(iter(sound.values())).config.tunnel.min_coherence
        plots.append(
            Plot(
                "Coherence under loads that change",
                SIMULATED,
                Axis("coherence r [-]"),
                tuple(lines),
                (Rule(floor, f"floor {floor:g}"),),
                caption="From the time at which the floor was reached.",
            )
        )
    return plots


def _plot_faults(readings: Sequence[Reading]) -> Plot | None:
    """Show the frequency while the sensor fails, beside what was right."""
    faulty = [group[0] for group in group_cases(readings).values()]
    faulty = [each for each in faulty if each.has_met_fault]
    if not faulty:
        return None
    fault = faulty[0].config.fault
    end_s = fault.start_s + fault.duration_s
    span = (fault.start_s - 0.3 * fault.duration_s, end_s + 0.5 * fault.duration_s)
    names = [each.case.rpartition("sensor: ")[2] for each in faulty]
    lines = [
        _draw(each, "frequency_hz", name, span)
        for each, name in zip(faulty, names, strict=True)
    ]
    known = [each for each in faulty if each.ideal_hz is not None]
    if known:
        lines.append(_draw(known[0], "", "ideal", span, known[0].ideal_hz))
    return Plot(
        "Frequency while the sensor fails",
        SIMULATED,
        FREQUENCY,
        tuple(line for line in lines if line.x),
        bands=(Band(fault.start_s, end_s, "fault"),),
        caption="Lost: the last offer is held, then the top is taken, which is safe "
        "for the coherence. The floor's demand goes on counting throughout.",
    )


def _draw(
    reading: Reading,
    column: str,
    name: str,
    span: tuple[float, float] = (-np.inf, np.inf),
    values: Any = None,
) -> Series:
    """Thin a column of a run to a line."""
    times_s = reading.series["simulated_s"]
    values = reading.series[column] if values is None else values
    inside = (times_s >= span[0]) & (times_s <= span[1])
    times_s, values = times_s[inside], values[inside]
    if not len(times_s):
        return Series(name, (), ())
    kept = find_kept_rows([values], POINTS)
    return Series(name, round_values(times_s[kept]), round_values(values[kept]))
