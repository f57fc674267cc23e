"""One CUDA device through CuPy: its stream, its kernels and its memory.

CuPy is imported when a device is opened, never with this module. All kernels, copies
and reductions of a back end run on one non-blocking stream, in the order in which they
are asked for; unlike the null stream it can be captured into a graph.
"""

from __future__ import annotations

import importlib
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from engine.backends.cuda_faults import first_line, list_failures, translate
from engine.backends.cuda_tiles import DeviceLimits
from engine.backends.kernels import (
    COMPILE_OPTIONS,
    KERNELS,
    PLAIN,
    Variant,
    read_source,
)
from engine.errors import (
    BackendUnavailableError,
    ConfigError,
    DeviceMemoryError,
    ResourceError,
)

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
"""What some work on the device gives."""

THREADS_PER_BLOCK = 256
"""Threads of a block; a multiple of the warp, for the warp sums [-]."""
BLOCKS_PER_MULTIPROCESSOR = 8
"""Blocks that fill a multiprocessor of 2048 threads; grids stride beyond [-]."""
SHARED_SIZE_ATTRIBUTE = 8
"""CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES of the CUDA driver."""
CARVEOUT_ATTRIBUTE = 9
"""CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT of the CUDA driver [%]."""


def import_cupy() -> Any:
    """Import CuPy now.

    Returns:
        The module.

    Raises:
        BackendUnavailableError: CuPy is missing or cannot be loaded.
    """
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        raise BackendUnavailableError(
            f"backend.name is 'cuda', but CuPy cannot be imported "
            f"({first_line(error)}). "
            'Run: pip install "scribble-engine[cuda12]" (or [cuda13] for a driver of '
            "CUDA 13), or use backend=cpu."
        ) from error


@cache
def compile_source(source: str, variant: Variant, capability: str) -> bytes:
    """Compile a kernel file for the current device, once per process.

    Not by `cupy.RawModule`: it appends -ftz=true, the last such option wins, and
    flushed subnormals would not be the bits of `cpu`.

    Args:
        source: File name in `kernels/`.
        variant: What the source is specialised for.
        capability: Compute capability of the current device, such as ``90``.

    Returns:
        Machine code, or PTX where NVRTC is older than the device.

    Raises:
        BackendUnavailableError: CuPy is missing.
    """
    compiler = import_cupy().cuda.compiler
    text = read_source(source, variant)
    binary, _ = compiler.compile_using_nvrtc(text, COMPILE_OPTIONS, filename=source)
    return bytes(binary)


