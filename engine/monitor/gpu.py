"""GPUs by NVML: a probe decides which fields exist, then each group has its period.

Devices are known by UUID and PCI address, never by index. Process lists cost
milliseconds and have the longest period. Imports only `engine.config` and this room.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from engine.config import ResourcesConfig
from engine.monitor.device import FAST_FIELDS, SLOW_FIELDS, Device, Identity
from engine.monitor.metrics import GpuState
from engine.monitor.nvml import load_library, open_library, query


@dataclass(frozen=True, slots=True)
class GpuProbe:
    """What the start found out."""

    message: str
    """One sentence per driver and device, for people."""
    is_present: bool = False
    """Whether NVML answers and shows a device."""
    driver_version: str | None = None
    """Version of the kernel driver."""
    absent_fields: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Per device UUID the fields that it does not know."""


class GpuSampler:
    """Samples every GPU that NVML shows; without a driver, none.

    Args:
        config: Periods of the field groups.
        library: The `pynvml` module; loaded at `start` by default.
        own_pid: Process whose use counts as our own.
    """

    def __init__(
        self,
        config: ResourcesConfig,
        *,
        library: Any | None = None,
        own_pid: int | None = None,
    ) -> None:
        self._config = config
        self._library = library
        self._own_pid = os.getpid() if own_pid is None else own_pid
        self._devices: list[Device] = []
        self._due = {"slow": float("-inf"), "process": float("-inf")}
        self._is_open = False
        self.probe = GpuProbe("NVML: not asked yet.")

    def start(self) -> GpuProbe:
        """Open NVML and find out which fields exist; a second call changes nothing.

        Returns:
            What was found, with a sentence for people.
        """
        if self._is_open:
            return self.probe
        self._library = self._library or load_library()
        failure = open_library(self._library)
        if failure is not None:
            self.probe = GpuProbe(failure)
            return self.probe
        self._is_open = True
        self._devices = list(_find_devices(self._library))
        for device in self._devices:
            device.refresh(self._library, (*FAST_FIELDS, *SLOW_FIELDS))
            device.refresh_own_use(self._library, self._own_pid)
        self.probe = _describe(self._library, self._devices)
        return self.probe

    def sample(self, now_s: float) -> tuple[GpuState, ...]:
        """Refresh the groups that are due.

        Args:
            now_s: Time on any steady clock [s].

        Returns:
            The state of each device, newest figure of each field.
        """
        is_slow_due = self._take_due("slow", now_s, self._config.slow_period_s)
        is_list_due = self._take_due("process", now_s, self._config.process_period_s)
        for device in self._devices:
            device.refresh(self._library, FAST_FIELDS)
            if is_slow_due:
                device.refresh(self._library, SLOW_FIELDS)
                device.derive_power(now_s)
            if is_list_due:
                device.refresh_own_use(self._library, self._own_pid)
        return tuple(device.state() for device in self._devices)

    def close(self) -> None:
        """Shut NVML down; a second call changes nothing."""
        if not self._is_open:
            return
        self._is_open = False
        self._devices = []
        query(self._library, "nvmlShutdown")

    def _take_due(self, group: str, now_s: float, period_s: float) -> bool:
        if now_s < self._due[group]:
            return False
        self._due[group] = now_s + period_s
        return True


def _find_devices(library: Any) -> list[Device]:
    """List the devices, and behind each one its MIG instances."""
    devices: list[Device] = []
    for index in range(query(library, "nvmlDeviceGetCount").value or 0):
        opened = query(library, "nvmlDeviceGetHandleByIndex", index)
        if opened.fault is not None:
            identity = Identity(index, f"unknown-{index}", None, None)
            status = f"lost: {opened.message}"
            devices.append(Device(identity, None, status=status))
            continue
        pci = query(library, "nvmlDeviceGetPciInfo", opened.value).value
        address = _text(pci.busId) if pci is not None else None
        handles = [opened.value, *_find_instances(library, opened.value)]
        devices += [
            _identify(library, handle, index=index, pci_bus_id=address)
            for handle in handles
        ]
    return devices


def _find_instances(library: Any, handle: Any) -> list[Any]:
    mode = query(library, "nvmlDeviceGetMigMode", handle).value
    if not mode or not mode[0]:
        return []
    count = query(library, "nvmlDeviceGetMaxMigDeviceCount", handle).value or 0
    call = "nvmlDeviceGetMigDeviceHandleByIndex"
    found = [query(library, call, handle, slot).value for slot in range(count)]
    return [instance for instance in found if instance is not None]


def _identify(
    library: Any, handle: Any, *, index: int, pci_bus_id: str | None
) -> Device:
    uuid = _text(query(library, "nvmlDeviceGetUUID", handle).value)
    name = _text(query(library, "nvmlDeviceGetName", handle).value)
    identity = Identity(index, uuid or f"unknown-{index}", name, pci_bus_id)
    return Device(identity, handle)


def _text(value: Any) -> str | None:
    """Decode what some versions of the binding give as bytes."""
    return value.decode() if isinstance(value, bytes) else value


def _describe(library: Any, devices: list[Device]) -> GpuProbe:
    version = _text(query(library, "nvmlSystemGetDriverVersion").value)
    head = f"NVML: driver {version or 'of unknown version'}"
    rows = []
    for device in devices:
        lacking = f"without {', '.join(sorted(device.absent))}"
        detail = lacking if device.absent else "all fields"
        detail = detail if device.status == "ok" else device.status
        name = device.identity.name or "GPU"
        rows.append(f"{name} ({device.identity.uuid}), {detail}")
    return GpuProbe(
        message=f"{head}, {'; '.join(rows) or 'no GPU'}.",
        is_present=bool(devices),
        driver_version=version,
        absent_fields=tuple(
            (device.identity.uuid, tuple(sorted(device.absent))) for device in devices
        ),
    )
