"""How a run's knob and coherence answered: settling, overshoot, activity, tracking.

A run is cut where its load changes. In each piece the new level is the mean of its last
third, in rungs of the ladder for frequencies, and the piece has settled once the value
stays within a tolerance of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.config import RunConfig
from engine.monitor import SyntheticSource, judge_availability
from experiments.report.records import Columns

F64 = npt.NDArray[np.float64]

FINAL_SHARE: Final = 1.0 / 3.0
"""Last part of a piece, whose mean is the level it comes to [-]."""
TOLERANCE_RUNGS: Final = 0.25
"""Distance from that level up to which a frequency has settled [rungs]: 13%."""
LEAST_SAMPLES: Final = 12
"""Fewest samples of a piece that is judged [-]."""
LATE_SHARE: Final = 0.5
"""First part of a run that activity and tracking leave out [-]."""


@dataclass(frozen=True)
class Response:
    """The answer to one change of the load, or to the beginning."""

    began_s: float
    """Simulated time of the change [s]."""
    settling_s: float
    """Time until the value stays within the tolerance [s]."""
    overshoot: float
    """How far it went beyond its new level, in its own unit, >= 0."""
    change: float
    """New level less old one."""
    is_settled: bool
    """Whether it had settled before the part from which its new level is taken."""


@dataclass(frozen=True)
class Activity:
    """How much the knob was turned in the later half."""

    rung_changes_per_s: float
    """Changes of the nearest rung per simulated second [1/s]."""
    travel_rungs_per_s: float
    """Total variation of the logarithm of f, per simulated second [rungs/s]."""


def to_rungs(config: RunConfig, frequencies_hz: F64) -> F64:
    """Convert frequencies to heights on the ladder, 0 its top and negative below.

    Args:
        config: Names the ladder.
        frequencies_hz: Frequencies [Hz], > 0.
    """
    tunnel = config.tunnel
    ratio = frequencies_hz / tunnel.maximum_frequency_hz
    return np.asarray(np.log(ratio) / -math.log(tunnel.phi_coefficient))


def find_edges(config: RunConfig, series: Columns) -> list[float]:
    """Find when the load changed at once [s of simulated time].

    Args:
        config: Names the load; its times are wall time if it is real.
        series: Time series of the run.
    """
    load, times_s = config.load, series["simulated_s"]
    if load.kind not in ("synthetic", "real") or not len(times_s):
        return []
    spans = {"square": load.period_s / 2.0, "noise": load.period_s}
    clock_s = series["wall_s"] if load.kind == "real" else times_s
    if load.profile == "step":
        edges_s = np.array([load.start_s])
    elif load.profile in spans:
        edges_s = np.arange(load.start_s, clock_s[-1], spans[load.profile])
    else:
        return []
    inside = edges_s[(edges_s > clock_s[0]) & (edges_s < clock_s[-1])]
    return [float(at) for at in np.interp(inside, clock_s, times_s)]


def measure_responses(
    times_s: F64, values: F64, edges_s: Sequence[float], tolerance: float
) -> list[Response]:
    """Measure the answer to each change.

    Args:
        times_s: Ascending times [s].
        values: Values at these times.
        edges_s: Times of the changes [s]; pieces too short to be judged are left out.
        tolerance: Distance from the new level that counts as settled.
    """
    cuts = [0, *np.searchsorted(times_s, edges_s).tolist(), len(times_s)]
    found = []
    for low, high in pairwise(cuts):
        if high - low >= LEAST_SAMPLES:
            began_s = float(times_s[low - 1]) if low else 0.0
            before = float(values[low - 1]) if low else float(values[0])
            piece = times_s[low:high], values[low:high]
            found.append(_measure_piece(began_s, before, *piece, tolerance))
    return found


def _measure_piece(
    began_s: float, before: float, times_s: F64, values: F64, tolerance: float
) -> Response:
    last = len(values) - max(1, round(FINAL_SHARE * len(values)))
    final = float(values[last:].mean())
    outside = np.flatnonzero(np.abs(values - final) > tolerance)
    settled_s = float(times_s[outside[-1]]) if len(outside) else began_s
    change = final - before
    beyond = (values - final) * (1.0 if change >= 0.0 else -1.0)
    return Response(
        began_s=began_s,
        settling_s=settled_s - began_s,
        overshoot=max(0.0, float(beyond.max())),
        change=change,
        is_settled=not len(outside) or bool(outside[-1] < last),
    )


def measure_activity(times_s: F64, rungs: F64) -> Activity | None:
    """Measure how much the knob was turned; None of a run too short.

    Args:
        times_s: Ascending times [s].
        rungs: Heights on the ladder.
    """
    begin = int(LATE_SHARE * len(times_s))
    times_s, rungs = times_s[begin:], rungs[begin:]
    if len(times_s) < LEAST_SAMPLES:
        return None
    span_s = float(times_s[-1] - times_s[0])
    changes = np.count_nonzero(np.diff(np.rint(rungs)))
    return Activity(changes / span_s, float(np.abs(np.diff(rungs)).sum()) / span_s)


def find_ideal_hz(config: RunConfig, times_s: F64, needed_hz: float) -> F64 | None:
    """Find the frequency that the true resources offer, and the floor needs at least.

    Args:
        config: The run.
        times_s: Simulated times [s].
        needed_hz: Frequency that the floor needs [Hz].

    Returns:
        Frequencies [Hz]; None where the truth about the machine is not known.
    """
    if config.load.kind != "synthetic" or config.controller.objective != "headroom":
        return None
    source, top_hz = SyntheticSource(config.load), config.tunnel.maximum_frequency_hz
    samples = (source.read(float(at)) for at in times_s)
    shares = [judge_availability(each, config.resources).value for each in samples]
    return np.maximum(top_hz * np.array(shares), needed_hz)


def measure_tracking(
    config: RunConfig, times_s: F64, frequencies_hz: F64, ideal_hz: F64
) -> float | None:
    """Measure the distance from the ideal frequency in the later half.

    Args:
        config: Names the ladder.
        times_s: Times of the decisions [s].
        frequencies_hz: Frequencies in use [Hz].
        ideal_hz: What they should have been [Hz].

    Returns:
        Root of the mean square [rungs]; None of a run too short.
    """
    begin = int(LATE_SHARE * len(times_s))
    gaps = to_rungs(config, frequencies_hz[begin:]) - to_rungs(config, ideal_hz[begin:])
    return float(np.sqrt(np.mean(gaps**2))) if len(gaps) >= LEAST_SAMPLES else None
