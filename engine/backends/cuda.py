"""The `cuda` back end: CuPy arrays and the kernels of `kernels/*.cu`.

Holds the same binary angles as `cpu` and gives the same bits. CuPy is imported when
a back end is built, never with this module. Everything runs on the null stream, so
launches need no further order; the host waits once per control period.
"""

from __future__ import annotations

import importlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.binary import BinaryBackend
from engine.backends.cuda_clock import EventClock
from engine.backends.kernels import COMPILE_OPTIONS, KERNELS, read_source
from engine.backends.layout import box_arguments, build_loops, build_units
from engine.backends.matching import Matching
from engine.backends.protocol import (
    STATE_TYPES,
    BridgeArrays,
    Bridges,
    F32Array,
    LatticeState,
    MatchingArrays,
    Period,
    PeriodResult,
    Tableau,
    U32Array,
)
from engine.errors import BackendUnavailableError, ConfigError, ResourceError
from engine.geometry import Geometry

THREADS_PER_BLOCK = 256
"""Threads of a block; a multiple of the warp, for the warp sums [-]."""
BLOCKS_PER_MULTIPROCESSOR = 8
"""Blocks that fill a multiprocessor of 2048 threads; grids stride beyond [-]."""


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


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


@lru_cache(maxsize=16)
def box_scalars(geometry: Geometry) -> tuple[np.uint32, ...]:
    """Return (slabs, rows, columns, bit mask of the closed axes) for a launch."""
    box, periodic, _ = box_arguments(geometry)
    mask = sum(int(closed) << axis for axis, closed in enumerate(periodic))
    return (*(np.uint32(cells) for cells in box), np.uint32(mask))


def take_formula(lattice: LatticeState, bridges: MatchingArrays) -> tuple[Any, ...]:
    """Return what decides ends and success of bridges, for a launch."""
    matching = bridges.matching
    layout = (matching.node_count, matching.high_bits, matching.low_bits)
    words = (np.uint32(number) for number in layout)
    return (bridges.keys, lattice.detunings, *words, *matching.law.words)


@cache
def compile_source(source: str, capability: str) -> bytes:
    """Compile a kernel file for the current device, once per process.

    Not by `cupy.RawModule`: it appends -ftz=true, the last such option wins, and
    flushed subnormals would not be the bits of `cpu`.

    Args:
        source: File name in `kernels/`.
        capability: Compute capability of the current device, such as ``90``.

    Returns:
        Machine code, or PTX where NVRTC is older than the device.

    Raises:
        BackendUnavailableError: CuPy is missing.
    """
    compiler = import_cupy().cuda.compiler
    text = read_source(source)
    binary, _ = compiler.compile_using_nvrtc(text, COMPILE_OPTIONS, filename=source)
    return bytes(binary)


