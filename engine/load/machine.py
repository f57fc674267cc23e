"""What the generator sees of the machine: totals per core, memory, temperature.

Imports `engine.monitor` and psutil.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Final

import psutil

from engine.monitor.cgroup import CgroupReader
from engine.monitor.host import Ticks, judge_memory, sum_ticks
from engine.monitor.metrics import MemoryState

CPU_SENSORS: Final = (
    "coretemp",
    "k10temp",
    "zenpower",
    "cpu_thermal",
    "soc_thermal",
)
"""Names that the drivers of processors give their sensors."""


def list_allowed_cpus() -> list[int]:
    """List the processors that this process may use, ascending."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(psutil.cpu_count() or 1))


class MachineMeter:
    """Reads the machine's counters.

    Args:
        cpus: Processors to watch.
    """

    def __init__(self, cpus: Sequence[int]) -> None:
        self._cpus = list(cpus)
        self._cgroup = CgroupReader()
        self._before = self._count()

    def read_totals(self) -> list[float | None]:
        """Measure how busy each processor was since the last call, whoever used it.

        Returns:
            Busy shares in the order of `cpus` [-]; None where the counters are hidden
            or have not moved.
        """
        before, self._before = self._before, self._count()
        if len(before) != len(self._before):
            return [None] * len(self._cpus)
        return [
            after.busy_share_since(earlier)
            for after, earlier in zip(self._before, before, strict=True)
        ] or [None] * len(self._cpus)

    def read_memory(self) -> MemoryState:
        """Measure the memory that is left, within the limits of control groups."""
        return judge_memory(self._cgroup.read(time.monotonic()), own_bytes=0)

    def read_temperature_c(self) -> float | None:
        """Read the hottest sensor of the processors, or of all where none is known.

        Returns:
            Temperature [degree Celsius]; None where no sensor answers.
        """
        read = getattr(psutil, "sensors_temperatures", None)
        try:
            groups = read() if read else {}
        except (OSError, psutil.Error):
            return None
        # A drive or a board may be hot on its own account, or its sensor may lie.
        names = [name for name in CPU_SENSORS if name in groups] or list(groups)
        values = [sensor.current for name in names for sensor in groups[name]]
        return max((value for value in values if value is not None), default=None)

    def _count(self) -> list[Ticks]:
        try:
            per_cpu = psutil.cpu_times(percpu=True)
        except (OSError, psutil.Error):
            return []
        if max(self._cpus) >= len(per_cpu):
            return []
        return [sum_ticks([per_cpu[cpu]]) for cpu in self._cpus]