class CudaDevice:
    """A device, the stream that a back end works on, and the kernels loaded so far."""

    def __init__(self, index: int) -> None:
        """Open a device.

        Args:
            index: CUDA device index as CuPy counts them, >= 0.

        Raises:
            BackendUnavailableError: CuPy, a driver or a device is missing.
            ConfigError: There is no device of that index.
        """
        self.cupy = import_cupy()
        self._device = self._open(index)
        properties = self.cupy.cuda.runtime.getDeviceProperties(index)
        self.name = str(properties["name"].decode())
        self.identifier = self._identify(properties)
        attributes = self._device.attributes
        self.limits = DeviceLimits(
            int(attributes["MultiProcessorCount"]),
            int(attributes["MaxSharedMemoryPerBlockOptin"]),
            int(attributes["MaxSharedMemoryPerMultiprocessor"]),
        )
        self._kernels: dict[tuple[str, Variant], Any] = {}
        self._failures = list_failures(self.cupy)
        self.launch_count = 0
        """Launches asked for so far [-]."""
        self.on_shortage: Callable[[], None] = lambda: None
        """Lets go of what can be made again, when memory is short."""
        with self._device:
            self.stream = self.cupy.cuda.Stream(non_blocking=True)

    def _open(self, index: int) -> Any:
        cuda = self.cupy.cuda
        try:
            count = int(cuda.runtime.getDeviceCount())
        except cuda.runtime.CUDARuntimeError as error:
            raise BackendUnavailableError(
                f"backend.name is 'cuda', but no CUDA device answers "
                f"({first_line(error)}). Run `scribble doctor` for the cure, or use "
                "backend=cpu."
            ) from error
        if not 0 <= index < count:
            raise ConfigError(
                f"backend.device is {index}; this machine has {count} CUDA device(s), "
                f"so it must lie in [0, {count - 1}]."
            )
        return cuda.Device(index)

    def _identify(self, properties: Any) -> str:
        """Return the UUID, which tells MIG instances apart, or else the PCI address."""
        unique = properties.get("uuid")
        if isinstance(unique, bytes) and len(unique) == 16:
            return str(uuid.UUID(bytes=unique))
        return str(self._device.pci_bus_id)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Make the device and its stream current.

        Raises:
            DeviceMemoryError: The device has no memory left.
            DeviceError: It failed otherwise, and will go on failing.
        """
        try:
            with self._device, self.stream:
                yield
        except self._failures as error:
            raise translate(error, self.name) from error

    def attempt(
        self, work: Callable[[], Result], *, is_repeatable: bool = True
    ) -> Result:
        """Do some work; when memory is short, free what can be freed and do it again.

        CuPy has given its own reserve back before it reports a shortage. Captured
        graphs keep arrays that it cannot take, and a neighbour may have left meanwhile.

        Args:
            work: What to do on the device.
            is_repeatable: Whether it can be done twice; if not, it is done again only
                where nothing had been launched yet, so that the state is as it was.

        Returns:
            What the work gives.

        Raises:
            DeviceMemoryError: The device has no memory left.
            DeviceError: It failed otherwise, and will go on failing.
        """
        launches = self.launch_count
        try:
            with self.working():
                return work()
        except DeviceMemoryError:
            if not is_repeatable and self.launch_count > launches:
                raise
            logger.warning(
                "%s is short of memory: what can be made again is given back, and the "
                "work is tried once more.",
                self.name,
            )
        self.free_reserves()
        with self.working():
            return work()

    def free_reserves(self) -> None:
        """Give memory back that is kept only to save time."""
        self.on_shortage()
        with self.working():
            self.cupy.get_default_memory_pool().free_all_blocks()
            self.cupy.get_default_pinned_memory_pool().free_all_blocks()

    @contextmanager
    def allocating(self, what: str, size_bytes: int, cure: str) -> Iterator[None]:
        """Work on the device.

        Args:
            what: What takes the memory, for the sentence.
            size_bytes: How much [byte].
            cure: What to lower.

        Raises:
            ResourceError: The device is short of memory.
        """
        try:
            with self.working():
                yield
        except DeviceMemoryError as error:
            raise ResourceError(
                f"{what} needs {size_bytes} bytes of GPU memory; "
                f"{self.memory_free_bytes()} are free on {self.name}. {cure} or use "
                "backend=cpu."
            ) from error

    def memory_free_bytes(self) -> int:
        """Return the GPU memory that this process can still take [bytes]."""
        with self.working():
            free, _ = self._device.mem_info
            return int(free) + int(self.cupy.get_default_memory_pool().free_bytes())

    def load(self, source: str, variant: Variant = PLAIN) -> None:
        """Load the kernels of a file, unless they are loaded.

        Args:
            source: File name in `kernels/`.
            variant: What the file is specialised for, if it is.

        Raises:
            BackendUnavailableError: They do not compile.
        """
        names = [name for name, file in KERNELS.items() if file == source]
        if (names[0], variant) in self._kernels:
            return
        cuda = self.cupy.cuda
        try:
            with self.working():
                module = cuda.function.Module()
                capability = self._device.compute_capability
                module.load(compile_source(source, variant, capability))
                for name in names:
                    self._kernels[name, variant] = module.get_function(name)
        except (cuda.compiler.CompileException, RuntimeError, OSError) as error:
            raise BackendUnavailableError(
                f"The CUDA kernels cannot be compiled for {self.name} "
                f"({first_line(error)}). Update the driver and run: pip install "
                '"scribble-engine[cuda12]" (or [cuda13]); or use backend=cpu.'
            ) from error

    def allow_shared(self, kernel: str, variant: Variant) -> None:
        """Let a kernel use as much shared memory as a block can have.

        Args:
            kernel: Name of a loaded kernel.
            variant: What it was loaded for.
        """
        address = self._kernels[kernel, variant].ptr
        set_attribute = self.cupy.cuda.driver.funcSetAttribute
        with self.working():
            set_attribute(address, SHARED_SIZE_ATTRIBUTE, self.limits.block_bytes)
            # The first-level cache is not needed: several blocks shall fit.
            set_attribute(address, CARVEOUT_ATTRIBUTE, 100)

    def launch(
        self,
        kernel: str,
        shape: tuple[int, int],
        arguments: tuple[Any, ...],
        *,
        variant: Variant = PLAIN,
        shared_bytes: int = 0,
    ) -> None:
        """Start a kernel on the stream, which must be current.

        Args:
            kernel: Name of a loaded kernel.
            shape: Blocks and threads per block.
            arguments: Device arrays and NumPy scalars of the kernel's types; a uint64
                of 0 is the null pointer.
            variant: What it was loaded for.
            shared_bytes: Dynamic shared memory of a block.
        """
        blocks, threads = shape
        function = self._kernels[kernel, variant]
        self.launch_count += 1
        function((blocks,), (threads,), arguments, shared_mem=shared_bytes)

    def launch_graph(self, graph: Any) -> None:
        """Start captured launches on the stream, which must be current.

        Args:
            graph: What the end of a capture gave.
        """
        self.launch_count += 1
        graph.launch(self.stream)

    def fill_grid(self, count: int) -> tuple[int, int]:
        """Return a grid of at most as many threads as the device holds at once."""
        most = self.limits.multiprocessors * BLOCKS_PER_MULTIPROCESSOR
        return max(1, min(-(-count // THREADS_PER_BLOCK), most)), THREADS_PER_BLOCK
