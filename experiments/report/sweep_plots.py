"""Plots of a sweep: the frontier, r over each key, and heat maps over pairs of keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Final

import numpy as np

from experiments.report.document import (
    Axis,
    Cell,
    HeatMap,
    Plot,
    Rule,
    Series,
    to_number,
)
from experiments.report.jobs import Job, SweepRecord, sort_values
from experiments.report.run import format_setting

DOTS_SHOWN: Final = 2000
"""Jobs that a plot shows as dots, at most; of more, every n-th."""
PAIRS_SHOWN: Final = 3
"""Pairs of keys with heat maps at most."""
REPEATING_KEY: Final = "seed"
"""A key that repeats a job rather than changing it; it is averaged over."""
GIVEN_FREQUENCY: Final = "controller.fixed_frequency_hz"
"""A key over which the frequency needs no heat map."""
CELLS_SHOWN: Final = 64
"""Values of a key in a heat map at most."""

FREQUENCY_AXIS: Final = Axis("average tunnel frequency [Hz]", "log")

Measure = Callable[[Job], float | None]
COHERENCE, FREQUENCY, PACE = "r [-]", "frequency [Hz]", "wall time per simulated s [s]"
MEASURES: Final[tuple[tuple[str, Measure], ...]] = (
    (COHERENCE, lambda job: job.coherence),
    (FREQUENCY, lambda job: job.frequency_hz),
    (PACE, lambda job: job.pace),
)
"""What is compared between jobs."""


def average(
    jobs: Sequence[Job], keys: Sequence[str], measure: Measure
) -> dict[tuple[Cell, ...], float]:
    """Average a measure over the jobs of equal values.

    Args:
        jobs: Jobs to average over; those without the measure are left out.
        keys: Keys whose values tell the averages apart.
        measure: What to average.

    Returns:
        Averages by the values of the keys.
    """
    found: dict[tuple[Cell, ...], list[float]] = {}
    for job in jobs:
        value = measure(job)
        if value is not None:
            found.setdefault(tuple(map(job.value, keys)), []).append(value)
    return {values: float(np.mean(entries)) for values, entries in found.items()}


def average_over(record: SweepRecord, key: str) -> list[tuple[Cell, float]]:
    """Average r by the values of a key, in their order.

    Args:
        record: What the folder holds.
        key: A swept key.
    """
    means = average(record.done, (key,), MEASURES[0][1])
    values = record.values(key)
    return [(value, means[value,]) for value in values if (value,) in means]


def draw_frontier(record: SweepRecord) -> tuple[Plot, ...]:
    """Draw r against the tunnel frequency, the best jobs joined by a line.

    Args:
        record: What the folder holds.
    """
    jobs = _list_located(record)
    if len(jobs) < 2:
        return ()
    best = find_frontier([_locate(job) for job in jobs])
    jobs = thin_jobs(jobs)
    split = _find_split(record)
    groups = record.values(split) if split else (None,)
    series = [Series("best", *_split(best))]
    for value in groups:
        own = [job for job in jobs if split is None or job.value(split) == value]
        if not own:
            continue
        name = "jobs" if split is None else f"{split}={format_setting(value)}"
        hover = tuple(_describe_point(record, job) for job in own)
        series.append(
            Series(name, *_split([_locate(job) for job in own]), "dots", hover)
        )
    return (
        Plot(
            "Frontier: coherence against cost",
            FREQUENCY_AXIS,
            Axis(COHERENCE),
            tuple(series),
            tuple(Rule(floor, f"floor {floor:g}") for floor in _list_floors(jobs)),
            caption="The line joins the jobs that no other beats in both.",
        ),
    )


def _list_located(record: SweepRecord) -> list[Job]:
    """List the jobs that have both a coherence and a frequency."""
    jobs = record.jobs
    return [job for job in jobs if job.coherence is not None and job.frequency_hz]


def thin_jobs(jobs: Sequence[Job]) -> list[Job]:
    """Keep every n-th job, so that at most `DOTS_SHOWN` are left.

    Args:
        jobs: Any jobs.
    """
    return list(jobs[:: -(-len(jobs) // DOTS_SHOWN) or 1])


def _locate(job: Job) -> tuple[float, float]:
    """Return cost and value of a job that has both."""
    return job.frequency_hz or 0.0, job.coherence or 0.0


def _split(
    points: Sequence[tuple[float, float]],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(x for x, _ in points), tuple(y for _, y in points)


def draw_both(first: SweepRecord, second: SweepRecord) -> tuple[Plot, ...]:
    """Draw r against the tunnel frequency for the jobs of two sweeps.

    Args:
        first: Called A.
        second: Called B.
    """
    series = []
    for name, record in (("A", first), ("B", second)):
        jobs = thin_jobs(_list_located(record))
        hover = tuple(f"{name}\n{_describe_point(record, job)}" for job in jobs)
        points = _split([_locate(job) for job in jobs])
        series += [Series(name, *points, "dots", hover)] if jobs else []
    title = "Coherence against cost"
    if not series:
        return ()
    return (Plot(title, FREQUENCY_AXIS, Axis(COHERENCE), tuple(series)),)


def find_frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Keep the points that no other beats: cheaper and at least as good.

    Args:
        points: Cost and value.

    Returns:
        The frontier, costs ascending.
    """
    best: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or value > best[-1][1]:
            best.append((cost, value))
    return best


