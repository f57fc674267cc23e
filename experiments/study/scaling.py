"""The scaling study: what a run costs as it grows, in nodes, bridges or threads.

Whole runs through the command line, with everything that belongs to them. What single
kernels cost, and how near the machine's limits they are, is `benchmarks/kernel_costs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from experiments.report.document import (
    NO,
    OPEN,
    YES,
    Axis,
    Plot,
    Series,
    Table,
    Verdict,
)
from experiments.report.jobs import SweepRecord
from experiments.study.base import Study
from experiments.study.job_groups import describe_progress, list_other_keys, split_jobs
from experiments.study.scaling_sizes import (
    VARIABLES,
    Read,
    Size,
    SizedRun,
    Variable,
    group_sizes,
    list_runs,
)
from experiments.study.statistics import (
    Estimate,
    PowerFit,
    center_of,
    fit_power,
    format_value,
    width_of,
)
from experiments.wording import format_bytes, format_count

TITLE: Final = "Scaling"
QUESTION: Final = "What do time and memory of a run become as it grows?"
OVERHEAD_NODES: Final = 2**16
"""Smaller lattices are left out of fits over nodes if three sizes remain: the loop
around the kernels weighs there [-]."""
FITTED_SIZES: Final = 3
"""Fewest sizes of a fit."""
CURVES_TOLD: Final = 4
"""Curves with a sentence of their own at most."""
LINEAR_MARGIN: Final = 0.1
"""How far beyond 1 an exponent still counts as linear [-]: a cache that ends within the
range makes the larger sizes dearer by a constant, not by a power."""


def _scale(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


MEASURES: Final[tuple[tuple[str, Read], ...]] = (
    ("wall time per simulated s [s]", lambda run: run.pace),
    ("lattice, per node step [ns]", lambda run: run.node_step_ns),
    ("tunnel, per event [ns]", lambda run: run.event_ns),
    ("throughput [10^6 node steps/s]", lambda run: _scale(run.throughput, 1e-6)),
    ("peak memory [MiB]", lambda run: _scale(run.memory_bytes, 2.0**-20)),
    ("events saved [times]", lambda run: run.saved),
)
"""Columns of the table and what they read."""


@dataclass(frozen=True)
class Curve:
    """Sizes along one variable, all else equal."""

    name: str
    """What sets it apart; empty where there is one only."""
    variable: Variable
    """What grows."""
    sizes: tuple[Size, ...]
    """Ascending."""

    @property
    def fitted(self) -> tuple[Size, ...]:
        """Sizes that a fit takes."""
        large = tuple(size for size in self.sizes if size.value >= OVERHEAD_NODES)
        is_long = self.variable is VARIABLES[0] and len(large) >= FITTED_SIZES
        return large if is_long else self.sizes

    @cached_property
    def fit(self) -> PowerFit | None:
        """Power of the wall time per simulated second, over single jobs."""
        runs = [(size.value, run) for size in self.fitted for run in size.runs]
        known = [(value, pace) for value, run in runs if (pace := run.pace)]
        return fit_power([x for x, _ in known], [y for _, y in known])

    @property
    def memory_per_node(self) -> tuple[float, float] | None:
        """Bytes of a run without nodes, and per node; by least squares."""
        if self.variable is not VARIABLES[0]:
            return None
        known = [(size.value, m) for size in self.sizes if (m := _find_memory(size))]
        if len(known) < FITTED_SIZES:
            return None
        slope, base = np.polyfit([x for x, _ in known], [y for _, y in known], 1)
        return float(base), float(slope)


def _find_memory(size: Size) -> float | None:
    return center_of(size.estimate(lambda run: run.memory_bytes))


def examine(record: SweepRecord) -> Study:
    """Say what the jobs found about cost and size.

    Args:
        record: The sweep's folder.
    """
    curves = build_curves(record)
    if not curves:
        text = describe_progress(record) or "No job has left a wall time."
        return Study(TITLE, QUESTION, (text,))
    grown = [curve for curve in curves if len(curve.sizes) > 1]
    told = [text for c in grown[:CURVES_TOLD] for text in _describe_curve(c)]
    if len(grown) > CURVES_TOLD:
        told.append(f"{len(grown) - CURVES_TOLD} more are in the table.")
    if not grown:
        told = ["There is one size only, and no curve to fit; sweep lattice.shape."]
    return Study(
        TITLE,
        QUESTION,
        tuple(text for text in (describe_progress(record), *told) if text),
        tuple(_judge(grown)),
        (_tabulate(curves),),
        tuple(_draw(grown)),
    )


def build_curves(record: SweepRecord) -> list[Curve]:
    """Build a curve for each variable that the jobs differ in, all else equal.

    Args:
        record: What the folder holds.
    """
    varied = [v for v in VARIABLES if any(key in record.keys for key in v.keys)]
    curves = []
    for variable in varied or VARIABLES[:1]:
        others = list_other_keys(record, variable.keys)
        for name, jobs in split_jobs(record.jobs, others):
            sizes = group_sizes(list_runs(jobs), variable)
            curves += [Curve(name, variable, tuple(sizes))] if sizes else []
    return curves


def _describe_curve(curve: Curve) -> list[str]:
    facts = [
        _describe_fit(curve),
        _describe_costs(curve),
        _describe_memory(curve),
        _describe_saved(curve),
    ]
    head = f"With {curve.name}: " if curve.name else ""
    told = [text for text in facts if text]
    # Of several curves only the first sentence of each is told.
    return [f"{head}{text}" for text in (told[:1] if head else told)]


def _describe_fit(curve: Curve) -> str:
    fit, variable = curve.fit, curve.variable
    low, high = curve.sizes[0].value, curve.sizes[-1].value
    if fit is None:
        return (
            f"Between {format_count(low)} and {format_count(high)} {variable.name} no "
            f"exponent is fitted: that takes {FITTED_SIZES} sizes."
        )
    ratio = curve.sizes[-1].estimate(lambda run: run.pace)
    first = curve.sizes[0].estimate(lambda run: run.pace)
    text = (
        f"Wall time goes as {variable.name} to the power "
        f"{format_value(fit.exponent, fit.half_width)} (95% interval, "
        f"{format_count(fit.low)} to {format_count(fit.high)} {variable.name}, "
        f"{fit.points} jobs)"
    )
    if ratio is None or first is None:
        return f"{text}."
    return (
        f"{text}: a simulated second takes {first.mean:.3g} s at {format_count(low)} "
        f"and {ratio.mean:.3g} s at {format_count(high)}."
    )


def _describe_costs(curve: Curve) -> str:
    """Say what a node step and an event cost at both ends, and where it is least."""
    low, high = curve.sizes[0], curve.sizes[-1]
    facts = []
    reads: tuple[tuple[str, Read], ...] = (
        ("a node step", lambda run: run.node_step_ns),
        ("an event", lambda run: run.event_ns),
    )
    for name, read in reads:
        first, last = low.estimate(read), high.estimate(read)
        if first and last:
            facts.append(f"{name} takes {first.format()} ns and {last.format()} ns")
    best = max(curve.sizes, key=lambda size: _find_throughput(size) or 0.0)
    most = _find_throughput(best)
    if not facts or most is None:
        return ""
    return (
        f"At {format_count(low.value)} and {format_count(high.value)} "
        f"{curve.variable.name}, {', '.join(facts)}; throughput is highest at "
        f"{format_count(best.value)}, {format_count(most)} node steps per second."
    )


def _find_throughput(size: Size) -> float | None:
    return center_of(size.estimate(lambda run: run.throughput))


def _describe_memory(curve: Curve) -> str:
    found = curve.memory_per_node
    if found is None:
        if curve.variable is not VARIABLES[0]:
            return ""
        return "Memory was not measured: it takes three sizes with a process per job."
    base, slope = found
    return (
        f"At its peak a process holds {format_bytes(max(base, 0.0))} and {slope:.3g} "
        "bytes per node (least squares)."
    )


def _describe_saved(curve: Curve) -> str:
    factors = [center_of(size.estimate(lambda run: run.saved)) for size in curve.sizes]
    known = [factor for factor in factors if factor is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    if high - low < 0.01 * high:
        return f"Events saved do not depend on size: {high:.3g} times fewer throughout."
    return f"Between {low:.3g} and {high:.3g} times fewer events were needed."


def _judge(curves: Sequence[Curve]) -> list[Verdict]:
    question = "Does the time grow no faster than the lattice?"
    nodes = [c for c in curves if c.variable is VARIABLES[0]]
    fits = [fit for curve in nodes if (fit := curve.fit) is not None]
    if not fits:
        return [Verdict(question, OPEN, "It takes three sizes of lattice.shape.")]
    worst = max(fits, key=lambda fit: fit.exponent + fit.half_width)
    limit = 1.0 + LINEAR_MARGIN
    text = (
        f"The exponent is {format_value(worst.exponent, worst.half_width)}; up to "
        f"{limit:g} counts as linear."
    )
    low, high = (worst.exponent + sign * worst.half_width for sign in (-1.0, 1.0))
    answer = YES if high <= limit else NO if low > limit else OPEN
    return [Verdict(question, answer, text)]


def _tabulate(curves: Sequence[Curve]) -> Table:
    """Lay the sizes out, means over seeds; spreads of the times too."""
    has_names = any(curve.name for curve in curves)
    columns = [*(["all else"] if has_names else []), "what grows", "size [-]", "jobs"]
    for label, _ in MEASURES:
        columns += [label, "±"] if "time" in label else [label]
    rows = tuple(
        (
            *((curve.name,) if has_names else ()),
            curve.variable.name,
            int(size.value) if size.value.is_integer() else size.value,
            len(size.runs),
            *_list_cells(size),
        )
        for curve in curves
        for size in curve.sizes
    )
    caption = "Means over seeds; ± is half the 95% interval over seeds (Student's t)."
    return Table("By size", tuple(columns), rows, caption)


def _list_cells(size: Size) -> list[float | None]:
    cells: list[float | None] = []
    for label, read in MEASURES:
        found = size.estimate(read)
        cells.append(center_of(found))
        if "time" in label:
            cells.append(width_of(found))
    return cells


def _draw(curves: Sequence[Curve]) -> list[Plot]:
    """Draw wall time with its fit, costs, and memory over each variable."""
    plots = []
    for variable in VARIABLES:
        own = [curve for curve in curves if curve.variable is variable]
        across = Axis(variable.label, "log")
        first = [series for curve in own for series in _draw_wall(curve)]
        second = [series for curve in own for series in _draw_costs(curve)]
        third = [series for curve in own for series in _draw_memory(curve)]
        over = f"over {variable.name}"
        wall = Axis("wall time per simulated second [s]", "log")
        plots += [
            Plot(f"Wall time {over}", across, wall, tuple(first)),
            Plot(f"Costs {over}", across, Axis("time [ns]", "log"), tuple(second)),
            Plot(f"Memory {over}", across, Axis("memory [MiB]", "log"), tuple(third)),
        ]
    return [plot for plot in plots if plot.series]


def _label(curve: Curve, name: str) -> str:
    return f"{name} ({curve.name})" if curve.name else name


def _draw_wall(curve: Curve) -> list[Series]:
    """Draw every job as a dot, and the fit as a line."""
    runs = [(size.value, run) for size in curve.sizes for run in size.runs]
    known = [(value, pace, run) for value, run in runs if (pace := run.pace)]
    dots = Series(
        _label(curve, "jobs"),
        tuple(value for value, _, _ in known),
        tuple(pace for _, pace, _ in known),
        "dots",
        tuple(_describe_run(run) for _, _, run in known),
    )
    fit = curve.fit
    if fit is None:
        return [dots]
    across = tuple(size.value for size in curve.fitted)
    exponent = format_value(fit.exponent, fit.half_width)
    name = _label(curve, f"exponent {exponent}")
    return [dots, Series(name, across, tuple(map(fit.evaluate, across)))]


def _describe_run(run: SizedRun) -> str:
    lines = [f"job {run.job.name}"]
    for label, read in MEASURES:
        value = read(run)
        if value is not None:
            lines.append(f"{label}  {value:.4g}")
    return "\n".join(lines)


def _draw_costs(curve: Curve) -> list[Series]:
    return [
        *_draw_means(curve, "node step", lambda run: run.node_step_ns),
        *_draw_means(curve, "event", lambda run: run.event_ns),
    ]


def _draw_memory(curve: Curve) -> list[Series]:
    return _draw_means(
        curve, "peak of the process", lambda run: _scale(run.memory_bytes, 2.0**-20)
    )


def _draw_means(curve: Curve, name: str, read: Read) -> list[Series]:
    found = [(size.value, size.estimate(read)) for size in curve.sizes]
    known: list[tuple[float, Estimate]] = [(v, e) for v, e in found if e is not None]
    if not known:
        return []
    across, up = tuple(v for v, _ in known), tuple(e.mean for _, e in known)
    hover = tuple(f"{name}\n{v:.4g}: {e.format()}" for v, e in known)
    return [Series(_label(curve, name), across, up, "line", hover)]
