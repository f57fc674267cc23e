"""The table and the plots of the frequency sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from experiments.report.document import Axis, Cell, Plot, Rule, Series, Table
from experiments.study.frequency_curve import Point
from experiments.study.frequency_frontier import Frontier, Rung
from experiments.study.statistics import center_of, width_of

FREQUENCY: Final = Axis("tunnel frequency [Hz]", "log")
COHERENCE: Final = Axis("coherence r [-]")
PACE: Final = Axis("wall time per simulated second [s]", "log")


def tabulate(frontiers: Sequence[Frontier]) -> Table:
    """Lay the rungs out, means over seeds with half their interval.

    Args:
        frontiers: One per network.
    """
    has_names = any(frontier.name for frontier in frontiers)
    columns = (
        *(("network",) if has_names else ()), "frequency chosen by",
        "events per bridge and s [Hz]", "r [-]", "± [-]", "least r [-]",
        "forecast r [-]", "trusted", "wall time per simulated s [s]", "± [s]",
        "saved [times]",
    )  # fmt: skip
    rows = tuple(
        (*((frontier.name,) if has_names else ()), *_list_cells(rung))
        for frontier in frontiers
        for rung in frontier.rungs
    )
    caption = (
        "Means over the later half of each run and over seeds; ± is half the 95% "
        "interval over seeds (Student's t). Saved counts the whole run against every "
        "bridge in every step."
    )
    return Table("Working points", columns, rows, caption)


def _list_cells(rung: Rung) -> tuple[Cell, ...]:
    return (
        rung.name,
        center_of(rung.frequency_hz),
        center_of(rung.coherence),
        width_of(rung.coherence),
        rung.least,
        center_of(rung.forecast),
        rung.is_forecast_trusted if rung.forecast else None,
        center_of(rung.pace),
        width_of(rung.pace),
        rung.saved,
    )


def draw(frontiers: Sequence[Frontier]) -> list[Plot]:
    """Draw r over frequency, cost over frequency, and r over cost.

    Args:
        frontiers: One per network.
    """
    floors = {frontier.floor for frontier in frontiers if frontier.floor is not None}
    rules = tuple(Rule(floor, f"floor {floor:g}") for floor in sorted(floors))
    first, second, third = [], [], []
    for frontier in frontiers:
        first += _draw_coherence(frontier)
        second += _draw_pace(frontier)
        third += _draw_price(frontier)
    told = (
        "Means over seeds. The knee lies farthest above the chord from the first to "
        "the last fixed frequency; the forecast ends where it is not trusted."
    )
    title = "How rarely bridges need to fire"
    plots = [
        Plot(title, FREQUENCY, COHERENCE, tuple(first), rules, caption=told),
        Plot("What a frequency costs", FREQUENCY, PACE, tuple(second)),
        Plot("Coherence against wall time", PACE, COHERENCE, tuple(third), rules),
    ]
    return [plot for plot in plots if plot.series]


def _label(frontier: Frontier, name: str) -> str:
    return f"{name} ({frontier.name})" if frontier.name else name


def _draw_coherence(frontier: Frontier) -> list[Series]:
    places = [rung.place for rung in frontier.fixed if rung.place]
    hover = tuple(map(_describe_rung, frontier.fixed))
    forecast = list_forecast(frontier)
    series = [
        _to_series(_label(frontier, "forecast"), forecast, "line"),
        _to_series(_label(frontier, "fixed"), places, "dots", hover),
    ]
    knee, hz = frontier.knee, frontier.find_floor_hz()
    if knee:
        text = (f"knee\n{knee[0]:.3g} Hz\nr {knee[1]:.3f}",)
        series.append(_to_series(_label(frontier, "knee"), [knee], "dots", text))
    if hz and frontier.floor is not None:
        text = (f"cheapest fixed that holds the floor\n{hz:.3g} Hz",)
        place = [(hz, frontier.floor)]
        series.append(_to_series(_label(frontier, "cheapest"), place, "dots", text))
    for rung in frontier.adaptive:
        name = _label(frontier, rung.words)
        found = [rung.place] if rung.place else []
        series.append(_to_series(name, found, "dots", (_describe_rung(rung),)))
    return [entry for entry in series if entry.x]


def _draw_pace(frontier: Frontier) -> list[Series]:
    return _draw_by_kind(frontier, _find_frequency, _find_pace)


def _draw_price(frontier: Frontier) -> list[Series]:
    return _draw_by_kind(frontier, _find_pace, _find_coherence)


def _find_frequency(rung: Rung) -> float | None:
    return center_of(rung.frequency_hz)


def _find_coherence(rung: Rung) -> float | None:
    return center_of(rung.coherence)


def _find_pace(rung: Rung) -> float | None:
    return center_of(rung.pace)


def _draw_by_kind(
    frontier: Frontier,
    across: Callable[[Rung], float | None],
    up: Callable[[Rung], float | None],
) -> list[Series]:
    """Draw fixed frequencies as a line and each controller as a dot."""
    kinds = [("fixed", frontier.fixed, "line")]
    kinds += [(r.words, (r,), "dots") for r in frontier.adaptive]
    series = []
    for name, rungs, style in kinds:
        known = [(x, y, r) for r in rungs if (x := across(r)) and (y := up(r))]
        places = [(x, y) for x, y, _ in known]
        hover = tuple(_describe_rung(rung) for *_, rung in known)
        series.append(_to_series(_label(frontier, name), places, style, hover))
    return [entry for entry in series if entry.x]


def _to_series(
    name: str,
    places: Sequence[Point],
    style: str,
    hover: tuple[str, ...] = (),
) -> Series:
    across, up = tuple(x for x, _ in places), tuple(y for _, y in places)
    return Series(name, across, up, style, hover)


def _describe_rung(rung: Rung) -> str:
    lines = [rung.name]
    if rung.frequency_hz:
        lines.append(f"{rung.frequency_hz.format('Hz')}")
    if rung.coherence:
        lines.append(f"r {rung.coherence.format()}")
    if rung.pace:
        lines.append(f"{rung.pace.format('s')} per simulated second")
    if rung.saved:
        lines.append(f"{rung.saved:.3g} times fewer events")
    return "\n".join(lines)


def list_forecast(frontier: Frontier) -> list[Point]:
    """List frequency and forecast r of the rungs whose forecast is trusted.

    Args:
        frontier: A network.
    """
    return [
        (rung.place[0], rung.forecast.mean)
        for rung in frontier.fixed
        if rung.place and rung.forecast and rung.is_forecast_trusted
    ]
