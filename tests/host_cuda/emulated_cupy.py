"""A host emulation of the few CuPy calls that `CudaBackend` makes. No GPU is used.

Arrays are NumPy arrays, kernels are the real `.cu` sources compiled for the host. It
is stricter than CuPy where that finds mistakes: an argument's type must be exactly
the kernel's, an array must be contiguous, and memory can be limited.
"""

from __future__ import annotations

import ctypes
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from engine.backends.cuda_device import compile_source
from tests.host_cuda.compiler import build_library

KERNEL = re.compile(
    r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\('
)
DEFAULT_SHARED_BYTES = 48 * 1024
"""Dynamic shared memory that a kernel may use without opting in."""
DEVICE_NAME = "host emulation of a CUDA device"


class OutOfMemoryError(MemoryError):
    """As `cupy.cuda.memory.OutOfMemoryError`."""


class CompileException(Exception):  # noqa: N818 - CuPy's name
    """As `cupy.cuda.compiler.CompileException`."""


class CUDARuntimeError(RuntimeError):
    """As `cupy.cuda.runtime.CUDARuntimeError`."""


class CUDADriverError(RuntimeError):
    """As `cupy.cuda.driver.CUDADriverError`."""


class EmulatedArray(np.ndarray):
    """A NumPy array with CuPy's transfers."""

    def get(self) -> np.ndarray:
        """Copy to the host, which waits for the stream."""
        assert EmulatedStream.current
        EmulatedDevice.meet("get")
        EmulatedStream.refuse_capture("a copy that waits")
        EmulatedStream.waits += 1
        return np.array(self)

    def set(self, values: np.ndarray, stream: EmulatedStream) -> None:
        """Copy from the host; the kernels of a graph must not see a later copy."""
        assert stream is EmulatedStream.current[-1]
        EmulatedDevice.meet("set")
        EmulatedStream.refuse_capture("a copy from memory that may change")
        assert type(values) is np.ndarray
        assert values.dtype == self.dtype
        assert values.shape == self.shape
        self[...] = values


class EmulatedEvent:
    """An event on the host's clock."""

    recorded = 0

    def record(self) -> None:
        assert EmulatedStream.current
        EmulatedStream.refuse_capture("a timing event")
        type(self).recorded += 1
        self.time_ns = time.perf_counter_ns()


class EmulatedDevice:
    """One device with a single multiprocessor, so that grids must stride."""

    attributes = {  # noqa: RUF012 - CuPy has a dict too
        "MultiProcessorCount": 1,
        "MaxSharedMemoryPerBlockOptin": 64 * 1024,
        "MaxSharedMemoryPerMultiprocessor": 96 * 1024,
    }
    compute_capability = "host"
    pci_bus_id = "0000:00:00.0"
    mem_info = (2**30, 2**31)
    trouble: Callable[[str], None] | None = None
    """Called before whatever the device is asked for, by name; may raise."""

    @classmethod
    def meet(cls, what: str) -> None:
        """Meet the trouble that a test has made, if it has."""
        if cls.trouble is not None:
            cls.trouble(what)

    def __init__(self, index: int) -> None:
        assert index == 0

    def __enter__(self) -> EmulatedDevice:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class EmulatedStream:
    """A stream that works at once, and must be current for every launch.

    While it is captured, launches are written down with their arguments and nothing
    runs; a graph repeats exactly those.
    """

    current: list[EmulatedStream] = []  # noqa: RUF012 - as CuPy's stack
    captured: list[Any] | None = None
    """Launches of the capture under way, of any stream."""
    waits = 0
    """Times that the host waited."""

    @classmethod
    def refuse_capture(cls, what: str) -> None:
        assert cls.captured is None, f"{what} cannot be captured"

    def begin_capture(self) -> None:
        self.refuse_capture("a capture")
        EmulatedStream.captured = []

    def end_capture(self) -> EmulatedGraph:
        launches, EmulatedStream.captured = EmulatedStream.captured, None
        return EmulatedGraph(launches)

    def __init__(self, *, non_blocking: bool) -> None:
        assert non_blocking, "the null stream would wait"

    def __enter__(self) -> EmulatedStream:
        self.current.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self.current.pop() is self


class EmulatedGraph:
    """Launches that can be repeated."""

    launched = 0

    def __init__(self, launches: list[Any]) -> None:
        self.launches = launches

    def launch(self, stream: EmulatedStream) -> None:
        assert stream is EmulatedStream.current[-1]
        EmulatedDevice.meet("launch graph")
        EmulatedStream.refuse_capture("a graph")
        EmulatedGraph.launched += 1
        for kernel, *arguments in self.launches:
            kernel(*arguments)


class EmulatedKernel:
    """Launches one compiled kernel."""

    def __init__(self, library: ctypes.CDLL, name: str) -> None:
        self.name = name
        self.ptr = self
        self.most_shared_bytes = DEFAULT_SHARED_BYTES
        self.launch = getattr(library, f"launch_{name}")
        types = getattr(library, f"types_{name}")
        types.restype = ctypes.c_char_p
        self.types = types().decode().split()

    def __call__(
        self,
        grid: tuple[int],
        block: tuple[int],
        arguments: tuple[Any, ...],
        shared_mem: int = 0,
    ) -> None:
        assert EmulatedStream.current, "a launch outside the back end's stream"
        assert shared_mem <= self.most_shared_bytes
        EmulatedDevice.meet(f"launch {self.name}")
        if EmulatedStream.captured is not None:
            launch = (self, grid, block, tuple(arguments), shared_mem)
            EmulatedStream.captured.append(launch)
            return
        assert 1 <= grid[0] < 2**31
        assert block[0] % 32 == 0
        assert block[0] <= 1024
        for value, wanted in zip(arguments, self.types, strict=True):
            assert name_type(value) == wanted or is_null(value, wanted), self.name
        words = [to_word(value) for value in arguments]
        pointers = (ctypes.c_void_p * len(words))(*(w.ctypes.data for w in words))
        shape = (ctypes.c_uint * 3)(grid[0], block[0], shared_mem)
        status = self.launch(shape, pointers)
        assert status == 0, f"{self.name}: a thread had left before a shuffle, barrier"


def set_attribute(kernel: EmulatedKernel, attribute: int, value: int) -> None:
    """As `cuFuncSetAttribute` for dynamic shared memory and its share of the cache."""
    if attribute == 9:
        assert 0 <= value <= 100
        return
    assert attribute == 8
    assert value <= EmulatedDevice.attributes["MaxSharedMemoryPerBlockOptin"]
    kernel.most_shared_bytes = value


def name_type(value: Any) -> str:
    """Name a type as emulation.h does; a plain Python number has none."""
    assert isinstance(value, (np.generic, EmulatedArray)), type(value)
    star = "*" if isinstance(value, EmulatedArray) else ""
    return star + value.dtype.str[1:]


def is_null(value: Any, wanted: str) -> bool:
    """Tell the null pointer, a word of as many bytes."""
    return wanted.startswith("*") and isinstance(value, np.uint64) and value == 0


def to_word(value: Any) -> np.ndarray:
    """Put an argument, or an array's address, into memory."""
    if isinstance(value, EmulatedArray):
        assert value.flags.c_contiguous
        return np.array(value.ctypes.data, dtype=np.uint64)
    return np.array(value)


class EmulatedModule:
    """A loaded binary."""

    def __init__(self, libraries: dict[str, ctypes.CDLL]) -> None:
        self._libraries = libraries

    def load(self, binary: bytes) -> None:
        self._library = self._libraries[binary.decode()]

    def get_function(self, name: str) -> EmulatedKernel:
        return EmulatedKernel(self._library, name)


class EmulatedCupy(ModuleType):
    """Takes the place of the module `cupy`."""

    def __init__(self, folder: Path, libraries: dict[str, ctypes.CDLL]) -> None:
        """Emulate a fresh device.

        Args:
            folder: Where compiled sources go.
            libraries: Compiled sources by text, shared between emulations.
        """
        super().__init__("cupy")
        compile_source.cache_clear()
        self.limit_bytes = 2**31
        self.device_count = 1
        self.used_bytes = 0
        self.sources: list[str] = []
        self._folder = folder
        self._libraries = libraries
        self.cuda = SimpleNamespace(
            Device=EmulatedDevice,
            Event=EmulatedEvent,
            Stream=EmulatedStream,
            driver=SimpleNamespace(
                CUDADriverError=CUDADriverError, funcSetAttribute=set_attribute
            ),
            get_elapsed_time=lambda a, b: (b.time_ns - a.time_ns) * 1e-6,
            compiler=SimpleNamespace(
                CompileException=CompileException, compile_using_nvrtc=self._compile
            ),
            function=SimpleNamespace(Module=lambda: EmulatedModule(libraries)),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            runtime=SimpleNamespace(
                CUDARuntimeError=CUDARuntimeError,
                getDeviceCount=lambda: self.device_count,
                getDeviceProperties=lambda _: {"name": DEVICE_NAME.encode()},
            ),
        )

    def _take(self, array: np.ndarray) -> EmulatedArray:
        EmulatedDevice.meet("allocate")
        EmulatedStream.refuse_capture("an allocation")
        if self.used_bytes + array.nbytes > self.limit_bytes:
            raise OutOfMemoryError(f"Out of memory allocating {array.nbytes} bytes")
        self.used_bytes += array.nbytes
        return array.view(EmulatedArray)

    def asarray(self, values: np.ndarray) -> EmulatedArray:
        return self._take(np.array(values))

    def empty(self, shape: int, dtype: type) -> EmulatedArray:
        """Allocate; the content is poison, as anything may lie there."""
        array = np.empty(shape, dtype)
        array.view(np.uint8)[...] = 0xA5
        return self._take(array)

    def empty_like(self, array: EmulatedArray) -> EmulatedArray:
        return self.empty(array.shape, array.dtype)

    def zeros(self, shape: int, dtype: type) -> EmulatedArray:
        return self._take(np.zeros(shape, dtype))

    def get_default_memory_pool(self) -> SimpleNamespace:
        return SimpleNamespace(
            free_bytes=lambda: 4096,
            free_all_blocks=lambda: EmulatedDevice.meet("free"),
        )

    def get_default_pinned_memory_pool(self) -> SimpleNamespace:
        return SimpleNamespace(free_all_blocks=lambda: None)

    def _compile(
        self, source: str, options: tuple[str, ...], *, filename: str
    ) -> tuple[bytes, None]:
        """Compile a source for the host, once; the text itself stands for a binary."""
        assert filename.endswith(".cu")
        assert set(options) >= {"--fmad=false", "--ftz=false"}
        self.sources.append(source)
        if source not in self._libraries:
            wrappers = "".join(f"EMULATE({name})\n" for name in KERNEL.findall(source))
            text = f'#include "emulation.h"\n{source}\n{wrappers}'
            name = f"kernels{len(self._libraries)}"
            self._libraries[source] = build_library(text, self._folder, name)
        return source.encode(), None
