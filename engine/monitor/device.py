"""One GPU handle: its query table, its newest figures, and which of them are ours.

Power is asked for, or derived from the energy counter over at least a second, since
that counter ticks only every 100 ms. Imports only this room.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from engine.monitor.metrics import GpuState
from engine.monitor.nvml import Answer, Fault, query

MINIMUM_POWER_WINDOW_S: Final = 1.0
"""Shortest window over which power is derived from energy [s]."""

SILENT_REFRESHES: Final = 8
"""Refreshes in a row without a single answer after which a device counts as lost [-].

One timeout is no loss; eight are two seconds at the usual period.
"""

_INITIAL_PID_NAMESPACE: Final = "pid:[4026531836]"
"""Inode that Linux gives the namespace of the host's own process ids."""

_CLOCK_EVENTS: Final = (
    "gpu_idle",
    "applications_clocks_setting",
    "sw_power_cap",
    "hw_slowdown",
    "sync_boost",
    "sw_thermal_slowdown",
    "hw_thermal_slowdown",
    "hw_power_brake_slowdown",
    "display_clock_setting",
)
"""Names of the bits of the clock-event mask, lowest first."""


class QueryField(NamedTuple):
    """One query, and the figures of `GpuState` that its answer gives."""

    name: str
    """Name for people, such as `SM clock`."""
    call: str
    """NVML function."""
    figures: tuple[str, ...]
    """Fields of `GpuState`, in the order of the converted values."""
    convert: Callable[[Any], tuple[Any, ...]]
    """Turns the answer into their values and units."""
    arguments: tuple[str, ...] = ()
    """Names of NVML constants that follow the handle."""


def _name_clock_events(mask: int) -> tuple[str, ...]:
    return tuple(name for bit, name in enumerate(_CLOCK_EVENTS) if mask >> bit & 1)


FAST_FIELDS: Final = (
    QueryField(
        "utilisation",
        "nvmlDeviceGetUtilizationRates",
        ("utilisation",),
        lambda rates: (rates.gpu / 100,),
    ),
    QueryField(
        "memory",
        "nvmlDeviceGetMemoryInfo",
        ("memory_total_bytes", "memory_used_bytes", "memory_free_bytes"),
        lambda memory: (memory.total, memory.used, memory.free),
    ),
)
SLOW_FIELDS: Final = (
    QueryField(
        "power", "nvmlDeviceGetPowerUsage", ("power_w",), lambda mw: (mw / 1000,)
    ),
    QueryField(
        "energy",
        "nvmlDeviceGetTotalEnergyConsumption",
        ("energy_j",),
        lambda mj: (mj / 1000,),
    ),
    QueryField(
        "temperature",
        "nvmlDeviceGetTemperature",
        ("temperature_c",),
        lambda degrees: (float(degrees),),
        ("NVML_TEMPERATURE_GPU",),
    ),
    QueryField(
        "SM clock",
        "nvmlDeviceGetClockInfo",
        ("sm_clock_mhz",),
        lambda mhz: (mhz,),
        ("NVML_CLOCK_SM",),
    ),
    QueryField(
        "memory clock",
        "nvmlDeviceGetClockInfo",
        ("memory_clock_mhz",),
        lambda mhz: (mhz,),
        ("NVML_CLOCK_MEM",),
    ),
    QueryField(
        "clock events",
        "nvmlDeviceGetCurrentClocksEventReasons",
        ("clock_event_reasons",),
        lambda mask: (_name_clock_events(mask),),
    ),
)


def _list_field(name: str, call: str) -> QueryField:
    return QueryField(name, call, (), lambda _: ())


