"""What the jobs of a mesh study needed to hold the floor, and in what they compare.

A job is a run with controller=floor. Once it has settled, the frequency that it works
at is what it needs: events per bridge and simulated second. Jobs that were still on
their way, or below the floor, are kept apart and count as no evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from experiments.report.document import Cell, to_number
from experiments.report.jobs import Job, SweepRecord
from experiments.report.records import Columns, read_run
from experiments.report.run import format_setting
from experiments.report.sweep_plots import REPEATING_KEY
from experiments.study.job_groups import list_other_keys
from experiments.study.later_half import LateFigures, measure_late
from experiments.study.statistics import Estimate, estimate_mean

OWN_KEYS: Final = ("mesh", "mesh.rule", "bridges.placement")
"""Keys that the study looks at itself."""
LAW_KEYS: Final = ("lattice.spread_hz", "lattice.cutoff_hz")
"""Keys that go without saying where they go with the law."""
DRIFT: Final = "lattice.drift_period_s"
"""Key of the time in which natural frequencies turn over."""
UNIFORM: Final = ("none", "random")
"""Rule and placement that all others are compared with."""
SETTLED: Final = 0.02
"""Largest change of the frequency from the third to the last quarter of a run [-]."""
SETTLED_DRIFT: Final = 0.10
"""The same where natural frequencies drift, which are never quite alike [-]."""
MOST_ABOVE: Final = 0.05
"""How far above its floor a settled network can stand [-]: the largest margin of the
control law, and the band in which it counts as bound by the floor."""
MOST_BELOW: Final = 0.05
"""Share of the later half that may lie below a floor that counts as held [-]."""

Combination = tuple[str, str]
"""Rule and placement."""


@dataclass(frozen=True)
class Need:
    """What one job needed."""

    job: Job
    """Where it comes from."""
    rule: str
    """Rule of the mesh, none: every bridge alike."""
    placement: str
    """How its bridges were placed."""
    network: str
    """What it is a network of, seeds apart; empty where nothing else is varied."""
    seed: Cell
    """Seed of the network."""
    late: LateFigures
    """What the later half was like."""
    flaw: str
    """Why it is no evidence; empty if it is."""

    @property
    def combination(self) -> Combination:
        """Rule and placement."""
        return self.rule, self.placement

    @property
    def hz(self) -> float | None:
        """Events per bridge and simulated second that held the floor [Hz]."""
        return None if self.flaw else self.late.frequency_hz

    @property
    def nodes(self) -> float | None:
        """Nodes of the network [-]."""
        return self.job.record.number("nodes")

    @property
    def mesh_share(self) -> float | None:
        """Share of the wall time that the mesh took [-]; None without one."""
        return self.job.record.number("mesh", "wall_share")


@dataclass(frozen=True)
class MeshCell:
    """All jobs of one combination on one network."""

    combination: Combination
    """Rule and placement."""
    needs: tuple[Need, ...]
    """At least one."""
    others: tuple[Need, ...]
    """Every job of that network."""

    @property
    def counted(self) -> tuple[Need, ...]:
        """Jobs that are evidence."""
        return tuple(need for need in self.needs if need.hz is not None)

    @property
    def nodes(self) -> float | None:
        """Nodes of the network [-]."""
        return self.needs[0].nodes

    @cached_property
    def hz(self) -> Estimate | None:
        """Events per bridge and simulated second [Hz]."""
        return estimate_mean([need.hz for need in self.needs])

    @cached_property
    def coherence(self) -> Estimate | None:
        """Mean r that was held [-]."""
        return estimate_mean([need.late.coherence for need in self.counted])

    @cached_property
    def ratio(self) -> Estimate | None:
        """Events over those of uniform, randomly placed bridges, seed by seed [-]."""
        return self._compare(UNIFORM)

    @cached_property
    def own_ratio(self) -> Estimate | None:
        """Events over those of uniform bridges of the same placement [-]."""
        return self._compare((UNIFORM[0], self.combination[1]))

    @cached_property
    def mesh_share(self) -> Estimate | None:
        """Share of the wall time that the mesh took [-]."""
        return estimate_mean([need.mesh_share for need in self.needs])

    def _compare(self, base: Combination) -> Estimate | None:
        if base == self.combination:
            return Estimate(1.0, None, len(self.counted)) if self.counted else None
        return estimate_mean(compare(self.needs, self.others, base))


@dataclass(frozen=True)
class MeshNetwork:
    """Every combination on one network."""

    name: str
    """What sets it apart; empty where there is one."""
    cells: tuple[MeshCell, ...]
    """In the order of their jobs."""

    @property
    def compared(self) -> tuple[MeshCell, ...]:
        """Combinations with a ratio, other than what they are compared with."""
        return tuple(
            cell
            for cell in self.cells
            if cell.ratio is not None and cell.combination != UNIFORM
        )

    @property
    def best(self) -> MeshCell | None:
        """Combination of the lowest mean ratio; None where there is none.

        One that rests on a single seed wins only where all do.
        """
        known = [(cell.ratio, cell) for cell in self.compared if cell.ratio]
        known = [pair for pair in known if pair[0].half_width is not None] or known
        return min(known, key=lambda pair: pair[0].mean)[1] if known else None

    def find(self, combination: Combination) -> MeshCell | None:
        """Return the cell of a combination, None where there is none."""
        found = (cell for cell in self.cells if cell.combination == combination)
        return next(found, None)


def compare(
    needs: Iterable[Need], others: Iterable[Need], base: Combination
) -> list[float | None]:
    """Divide needs by those of another combination on the same network and seed.

    Args:
        needs: Jobs of any networks.
        others: Among them those to compare with.
        base: Their rule and placement.

    Returns:
        Ratios [-]; None where either is no evidence.
    """
    bases = {
        (other.network, other.seed): other.hz
        for other in others
        if other.combination == base
    }
    found: list[float | None] = []
    for need in needs:
        hz = bases.get((need.network, need.seed))
        found.append(need.hz / hz if need.hz and hz else None)
    return found


def read_needs(record: SweepRecord) -> tuple[Need, ...]:
    """Read what every finished job of controller=floor needed.

    Args:
        record: The sweep's folder.
    """
    name = build_namer(record)
    return tuple(
        _read_need(job, name)
        for job in record.done
        if job.record.setting("controller", "objective") == "floor"
    )


def _read_need(job: Job, name: Callable[[Job], str]) -> Need:
    series = read_run(job.record.folder).series
    late = measure_late(job)
    return Need(
        job=job,
        rule=str(job.record.setting("mesh", "rule")),
        placement=str(job.record.setting("bridges", "placement")),
        network=name(job),
        seed=job.value(REPEATING_KEY),
        late=late,
        flaw=find_flaw(job, series, late),
    )


def find_flaw(job: Job, series: Columns, late: LateFigures) -> str:
    """Say why a job is no evidence of what it needs; empty if it is.

    Args:
        job: A job with a summary.
        series: Its time series.
        late: What its later half was like.
    """
    r = series.get("coherence")
    floor = job.record.number("coherence", "floor")
    if late.frequency_hz is None or late.coherence is None or r is None or len(r) < 8:
        return "without a time series"
    if floor is not None:
        below = float(np.mean(r[len(r) // 2 :] < floor))
        if late.coherence < floor or below > MOST_BELOW:
            return "below the floor"
        if late.coherence > floor + MOST_ABOVE:
            return "far above the floor"
    change = measure_change(series)
    if change is None:
        return "without a time series"
    is_standing = job.record.setting(*DRIFT.split(".")) is None
    allowed = SETTLED if is_standing else SETTLED_DRIFT
    if abs(change) <= allowed:
        return ""
    return "still descending" if change < 0.0 else "still climbing"


def measure_change(series: Columns) -> float | None:
    """Return how much more often bridges act in the last quarter than in the third.

    Args:
        series: A time series.

    Returns:
        Relative change [-]; None where it cannot be told.
    """
    times, attempts = (series.get(name) for name in ("simulated_s", "attempts"))
    if times is None or attempts is None or len(times) < 8:
        return None
    rows = [len(times) // 2 - 1, 3 * len(times) // 4 - 1, len(times) - 1]
    fired, spans = np.diff(attempts[rows]), np.diff(times[rows])
    if not (fired > 0.0).all() or not (spans > 0.0).all():
        return None
    third, last = fired / spans
    return to_number(float(last / third) - 1.0)


def build_networks(needs: Sequence[Need]) -> tuple[MeshNetwork, ...]:
    """Sort jobs by network, and those of each by combination.

    Args:
        needs: Of a sweep.
    """
    networks: dict[str, list[Need]] = {}
    for need in needs:
        networks.setdefault(need.network, []).append(need)
    return tuple(_build_network(name, found) for name, found in networks.items())


def _build_network(name: str, needs: Sequence[Need]) -> MeshNetwork:
    cells: dict[Combination, list[Need]] = {}
    for need in needs:
        cells.setdefault(need.combination, []).append(need)
    every = tuple(needs)
    return MeshNetwork(
        name,
        tuple(MeshCell(key, tuple(found), every) for key, found in cells.items()),
    )


def build_namer(record: SweepRecord) -> Callable[[Job], str]:
    """Build what names the network of a job by what the sweep varies.

    Args:
        record: The sweep's folder.
    """
    keys = list_other_keys(record, OWN_KEYS)
    if "lattice.distribution" in keys:
        keys = tuple(key for key in keys if key not in LAW_KEYS)

    def name(job: Job) -> str:
        return " ".join(_name_value(key, job) for key in keys)

    return name


def _name_value(key: str, job: Job) -> str:
    value = job.value(key)
    if key == "lattice.distribution":
        return str(value)
    if key == "lattice.shape":
        shape = job.record.setting("lattice", "shape")
        return "x".join(map(str, shape)) if isinstance(shape, list) else str(value)
    if key == DRIFT:
        period_s = to_number(value)
        return "standing" if period_s is None else f"drifting in {period_s:g} s"
    return f"{key}={format_setting(value)}"


def name_combination(combination: Combination) -> str:
    """Name rule and placement, such as ``plastic, random``.

    Args:
        combination: Both.
    """
    return ", ".join(combination)


def tell_combination(combination: Combination) -> str:
    """Name rule and placement in a sentence, such as ``plastic on random bridges``.

    Args:
        combination: Both.
    """
    rule, placement = combination
    return f"{'no mesh' if rule == 'none' else rule} on {placement} bridges"


def pool_ratios(networks: Sequence[MeshNetwork]) -> Mapping[Combination, Estimate]:
    """Average the ratios of each combination over all seeds and networks.

    Args:
        networks: Of a sweep.

    Returns:
        Estimates of combinations that were compared on every network.
    """
    found: dict[Combination, list[float | None]] = {}
    counts: dict[Combination, int] = {}
    for network in networks:
        for cell in network.compared:
            ratios = compare(cell.needs, cell.others, UNIFORM)
            found.setdefault(cell.combination, []).extend(ratios)
            counts[cell.combination] = counts.get(cell.combination, 0) + 1
    pooled = {
        combination: estimate_mean(ratios)
        for combination, ratios in found.items()
        if counts[combination] == len(networks)
    }
    return {key: value for key, value in pooled.items() if value is not None}
