"""The table and the plots of the mesh study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from experiments.report.charts import TIME, build_series
from experiments.report.document import Axis, Cell, Plot, Rule, Series, Table
from experiments.report.records import read_run
from experiments.study.mesh_points import (
    UNIFORM,
    Combination,
    MeshCell,
    MeshNetwork,
    Need,
    name_combination,
)
from experiments.study.statistics import Estimate, center_of, width_of

RATIO: Final = Axis("events, uniform at random = 1 [-]")
HERTZ: Final = Axis("tunnel frequency [Hz]", "log")
NODES: Final = Axis("nodes", "log")
NETWORKS_DRAWN: Final = 3
"""Networks with a plot of their own at most."""
LINES_DRAWN: Final = 6
"""Combinations over time at most."""


def tabulate(networks: Sequence[MeshNetwork]) -> Table:
    """Lay the combinations out, means over seeds with half their interval.

    Args:
        networks: Of a sweep.
    """
    has_names = any(network.name for network in networks)
    columns = (
        *(("network",) if has_names else ()), "rule", "placement", "jobs", "counted",
        "needed [Hz]", "± [Hz]", "ratio [-]", "± [-]", "own ratio [-]", "± [-]",
        "r [-]", "mesh [%]", "left out",
    )  # fmt: skip
    rows = tuple(
        (*((network.name,) if has_names else ()), *_list_cells(cell))
        for network in networks
        for cell in network.cells
    )
    caption = (
        "Needed: events per bridge and second of the later half, once settled. Ratio: "
        "to the job of the same network and seed with every bridge alike, placed at "
        "random; own ratio: to that of the same placement. Means over seeds, ± half "
        "the 95% interval (Student's t). Mesh: its share of the wall time. A job "
        "counts if its frequency in the last quarter is that of the third and r lies "
        "below the floor for at most 5% of the later half."
    )
    return Table("What holds the floor", columns, rows, caption)


def _list_cells(cell: MeshCell) -> tuple[Cell, ...]:
    share = center_of(cell.mesh_share)
    flaws = dict.fromkeys(need.flaw for need in cell.needs if need.flaw)
    return (
        *cell.combination,
        len(cell.needs),
        len(cell.counted),
        center_of(cell.hz),
        width_of(cell.hz),
        center_of(cell.ratio),
        width_of(cell.ratio),
        center_of(cell.own_ratio),
        width_of(cell.own_ratio),
        center_of(cell.coherence),
        None if share is None else 100.0 * share,
        ", ".join(flaws) or None,
    )


def draw(networks: Sequence[MeshNetwork]) -> list[Plot]:
    """Draw ratios, the courses of one seed, and ratios over size.

    Args:
        networks: Of a sweep.
    """
    plots = [_draw_ratios(network) for network in networks[:NETWORKS_DRAWN]]
    plots += _draw_courses(networks[0])
    plots.append(_draw_sizes(networks))
    return [plot for plot in plots if any(series.x for series in plot.series)]


def _draw_ratios(network: MeshNetwork) -> Plot:
    """Draw the ratio of every combination with its interval."""
    known = [(cell, cell.ratio) for cell in network.compared if cell.ratio is not None]
    placements = dict.fromkeys(cell.combination[1] for cell, _ in known)
    series = [
        Series(
            placement,
            tuple(cell.combination[0] for cell, _ in own),
            tuple(ratio.mean for _, ratio in own),
            "dots",
            tuple(_describe(cell) for cell, _ in own),
        )
        for placement in placements
        if (own := [pair for pair in known if pair[0].combination[1] == placement])
    ]
    where = f" ({network.name})" if network.name else ""
    return Plot(
        f"Events that hold the floor{where}",
        Axis("rule of the mesh", "category"),
        RATIO,
        (*series, *_draw_intervals([(c.combination[0], ratio) for c, ratio in known])),
        (Rule(1.0, "uniform, random"),),
        caption="Means over seeds, each compared with its own; bars are 95% intervals.",
    )


def _label(cell: MeshCell) -> str:
    return name_combination(cell.combination)


def _draw_intervals(places: Sequence[tuple[Cell, Estimate]]) -> list[Series]:
    """Draw a bar through each estimate that has an interval."""
    x: list[Cell] = []
    y: list[float | None] = []
    for place, found in places:
        if found.half_width is not None:
            x += [place] * 3
            y += [found.mean - found.half_width, found.mean + found.half_width, None]
    return [Series("95% interval", tuple(x), tuple(y), "line")] if x else []


def _describe(cell: MeshCell) -> str:
    lines = [_label(cell)]
    if cell.ratio:
        lines.append(f"{cell.ratio.format()} of uniform at random")
    if cell.hz:
        lines.append(cell.hz.format("Hz"))
    if cell.coherence:
        lines.append(f"r {cell.coherence.format()}")
    lines.append(f"{len(cell.counted)} of {len(cell.needs)} jobs counted")
    return "\n".join(lines)


def _draw_courses(network: MeshNetwork) -> list[Plot]:
    """Draw frequency and r over time of one seed, bridges at random and the best."""
    chosen = _choose_courses(network)
    frequency: list[Series] = []
    coherence: list[Series] = []
    for combination, need in chosen.items():
        columns = read_run(need.job.record.folder).series
        times = columns.get("simulated_s")
        if times is None or not len(times) or "frequency_hz" not in columns:
            continue
        name = name_combination(combination)
        hz, r = np.asarray(columns["frequency_hz"]), np.asarray(columns["coherence"])
        frequency += build_series(times, {name: hz}, style="step", floor=0.0)
        floor = need.job.record.number("coherence", "floor") or 0.0
        reached = np.maximum.accumulate(r >= floor)
        coherence += build_series(times, {name: np.where(reached, r, np.nan)})
    floors = {need.job.record.number("coherence", "floor") for need in chosen.values()}
    rules = tuple(Rule(f, f"floor {f:g}") for f in sorted(filter(None, floors)))
    seeds = sorted({str(need.seed) for need in chosen.values()})
    told = f"Seed {', '.join(seeds)}{f', {network.name}' if network.name else ''}."
    held = f"{told} From where it first reached the floor."
    return [
        Plot("The descent", TIME, HERTZ, tuple(frequency), caption=told),
        Plot(
            "Coherence meanwhile",
            TIME,
            Axis("r [-]"),
            tuple(coherence),
            rules,
            (),
            held,
        ),
    ]


def _choose_courses(network: MeshNetwork) -> dict[Combination, Need]:
    """Choose one seed's jobs: every rule at random, and the best combination."""
    first = network.cells[0].needs[0].seed
    wanted = [c.combination for c in network.cells if c.combination[1] == UNIFORM[1]]
    wanted += [network.best.combination] if network.best else []
    wanted += [cell.combination for cell in network.cells[:1]]
    return {
        need.combination: need
        for cell in network.cells
        for need in cell.needs
        if need.seed == first
        and need.combination in list(dict.fromkeys(wanted))[:LINES_DRAWN]
    }


