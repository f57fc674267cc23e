"""GPUs by NVML: a probe decides which fields exist, then each group has its period.

Process lists cost milliseconds and have the longest period. A device that is lost
while we watch is looked for again, NVML being opened anew, after waits that grow.
Imports only `engine.config` and this room.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Any

from engine.config import ResourcesConfig
from engine.monitor.device import FAST_FIELDS, SLOW_FIELDS, Device
from engine.monitor.metrics import GpuState
from engine.monitor.nvml import load_library, open_library, query
from engine.monitor.roster import (
    LONGEST_WAIT_S,
    Patience,
    call_roll,
    find_devices,
    refresh_fully,
    to_text,
)

logger = logging.getLogger(__name__)


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
        self._patience = Patience()
        self._lost: frozenset[str] = frozenset()
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
        count = query(self._library, "nvmlDeviceGetCount").value or 0
        self._devices = find_devices(self._library, count)
        for device in self._devices:
            refresh_fully(self._library, device, self._own_pid)
        # What is lost from the beginning is told by the probe.
        self._lost = self._name_lost()
        self.probe = _describe(self._library, self._devices)
        return self.probe

    def sample(self, now_s: float) -> tuple[GpuState, ...]:
        """Refresh the groups that are due, and look for devices that are lost.

        Args:
            now_s: Time on any steady clock [s].

        Returns:
            The state of each device, newest figure of each field.
        """
        if not self._is_open:
            return ()
        if any(device.is_lost for device in self._devices):
            self._recover(now_s)
        is_slow_due = self._take_due("slow", now_s, self._config.slow_period_s)
        is_list_due = self._take_due("process", now_s, self._config.process_period_s)
        for device in self._devices:
            device.refresh(self._library, FAST_FIELDS)
            if is_slow_due:
                device.refresh(self._library, SLOW_FIELDS)
                device.derive_power(now_s)
            if is_list_due:
                device.refresh_own_use(self._library, self._own_pid)
        if is_list_due:
            roll = call_roll(self._library, self._devices, self._own_pid)
            self._devices = roll
        self._tell_changes(now_s)
        return tuple(device.state() for device in self._devices)

    def close(self) -> None:
        """Shut NVML down; a second call changes nothing."""
        if not self._is_open:
            return
        self._is_open = False
        self._devices = []
        query(self._library, "nvmlShutdown")

    def _recover(self, now_s: float) -> None:
        """Open NVML anew if it is time to, and see who is there.

        A driver that was loaded again, or a device that was reset, answers only to who
        has come after it; handles from before are void.
        """
        if now_s < self._patience.due_s:
            return
        self._patience.note_try(now_s)
        query(self._library, "nvmlShutdown")
        failure = open_library(self._library)
        if failure is None:
            self._devices = call_roll(self._library, self._devices, self._own_pid)
            return
        for device in self._devices:
            device.lose(failure.removeprefix("NVML: ").rstrip("."))

    def _name_lost(self) -> frozenset[str]:
        return frozenset(d.identity.uuid for d in self._devices if d.is_lost)

    def _tell_changes(self, now_s: float) -> None:
        """Say once which devices have gone, and once that they are back."""
        lost, before = self._name_lost(), self._lost
        self._lost = lost
        if lost - before:
            self._patience.begin(now_s)
        for device in self._devices:
            if device.identity.uuid in lost - before:
                logger.warning(
                    "NVML has %s (%s); it is asked again after %g s, then after waits "
                    "that grow to %g s.",
                    device.status.replace("lost", "lost a GPU", 1),
                    device.identity.uuid,
                    self._patience.wait_s,
                    LONGEST_WAIT_S,
                )
            elif device.identity.uuid in before - lost:
                logger.info("NVML sees GPU %s again.", device.identity.uuid)

    def _take_due(self, group: str, now_s: float, period_s: float) -> bool:
        if now_s < self._due[group]:
            return False
        self._due[group] = now_s + period_s
        return True


def _describe(library: Any, devices: list[Device]) -> GpuProbe:
    version = to_text(query(library, "nvmlSystemGetDriverVersion").value)
    head = f"NVML: driver {version or 'of unknown version'}"
    rows = []
    for device in devices:
        lacking = f"without {', '.join(sorted(device.absent))}"
        detail = lacking if device.absent else "all fields"
        detail = device.status if device.is_lost else detail
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
