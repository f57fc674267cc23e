"""Where samples come from: the machine, a load profile, or a recording.

The three are interchangeable behind `Source`. Imports only `engine.backends.philox`,
`engine.config`, `engine.errors` and this room.
"""

from __future__ import annotations

import bisect
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from engine.backends.philox import Stream, draw_uniform
from engine.config import LoadConfig
from engine.errors import ConfigError, RecordError
from engine.monitor.live import LiveSource
from engine.monitor.metrics import (
    CoreState,
    MemoryState,
    ProcessState,
    ResourceMetrics,
    ResourceSample,
)

__all__ = ["LiveSource", "ReplaySource", "Source", "SyntheticSource", "evaluate_load"]

MEMORY_PER_LOAD: Final = 0.5
"""Memory share that a synthetic load holds per share of cores [-].

With a half, the memory term (1 - load/2 - threshold) / (1 - threshold) stays at or
above the core term 1 - load for every threshold up to 0.5, so the cores lead.
"""


@runtime_checkable
class Source(Protocol):
    """Gives samples; cheap to read, and never blocks once started."""

    @property
    def is_live(self) -> bool:
        """Whether samples age by the monitor's clock."""

    def start(self) -> None:
        """Make the first sample ready; idempotent."""

    def read(self, simulated_s: float) -> ResourceSample:
        """Give the newest sample, or the one of a simulated time [s]."""

    def close(self) -> None:
        """Release what `start` took; idempotent."""


def evaluate_load(load: LoadConfig, simulated_s: float) -> float:
    """Evaluate a load profile.

    With L = level, B = base_level and u = simulated time - start_s:
    constant: L at any time. step: B, then L from u = 0. ramp: B to L over one period,
    then L. square: L in the first half of each period, else B. sine: B at u = 0,
    L half a period later. noise: a level drawn evenly from B to L for each period, a
    function of `load.seed` and the period's number alone. All but constant are B before
    u = 0.

    Args:
        load: The profile.
        simulated_s: Simulated time [s].

    Returns:
        Share of cores that others use [-], in [0, 1].
    """
    since_s = simulated_s - load.start_s
    if load.profile == "constant":
        return load.level
    if since_s < 0:
        return load.base_level
    turns = since_s / load.period_s
    if load.profile == "ramp":
        weight = min(1.0, turns)
    elif load.profile == "square":
        weight = 1.0 if 2.0 * (turns % 1.0) < 1.0 else 0.0
    elif load.profile == "sine":
        # Libraries differ in the last bits of a cosine; a run must not.
        weight = round(0.5 - 0.5 * math.cos(math.tau * (turns % 1.0)), 12)
    elif load.profile == "noise":
        weight = _draw_weight(load.seed, int(turns) % 2**32)
    else:
        weight = 1.0
    return load.base_level + weight * (load.level - load.base_level)


@functools.lru_cache(maxsize=4096)
def _draw_weight(seed: int, period: int) -> float:
    """Draw the weight of the peak in one period of a noisy load [-], in (0, 1)."""
    return float(draw_uniform(seed, Stream.LOAD, 1, row=period)[0])


class SyntheticSource:
    """A machine that exists on paper: a pure function of simulated time.

    Others use `load` of its cores and hold `MEMORY_PER_LOAD * load` of its memory.
    Nothing of the real machine enters, so results are the same everywhere.

    Args:
        load: The profile.
        cores: Cores of the paper machine, > 0.
        memory_bytes: Its memory [byte], > 0.

    Raises:
        ConfigError: A size is not positive, or the profile is out of range.
    """

    is_live: Final = False

    def __init__(
        self, load: LoadConfig, *, cores: float = 8, memory_bytes: int = 16 * 2**30
    ) -> None:
        if not cores > 0 or not memory_bytes > 0:
            raise ConfigError(
                f"The synthetic machine has {cores:g} cores and {memory_bytes} bytes "
                "of memory; both must be above 0."
            )
        load.validate()
        self._load = load
        self._cores = float(cores)
        self._memory_bytes = memory_bytes

    def start(self) -> None:
        """Do nothing: a function needs no start."""

    def close(self) -> None:
        """Do nothing: a function holds nothing."""

    def read(self, simulated_s: float) -> ResourceSample:
        """Evaluate the profile.

        Args:
            simulated_s: Simulated time [s].

        Returns:
            The states at that time.
        """
        load = evaluate_load(self._load, simulated_s)
        others = load * self._cores
        share = 1.0 - MEMORY_PER_LOAD * load
        cores = CoreState(
            logical_count=math.ceil(self._cores),
            physical_count=None,
            allowed_cores=self._cores,
            utilisation=load,
            others_cores=others,
            idle_cores=max(0.0, self._cores - others),
        )
        memory = MemoryState(
            total_bytes=self._memory_bytes,
            limit_bytes=self._memory_bytes,
            available_bytes=int(share * self._memory_bytes),
            available_share=share,
        )
        return ResourceSample(float(simulated_s), cores, memory, ProcessState())


class ReplaySource:
    """Gives back recorded metrics: the last ones at or before the time asked.

    Args:
        rows: Simulated time [s] and metrics of each record, or what their `to_dict`
            gave, times not decreasing. Of records with equal times the last one counts.
        judges_anew: Whether the monitor's own thresholds judge the samples; else the
            recorded verdict stands.

    Raises:
        RecordError: There is no row, a time goes back, or a row is incomplete.
    """

    is_live: Final = False

    def __init__(
        self,
        rows: Sequence[tuple[float, ResourceMetrics | Mapping[str, Any]]],
        *,
        judges_anew: bool = False,
    ) -> None:
        if not rows:
            raise RecordError("The trace has no rows; record a run with a run folder.")
        self._times_s = [float(time_s) for time_s, _ in rows]
        for before_s, after_s in zip(self._times_s, self._times_s[1:], strict=False):
            if not before_s <= after_s:
                raise RecordError(
                    f"The trace goes back from {before_s:g} s to {after_s:g} s of "
                    "simulated time; times must not decrease. Sort its rows."
                )
        self.judges_anew = judges_anew
        self._samples = [_replayed(row) for _, row in rows]

    def start(self) -> None:
        """Do nothing: every row is in memory."""

    def close(self) -> None:
        """Do nothing: the file was closed before."""

    def read(self, simulated_s: float) -> ResourceSample:
        """Look up a time; before the first record, the first counts.

        Args:
            simulated_s: Simulated time [s].

        Returns:
            The recorded sample; `recorded` holds its metrics as they were.
        """
        index = bisect.bisect_right(self._times_s, simulated_s) - 1
        return self._samples[max(0, index)]


def _replayed(row: ResourceMetrics | Mapping[str, Any]) -> ResourceSample:
    metrics = (
        row if isinstance(row, ResourceMetrics) else ResourceMetrics.from_dict(row)
    )
    return ResourceSample(
        timestamp_s=metrics.timestamp_s,
        cores=metrics.cores,
        memory=metrics.memory,
        process=metrics.process,
        cgroup=metrics.cgroup,
        gpus=metrics.gpus,
        recorded=metrics,
    )
