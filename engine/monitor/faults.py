"""A source whose sensor fails on purpose, so that what then happens can be seen.

Imports only `engine.config`, `engine.state` and this room.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from engine.config import FaultConfig
from engine.monitor.metrics import (
    CoreState,
    GpuState,
    MemoryState,
    ResourceSample,
)
from engine.monitor.sources import Source
from engine.state import State

FACTORS: Final = {"nan": math.nan, "negative": -1.0, "excess": 4.0}
"""What a lying sensor gives, in units of all that there is [-]."""


class FaultySource:
    """Any source, with a fault between its sensor and whoever reads it.

    The fault follows simulated time. The first reading is always sound, for no run
    starts on a machine that cannot be seen at all.

    Args:
        source: The sound source.
        fault: What goes wrong, and when.

    Raises:
        ConfigError: The fault is out of range.
    """

    def __init__(self, source: Source, fault: FaultConfig) -> None:
        fault.validate()
        self._source = source
        self._fault = fault
        self._seen: deque[tuple[float, ResourceSample]] = deque()

    @property
    def is_live(self) -> bool:
        """Whether samples age by the monitor's clock."""
        return self._source.is_live

    @property
    def judges_anew(self) -> bool:
        """Whether recorded samples are judged by the monitor's own thresholds."""
        return bool(getattr(self._source, "judges_anew", False))

    def start(self) -> None:
        """Start the sound source."""
        self._source.start()

    def close(self) -> None:
        """Close the sound source."""
        self._source.close()

    @property
    def source(self) -> Source:
        """The sound source."""
        return self._source

    def to_state(self) -> State:
        """Return what a late or hung sensor would give, each sample once.

        As texts, for a sensor may show numbers that strict JSON does not have.
        """
        texts: list[str] = []
        seen: list[list[float]] = []
        last = None
        for time_s, sample in self._seen:
            if sample is not last:
                texts.append(json.dumps(sample.to_dict(), separators=(",", ":")))
                last = sample
            seen.append([time_s, len(texts) - 1])
        return {"samples": texts, "seen": seen}

    def from_state(self, state: Mapping[str, Any], shift_s: float = 0.0) -> None:
        """Go on from a state.

        Args:
            state: As `to_state` gave it.
            shift_s: What the clock of live samples shows now, less what it showed then
                [s].

        Raises:
            RecordError: A sample holds what no sensor shows.
        """
        rows = [json.loads(text) for text in state["samples"]]
        samples = [move_sample(ResourceSample.from_dict(row), shift_s) for row in rows]
        seen = [(float(time_s), samples[int(index)]) for time_s, index in state["seen"]]
        self._seen = deque(seen)

    def read(self, simulated_s: float) -> ResourceSample:
        """Give what the faulty sensor shows.

        Args:
            simulated_s: Simulated time [s].

        Returns:
            The sample, sound or not.

        Raises:
            OSError: The sensor is gone at that time.
        """
        kind = self._fault.kind
        if not self._seen or not self._is_active(simulated_s):
            return self._look(simulated_s)
        if kind == "freeze":
            return _hold(*self._seen[-1], simulated_s)
        if kind == "lag":
            self._look(simulated_s)
            return _hold(*self._seen[0], simulated_s)
        if kind == "lie":
            return distort(self._source.read(simulated_s), FACTORS[self._fault.value])
        raise OSError("the resource sensor is gone")

    def _is_active(self, simulated_s: float) -> bool:
        fault = self._fault
        since_s = simulated_s - fault.start_s
        if fault.is_idle or not 0.0 <= since_s < fault.duration_s:
            return False
        return fault.kind != "flap" or 2.0 * (since_s / fault.period_s % 1.0) < 1.0

    def _look(self, simulated_s: float) -> ResourceSample:
        """Read the sound sensor, and remember what a late or hung one would give."""
        sample = self._source.read(simulated_s)
        self._seen.append((simulated_s, sample))
        is_late = self._fault.kind == "lag"
        oldest_s = simulated_s - (self._fault.lag_s if is_late else 0.0)
        while len(self._seen) > 1 and self._seen[1][0] <= oldest_s:
            self._seen.popleft()
        return sample


def _hold(taken_s: float, sample: ResourceSample, simulated_s: float) -> ResourceSample:
    """Give a sample later than it was read; a live one has a time of its own."""
    return replace(sample, held_s=simulated_s - taken_s)


def move_sample(sample: ResourceSample, shift_s: float) -> ResourceSample:
    """Move a sample in time, as another clock would have stamped it [s]."""
    return replace(sample, timestamp_s=sample.timestamp_s + shift_s)


def distort(sample: ResourceSample, factor: float) -> ResourceSample:
    """Replace what a sample measured by impossible values.

    Args:
        sample: Raw states.
        factor: Value in units of all that there is [-].
    """
    cores = sample.cores
    lying = CoreState(
        logical_count=cores.logical_count,
        physical_count=cores.physical_count,
        allowed_cores=cores.allowed_cores,
        utilisation=factor,
        others_cores=factor * cores.logical_count,
        idle_cores=factor * cores.allowed_cores,
    )
    memory = MemoryState(
        total_bytes=sample.memory.total_bytes,
        limit_bytes=sample.memory.limit_bytes,
        available_bytes=sample.memory.available_bytes,
        available_share=factor,
    )
    gpus = tuple(_distort_gpu(gpu, factor) for gpu in sample.gpus)
    return replace(sample, cores=lying, memory=memory, gpus=gpus, recorded=None)


def _distort_gpu(gpu: GpuState, factor: float) -> GpuState:
    return replace(gpu, utilisation=factor, own_utilisation=0.0)
