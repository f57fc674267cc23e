"""The load generator: tells workers what to do, compares, and ends in time.

Imports `engine.config`, `engine.errors`, `engine.monitor` and this room.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from engine.config import GeneratorConfig
from engine.errors import ConfigError
from engine.load.cores import CoreLoad
from engine.load.gpu import GpuLoad
from engine.load.limits import Limits, Stop
from engine.load.machine import MachineMeter, list_allowed_cpus
from engine.load.memory import MemoryLoad
from engine.load.profile import build_weight
from engine.load.sample import CoresSample, LoadSample, Tally

TICK_S: Final = 0.05
"""Time between two turns of the loop [s]."""
GRACE_S: Final = 5.0
"""Time after the end at which workers end on their own account [s]."""


class LoadGenerator:
    """A load on cores, memory and a GPU, held to a profile.

    Call `start`, then `step` every `TICK_S` until it is over, then `close`; or use it
    as a block. Workers are processes that end with this one, however it ends, and with
    the thread that called `start`.

    Args:
        config: What is asked for.
        clock: Steady clock [s].
        meter: What is seen of the machine; the real one by default.
        passed_s: Time for which the load has gone on before, in a run that was cut off;
            profile and limit go on from there [s], >= 0.
        may_rest: Whether nothing at all may be asked for: workers on the cores are
            there and are compared, but rest, as a study's level 0 wants it.

    Raises:
        ConfigError: A value is out of range, or does not fit this machine.
        RecordError: The trace cannot be read.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        *,
        clock: Callable[[], float] = time.monotonic,
        meter: MachineMeter | None = None,
        passed_s: float = 0.0,
        may_rest: bool = False,
    ) -> None:
        config.validate()
        self.config = config
        self.cpus = list_allowed_cpus()
        self._peaks = _spread(config, len(self.cpus))
        self._may_rest = may_rest
        if not may_rest:
            _check_asked(config)
        self._weight = build_weight(config)
        self._clock = clock
        self._meter = meter or MachineMeter(self.cpus)
        memory = self._meter.read_memory()
        self._limits = Limits(
            config.duration_s,
            int(config.headroom * memory.limit_bytes),
            config.temperature_limit_c,
        )
        self._asked_bytes = config.memory_bytes or int(
            config.memory * memory.limit_bytes
        )
        most_bytes = memory.limit_bytes - self._limits.headroom_bytes
        _check_memory(config.memory_bytes, most_bytes)
        self._cores: CoreLoad | None = None
        self._memory: MemoryLoad | None = None
        self._gpu: GpuLoad | None = None
        self._passed_s = passed_s
        self._began_s: float | None = None
        self._sampled_s = passed_s
        self._temperature_c: float | None = None
        self.tally = Tally(started_s=passed_s)
        """Asked against achieved so far."""
        self.stop: Stop | None = None
        """Why the load ended; None while it goes on."""
        self.ended_s = 0.0
        """When it ended, since it began [s]."""

    @property
    def elapsed_s(self) -> float:
        """Time for which the load goes on, or went on until it ended [s]."""
        if self.stop is not None:
            return self.ended_s
        if self._began_s is None:
            return self._passed_s
        return self._clock() - self._began_s

    def start(self) -> None:
        """Start the workers and wait until all are there.

        Raises:
            ResourceError: A worker does not start, or too little memory is left.
            BackendUnavailableError: A GPU is asked for and none can be used.
        """
        config = self.config
        limit_s = max(config.duration_s - self._passed_s, 0.0) + GRACE_S
        try:
            if config.uses_gpu:
                self._gpu = GpuLoad(config, limit_s)
            if any(self._peaks) or config.base_level or self._may_rest:
                is_machine = config.cpu_target == "machine"
                self._cores = CoreLoad(self.cpus, limit_s, fills_machine=is_machine)
            if self._asked_bytes:
                self._memory = MemoryLoad(self._asked_bytes, limit_s)
        except BaseException:
            self.close()
            raise
        self._meter.read_totals()
        self._began_s = self._clock() - self._passed_s

    def step(self) -> LoadSample | None:
        """Take one turn: tell the workers, watch the limits, compare when it is time.

        Returns:
            The comparison of the window that ended, or None within a window.
        """
        if self.stop is not None:
            return None
        now_s = self.elapsed_s
        weight = self._weight(now_s)
        base = self.config.base_level
        shares = [base + weight * (peak - base) for peak in self._peaks]
        if self._cores is not None:
            self._cores.ask(shares)
        if self._gpu is not None:
            self._gpu.ask(weight)
        available_bytes = self._hold_memory()
        sample = None
        if now_s - self._sampled_s >= self.config.sample_period_s:
            self._sampled_s = now_s
            sample = self._compare(now_s, available_bytes)
            self.tally.add(sample)
        stop = self._judge(now_s, available_bytes)
        if stop is not None:
            self._stop_now(stop)
        return sample

    def end(self, kind: str, sentence: str) -> None:
        """End the load now, unless it has ended.

        Args:
            kind: As in `Stop`.
            sentence: Why.
        """
        if self.stop is None:
            self._stop_now(Stop(kind, sentence))

    def close(self) -> None:
        """End every worker; harmless to repeat."""
        for part in (self._cores, self._memory, self._gpu):
            if part is not None:
                part.close()

    def __enter__(self) -> Self:
        """Start the load."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the load."""
        self.close()

    def _hold_memory(self) -> int:
        """Hold as much memory as may be held; return what is left [byte]."""
        held_bytes = self._memory.held_bytes if self._memory else 0
        available_bytes = self._meter.read_memory().available_bytes
        if self._memory is not None:
            self._memory.hold(
                self._limits.allow_bytes(self._asked_bytes, held_bytes, available_bytes)
            )
        return available_bytes

    def _compare(self, now_s: float, available_bytes: int) -> LoadSample:
        totals = self._meter.read_totals()
        cores = self._cores.compare(totals) if self._cores else CoresSample()
        utilisation = None
        known = [total for total in totals if total is not None]
        if known:
            utilisation = sum(known) / len(known)
        gpu = self._gpu.compare() if self._gpu is not None else None
        heats = (self._meter.read_temperature_c(), gpu.temperature_c if gpu else None)
        self._temperature_c = max((h for h in heats if h is not None), default=None)
        return LoadSample(
            time_s=now_s,
            asked=cores.asked,
            achieved=cores.achieved,
            deviation=cores.deviation,
            cores=cores.each,
            utilisation=utilisation,
            memory_asked_bytes=self._asked_bytes,
            memory_held_bytes=self._memory.held_bytes if self._memory else 0,
            memory_available_bytes=available_bytes,
            temperature_c=self._temperature_c,
            gpu=gpu,
        )

    def _stop_now(self, stop: Stop) -> None:
        self.ended_s, self.stop = self.elapsed_s, stop
        self.close()

    def _judge(self, now_s: float, available_bytes: int) -> Stop | None:
        parts = (self._cores, self._memory, self._gpu)
        lost = [part.failure for part in parts if part is not None and part.failure]
        if lost:
            return Stop("worker", lost[0])
        held_bytes = self._memory.held_bytes if self._memory else 0
        return self._limits.judge(
            now_s, available_bytes, held_bytes, self._temperature_c
        )


def _check_memory(asked_bytes: int, most_bytes: int) -> None:
    """Refuse memory that could not be held though nobody else used any.

    Raises:
        ConfigError: It is so.
    """
    if asked_bytes > most_bytes:
        raise ConfigError(
            f"memory_bytes is {asked_bytes}; it must be at most {most_bytes}, which is "
            "all of this machine's memory less headroom. Ask for less, or lower "
            "headroom."
        )


def _spread(config: GeneratorConfig, core_count: int) -> list[float]:
    """Give every core its peak.

    Raises:
        ConfigError: The figures are not one per core.
    """
    count = len(config.cpu)
    if count not in (1, core_count):
        raise ConfigError(
            f"cpu names {count} cores, but {core_count} may be used here; give one "
            "figure for all, or one for each."
        )
    return list(config.cpu) * (core_count if count == 1 else 1)


def _check_asked(config: GeneratorConfig) -> None:
    """Refuse to run for nothing.

    Raises:
        ConfigError: Nothing is asked for.
    """
    memory = config.memory or config.memory_bytes
    if not (any(config.cpu) or config.base_level or memory or config.uses_gpu):
        raise ConfigError(
            "Nothing is asked for: cpu, memory and gpu are all 0; raise one of them."
        )
