"""The later half of a run, where phases and controller have settled.

Under a load that comes and goes it is made of whole periods, or it would show which
half of a period the run happened to end in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from experiments.report.document import to_number
from experiments.report.jobs import Job
from experiments.report.records import Columns, read_run
from experiments.study.statistics import divide

NEEDED = ("simulated_s", "wall_s", "coherence", "attempts")
"""Columns of the time series without which the summary is taken."""
CYCLIC: Final = ("square", "sine")
"""Profiles of a load that come and go."""
CLOCKS: Final[Mapping[str, str]] = {"real": "wall_s", "synthetic": "simulated_s"}
"""Time that a load follows, by its kind."""


@dataclass(frozen=True)
class LateFigures:
    """What a run did once it had settled; None where it is not known."""

    coherence: float | None
    """Mean order parameter r [-]."""
    least: float | None
    """Least r [-]."""
    frequency_hz: float | None
    """Attempts per bridge and simulated second [Hz]."""
    pace: float | None
    """Wall time per simulated second [s/s]."""


def measure_late(job: Job) -> LateFigures:
    """Measure the later half of a job from its time series, else from its summary.

    The summary knows the whole run's pace only, with whatever the controller did on its
    way to where it works.

    Args:
        job: A job with a summary.
    """
    series = read_run(job.record.folder).series
    known = [series[name] for name in NEEDED if name in series]
    if len(known) < len(NEEDED) or len(known[0]) < 4:
        return _read_summary(job)
    middle = _find_middle(job, series)
    return _measure_series(series, job.record.number("bridges"), middle)


def _find_middle(job: Job, series: Columns) -> int:
    """Return the last row before the later half."""
    middle = len(series["simulated_s"]) // 2 - 1
    period_s = to_number(job.value("load.period_s"))
    if job.value("load.profile") not in CYCLIC or not period_s:
        return middle
    clock = CLOCKS.get(str(job.value("load.kind")))
    if clock is None:
        return middle
    times = series[clock]
    passed = float(times[-1]) / period_s
    whole = max(math.floor(0.5 * passed), 1)
    if whole > passed:
        return middle
    begins_s = float(times[-1]) - whole * period_s
    return min(int(np.searchsorted(times, begins_s)), len(times) - 2)


def _measure_series(series: Columns, bridges: float | None, middle: int) -> LateFigures:
    times, walls, values, attempts = (series[name] for name in NEEDED)
    span = float(times[-1] - times[middle])
    late = values[middle + 1 :]
    fired = float(attempts[-1] - attempts[middle])
    return LateFigures(
        coherence=to_number(float(np.mean(late))),
        least=to_number(float(np.min(late))),
        frequency_hz=to_number(divide(fired, (bridges or 0.0) * span)),
        pace=to_number(divide(float(walls[-1] - walls[middle]), span)),
    )


def _read_summary(job: Job) -> LateFigures:
    late_hz = job.record.number("forecast", "frequency_hz")
    least = job.record.number("coherence", "minimum_after_settling")
    hz = job.frequency_hz if late_hz is None else late_hz
    return LateFigures(job.coherence, least, hz, job.pace)
