"""The `cuda` back end: CuPy arrays and the kernels of `kernels/*.cu`.

Holds the same binary angles as `cpu` and gives the same bits. CuPy is imported when
a back end is built, never with this module. `cuda_motion.py` moves the oscillators and
`cuda_stepping.py` runs the periods; here lies what is kept in device memory and
measured there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.cuda_motion import box_scalars
from engine.backends.cuda_stepping import CudaStepping, take_formula
from engine.backends.layout import box_arguments, build_loops, build_units
from engine.backends.matching import Matching
from engine.backends.protocol import (
    FOLLOWING,
    STATE_TYPES,
    BridgeArrays,
    F32Array,
    LatticeState,
    MatchingArrays,
    Motion,
    TurnCount,
    U32Array,
)
from engine.geometry import Geometry


class CudaBackend(CudaStepping):
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
        super().__init__(device)
        self.device = self._device.name
        self.gpu_identifiers = (self._device.identifier,)

    def memory_free_bytes(self) -> int:
        """Return the GPU memory that this process can still take [bytes]."""
        return self._device.memory_free_bytes()

    def build_lattice(
        self,
        geometry: Geometry,
        phases: U32Array,
        detunings_hz: F32Array,
        coupling_rad_s: float,
        motion: Motion = FOLLOWING,
    ) -> LatticeState:
        """Copy the oscillators to the device.

        Args:
            geometry: Shape and neighbours.
            phases: Binary angles, shape (nodes,).
            detunings_hz: Natural frequency minus frame [Hz], shape (nodes,).
            coupling_rad_s: K per edge, or of the mean field [rad/s].
            motion: Lag, range, inertia and noise.

        Returns:
            The lattice in device memory.

        Raises:
            ResourceError: The device has too little free memory.
        """
        cupy = self._cupy
        _, _, offsets = box_arguments(geometry)
        self.load_kernels(geometry, motion)
        nodes = geometry.node_count
        size = (16 if motion.inertia_s else 12) * nodes
        with self._device.allocating("The lattice", size, "Shrink lattice.shape,"):
            work = {
                "spare": cupy.empty(nodes, dtype=np.uint32),
                "edges": cupy.asarray(offsets[::2].astype(np.int32)),
                "units": cupy.asarray(build_units(geometry).astype(np.int32)),
                "loops": cupy.asarray(build_loops(geometry).astype(np.int32)),
            }
            state = (cupy.asarray(phases), cupy.asarray(detunings_hz))
            rests = cupy.zeros(nodes, dtype=np.float32) if motion.inertia_s else None
        turns = coupling_rad_s / (2.0 * np.pi)
        return LatticeState(geometry, turns, *state, work, motion, rests)

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

    def move_bridges(
        self, bridges: BridgeArrays, came_from: npt.NDArray[np.integer]
    ) -> BridgeArrays:
        """Return the bridges in another order, without a way over the host.

        Args:
            bridges: Columns in device memory.
            came_from: Present slot of what each slot will hold, on the host.

        Returns:
            New columns in device memory.

        Raises:
            DeviceMemoryError: The device has too little free memory for both.
        """
        move = super().move_bridges
        return self._device.attempt(
            lambda: move(bridges, self._cupy.asarray(came_from))
        )

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
        with self._device.allocating(
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

    def read_phases(self, lattice: LatticeState) -> U32Array:
        """Copy the phases to the host, shape (nodes,)."""
        phases: U32Array = self.to_host(lattice.phases)
        return phases

    def read_probe(
        self, lattice: LatticeState, nodes: npt.NDArray[np.int64]
    ) -> U32Array:
        """Copy the phases of some nodes to the host, shape of `nodes`."""

        def pick() -> U32Array:
            picked: U32Array = lattice.phases[self._cupy.asarray(nodes)].get()
            return picked

        return self._device.attempt(pick)

    def start_counting(
        self, lattice: LatticeState, fastest_hz: float, event_turns: float
    ) -> None:
        """Count every node's turns from here on, in device memory.

        Args:
            lattice: Oscillators.
            fastest_hz: Largest rate of a phase, bridges and noise apart [Hz].
            event_turns: Longest way that one tunnel event moves a node [turn].

        Raises:
            ResourceError: The device has too little free memory.
        """
        nodes = lattice.geometry.node_count
        cure = "Set observe.frequency_window_s=null,"
        with self._device.allocating("Counting turns", 12 * nodes, cure):
            sums = self._cupy.zeros(nodes, dtype=np.int64)
            marks = lattice.phases.copy()
        lattice.turn_count = TurnCount(sums, marks, fastest_hz, event_turns)

    def count_turns(self, lattice: LatticeState) -> None:
        """Add the way since the last look to the sums; the host does not wait."""
        count, nodes = lattice.turn_count, lattice.geometry.node_count
        assert count is not None
        arguments = (lattice.phases, np.uint64(nodes), count.marks, count.sums)
        with self._device.working():
            self._device.launch("count_turns", self._device.fill_grid(nodes), arguments)
        count.moved_turns = 0.0

    def write_phases(self, lattice: LatticeState, phases: U32Array) -> None:
        """Replace the phases by binary angles from the host, shape (nodes,)."""
        self.fill(lattice.phases, phases.astype(np.uint32, copy=False))

    def write_detunings(self, lattice: LatticeState, detunings_hz: F32Array) -> None:
        """Replace the detunings by others from the host [Hz], shape (nodes,)."""
        self.fill(lattice.detunings, detunings_hz.astype(np.float32, copy=False))

    def to_host(self, array: Any) -> npt.NDArray[Any]:
        """Copy an array to the host."""
        host: npt.NDArray[Any] = self._device.attempt(array.get)
        return host

    def fill(self, array: Any, values: npt.NDArray[Any]) -> None:
        """Replace the values of an array by those of a host array of its shape."""
        whole = np.ascontiguousarray(values)
        self._device.attempt(lambda: array.set(whole, stream=self._device.stream))

    def _sum_on_device(
        self, kernel: str, nodes: int, arguments: tuple[Any, ...], sums: int = 1
    ) -> list[int]:
        """Run a kernel that adds to zeroed 64-bit totals; return them."""

        def add_up() -> list[int]:
            totals = self._cupy.zeros(sums, dtype=np.uint64)
            grid = self._device.fill_grid(nodes)
            self._device.launch(kernel, grid, (*arguments, totals))
            return [int(total) for total in totals.get().view(np.int64)]

        return self._device.attempt(add_up)

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
