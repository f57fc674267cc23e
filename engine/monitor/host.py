"""Cores, memory and the own process, from psutil and the control groups.

psutil's own percentages are meaningless on their first call and keep their state per
thread, so every rate here is a difference of two counter readings. Imports only this
room's metrics and control groups.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import psutil

from engine.monitor.cgroup import CgroupReader
from engine.monitor.metrics import CgroupState, CoreState, MemoryState, ProcessState

MINIMUM_WINDOW_S: Final = 0.04
"""Shortest window for a rate [s]: the kernel counts in ticks of 10 ms."""


class HostSample(NamedTuple):
    """One reading of everything but the GPUs."""

    cores: CoreState
    memory: MemoryState
    process: ProcessState
    cgroup: CgroupState | None


class Ticks(NamedTuple):
    """Processor time summed over some processors [s]."""

    idle_s: float
    total_s: float

    def busy_share_since(self, before: Ticks) -> float | None:
        """Busy share between two readings [-]; None if the counters stand still."""
        total = self.total_s - before.total_s
        if total <= 0:
            return None
        # Clipped: the kernel's idle and iowait figures may run backwards.
        return min(1.0, max(0.0, 1.0 - (self.idle_s - before.idle_s) / total))


@dataclass(frozen=True, slots=True)
class _Counters:
    time_s: float
    own_s: float
    host: Ticks
    allowed: Ticks
    allowed_cpus: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Rates:
    """Figures of the last window that was long enough; unknown before the first."""

    utilisation: float | None = None
    others_cores: float | None = None
    own_cores: float | None = None


class HostSampler:
    """Samples the host; call `prime` a little before the first `sample`.

    Only processes show up as "others": worker processes that this one started count
    as such, its threads do not.

    Args:
        clock: Steady clock [s].
        cgroup: Reader of the control groups; the real ones by default.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        cgroup: CgroupReader | None = None,
    ) -> None:
        self._clock = clock
        self._cgroup = cgroup or CgroupReader()
        self._process = psutil.Process()
        # Counting physical cores parses long files and never changes: once is enough.
        self._logical_count = psutil.cpu_count() or os.cpu_count() or 1
        self._physical_count = psutil.cpu_count(logical=False)
        self._before: _Counters | None = None
        self._rates = _Rates()

    def prime(self) -> None:
        """Read the counters, so that the next sample has a window to look back on."""
        self._before = self._count()

    def sample(self) -> HostSample:
        """Read everything once.

        Returns:
            The four states; rates are over the window since the last reading.

        Raises:
            psutil.Error: Memory or the own process cannot be read.
        """
        cgroup = self._cgroup.read(self._clock())
        memory_info = self._process.memory_info()
        self._update_rates()
        return HostSample(
            cores=self._judge_cores(cgroup),
            memory=judge_memory(cgroup, own_bytes=_private_bytes(memory_info)),
            process=ProcessState(
                cores_used=self._rates.own_cores,
                rss_bytes=memory_info.rss,
                thread_count=self._process.num_threads(),
            ),
            cgroup=cgroup,
        )

    def _count(self) -> _Counters | None:
        try:
            per_cpu = psutil.cpu_times(percpu=True)
        except (OSError, psutil.Error):
            return None  # some sandboxes hide the counters
        cpus = self._allowed_cpus()
        # Processors that are switched off leave gaps in the list; then the numbers
        # in the affinity mask are no positions, and the whole host stands in.
        known = not cpus or max(cpus) < len(per_cpu)
        ours = [per_cpu[cpu] for cpu in cpus] if cpus and known else per_cpu
        return _Counters(
            time_s=self._clock(),
            own_s=time.process_time(),
            host=sum_ticks(per_cpu),
            allowed=sum_ticks(ours),
            allowed_cpus=cpus,
        )

    def _update_rates(self) -> None:
        before, after = self._before, self._count()
        if before is None or after is None or before.allowed_cpus != after.allowed_cpus:
            self._before = after
            return
        elapsed_s = after.time_s - before.time_s
        if elapsed_s < MINIMUM_WINDOW_S:
            return
        self._before = after
        own = max(0.0, after.own_s - before.own_s) / elapsed_s
        count = len(after.allowed_cpus) or self._logical_count
        busy = after.allowed.busy_share_since(before.allowed)
        self._rates = _Rates(
            utilisation=after.host.busy_share_since(before.host),
            others_cores=None if busy is None else max(0.0, busy * count - own),
            own_cores=own,
        )

    def _judge_cores(self, cgroup: CgroupState | None) -> CoreState:
        count = len(self._allowed_cpus()) or self._logical_count
        quota = cgroup.cpu_quota_cores if cgroup else None
        allowed = float(count) if quota is None else min(float(count), quota)
        others = self._rates.others_cores
        idle = None if others is None else count - others
        if idle is not None and cgroup is not None:
            idle = min(idle, _quota_headroom(cgroup, self._rates.own_cores or 0.0))
        return CoreState(
            logical_count=self._logical_count,
            physical_count=self._physical_count,
            allowed_cores=allowed,
            utilisation=self._rates.utilisation,
            others_cores=others,
            idle_cores=None if idle is None else min(allowed, max(0.0, idle)),
        )

    def _allowed_cpus(self) -> frozenset[int]:
        """Processors of the main thread's affinity mask; empty where unknown.

        Not of the calling thread: that one samples, the others compute.
        """
        if not hasattr(os, "sched_getaffinity"):
            return frozenset()
        return frozenset(os.sched_getaffinity(os.getpid()))


