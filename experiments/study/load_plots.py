"""The plots of a load study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from experiments.report.document import Axis, Plot, Rule, Series
from experiments.study.load_points import (
    PERCENT,
    REAL,
    LevelRow,
    LoadPoint,
    MomentBin,
)
from experiments.wording import format_count, format_frequency

LEVEL: Final = Axis("load asked for, share of the cores [-]")
MOMENT: Final = Axis("load at the moment, share of the cores [-]")

Value = Callable[[LevelRow], float | None]


def draw_load_plots(rows: Sequence[LevelRow]) -> tuple[Plot, ...]:
    """Draw what there is to draw of a load study.

    Args:
        rows: Lines and levels.
    """
    plots: list[Plot | None] = [
        _draw_coherence(rows),
        _draw(rows, "Tunnel frequency", Axis("frequency [Hz]", "log"), "frequency_hz"),
        _draw(rows, "Throughput", Axis("simulated s per wall s [-]"), "speed"),
        _draw_achieved(rows),
        _draw(rows, "Power", Axis("GPU power [W]"), "power_w"),
        *_draw_moments(rows),
    ]
    return tuple(plot for plot in plots if plot is not None)


def _draw(
    rows: Sequence[LevelRow], title: str, axis: Axis, name: str, **more: object
) -> Plot | None:
    """Draw one figure over the level, a line per series; None where it is unknown."""
    series = _build_lines(rows, name)
    if not series:
        return None
    return Plot(title, LEVEL, axis, series, **more)  # type: ignore[arg-type]


def _build_lines(
    rows: Sequence[LevelRow], name: str, *, suffix: str = "", style: str = "line"
) -> tuple[Series, ...]:
    lines = []
    for line in dict.fromkeys(row.series for row in rows):
        own = [row for row in rows if row.series == line]
        known = [row for row in own if row.mean(name) is not None]
        if known:
            lines.append(
                Series(
                    f"{line}{suffix}",
                    tuple(row.level for row in known),
                    tuple(row.mean(name) for row in known),
                    style,
                    tuple(map(_describe_row, known)),
                )
            )
    return tuple(lines)


def _describe_row(row: LevelRow) -> str:
    """Write what is shown at a point, a line per figure."""
    jobs = ", ".join(point.job for point in row.points)
    parts = [
        f"{row.series}, {PERCENT * row.level:.3g}% asked",
        f"{'jobs' if len(row.points) > 1 else 'job'} {jobs}",
    ]
    coherence, hz = row.estimate("coherence"), row.mean("frequency_hz")
    speed, steps, achieved = map(row.mean, ("speed", "node_steps", "achieved"))
    parts += [] if coherence is None else [f"r {coherence.format()}"]
    parts += [] if hz is None else [format_frequency(hz)]
    parts += [] if speed is None else [f"{speed:.3g} simulated s per s"]
    parts += [] if steps is None else [f"{format_count(steps)} node steps/s"]
    parts += [] if achieved is None else [f"{achieved:.1%} achieved"]
    return "\n".join(parts)


def _draw_coherence(rows: Sequence[LevelRow]) -> Plot | None:
    lines = _build_lines(rows, "coherence")
    least = _build_lines(rows, "least", suffix=", least once settled", style="dots")
    if not lines:
        return None
    return Plot(
        "Coherence",
        LEVEL,
        Axis("coherence r [-]"),
        (*lines, *least),
        tuple(
            Rule(floor, f"floor {floor:g}")
            for floor in sorted({p.floor for p in _list_points(rows) if p.floor})
        ),
    )


def _draw_achieved(rows: Sequence[LevelRow]) -> Plot | None:
    """Draw the load that came over the load that was asked for."""
    if not any(point.kind == REAL for point in _list_points(rows)):
        return None
    achieved = _build_lines(rows, "achieved", suffix=", achieved")
    if not achieved:
        return None
    lines = (
        *achieved,
        *_build_lines(rows, "asked", suffix=", asked"),
        *_build_lines(rows, "own", suffix=", this run"),
    )
    return Plot(
        "Who had the cores",
        LEVEL,
        Axis("share of the cores [-]"),
        lines,
        caption="On average over the profile. Where achieved stays below asked, run "
        "and load contend for the cores.",
    )


def _list_points(rows: Sequence[LevelRow]) -> list[LoadPoint]:
    return [point for row in rows for point in row.points]


def _draw_moments(rows: Sequence[LevelRow]) -> list[Plot]:
    """Draw r and frequency over the load that was there at the moment."""
    lines = [
        (f"{row.series}, up to {PERCENT * row.level:.3g}%", point.moments)
        for row in rows
        for point in row.points[:1]
        if len(point.moments) > 1
    ]
    if not lines:
        return []
    caption = (
        "Decisions of runs whose load varies, by the load that each of them saw; of "
        "several seeds the first."
    )

    def build(value: Callable[[MomentBin], float]) -> tuple[Series, ...]:
        return tuple(
            Series(
                name,
                tuple(entry.load for entry in bins),
                tuple(map(value, bins)),
                hover=tuple(_describe_bin(name, entry) for entry in bins),
            )
            for name, bins in lines
        )

    hz = Axis("frequency [Hz]", "log")
    return [
        Plot(
            "Frequency at the load of the moment",
            MOMENT, hz, build(lambda entry: entry.frequency_hz), caption=caption,
        ),
        Plot(
            "Coherence at the load of the moment",
            MOMENT, Axis("coherence r [-]"), build(lambda entry: entry.coherence),
            caption=caption,
        ),
    ]  # fmt: skip


def _describe_bin(name: str, entry: MomentBin) -> str:
    return (
        f"{name}\n{entry.load:.1%} used by others\nr {entry.coherence:.4g}\n"
        f"{format_frequency(entry.frequency_hz)}\n{entry.count} decisions"
    )
