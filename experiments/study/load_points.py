"""What each job of a load study came to, and jobs of one level taken together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from experiments.report.charts import list_shares
from experiments.report.document import to_number
from experiments.report.jobs import Job, SweepRecord
from experiments.report.records import Columns, RunRecord, dig, read_run
from experiments.report.resources import (
    BUSY,
    OTHERS,
    OWN,
    POWER,
    read_resources,
)
from experiments.report.run import format_setting
from experiments.report.thinning import F64Array
from experiments.report.verdicts import read_asked_load
from experiments.study.job_groups import list_other_keys
from experiments.study.later_half import measure_late
from experiments.study.statistics import Estimate, divide, estimate_mean

LEVEL_KEY: Final = "load.level"
PROFILE_KEY: Final = "load.profile"
REAL, SYNTHETIC = "real", "synthetic"
KINDS: Final = (REAL, SYNTHETIC)
"""Kinds of load that have a level."""
STEADY_PROFILE: Final = "constant"
PERCENT: Final = 100.0
BIN_WIDTH: Final = 0.1
"""Width of the bins of the load at a moment [-]."""
FEWEST_SAMPLES: Final = 5
"""Decisions without which a bin says nothing."""


@dataclass(frozen=True)
class MomentBin:
    """Decisions that saw about the same load."""

    load: float
    """Mean share of the cores that others used [-]."""
    coherence: float
    """Mean r at these moments [-]."""
    frequency_hz: float
    """Mean tunnel frequency [Hz]."""
    count: int
    """Decisions, >= `FEWEST_SAMPLES`."""


@dataclass(frozen=True)
class LoadPoint:
    """One job under one level of load; None: not known."""

    job: str
    """Its folder in the sweep."""
    series: str
    """What it has in common with the jobs on one line of a plot."""
    level: float
    """Share of the cores asked for, at the peak of the profile [-]."""
    kind: str
    """One of `KINDS`."""
    objective: str
    """What the controller is to do."""
    is_steady: bool
    """Whether the load is the same all the time."""
    floor: float | None
    """Coherence floor [-]."""
    coherence: float | None
    """Mean r of the later half [-]."""
    least: float | None
    """Least r once settled [-]; None where the floor was never reached."""
    violated: float | None
    """Share of control periods below the floor once settled [-]."""
    frequency_hz: float | None
    """Attempts per bridge and simulated second, in the later half [Hz]."""
    saved: float | None
    """Times fewer events than every bridge in every step [-]."""
    speed: float | None
    """Simulated time per wall time, in the later half [s/s]."""
    node_steps: float | None
    """Node steps per wall time [1/s]."""
    asked: float | None
    """Mean share of the cores asked for [-]."""
    achieved: float | None
    """Mean share that the load took [-]."""
    deviation: float | None
    """Mean distance of the two, window by window [-]."""
    trouble: str
    """Why the load ended before the run; mostly empty."""
    seen: float | None
    """Mean share that others took, as the monitor saw it [-]."""
    busy: float | None
    """Mean share of the cores that was busy for anyone [-]."""
    own: float | None
    """Mean share that the run itself took [-]."""
    power_w: float | None
    """Mean power of the GPUs [W]."""
    energy_j: float | None
    """Energy of the GPUs per simulated second [J/s]."""
    states: Mapping[str, float] = field(default_factory=dict)
    """Share of the later half by state of the controller [-]."""
    moments: tuple[MomentBin, ...] = ()
    """Decisions by the load that they saw, where the load varies."""

    @property
    def has_held_floor(self) -> bool | None:
        """Whether r stayed above the floor once settled; None where unknown."""
        return None if self.coherence is None else self.violated == 0.0


@dataclass(frozen=True)
class LevelRow:
    """Jobs of one line at one level: one, or several seeds."""

    series: str
    """The line."""
    level: float
    """Share of the cores asked for [-]."""
    points: tuple[LoadPoint, ...]
    """At least one."""

    def estimate(self, name: str) -> Estimate | None:
        """Estimate the mean of a figure.

        Args:
            name: A number among the fields of `LoadPoint`.
        """
        return estimate_mean([getattr(point, name) for point in self.points])

    def mean(self, name: str) -> float | None:
        """Return the mean of a figure, None where no job has it.

        Args:
            name: As for `estimate`.
        """
        estimate = self.estimate(name)
        return None if estimate is None else estimate.mean

    def share(self, state: str) -> float:
        """Return the mean share of a state of the controller [-].

        Args:
            state: Its name.
        """
        shares = [point.states.get(state, 0.0) for point in self.points]
        return sum(shares) / len(shares)


def list_points(record: SweepRecord) -> list[LoadPoint]:
    """Measure every job that came to its end under a load with a level.

    Args:
        record: The sweep.
    """
    keys = list_other_keys(record, (LEVEL_KEY,))
    points = []
    for job in record.done:
        level, kind = to_number(job.value(LEVEL_KEY)), job.value("load.kind")
        if level is not None and kind in KINDS:
            points.append(_measure(job, level, _name_series(job, keys)))
    return points


def list_rows(points: Sequence[LoadPoint]) -> list[LevelRow]:
    """Take jobs of one line and level together, levels ascending.

    Args:
        points: The jobs.
    """
    groups: dict[tuple[str, float], list[LoadPoint]] = {}
    for point in points:
        groups.setdefault((point.series, point.level), []).append(point)
    lines = list(dict.fromkeys(point.series for point in points))
    return [
        LevelRow(series, level, tuple(groups[series, level]))
        for series, level in sorted(
            groups, key=lambda group: (lines.index(group[0]), group[1])
        )
    ]


def _name_series(job: Job, keys: Iterable[str]) -> str:
    """Name a line by what sets it apart, a profile by itself."""
    words = [
        str(job.value(key))
        if key == PROFILE_KEY
        else f"{key}={format_setting(job.value(key))}"
        for key in keys
    ]
    return ", ".join(words) or str(job.value(PROFILE_KEY) or "jobs")


def _measure(job: Job, level: float, series: str) -> LoadPoint:
    record = read_run(job.record.folder)
    resources = read_resources(record.trace)
    late = measure_late(job)
    asked, achieved, deviation = _compare_load(record, resources)
    speed = 1.0 / late.pace if late.pace else None
    base = to_number(job.value("load.base_level")) or 0.0
    is_steady = job.value(PROFILE_KEY) == STEADY_PROFILE or base == level
    return LoadPoint(
        job=job.name,
        series=series,
        level=level,
        kind=str(job.value("load.kind")),
        objective=str(job.value("controller.objective")),
        is_steady=is_steady,
        floor=record.number("coherence", "floor"),
        coherence=late.coherence,
        least=record.number("coherence", "minimum_after_settling"),
        violated=record.number("coherence", "violation_fraction"),
        frequency_hz=late.frequency_hz,
        saved=_rescale_saved(job, late.frequency_hz),
        speed=speed,
        node_steps=_count_node_steps(record, speed),
        asked=asked,
        achieved=achieved,
        deviation=deviation,
        trouble=_find_trouble(record),
        seen=_average_late(resources.get(OTHERS)),
        busy=_average_late(resources.get(BUSY)),
        own=_average_late(resources.get(OWN)),
        power_w=_average_power(resources),
        energy_j=divide(
            record.number("energy_joules"), record.number("simulated_seconds")
        ),
        states=_share_states(record.series),
        moments=() if is_steady else bin_moments(record.trace, resources),
    )


def _rescale_saved(job: Job, late_hz: float | None) -> float | None:
    """Take the factor of the whole run to the frequency of its later half."""
    saved, whole_hz = job.record.number("events_saved_factor"), job.frequency_hz
    if saved is None or not whole_hz or not late_hz:
        return saved
    return saved * whole_hz / late_hz


def _count_node_steps(record: RunRecord, speed: float | None) -> float | None:
    nodes, steps = record.number("nodes"), record.number("steps")
    rate = divide(steps, record.number("simulated_seconds"))
    if nodes is None or rate is None or speed is None:
        return record.number("node_steps_per_second")
    return nodes * rate * speed


def _compare_load(
    record: RunRecord, resources: Mapping[str, F64Array]
) -> tuple[float | None, float | None, float | None]:
    """Return asked, achieved and their distance [-], as far as they are known."""
    if record.setting("load", "kind") == REAL:
        cpu = [
            record.number("load", "cpu", name)
            for name in ("asked", "achieved", "mean_deviation")
        ]
        return cpu[0], cpu[1], cpu[2]
    asked = read_asked_load(record, record.setting("load") or {})
    seen = resources.get(OTHERS)
    if asked is None or seen is None:
        return None, None, None
    gap = float(np.nanmean(np.abs(seen - asked)))
    return float(np.nanmean(asked)), float(np.nanmean(seen)), gap


def _find_trouble(record: RunRecord) -> str:
    ended_by = dig(record.summary, "load", "ended_by")
    return "" if ended_by in (None, "run") else str(ended_by)


def _average_late(values: F64Array | None) -> float | None:
    """Average the later half of a column of the trace."""
    if values is None:
        return None
    late = values[len(values) // 2 :]
    return float(np.nanmean(late)) if np.isfinite(late).any() else None


def _average_power(resources: Mapping[str, F64Array]) -> float | None:
    """Add the mean power of all GPUs [W]; None where no sensor was seen."""
    columns = [v for name, v in resources.items() if name.endswith(f": {POWER}")]
    known = [value for v in columns if (value := _average_late(v)) is not None]
    return sum(known) if known else None


def _share_states(series: Columns) -> dict[str, float]:
    """Return each state's share of the later half [-]."""
    states, times = series.get("state"), series.get("simulated_s")
    if states is None or times is None or len(times) < 2:
        return {}
    middle = len(times) // 2
    late = times[middle:] - times[middle - 1]
    return dict(list_shares(states[middle:].tolist(), late))


def bin_moments(
    trace: Columns, resources: Mapping[str, F64Array]
) -> tuple[MomentBin, ...]:
    """Average what was decided under about the same load.

    The first tenth is left out, in which phases have not met yet.

    Args:
        trace: A row per decision.
        resources: What each saw of the machine.
    """
    seen = resources.get(OTHERS)
    if seen is None or not {"coherence", "frequency_hz"} <= set(trace):
        return ()
    start = len(seen) // 10
    load, r = seen[start:], trace["coherence"][start:]
    hz = trace["frequency_hz"][start:]
    known = np.isfinite(load) & np.isfinite(r) & np.isfinite(hz)
    bins = np.round(np.where(known, load, -1.0) / BIN_WIDTH).astype(int)
    found = []
    for index in np.unique(bins[known]).tolist():
        chosen = known & (bins == index)
        count = int(chosen.sum())
        if count >= FEWEST_SAMPLES:
            means = [float(values[chosen].mean()) for values in (load, r, hz)]
            found.append(MomentBin(means[0], means[1], means[2], count))
    return tuple(found)
