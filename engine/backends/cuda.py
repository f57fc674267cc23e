"""The `cuda` back end: CuPy arrays and the kernels of `kernels/*.cu`.

Holds the same binary angles as `cpu` and gives the same bits. CuPy is imported when
a back end is built, never with this module. The host waits once per control period.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.binary import BinaryBackend
from engine.backends.cuda_clock import EventClock
from engine.backends.cuda_device import CudaDevice
from engine.backends.cuda_tiles import (
    TILE_THREADS,
    LatticeShape,
    find_reaches,
    pack_offsets,
    plan_steps,
)
from engine.backends.layout import box_arguments, build_loops, build_units
from engine.backends.protocol import (
    BridgeArrays,
    F32Array,
    LatticeState,
    Period,
    PeriodResult,
    Tableau,
    U32Array,
)
from engine.constants import TURN
from engine.geometry import Geometry

TURN_F = np.float32(TURN)
"""One turn in units of the binary angle, as the kernels take increments [-]."""


@lru_cache(maxsize=16)
def box_scalars(geometry: Geometry) -> tuple[np.uint32, ...]:
    """Return (slabs, rows, columns, bit mask of the closed axes) for a launch."""
    box, periodic, _ = box_arguments(geometry)
    mask = sum(int(closed) << axis for axis, closed in enumerate(periodic))
    return (*(np.uint32(cells) for cells in box), np.uint32(mask))


@lru_cache(maxsize=16)
def tile_shape(geometry: Geometry, stages: int) -> LatticeShape:
    """Return what the plan of the lattice kernel needs."""
    _, _, table = box_arguments(geometry)
    return LatticeShape(geometry.box, find_reaches(table.tolist()), stages)


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
        self._device = CudaDevice(device)
        self._cupy = cupy = self._device.cupy
        self.device = self._device.name
        self.gpu_identifiers = (self._device.identifier,)
        self._device.load("tunnel.cu")
        self._device.load("observables.cu")
        self._schemes: dict[Tableau, Any] = {}
        with self._device.working():
            self._success_total = cupy.zeros(1, dtype=np.uint64)
        self._clock = EventClock(cupy.cuda.Event, cupy.cuda.get_elapsed_time)
        self._successes_taken = 0

    def memory_free_bytes(self) -> int:
        """Return the GPU memory that this process can still take [bytes]."""
        return self._device.memory_free_bytes()

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
        self._device.load("lattice.cu", len(offsets))
        self._device.allow_shared("step_lattice", len(offsets))
        size = 12 * geometry.node_count
        with self._device.allocating("The lattice", size, "Shrink lattice.shape,"):
            work = {
                "spare": cupy.empty(geometry.node_count, dtype=np.uint32),
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
        with self._device.allocating(
            "The bridge network", size, "Lower bridges.per_node,"
        ):
            columns = (np.ascontiguousarray(column) for column in bridges.columns)
            return BridgeArrays(*(self._cupy.asarray(column) for column in columns))

    def advance(
        self, lattice: LatticeState, bridges: BridgeArrays, period: Period
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
        with self._device.working():
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
        geometry, stages = lattice.geometry, len(tableau.weights)
        box, z = box_scalars(geometry), len(geometry.offsets)
        codes = np.uint64(pack_offsets(box_arguments(geometry)[2].tolist()))
        gains = (np.float32(lattice.coupling_turns), np.float32(dt_s) * TURN_F)
        shape = tile_shape(geometry, stages)
        scheme = self._take_scheme(tableau)
        with self._device.working():
            for plan in plan_steps(shape, count, self._device.limits):
                extents = (np.uint32(cells) for cells in (*plan.tile, *plan.halo))
                inputs = (lattice.phases, lattice.detunings, scheme, *box, codes)
                counts = (np.int32(stages), np.int32(plan.steps))
                wide, out = np.int32(shape.is_wide), lattice.work["spare"]
                self._device.launch(
                    "step_lattice",
                    (plan.blocks, TILE_THREADS),
                    (*inputs, *extents, *counts, *gains, wide, out),
                    neighbours=z,
                    shared_bytes=plan.shared_bytes,
                )
                lattice.phases, lattice.work["spare"] = out, lattice.phases

    def _take_scheme(self, tableau: Tableau) -> Any:
        """Return feeds, with a zero for the last stage, and weights on the device."""
        if tableau not in self._schemes:
            rows = np.array((*tableau.feeds, 0.0, *tableau.weights), np.float32)
            with self._device.working():
                self._schemes[tableau] = self._cupy.asarray(rows)
        return self._schemes[tableau]

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
        with self._device.working():
            for lo, hi in segments.tolist():
                if lo < hi:
                    span = (np.uint64(lo), np.uint64(hi))
                    arguments = (*columns[:5], *span, *scalars, *outputs)
                    grid = self._device.fill_grid(hi - lo)
                    self._device.launch("run_tunnel_events", grid, arguments)

    def take_successes(self) -> int:
        """Return the successes since the last call; waits for the device."""
        with self._device.working():
            total = int(self._success_total.get()[0])
        count, self._successes_taken = total - self._successes_taken, total
        return count

    def read_phases(self, lattice: LatticeState) -> U32Array:
        """Copy the phases to the host, shape (nodes,)."""
        with self._device.working():
            phases: U32Array = lattice.phases.get()
        return phases

    def write_phases(self, lattice: LatticeState, phases: U32Array) -> None:
        """Replace the phases by binary angles from the host, shape (nodes,)."""
        with self._device.working():
            lattice.phases.set(np.ascontiguousarray(phases, dtype=np.uint32))

    def to_host(self, array: Any) -> npt.NDArray[Any]:
        """Copy an array to the host."""
        with self._device.working():
            host: npt.NDArray[Any] = array.get()
        return host

    def _sum_on_device(
        self, kernel: str, nodes: int, arguments: tuple[Any, ...], sums: int = 1
    ) -> list[int]:
        """Run a kernel that adds to zeroed 64-bit totals; return them."""
        with self._device.working():
            totals = self._cupy.zeros(sums, dtype=np.uint64)
            grid = self._device.fill_grid(nodes)
            self._device.launch(kernel, grid, (*arguments, totals))
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
