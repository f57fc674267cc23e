"""Which GPUs there are: finding them, and telling who has gone and come back.

Devices are known by UUID and PCI address, never by index. Imports only this room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from engine.monitor.device import FAST_FIELDS, SLOW_FIELDS, Device, Identity
from engine.monitor.nvml import query

FIRST_WAIT_S: Final = 1.0
"""Time from a loss to the first try to have the device back [s]."""
LONGEST_WAIT_S: Final = 60.0
"""Longest time between two tries; each one is twice the one before [s]."""
_UNKNOWN: Final = "unknown-"
"""Begins the name of a device that could never be asked for its own."""


@dataclass
class Patience:
    """When to try again: waits that double, and are short again after a calm."""

    wait_s: float = FIRST_WAIT_S
    """Time until the next try [s]."""
    due_s: float = float("-inf")
    """When it is [s], on the sampler's clock."""
    _trouble_s: float = float("-inf")

    def begin(self, now_s: float) -> None:
        """Plan the first try after a loss.

        A device that comes and goes is not met with short waits again and again.

        Args:
            now_s: The time [s].
        """
        if now_s - self._trouble_s > LONGEST_WAIT_S:
            self.wait_s = FIRST_WAIT_S
        self._trouble_s, self.due_s = now_s, now_s + self.wait_s

    def note_try(self, now_s: float) -> None:
        """Plan the try after this one.

        Args:
            now_s: The time [s].
        """
        self.wait_s = min(2.0 * self.wait_s, LONGEST_WAIT_S)
        self._trouble_s, self.due_s = now_s, now_s + self.wait_s


def refresh_fully(library: Any, device: Device, own_pid: int) -> None:
    """Ask a device for everything at once.

    Args:
        library: The `pynvml` module.
        device: The device.
        own_pid: Process whose use counts as our own.
    """
    device.refresh(library, (*FAST_FIELDS, *SLOW_FIELDS))
    device.refresh_own_use(library, own_pid)


def call_roll(library: Any, known: Sequence[Device], own_pid: int) -> list[Device]:
    """Hold the known devices against those that are there now.

    Args:
        library: The `pynvml` module, initialised.
        known: Devices seen so far; one that is there no more is marked as lost.
        own_pid: Process whose use counts as our own.

    Returns:
        The known devices, lost ones by what was found in their place, then new ones.
    """
    counted = query(library, "nvmlDeviceGetCount")
    if counted.fault is not None:
        for device in known:
            device.lose(counted.message)
        return list(known)
    found = find_devices(library, counted.value)
    answering = {each.identity.uuid: each for each in found if not each.is_lost}
    names = {device.identity.uuid for device in known}
    new = [device for uuid, device in answering.items() if uuid not in names]
    for device in new:
        refresh_fully(library, device, own_pid)
    met = [
        _meet(library, device, answering.get(device.identity.uuid), own_pid)
        for device in known
        # One that never had a name may be one of the new ones.
        if not (new and device.identity.uuid.startswith(_UNKNOWN))
    ]
    return [*met, *new]


def _meet(library: Any, device: Device, found: Device | None, own_pid: int) -> Device:
    """Go on with a known device, or with what was found in its place."""
    if found is None:
        device.lose("it is not on NVML's list any more")
        return device
    if device.is_lost:
        refresh_fully(library, found, own_pid)
        return device if found.is_lost else found
    device.handle, device.identity = found.handle, found.identity
    return device


def find_devices(library: Any, count: int) -> list[Device]:
    """List the devices, and behind each one its MIG instances.

    Args:
        library: The `pynvml` module, initialised.
        count: Devices that NVML counts.
    """
    devices: list[Device] = []
    for index in range(count):
        opened = query(library, "nvmlDeviceGetHandleByIndex", index)
        if opened.fault is not None:
            identity = Identity(index, f"{_UNKNOWN}{index}", None, None)
            status = f"lost: {opened.message}"
            devices.append(Device(identity, None, status=status))
            continue
        pci = query(library, "nvmlDeviceGetPciInfo", opened.value).value
        address = to_text(pci.busId) if pci is not None else None
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
    uuid = to_text(query(library, "nvmlDeviceGetUUID", handle).value)
    name = to_text(query(library, "nvmlDeviceGetName", handle).value)
    identity = Identity(index, uuid or f"{_UNKNOWN}{index}", name, pci_bus_id)
    return Device(identity, handle)


def to_text(value: Any) -> str | None:
    """Decode what some versions of the binding give as bytes.

    Args:
        value: Bytes, a text or None.
    """
    return value.decode() if isinstance(value, bytes) else value
