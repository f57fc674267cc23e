"""What a job of the controller study shows, figure by figure; None where unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.config import RunConfig
from experiments.report.document import to_number
from experiments.report.jobs import Job, SweepRecord
from experiments.report.records import Columns, dig, read_run
from experiments.study.control_calibration import (
    NETWORKS,
    WALLS,
    name_network,
    read_job_config,
    read_yardsticks,
)
from experiments.study.control_response import (
    LATE_SHARE,
    TOLERANCE_RUNGS,
    Activity,
    Response,
    find_edges,
    find_ideal_hz,
    measure_activity,
    measure_responses,
    measure_tracking,
    to_rungs,
)

NEEDED = ("simulated_s", "wall_s", "coherence", "frequency_hz", "attempts")
"""Columns of the time series without which a job shows nothing."""
OWN_KEYS = ("seed", "controller", "load.profile", "fault", "fault.value")
"""Keys whose values are in a case's name already, or stand for repetition."""


@dataclass(frozen=True)
class Reading:
    """One job, measured."""

    job: Job
    config: RunConfig
    case: str
    """What was asked, in words; equal for jobs that differ in their seed alone."""
    series: Columns
    """Time series of the run."""
    responses: tuple[Response, ...]
    """Answers of the frequency to the beginning and to each change of the load, in
    rungs."""
    activity: Activity | None
    late_hz: float | None
    """Attempts per bridge and simulated second in the later half [Hz]."""
    ideal_hz: Any
    """Frequency that the true resources and the floor ask for [Hz], shape of the
    series; None where that is not known."""
    tracking_rungs: float | None
    """Distance from `ideal_hz` in the later half [rungs]."""
    offered_share: float | None
    """Share of the later half in which the offer decided, not the floor [-]."""
    wrong_offers: int | None
    """Decisions on a reading that was not believed whose offer was neither the last
    sound one nor the top [-]."""
    fixed: Mapping[str, Any]
    """Best fixed frequency of this network; empty where it is not known."""
    oracle: Mapping[str, Any]
    """Oracle of this network; empty where it is not known."""
    reason: str
    """Why there is no yardstick; empty where that is not known, or there is one."""
    fixed_wall_s: float | None
    """Wall time of the best fixed frequency under the same real load [s]."""

    @property
    def objective(self) -> str:
        """What the controller sought."""
        return self.config.controller.objective

    @property
    def is_sound(self) -> bool:
        """Whether no fault of the sensor was asked for."""
        return self.config.fault.is_idle

    @property
    def has_met_fault(self) -> bool:
        """Whether the sensor began to fail before the run ended."""
        ended_s = float(self.series["simulated_s"][-1])
        return not self.is_sound and self.config.fault.start_s < ended_s

    @property
    def wall_s(self) -> float | None:
        """Wall time of the run [s]."""
        return self.job.record.number("wall_seconds")

    @property
    def violations(self) -> float | None:
        """Share of the samples below the floor once it was reached [-]."""
        return self.job.record.number("coherence", "violation_fraction")

    @property
    def least(self) -> float | None:
        """Least order parameter once the floor was reached [-]."""
        return self.job.record.number("coherence", "minimum_after_settling")

    @property
    def reached_s(self) -> float | None:
        """Simulated time at which the floor was first reached [s]."""
        return self.job.record.number("coherence", "settled_at_seconds")

    @property
    def start_up(self) -> Response | None:
        """How the frequency came down from the top at the beginning."""
        first = self.responses[:1]
        return first[0] if first and first[0].began_s == 0.0 else None

    @property
    def load_responses(self) -> tuple[Response, ...]:
        """Answers to the changes of the load."""
        return tuple(each for each in self.responses if each.began_s > 0.0)

    @property
    def overshoot(self) -> float | None:
        """How far r rose above the mean of its later half [-]."""
        values = self.series["coherence"]
        late = values[int(LATE_SHARE * len(values)) :]
        return to_number(float(values.max() - late.mean())) if len(late) else None

    @property
    def stale_share(self) -> float:
        """Share of the decisions that rested on a stale sample [-]."""
        sensor = self.job.record.summary.get("sensor")
        stale, count = (dig(sensor, key) for key in ("stale", "decisions"))
        return stale / count if stale and count else 0.0

    def compare(self, yardstick: Mapping[str, Any]) -> float | None:
        """Return the cost of the later half over that of a yardstick [-].

        Args:
            yardstick: `fixed` or `oracle`.
        """
        other_hz = to_number(yardstick.get("late_hz"))
        if self.late_hz is None or not other_hz:
            return None
        return self.late_hz / other_hz