def _find_split(record: SweepRecord) -> str | None:
    """Choose the key whose values get colours of their own."""
    keys = [key for key in record.keys if key != REPEATING_KEY]
    few = [key for key in keys if 2 <= len(record.values(key)) <= 8]
    return few[0] if few else None


def _list_floors(jobs: Sequence[Job]) -> list[float]:
    floors = {job.record.number("coherence", "floor") for job in jobs}
    known = sorted(floor for floor in floors if floor is not None)
    return known if len(known) <= 3 else []


def _describe_point(record: SweepRecord, job: Job) -> str:
    lines = [f"job {job.name}"]
    lines += [f"{key}  {format_setting(job.value(key))}" for key in record.keys]
    for label, measure in MEASURES:
        value = measure(job)
        if value is not None:
            lines.append(f"{label}  {value:.4g}")
    return "\n".join(lines)


def draw_keys(record: SweepRecord) -> list[Plot | HeatMap]:
    """Draw r over each key of numbers, and heat maps over pairs of keys.

    Args:
        record: What the folder holds.
    """
    keys = [key for key in record.keys if key != REPEATING_KEY]
    numeric = [key for key in keys if _is_numeric(record, key)]
    plots: list[Plot | HeatMap] = [
        _draw_key(record, key) for key in numeric if len(record.values(key)) > 2
    ]
    wide = [key for key in keys if len(record.values(key)) <= CELLS_SHOWN]
    pairs = list(combinations(reversed(wide), 2))[:PAIRS_SHOWN]
    for across, up in pairs:
        plots += draw_heat_maps(record, across, up)
    return [
        plot
        for plot in plots
        if isinstance(plot, HeatMap) or any(series.x for series in plot.series)
    ]


def _is_numeric(record: SweepRecord, key: str) -> bool:
    return all(to_number(value) is not None for value in record.values(key))


def _draw_key(record: SweepRecord, key: str) -> Plot:
    """Draw r over a key: every job as a dot, the mean as a line."""
    means = average_over(record, key)
    jobs = thin_jobs([job for job in record.done if job.coherence is not None])
    hover = tuple(_describe_point(record, job) for job in jobs)
    return Plot(
        f"r over {key}",
        Axis(key, _choose_scale(record.values(key))),
        Axis(COHERENCE),
        (
            Series("mean", tuple(v for v, _ in means), tuple(m for _, m in means)),
            Series(
                "jobs",
                tuple(job.value(key) for job in jobs),
                tuple(job.coherence for job in jobs),
                "dots",
                hover,
            ),
        ),
        tuple(Rule(floor, f"floor {floor:g}") for floor in _list_floors(jobs)),
    )


def _choose_scale(values: Sequence[Cell]) -> str:
    """Take a logarithmic axis for values that span more than a factor of ten."""
    numbers = [number for value in values if (number := to_number(value)) is not None]
    is_wide = min(numbers) > 0.0 and max(numbers) > 10.0 * min(numbers)
    return "log" if is_wide else "linear"


def draw_heat_maps(record: SweepRecord, across: str, up: str) -> list[HeatMap]:
    """Draw each measure over two keys, averaged over all others.

    Args:
        record: What the folder holds.
        across: Key of the columns.
        up: Key of the rows.
    """
    x_values = sort_values(job.value(across) for job in record.done)
    y_values = sort_values(job.value(up) for job in record.done)
    if min(len(x_values), len(y_values)) < 2:
        return []
    is_averaged = len(record.keys) > 2
    maps = []
    is_given = GIVEN_FREQUENCY in (across, up)
    for label, measure in MEASURES[: 1 if is_given else 2]:
        means = average(record.done, (across, up), measure)
        values = tuple(tuple(means.get((x, y)) for x in x_values) for y in y_values)
        maps.append(
            HeatMap(
                f"{label.partition(' [')[0]} over {across} and {up}",
                Axis(across),
                Axis(up),
                x_values,
                y_values,
                label,
                values,
                "Averaged over the other keys." if is_averaged else "",
            )
        )
    return maps
