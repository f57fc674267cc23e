"""One GPU made busy through CuPy and seen through NVML, both imported late.

Not yet measured on a device: the kernel compiles, the calls are those of the
libraries, the pacing is tested on fakes. Imports `engine.errors` and `engine.monitor`.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine.errors import BackendUnavailableError, count_noun
from engine.monitor.nvml import load_library, open_library, query

BLOCKS_PER_MULTIPROCESSOR: Final = 4
"""Blocks of the burning kernel per multiprocessor [-]."""
THREADS_PER_BLOCK: Final = 256
"""Threads of a block [-]."""
MEMORY_BLOCK_BYTES: Final = 64 * 2**20
"""GPU memory is taken by this much [byte]."""
FIRST_CYCLES: Final = 1_000_000
"""Length of the first kernel, which finds out how fast the clock is [cycle]."""


class GpuReading(NamedTuple):
    """What NVML tells; None for what it does not."""

    utilisation: float | None
    """Share of time that any kernel ran [-]."""
    power_w: float | None
    """Power [W]."""
    temperature_c: float | None
    """Temperature [degree Celsius]."""


class CupyDevice:
    """A CUDA device.

    Args:
        index: As CuPy counts devices.

    Raises:
        BackendUnavailableError: CuPy, the driver or the device is missing.
    """

    def __init__(self, index: int) -> None:
        self._cupy = cupy = _open_cupy(index)
        cupy.cuda.Device(index).use()
        source = Path(__file__).with_name("burn.cu").read_text("ascii")
        self._kernel = cupy.RawKernel(source, "burn_cycles")
        self._sink = cupy.zeros(THREADS_PER_BLOCK, cupy.float32)
        count = cupy.cuda.Device(index).attributes["MultiProcessorCount"]
        self._grid = (BLOCKS_PER_MULTIPROCESSOR * int(count),)
        # Blocking events: the host must sleep while the device works.
        self._marks = [cupy.cuda.Event(block=True) for _ in range(2)]
        self._cycles_per_s = 0.0
        self._blocks: list[Any] = []
        self._nvml, self._handle = _open_nvml(cupy, index)
        self._run(FIRST_CYCLES)  # compiles
        self._run(FIRST_CYCLES)

    @property
    def held_bytes(self) -> int:
        """Memory held [byte]."""
        return len(self._blocks) * MEMORY_BLOCK_BYTES

    def run(self, busy_s: float) -> float:
        """Keep the device busy and wait until it is done.

        Args:
            busy_s: Time to be busy [s], > 0.

        Returns:
            Time that the kernel really ran [s], from events on the device.
        """
        return self._run(max(1, int(busy_s * self._cycles_per_s)))

    def hold(self, share: float, headroom: float) -> None:
        """Hold a share of the device's memory, touched; never into the headroom.

        Args:
            share: Share of the whole to hold [-], in [0, 1).
            headroom: Share that stays free [-], in (0, 1).
        """
        runtime = self._cupy.cuda.runtime
        total = runtime.memGetInfo()[1]
        while self.held_bytes + MEMORY_BLOCK_BYTES <= share * total:
            free = runtime.memGetInfo()[0]
            if free - MEMORY_BLOCK_BYTES < headroom * total:
                return
            block = self._cupy.cuda.Memory(MEMORY_BLOCK_BYTES)
            runtime.memset(block.ptr, len(self._blocks) % 251 + 1, MEMORY_BLOCK_BYTES)
            self._blocks.append(block)

    def release_memory_below(self, headroom: float) -> None:
        """Give memory back until the headroom is free again.

        Args:
            headroom: Share that stays free [-], in (0, 1).
        """
        runtime = self._cupy.cuda.runtime
        while self._blocks:
            free, total = runtime.memGetInfo()
            if free >= headroom * total:
                return
            self._blocks.pop()

    def read(self) -> GpuReading:
        """Ask NVML for utilisation, power and temperature."""
        if self._handle is None:
            return GpuReading(None, None, None)
        library, handle = self._nvml, self._handle
        rates = query(library, "nvmlDeviceGetUtilizationRates", handle).value
        power_mw = query(library, "nvmlDeviceGetPowerUsage", handle).value
        heat = query(
            library, "nvmlDeviceGetTemperature", handle, "NVML_TEMPERATURE_GPU"
        ).value
        return GpuReading(
            None if rates is None else rates.gpu / 100,
            None if power_mw is None else power_mw / 1000,
            None if heat is None else float(heat),
        )

    def power_limit_w(self) -> float | None:
        """Ask NVML for the enforced power limit [W]; None where there is none."""
        if self._handle is None:
            return None
        limit = query(self._nvml, "nvmlDeviceGetEnforcedPowerLimit", self._handle)
        return None if limit.value is None else limit.value / 1000

    def _run(self, cycles: int) -> float:
        begin, end = self._marks
        begin.record()
        arguments = (self._cupy.int64(cycles), self._sink)
        self._kernel(self._grid, (THREADS_PER_BLOCK,), arguments)
        end.record()
        end.synchronize()
        ran_s = float(self._cupy.cuda.get_elapsed_time(begin, end)) / 1000
        # Clocks rise and fall with the load: the newest kernel knows best.
        self._cycles_per_s = cycles / max(ran_s, 1e-6)
        return ran_s


def _open_cupy(index: int) -> Any:
    try:
        cupy = importlib.import_module("cupy")
        count = int(cupy.cuda.runtime.getDeviceCount())
    except ImportError as error:
        raise BackendUnavailableError(
            "A load on a GPU needs CuPy, which cannot be imported; run: pip install "
            '"scribble-engine[cuda12]" (or [cuda13]), or ask for no gpu.'
        ) from error
    except Exception as error:  # the driver's errors have many types
        raise BackendUnavailableError(
            "A load on a GPU needs a working NVIDIA driver, and CUDA says: "
            f"{str(error).splitlines()[0].rstrip('.')}. Ask scribble doctor."
        ) from error
    if index >= count:
        raise BackendUnavailableError(
            f"gpu_device is {index}, but CUDA shows {count_noun(count, 'device')}; "
            "count from 0."
        )
    return cupy


def _open_nvml(cupy: Any, index: int) -> tuple[Any, Any]:
    """Find the same device in NVML, by its PCI address; without NVML, nothing."""
    library = load_library()
    if open_library(library) is not None:
        return None, None
    address = cupy.cuda.runtime.deviceGetPCIBusId(index)
    found = query(library, "nvmlDeviceGetHandleByPciBusId", address.encode())
    return library, found.value
