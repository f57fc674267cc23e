"""The frontier of a network: rungs, knee, and the cheapest frequency for the floor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from experiments.report.document import Cell
from experiments.report.jobs import Job, SweepRecord, sort_values
from experiments.study.frequency_curve import Point, find_crossing, find_knee
from experiments.study.job_groups import list_other_keys, split_jobs
from experiments.study.later_half import LateFigures, measure_late
from experiments.study.statistics import Estimate, estimate_mean

OWN_KEYS: Final = (
    "controller", "controller.objective", "controller.fixed_frequency_hz",
    "mesh", "mesh.rule", "dynamics.duration_s",
)  # fmt: skip
"""Keys that choose frequencies and how long, and leave the network as it is."""


@dataclass(frozen=True)
class WorkingPoint:
    """Where one job worked."""

    job: Job
    """The job."""
    objective: str
    """What chose its frequency: fixed, floor, headroom or pace."""
    rule: str
    """Rule of the mesh that shared it out; none: every bridge alike."""
    asked_hz: float | None
    """The fixed frequency [Hz]; None of a controller's own."""
    late: LateFigures
    """What it did once settled."""


@dataclass(frozen=True)
class Rung:
    """Jobs that differ in their seed only."""

    objective: str
    """What chose the frequency."""
    rule: str
    """What shared it out among the bridges; none: every bridge alike."""
    asked_hz: float | None
    """The fixed frequency [Hz]; None of a controller's own."""
    points: tuple[WorkingPoint, ...]
    """The jobs, at least one."""

    @property
    def name(self) -> str:
        """How a table calls it."""
        by = f"fixed {self.asked_hz:.4g} Hz" if self.asked_hz else self.objective
        return by if self.rule == "none" else f"{by}, mesh={self.rule}"

    @property
    def words(self) -> str:
        """What to type for its controller."""
        mesh = "" if self.rule == "none" else f" mesh={self.rule}"
        return f"controller={self.objective}{mesh}"

    @property
    def coherence(self) -> Estimate | None:
        """Mean order parameter r once settled [-]."""
        return estimate_mean([point.late.coherence for point in self.points])

    @property
    def frequency_hz(self) -> Estimate | None:
        """Attempts per bridge and simulated second once settled [Hz]."""
        return estimate_mean([point.late.frequency_hz for point in self.points])

    @property
    def pace(self) -> Estimate | None:
        """Wall time per simulated second once settled [s/s]."""
        return estimate_mean([point.late.pace for point in self.points])

    @property
    def least(self) -> float | None:
        """Least r once settled, of all jobs [-]."""
        known = [p.late.least for p in self.points if p.late.least is not None]
        return min(known, default=None)

    @property
    def saved(self) -> float | None:
        """Times fewer events than every bridge in every step; of the whole run."""
        factors = [p.job.record.number("events_saved_factor") for p in self.points]
        found = estimate_mean(factors)
        return found.mean if found else None

    @property
    def forecast(self) -> Estimate | None:
        """What was forecast of r [-]."""
        path = ("forecast", "coherence")
        return estimate_mean([p.job.record.number(*path) for p in self.points])

    @property
    def is_forecast_trusted(self) -> bool:
        """Whether the forecast stands by itself for every job."""
        entries = [p.job.record.summary.get("forecast") for p in self.points]
        return all(isinstance(e, dict) and e.get("is_trusted") for e in entries)

    @property
    def place(self) -> Point | None:
        """Frequency and r, where both are known."""
        hz, r = self.frequency_hz, self.coherence
        return (hz.mean, r.mean) if hz and r and hz.mean > 0.0 else None


def list_points(jobs: Iterable[Job]) -> list[WorkingPoint]:
    """Measure where jobs worked; those without configuration or end are left out.

    Args:
        jobs: Jobs of a sweep.
    """
    points = []
    for job in jobs:
        objective = job.record.setting("controller", "objective")
        if job.status != "done" or not isinstance(objective, str):
            continue
        asked = job.record.setting("controller", "fixed_frequency_hz")
        is_fixed = objective == "fixed" and isinstance(asked, int | float)
        hz = float(asked) if is_fixed else None
        rule = _find_rule(job)
        points.append(WorkingPoint(job, objective, rule, hz, measure_late(job)))
    return points


def _find_rule(job: Job) -> str:
    """Return the rule by which a job's mesh shared frequencies out."""
    entry = job.record.summary.get("mesh")
    return str(entry.get("rule")) if isinstance(entry, dict) else "none"