class CudaBackend(BinaryBackend):
    """One CUDA device on binary angles; equal to `cpu` to the bit."""

    name = "cuda"

    def __init__(self, device: int = 0) -> None:
        """Take a device and compile the kernels for it.

        Args:
            device: CUDA device index as CuPy counts them, >= 0.

        Raises:
            BackendUnavailableError: CuPy, a driver or a device is missing, or the
                kernels do not compile.
            ConfigError: There is no device of that index.
        """
        self._cupy = cupy = import_cupy()
        self._device = self._open_device(device)
        properties = cupy.cuda.runtime.getDeviceProperties(device)
        self.device = str(properties["name"].decode())
        self.gpu_identifiers = (self._identify(properties),)
        multiprocessors = int(self._device.attributes["MultiProcessorCount"])
        self._most_blocks = multiprocessors * BLOCKS_PER_MULTIPROCESSOR
        with self._device:
            self._kernels = self._compile_kernels()
            self._success_total = cupy.zeros(1, dtype=np.uint64)
        self._clock = EventClock(cupy.cuda.Event, cupy.cuda.get_elapsed_time)
        self._successes_taken = 0

    def _identify(self, properties: Any) -> str:
        """Return the UUID, which tells MIG instances apart, or else the PCI address."""
        unique = properties.get("uuid")
        if isinstance(unique, bytes) and len(unique) == 16:
            return str(uuid.UUID(bytes=unique))
        return str(self._device.pci_bus_id)

    def _open_device(self, device: int) -> Any:
        cuda = self._cupy.cuda
        try:
            count = int(cuda.runtime.getDeviceCount())
        except cuda.runtime.CUDARuntimeError as error:
            raise BackendUnavailableError(
                f"backend.name is 'cuda', but no CUDA device answers "
                f"({first_line(error)}). Run `scribble doctor` for the cure, or use "
                "backend=cpu."
            ) from error
        if not 0 <= device < count:
            raise ConfigError(
                f"backend.device is {device}; this machine has {count} CUDA device(s), "
                f"so it must lie in [0, {count - 1}]."
            )
        return cuda.Device(device)

    def _compile_kernels(self) -> dict[str, Any]:
        """Load the kernels into the current device's context."""
        cuda = self._cupy.cuda
        kernels: dict[str, Any] = {}
        try:
            for source in sorted(set(KERNELS.values())):
                module = cuda.function.Module()
                module.load(compile_source(source, self._device.compute_capability))
                names = (name for name, file in KERNELS.items() if file == source)
                kernels |= {name: module.get_function(name) for name in names}
        except (cuda.compiler.CompileException, RuntimeError, OSError) as error:
            raise BackendUnavailableError(
                f"The CUDA kernels cannot be compiled for {self.device} "
                f"({first_line(error)}). Update the driver and run: pip install "
                '"scribble-engine[cuda12]" (or [cuda13]); or use backend=cpu.'
            ) from error
        return kernels

    def _launch(self, kernel: str, count: int, arguments: tuple[Any, ...]) -> None:
        """Start a kernel with at most as many threads as the device holds at once."""
        blocks = min(-(-count // THREADS_PER_BLOCK), self._most_blocks)
        self._kernels[kernel]((blocks,), (THREADS_PER_BLOCK,), arguments)

    @contextmanager
    def _allocating(self, what: str, size_bytes: int, cure: str) -> Iterator[None]:
        """Work on the device; turn its shortage of memory into a `ResourceError`."""
        try:
            with self._device:
                yield
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            raise ResourceError(
                f"{what} needs {size_bytes} bytes of GPU memory; "
                f"{self.memory_free_bytes()} are free on {self.device}. {cure} or use "
                "backend=cpu."
            ) from error

    def memory_free_bytes(self) -> int:
        """Return the GPU memory that this process can still take [bytes]."""
        with self._device:
            free, _ = self._device.mem_info
            return int(free) + int(self._cupy.get_default_memory_pool().free_bytes())

    def build_lattice(
        self,
        geometry: Geometry,
        phases: U32Array,
        detunings_hz: F32Array,
        coupling_rad_s: float,
    ) -> LatticeState:
        """Copy the oscillators to the device.

        Args:
            geometry: Shape and neighbours.
            phases: Binary angles, shape (nodes,).
            detunings_hz: Natural frequency minus frame [Hz], shape (nodes,).
            coupling_rad_s: K per edge [rad/s].

        Returns:
            The lattice in device memory.

        Raises:
            ResourceError: The device has too little free memory.
        """
        cupy = self._cupy
        _, _, offsets = box_arguments(geometry)
        size = 12 * geometry.node_count
        with self._allocating("The lattice", size, "Shrink lattice.shape,"):
            work = {
                "spare": cupy.empty(geometry.node_count, dtype=np.uint32),
                "offsets": cupy.asarray(offsets.astype(np.int32)),
                "edges": cupy.asarray(offsets[::2].astype(np.int32)),
                "units": cupy.asarray(build_units(geometry).astype(np.int32)),
                "loops": cupy.asarray(build_loops(geometry).astype(np.int32)),
            }
            state = (cupy.asarray(phases), cupy.asarray(detunings_hz))
        return LatticeState(geometry, coupling_rad_s / (2.0 * np.pi), *state, work)

    def build_bridges(self, bridges: BridgeArrays) -> BridgeArrays:
        """Copy host columns to the device.

        Args:
            bridges: Columns in host memory.

        Returns:
            The same columns in device memory.

        Raises:
            ResourceError: The device has too little free memory.
        """
        size = sum(column.nbytes for column in bridges.columns)
        with self._allocating("The bridge network", size, "Lower bridges.per_node,"):
            columns = (np.ascontiguousarray(column) for column in bridges.columns)
            return BridgeArrays(*(self._cupy.asarray(column) for column in columns))

    def build_matchings(self, matching: Matching) -> MatchingArrays:
        """Allocate bridges that have attempted nothing on the device.

        Args:
            matching: Ends and success law as a formula.

        Returns:
            The columns in device memory.

        Raises:
            ResourceError: The device has too little free memory.
        """
        count, cupy = matching.bridge_count, self._cupy
        with self._allocating(
            "The bridge network", 20 * count, "Lower bridges.per_node,"
        ):
            state = [cupy.zeros(count, dtype=number) for number in STATE_TYPES]
            return MatchingArrays(matching, cupy.asarray(matching.keys), *state)

    def sum_thresholds(self, lattice: LatticeState, bridges: MatchingArrays) -> int:
        """Sum the thresholds of all bridges, exactly [2^-32 of a probability]."""
        count = bridges.matching.bridge_count
        arguments = (*take_formula(lattice, bridges), np.uint64(count))
        # Of two's complement, for a sum of 2^32 bridges takes all 64 bits.
        return self._sum_on_device("sum_thresholds", count, arguments)[0] % 2**64

    def advance(
        self, lattice: LatticeState, bridges: Bridges, period: Period
    ) -> PeriodResult:
        """Run one control period.

        Args:
            lattice: Oscillators, changed in place.
            bridges: Bridges, changed in place.
            period: Steps, windows and integrator.

        Returns:
            Wall time of both stages [s], split by a sample of the steps, and the
            number of successes.

        Raises:
            ResourceError: The device has too little free memory for the stages.
        """
        with self._device:
            due_slices = np.count_nonzero(np.diff(period.segment_bounds))
            self._clock.start(int(due_slices))
            return self._clock.complete(super().advance(lattice, bridges, period))

    def mark(self) -> int:
        """Record a point in time on the device if its step is in the sample."""
        return self._clock.mark()

    def seconds_between(self, first: int, second: int) -> float:
        """Return the time between two marks [s], 0 outside the sample."""
        return self._clock.measure(first, second)

    def step_lattice(
        self, lattice: LatticeState, tableau: Tableau, dt_s: float, count: int = 1
    ) -> None:
        """Advance all oscillators by `count` equal time steps without bridges.

        Args:
            lattice: Oscillators, changed in place.
            tableau: Integrator.
            dt_s: Time step [s].
            count: Number of steps, >= 1.

        Raises:
            ResourceError: The device has too little free memory for the stages.
        """
        for _ in range(count):
            self._step_once(lattice, tableau, dt_s)

    def _step_once(self, lattice: LatticeState, tableau: Tableau, dt_s: float) -> None:
        """Run the stages of one step, a launch each."""
        work, last = lattice.work, len(tableau.weights) - 1
        if last and "second" not in work:
            self._build_stages(lattice)
        second, total = work.get("second"), work.get("total", lattice.detunings)
        base = at = lattice.phases
        out = work["spare"]
        geometry = lattice.geometry
        shape = (np.uint32(len(geometry.offsets)), *box_scalars(geometry))
        gains = (np.float32(lattice.coupling_turns), np.float32(dt_s))
        with self._device:
            for k, weight in enumerate(tableau.weights):
                feed = tableau.feeds[k] if k < last else 0.0
                stage = (np.float32(feed), np.float32(weight))
                place = (np.int32(k == 0), np.int32(k == last))
                inputs = (base, at, lattice.detunings, work["offsets"])
                arguments = (*inputs, *shape, *gains, *stage, *place, total, out)
                self._launch("step_lattice", geometry.node_count, arguments)
                at, out = out, at if k else second
        lattice.phases, work["spare"] = at, base
        if last:
            work["second"] = out

    def _build_stages(self, lattice: LatticeState) -> None:
        """Allocate what a scheme of several stages needs beside the Euler arrays."""
        size = 8 * lattice.geometry.node_count
        cure = "Shrink lattice.shape, take dynamics.integrator=euler,"
        with self._allocating("dynamics.integrator", size, cure):
            lattice.work["second"] = self._cupy.empty_like(lattice.phases)
            lattice.work["total"] = self._cupy.empty_like(lattice.detunings)

    def step_tunnels(
        self,
        lattice: LatticeState,
        bridges: BridgeArrays,
        period: Period,
        segments: npt.NDArray[np.int64],
        tick: int,
    ) -> None:
        """Let the bridges in `segments` attempt one event each, a launch per segment.

        Args:
            lattice: Oscillators, changed in place.
            bridges: Bridges, changed in place.
            period: Gives the time step and the random key.
            segments: Contiguous slots that are due, shape (m, 2), in host memory.
            tick: Number of this tunnel step, counted from 1.
        """
        columns = bridges.columns
        seed, stream = (np.uint32(word) for word in period.key)
        scalars = (np.uint32(tick), np.float32(period.dt_s), seed, stream)
        outputs = (lattice.phases, *columns[5:], self._success_total)
        with self._device:
            for lo, hi in segments.tolist():
                if lo < hi:
                    span = (np.uint64(lo), np.uint64(hi))
                    arguments = (*columns[:5], *span, *scalars, *outputs)
                    self._launch("run_tunnel_events", hi - lo, arguments)

    def step_matchings(
        self,
        lattice: LatticeState,
        bridges: MatchingArrays,
        period: Period,
        segments: npt.NDArray[np.int64],
        tick: int,
    ) -> None:
        """Let the bridges in `segments`, whose ends are computed, attempt likewise."""
        seed, stream = (np.uint32(word) for word in period.key)
        scalars = (np.uint32(tick), np.float32(period.dt_s), seed, stream)
        formula = take_formula(lattice, bridges)
        outputs = (lattice.phases, *bridges.state_columns, self._success_total)
        with self._device:
            for lo, hi in segments.tolist():
                if lo < hi:
                    span = (np.uint64(lo), np.uint64(hi))
                    arguments = (*formula, *span, *scalars, *outputs)
                    self._launch("run_matching_events", hi - lo, arguments)

    def take_successes(self) -> int:
        """Return the successes since the last call; waits for the device."""
        with self._device:
            total = int(self._success_total.get()[0])
        count, self._successes_taken = total - self._successes_taken, total
        return count

    def read_phases(self, lattice: LatticeState) -> U32Array:
        """Copy the phases to the host, shape (nodes,)."""
        with self._device:
            phases: U32Array = lattice.phases.get()
        return phases

    def write_phases(self, lattice: LatticeState, phases: U32Array) -> None:
        """Replace the phases by binary angles from the host, shape (nodes,)."""
        with self._device:
            lattice.phases.set(np.ascontiguousarray(phases, dtype=np.uint32))

    def to_host(self, array: Any) -> npt.NDArray[Any]:
        """Copy an array to the host."""
        with self._device:
            host: npt.NDArray[Any] = array.get()
        return host

    def _sum_on_device(
        self, kernel: str, nodes: int, arguments: tuple[Any, ...], sums: int = 1
    ) -> list[int]:
        """Run a kernel that adds to zeroed 64-bit totals; return them."""
        with self._device:
            totals = self._cupy.zeros(sums, dtype=np.uint64)
            self._launch(kernel, nodes, (*arguments, totals))
            return [int(total) for total in totals.get().view(np.int64)]

    def _sum_edges(self, lattice: LatticeState, offsets: Any, is_cosine: bool) -> int:
        """Sum cosines [2^-28] or wrapped differences [binary angle] over edges."""
        shape = (np.uint32(len(offsets)), *box_scalars(lattice.geometry))
        arguments = (lattice.phases, offsets, *shape, np.int32(is_cosine))
        nodes = lattice.geometry.node_count
        return self._sum_on_device("sum_edges", nodes, arguments)[0]

    def sum_order(self, lattice: LatticeState) -> tuple[int, int]:
        """Sum cos and sin of all phases [1 / ORDER_UNIT]."""
        nodes = lattice.geometry.node_count
        arguments = (lattice.phases, np.uint64(nodes))
        cosine, sine = self._sum_on_device("sum_order", nodes, arguments, 2)
        return cosine, sine

    def sum_edge_cosines(self, lattice: LatticeState) -> int:
        """Sum the cosines of phase differences over all edges [1 / EDGE_UNIT]."""
        return self._sum_edges(lattice, lattice.work["edges"], is_cosine=True)

    def sum_axis_gaps(self, lattice: LatticeState, axis: int) -> int:
        """Sum the wrapped phase differences along an axis [binary angle]."""
        unit = lattice.work["units"][axis : axis + 1]
        return self._sum_edges(lattice, unit, is_cosine=False)

    def vortex_count(self, lattice: LatticeState) -> int:
        """Return the number of plaquettes around which the phase winds [-]."""
        loops = lattice.work["loops"]
        if not len(loops):
            return 0
        shape = (np.uint32(len(loops)), *box_scalars(lattice.geometry))
        arguments = (lattice.phases, loops, *shape)
        nodes = lattice.geometry.node_count
        return self._sum_on_device("count_vortices", nodes, arguments)[0]
