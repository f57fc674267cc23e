"""The process that keeps a GPU busy: short kernels, paced by the host.

A process of its own, so that it can be ended at once and NVML counts it as others'.
Imports this room, `engine.config` and `engine.errors`; CuPy when it starts.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence

from engine.errors import EngineError
from engine.load.gpu_device import CupyDevice, GpuReading
from engine.load.guard import ParentLink, tie_to_parent
from engine.load.pacing import DutyLaw, FillLaw

SLICE_S = 0.02
"""Length of a slice: NVML looks at windows of 0.17 to 1 s, many slices each [s]."""
READ_PERIOD_S = 0.5
"""Time between two looks at NVML, whose figures are no younger [s]."""
ASSUMED_POWER_LIMIT_W = 300.0
"""Scale of the power law where the device tells no limit [W]."""


class GpuPacer:
    """Holds a device at a share of time, a utilisation or a power.

    Inside, a duty law turns a share of time into kernels; for the other two targets a
    fill law finds that share from what NVML reports.

    Args:
        device: The GPU.
        target: duty, utilisation or power.
        clock: Steady clock [s].
        sleep: Waits for a span [s].
    """

    def __init__(
        self,
        device: CupyDevice,
        target: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._device = device
        self._target = target
        self._clock = clock
        self._sleep = sleep
        self._duty = DutyLaw(SLICE_S)
        limit_w = device.power_limit_w() or ASSUMED_POWER_LIMIT_W
        self._fill = FillLaw(limit_w if target == "power" else 1.0)
        self._wall_s = clock()
        self._read_s = float("-inf")
        self._share = 0.0
        self._ran_s = 0.0
        self.busy_s = 0.0
        """Time that our kernels ran so far [s]."""
        self.asked_s = 0.0
        """Time that they were to run so far [s]."""
        self.reading = GpuReading(None, None, None)
        """What NVML told last."""

    def turn(self, asked: float) -> None:
        """Run one slice: account, burn, rest.

        Args:
            asked: Share of time [-], utilisation [-] or power [W].
        """
        now_s = self._clock()
        elapsed_s, self._wall_s = now_s - self._wall_s, now_s
        self.asked_s += self._share * elapsed_s
        busy_s = self._duty.next_busy_s(self._share, elapsed_s, self._ran_s)
        self._share = self._choose_share(asked, now_s)
        self._ran_s = self._device.run(busy_s) if busy_s > 0 else 0.0
        self.busy_s += self._ran_s
        self._sleep(max(0.0, SLICE_S - (self._clock() - now_s)))

    def measured(self) -> float | None:
        """Return the newest figure that the target is about; None if unknown."""
        if self._target == "power":
            return self.reading.power_w
        return self.reading.utilisation if self._target == "utilisation" else None

    def _choose_share(self, asked: float, now_s: float) -> float:
        if now_s - self._read_s >= READ_PERIOD_S:
            self._read_s = now_s
            self.reading = self._device.read()
            if self._target != "duty":
                self._fill.update(asked, self.measured())
        if self._target == "duty":
            return asked
        return self._fill.share if asked > 0 else 0.0


def run(
    link: ParentLink, device: CupyDevice, target: str, held: Sequence[float]
) -> None:
    """Hold the device to what the parent asks for until it ends.

    Args:
        link: The parent.
        device: The GPU.
        target: duty, utilisation or power.
        held: Share of its memory to hold and share that stays free [-].
    """
    asked = 0.0
    share, headroom = held
    pacer = GpuPacer(device, target, sleep=link.wait)
    while link.is_up:
        device.release_memory_below(headroom)
        device.hold(share, headroom)
        pacer.turn(asked)
        reading = [math.nan if v is None else v for v in pacer.reading]
        figures = (time.monotonic(), pacer.busy_s, pacer.asked_s, *reading)
        link.report(*figures, device.held_bytes)
        if link.command is not None:
            asked, link.command = float(link.command), None


def main(arguments: Sequence[str]) -> int:
    """Run the worker.

    Args:
        arguments: Parent's process number, deadline [s], device index, target, share
            of memory to hold, share that stays free.

    Returns:
        Exit code.
    """
    link = tie_to_parent(int(arguments[0]), float(arguments[1]))
    try:
        device = CupyDevice(int(arguments[2]))
        run(link, device, arguments[3], [float(word) for word in arguments[4:6]])
    except EngineError as error:
        link.report("error", error)
        return 1
    except Exception as error:  # noqa: BLE001 - CuPy's and the driver's have many types
        first = str(error).splitlines()[:1] or [type(error).__name__]
        link.report("error", f"the GPU failed: {first[0]}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