_PROCESS_FIELDS: Final = (
    _list_field("compute processes", "nvmlDeviceGetComputeRunningProcesses"),
    _list_field("graphics processes", "nvmlDeviceGetGraphicsRunningProcesses"),
)
_OWN_UTILISATION: Final = _list_field(
    "process utilisation", "nvmlDeviceGetProcessUtilization"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """What never changes about a device; fields as in `GpuState`."""

    index: int
    uuid: str
    name: str | None
    pci_bus_id: str | None


@dataclass(slots=True)
class Device:
    """A handle, what it can do, and the newest figure of each field."""

    identity: Identity
    handle: Any
    status: str = "ok"
    """`ok`, or the sentence that says why no figure can be had."""
    absent: set[str] = field(default_factory=set)
    """Names of the fields that this device does not know."""
    _figures: dict[str, Any] = field(default_factory=dict)
    _energy_mark: tuple[float, float] | None = None
    _is_sole_user: bool = False
    _seen_us: int = 0
    _answered: set[str] = field(default_factory=set)
    _silent_count: int = 0

    @property
    def is_lost(self) -> bool:
        """Whether no figure can be had until the device is found again."""
        return self.status != "ok"

    def lose(self, reason: str) -> None:
        """Take the device for lost; the first reason stays.

        Args:
            reason: Why, in NVML's own words where there are any.
        """
        if not self.is_lost:
            self.status = f"lost: {reason}"

    def refresh(self, library: Any, group: Sequence[QueryField]) -> None:
        """Query a group; a field without an answer becomes None, not its old self.

        Args:
            library: The `pynvml` module.
            group: The fields to query.
        """
        answers = [self._refresh_field(library, asked) for asked in group]
        asked_for = [each for each in answers if each.fault is not Fault.ABSENT]
        if not asked_for:
            return
        is_silent = all(each.fault is Fault.TRANSIENT for each in asked_for)
        self._silent_count = self._silent_count + 1 if is_silent else 0
        if self._silent_count >= SILENT_REFRESHES:
            self.lose(f"{asked_for[-1].message}, again and again")

    def _refresh_field(self, library: Any, asked: QueryField) -> Answer:
        """Query one field and take its figures over."""
        was_absent = asked.name in self.absent
        answer = self._ask(library, asked)
        if answer.fault is None:
            values = asked.convert(answer.value)
            self._figures.update(zip(asked.figures, values, strict=True))
            self._answered.add(asked.name)
        elif not was_absent:
            self._forget(asked.figures)
        return answer

    def derive_power(self, now_s: float) -> None:
        """Take power from the energy counter where the device reports none.

        Args:
            now_s: Time on any steady clock [s].
        """
        energy_j = self._figures.get("energy_j")
        if "power" not in self.absent or energy_j is None:
            return
        if self._energy_mark is None:
            self._energy_mark = (now_s, energy_j)
            return
        start_s, start_j = self._energy_mark
        if now_s - start_s >= MINIMUM_POWER_WINDOW_S:
            power_w = (energy_j - start_j) / (now_s - start_s)
            self._figures["power_w"] = max(0.0, power_w)
            self._energy_mark = (now_s, energy_j)

    def refresh_own_use(self, library: Any, own_pid: int) -> None:
        """Find this process among those on the device.

        Args:
            library: The `pynvml` module.
            own_pid: Process whose use counts as our own.
        """
        self._forget(("own_memory_bytes", "own_utilisation"))
        self._is_sole_user = False
        lists = [self._ask(library, asked) for asked in _PROCESS_FIELDS]
        if lists[0].fault is not None or self.is_lost:
            return
        entries = [entry for answer in lists for entry in answer.value or ()]
        pids = {entry.pid for entry in entries}
        if not _is_our_numbering(pids, own_pid):
            return
        own = [entry.usedGpuMemory for entry in entries if entry.pid == own_pid]
        if None not in own:
            self._figures["own_memory_bytes"] = sum(own)
        self._is_sole_user = pids == {own_pid}
        use = self._ask_own_utilisation(library, own_pid) if own else 0.0
        self._figures["own_utilisation"] = use

    def state(self) -> GpuState:
        """Freeze the newest figures.

        Returns:
            The state; every field without a figure is None.
        """
        figures = {} if self.is_lost else dict(self._figures)
        if figures and self._is_sole_user:
            # Alone on the device, all of its use is ours, now and not 5 s ago.
            figures["own_utilisation"] = figures.get("utilisation")
        return GpuState(
            index=self.identity.index,
            uuid=self.identity.uuid,
            name=self.identity.name,
            pci_bus_id=self.identity.pci_bus_id,
            status=self.status,
            **figures,
        )

    def _ask(self, library: Any, asked: QueryField, *arguments: int | str) -> Answer:
        """Query one field, and keep what the answer says about the device.

        A device that has told a figure does not forget how: if it says so, its handle
        means another device, or none, as after a change of the MIG instances.
        """
        if asked.name in self.absent or self.is_lost:
            return Answer(fault=Fault.ABSENT)
        given = (*asked.arguments, *arguments)
        answer = query(library, asked.call, self.handle, *given)
        is_absent = answer.fault is Fault.ABSENT
        if answer.fault is Fault.LOST or (is_absent and asked.name in self._answered):
            self.lose(answer.message)
        elif is_absent:
            self.absent.add(asked.name)
        return answer

    def _forget(self, figures: Sequence[str]) -> None:
        for name in figures:
            self._figures.pop(name, None)

    def _ask_own_utilisation(self, library: Any, own_pid: int) -> float | None:
        answer = self._ask(library, _OWN_UTILISATION, self._seen_us)
        if answer.fault is Fault.EMPTY:
            return 0.0
        if answer.fault is not None:
            return None
        stamps = [sample.timeStamp for sample in answer.value]
        self._seen_us = max([self._seen_us, *stamps])
        own = [sample for sample in answer.value if sample.pid == own_pid]
        newest = max(own, key=lambda sample: int(sample.timeStamp), default=None)
        return 0.0 if newest is None else min(1.0, newest.smUtil / 100)


def _is_our_numbering(pids: set[int], own_pid: int) -> bool:
    """Tell whether NVML's process ids are those this process knows itself by.

    In a container they are often the host's: then our own entry cannot be found, and
    our use is unknown rather than zero.
    """
    if any(not psutil.pid_exists(pid) for pid in pids):
        return False
    if own_pid in pids:
        return True
    try:
        return os.readlink(Path("/proc/self/ns/pid")) == _INITIAL_PID_NAMESPACE
    except OSError:
        return os.name == "nt"