def read_jobs(record: SweepRecord) -> tuple[list[Reading], list[str]]:
    """Measure every job that has come to its end.

    Args:
        record: The sweep.

    Returns:
        The readings, and a sentence on each job that shows nothing.
    """
    known = read_yardsticks(record.folder)
    others = [key for key in record.keys if key not in OWN_KEYS]
    readings, problems = [], []
    for job in record.done:
        reading = _read_job(job, known, others)
        if isinstance(reading, str):
            problems.append(f"Job {job.name} shows nothing: {reading}.")
        else:
            readings.append(reading)
    return readings, problems


def _read_job(
    job: Job, known: Mapping[str, Any], others: Iterable[str]
) -> Reading | str:
    config = read_job_config(job)
    if config is None:
        return "its configuration cannot be read"
    record = read_run(job.record.folder)
    series = record.series
    if any(name not in series for name in NEEDED) or not len(series["simulated_s"]):
        return "its time series cannot be read"
    times_s, used_hz = series["simulated_s"], series["frequency_hz"]
    rungs = to_rungs(config, used_hz)
    network = dig(known, NETWORKS, name_network(config))
    fixed, oracle = (dig(network, name) or {} for name in ("fixed", "oracle"))
    needed_hz = to_number(fixed.get("late_hz"))
    ideal_hz = None if needed_hz is None else find_ideal_hz(config, times_s, needed_hz)
    # The cheapest frequency is a matter of the network alone: no load changes it.
    is_frugal = config.controller.objective == "floor"
    edges_s = [] if is_frugal else find_edges(config, series)
    return Reading(
        job=job,
        config=config,
        case=name_case(job, config, others),
        series=series,
        responses=tuple(measure_responses(times_s, rungs, edges_s, TOLERANCE_RUNGS)),
        activity=measure_activity(times_s, rungs),
        late_hz=_measure_late_hz(series, job.record.number("bridges")),
        ideal_hz=ideal_hz,
        tracking_rungs=None
        if ideal_hz is None
        else measure_tracking(config, times_s, used_hz, ideal_hz),
        offered_share=_measure_offered(config, series),
        wrong_offers=_count_wrong_offers(config, record.trace),
        fixed=fixed,
        oracle=oracle,
        reason=str(dig(network, "reason") or ""),
        fixed_wall_s=to_number(dig(known, WALLS, job.name, "wall_s")),
    )


def name_case(job: Job, config: RunConfig, others: Iterable[str] = ()) -> str:
    """Say in words what a job was asked for.

    Args:
        job: The job.
        config: What it ran.
        others: Further keys that were varied.
    """
    load, fault = config.load, config.fault
    kind = {"none": "no load", "replay": "replayed load"}.get(load.kind)
    words = [config.controller.objective, kind or load.profile]
    if load.kind == "real":
        words[1] = f"real {load.profile}"
    if not fault.is_idle:
        name = f"{fault.kind} {fault.value}" if fault.kind == "lie" else fault.kind
        words.append(f"sensor: {name}")
    words += [f"{key.rpartition('.')[2]} {job.value(key)}" for key in others]
    return ", ".join(words)


def _measure_late_hz(series: Columns, bridges: float | None) -> float | None:
    times_s, attempts = series["simulated_s"], series["attempts"]
    middle = int(LATE_SHARE * len(times_s))
    if not bridges or not 0 < middle < len(times_s):
        return None
    span_s = float(times_s[-1] - times_s[middle - 1])
    return to_number(float(attempts[-1] - attempts[middle - 1]) / bridges / span_s)


def _measure_offered(config: RunConfig, series: Columns) -> float | None:
    offered, required = series.get("offered_hz"), series.get("required_hz")
    if config.controller.objective != "headroom" or offered is None or required is None:
        return None
    begin = int(LATE_SHARE * len(offered))
    return to_number(float(np.mean(offered[begin:] >= required[begin:])))


def _count_wrong_offers(config: RunConfig, trace: Columns) -> int | None:
    """Count offers that rest on what was not believed."""
    flaws, offered = trace.get("sensor_flaw"), trace.get("offered_hz")
    if flaws is None or offered is None or config.controller.objective != "headroom":
        return None
    top_hz, last_hz, wrong = config.tunnel.maximum_frequency_hz, None, 0
    for flaw, offer_hz in zip(flaws, offered, strict=True):
        if not flaw:
            last_hz = offer_hz
        elif offer_hz != last_hz and abs(offer_hz / top_hz - 1.0) > 1e-9:
            wrong += 1
    return wrong


def group_cases(readings: Iterable[Reading]) -> dict[str, list[Reading]]:
    """Put repetitions of a case together, in the order of their first job.

    Args:
        readings: Measured jobs.
    """
    cases: dict[str, list[Reading]] = {}
    for reading in readings:
        cases.setdefault(reading.case, []).append(reading)
    return cases