def _quota_headroom(cgroup: CgroupState, own_cores: float) -> float:
    """Quota less what the group's other processes use of it [cores]."""
    if cgroup.cpu_quota_cores is None:
        return float("inf")
    others = max(0.0, (cgroup.cpu_used_cores or 0.0) - own_cores)
    return cgroup.cpu_quota_cores - others


def judge_memory(cgroup: CgroupState | None, *, own_bytes: int) -> MemoryState:
    """Measure the memory that is left, within the limits of the control groups.

    Args:
        cgroup: Limits around this process.
        own_bytes: Memory that counts as free because it is our own [byte].

    Returns:
        The state of main memory.
    """
    host = psutil.virtual_memory()
    limit, available = host.total, host.available
    if cgroup is not None and cgroup.memory_limit_bytes is not None:
        limit = min(limit, cgroup.memory_limit_bytes)
    if cgroup is not None and cgroup.memory_available_bytes is not None:
        available = min(available, cgroup.memory_available_bytes)
    return MemoryState(
        total_bytes=host.total,
        limit_bytes=limit,
        available_bytes=available,
        available_share=min(1.0, (available + own_bytes) / limit),
    )


def measure_free_bytes() -> int:
    """Measure the memory that this process may still take [byte].

    Least of what the machine has left, what its control groups leave, and what the
    limits of the process (`ulimit -v`, `ulimit -d`) do; batch systems set either.
    """
    free = HostSampler().sample().memory.available_bytes
    held = psutil.Process().memory_info()
    for limit, used in (
        (resource.RLIMIT_AS, held.vms),
        (resource.RLIMIT_DATA, getattr(held, "data", 0)),
    ):
        most, _ = resource.getrlimit(limit)
        if most != resource.RLIM_INFINITY:
            free = min(free, max(0, most - used))
    return free


def _private_bytes(memory_info: Any) -> int:
    """Resident memory less shared pages, which mostly count as available already."""
    return max(0, int(memory_info.rss) - int(getattr(memory_info, "shared", 0)))


def sum_ticks(times: Iterable[Any]) -> Ticks:
    """Add up the times of processors as psutil gives them.

    Args:
        times: One record per processor.

    Returns:
        Idle and total time [s].
    """
    idle = total = 0.0
    for cpu in times:
        # Guest time is part of user time already; stolen time is somebody's use.
        guest = getattr(cpu, "guest", 0.0) + getattr(cpu, "guest_nice", 0.0)
        idle += cpu.idle + getattr(cpu, "iowait", 0.0)
        total += sum(cpu) - guest
    return Ticks(idle, total)