def group_rungs(points: Iterable[WorkingPoint]) -> list[Rung]:
    """Put jobs that differ in their seed only together, fixed frequencies ascending.

    Args:
        points: Working points of one network.
    """
    found: dict[tuple[str, str, float | None], list[WorkingPoint]] = {}
    for point in points:
        key = (point.objective, point.rule, point.asked_hz)
        found.setdefault(key, []).append(point)
    rungs = [Rung(*key, tuple(entries)) for key, entries in found.items()]
    return sorted(
        rungs, key=lambda rung: (rung.asked_hz is None, rung.asked_hz or 0.0, rung.name)
    )


def list_places(points: Iterable[WorkingPoint], seed: object = None) -> list[Point]:
    """List the places of fixed frequencies, averaged over seeds or of one seed.

    Args:
        points: Working points of one network.
        seed: The seed; None averages.
    """
    fixed = [p for p in points if p.asked_hz is not None]
    own = [p for p in fixed if seed is None or p.job.value("seed") == seed]
    places = [rung.place for rung in group_rungs(own)]
    return sorted({place[0]: place for place in places if place}.values())


@dataclass(frozen=True)
class Frontier:
    """All working points of one network."""

    name: str
    """What sets it apart; empty where there is one only."""
    points: tuple[WorkingPoint, ...]
    """Its jobs."""

    @cached_property
    def rungs(self) -> tuple[Rung, ...]:
        """Fixed frequencies ascending, then controllers."""
        return tuple(group_rungs(self.points))

    @property
    def fixed(self) -> tuple[Rung, ...]:
        """Rungs of fixed frequency that are known, ascending."""
        return tuple(r for r in self.rungs if r.asked_hz is not None and r.place)

    @property
    def adaptive(self) -> tuple[Rung, ...]:
        """Rungs that a controller found."""
        return tuple(r for r in self.rungs if r.asked_hz is None and r.place)

    @property
    def floor(self) -> float | None:
        """The floor that the jobs share [-]; None where they differ."""
        floors = {p.job.record.number("coherence", "floor") for p in self.points}
        return floors.pop() if len(floors) == 1 else None

    @property
    def seeds(self) -> tuple[Cell, ...]:
        """Seeds of the jobs."""
        return sort_values(point.job.value("seed") for point in self.points)

    @property
    def knee(self) -> Point | None:
        """The knee of the mean over seeds."""
        return find_knee(list_places(self.points))

    @property
    def knee_hz(self) -> Estimate | None:
        """Its frequency, seed by seed [Hz]."""
        knees = [find_knee(list_places(self.points, seed)) for seed in self.seeds]
        return estimate_mean([knee and knee[0] for knee in knees])

    def find_floor_hz(self, seed: Cell = None) -> float | None:
        """Find the cheapest fixed frequency that holds the floor [Hz].

        Args:
            seed: Of one seed; the mean over seeds by default.
        """
        if self.floor is None:
            return None
        return find_crossing(list_places(self.points, seed), self.floor)

    @property
    def floor_hz(self) -> Estimate | None:
        """The same, seed by seed."""
        return estimate_mean([self.find_floor_hz(seed) for seed in self.seeds])

    def compare(self, rung: Rung) -> Estimate | None:
        """Divide a controller's frequency by the cheapest fixed one, seed by seed.

        Args:
            rung: Where the controller works.
        """
        ratios = []
        for point in rung.points:
            cheapest = self.find_floor_hz(point.job.value("seed"))
            hz = point.late.frequency_hz
            ratios.append(hz / cheapest if hz and cheapest else None)
        return estimate_mean(ratios)

    def find_pace(self, frequency_hz: float) -> float | None:
        """Interpolate wall time per simulated second between rungs, linear in f.

        Args:
            frequency_hz: Within the rungs [Hz].
        """
        known = [(r.place[0], r.pace.mean) for r in self.fixed if r.place and r.pace]
        if len(known) < 2 or not known[0][0] <= frequency_hz <= known[-1][0]:
            return None
        across, up = [hz for hz, _ in known], [pace for _, pace in known]
        return float(np.interp(frequency_hz, across, up))


def build_frontiers(record: SweepRecord) -> list[Frontier]:
    """Build a frontier for each network of a sweep that has a working point.

    Args:
        record: What the folder holds.
    """
    keys = list_other_keys(record, OWN_KEYS)
    groups = split_jobs(record.jobs, keys)
    found = [Frontier(name, tuple(list_points(jobs))) for name, jobs in groups]
    return [frontier for frontier in found if any(r.place for r in frontier.rungs)]