def _draw_sizes(networks: Sequence[MeshNetwork]) -> Plot:
    """Draw ratios over the number of nodes, of what was run at two or more."""
    found: dict[tuple[str, Combination], list[tuple[float, MeshCell]]] = {}
    for network in networks:
        for cell in network.compared:
            if cell.nodes:
                kind = _strip_size(network.name)
                key = (kind, cell.combination)
                found.setdefault(key, []).append((cell.nodes, cell))
    series: list[Series] = []
    bars: list[tuple[Cell, Estimate]] = []
    for (kind, combination), points in found.items():
        if len({nodes for nodes, _ in points}) < 2:
            continue
        points.sort(key=lambda point: point[0])
        name = name_combination(combination)
        series.append(
            Series(
                f"{name} ({kind})" if kind else name,
                tuple(nodes for nodes, _ in points),
                tuple(center_of(cell.ratio) for _, cell in points),
                "line",
                tuple(_describe(cell) for _, cell in points),
            )
        )
        bars += [(nodes, cell.ratio) for nodes, cell in points if cell.ratio]
    return Plot(
        "Does it depend on the size?",
        NODES,
        RATIO,
        (*series, *(_draw_intervals(bars) if series else ())),
        caption="Means over seeds; bars are 95% intervals.",
    )


def _strip_size(name: str) -> str:
    """Return a network's name without its shape."""
    words = name.split()
    return " ".join(w for w in words if not w.replace("x", "").isdigit())
