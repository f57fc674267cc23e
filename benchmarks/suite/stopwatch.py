"""Timing for `track_*`: asv times functions itself, but not what it tracks."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

WINDOW_S = 0.2
"""Time that is spent on one figure [s]."""
LEAST_SAMPLES = 3


def measure_seconds(call: Callable[[], object]) -> float:
    """Return the median time of a call [s], which waits for its device itself."""
    call()
    samples: list[float] = []
    began_s = time.perf_counter()
    while len(samples) < LEAST_SAMPLES or time.perf_counter() - began_s < WINDOW_S:
        start_s = time.perf_counter()
        call()
        samples.append(time.perf_counter() - start_s)
    return statistics.median(samples)
