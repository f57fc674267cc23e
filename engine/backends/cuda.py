"""The `cuda` back end: CuPy arrays and the kernels of `kernels/*.cu`.

Holds the same binary angles as `cpu` and gives the same bits. CuPy is imported when
a back end is built, never with this module. The host waits once per control period.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.binary import BinaryBackend
from engine.backends.cuda_clock import EventClock, StageShares
from engine.backends.cuda_device import CudaDevice
from engine.backends.cuda_graphs import GraphCache
from engine.backends.cuda_plan import (
    LEAST_CAPACITY,
    PeriodPlan,
    plan_launches,
    round_capacity,
)
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
            self._plan_words = cupy.zeros(LEAST_CAPACITY, dtype=np.uint64)
        self._clock = EventClock(cupy.cuda.Event, cupy.cuda.get_elapsed_time)
        self._shares = StageShares()
        self._graphs = GraphCache(self._device)
        self._columns: tuple[Any, ...] = (None,) * len(fields(BridgeArrays))
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
        plan = plan_launches(period)
        slices = period.slice_count if plan.launches_per_slice else 0
        with self._device.working():
            self._upload_plan(plan)
            key, kept = self._name_launches(lattice, bridges, period, plan)
            self._clock.start(0)
            self._clock.mark()
            issue = partial(self._issue, lattice, bridges, period, plan)
            if self._graphs.run(key, kept, lattice, issue):
                self._clock.mark()
                successes = self.take_successes()
                whole_s = self._clock.measure(0, 1)
                shares = self._shares.split(whole_s, period.step_count, plan.events)
                return PeriodResult(*shares, successes)
            self._clock.start(slices)
            issue(self._clock.mark)
            successes = self.take_successes()
            marks = range(2 * slices + 1)
            spans = [self._clock.measure(mark, mark + 1) for mark in marks]
            sums = sum(spans[::2]), sum(spans[1::2])
            result = self._clock.complete(PeriodResult(*sums, successes))
            self._shares.learn(result, period.step_count, plan.events)
            return result

    def _upload_plan(self, plan: PeriodPlan) -> None:
        """Copy what is due to the device; a larger array makes old graphs useless."""
        if plan.words.size > self._plan_words.size:
            self._graphs.clear()
            capacity = round_capacity(plan.words.size)
            self._plan_words = self._cupy.zeros(capacity, dtype=np.uint64)
        words = np.zeros(self._plan_words.size, np.uint64)
        words[: plan.words.size] = plan.words
        self._plan_words.set(words, stream=self._device.stream)

    def _name_launches(
        self,
        lattice: LatticeState,
        bridges: BridgeArrays,
        period: Period,
        plan: PeriodPlan,
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return the key of a period's launches and the arrays they refer to."""
        arrays = (lattice.phases, lattice.work["spare"], lattice.detunings)
        kept = (*arrays, *bridges.columns, self._plan_words)
        if any(a is not b for a, b in zip(bridges.columns, self._columns, strict=True)):
            self._graphs.clear()
            self._columns = bridges.columns
        addresses = tuple(map(id, kept))
        steps = (period.step_count, period.slice_steps, period.tableau, period.dt_s)
        grid = self._device.fill_grid(round_capacity(plan.most_events, 1))
        lattice_terms = (lattice.geometry, lattice.coupling_turns)
        launches = (plan.launches_per_slice, grid)
        return (*steps, *lattice_terms, *launches, addresses), kept

    def _issue(
        self,
        lattice: LatticeState,
        bridges: BridgeArrays,
        period: Period,
        plan: PeriodPlan,
        mark: Callable[[], object] = lambda: None,
    ) -> None:
        """Ask for the launches of a period; the same for every period of a key."""
        mark()
        launches, waiting = plan.launches_per_slice, 0
        grid = self._device.fill_grid(round_capacity(plan.most_events, 1))
        for index in range(period.slice_count):
            waiting += period.slice_steps if index else 0
            if launches:
                self._step_between(lattice, period, waiting, is_first=index == 0)
                waiting = 0
                mark()
                first = index * launches
                for launch in range(first, first + launches):
                    ticks = index * period.slice_steps
                    self._run_events(lattice, bridges, period, (launch, ticks), grid)
                mark()
        self._step_between(lattice, period, waiting, is_first=not launches)
        self._step_half(lattice, period)
        mark()

    def _run_events(
        self,
        lattice: LatticeState,
        bridges: BridgeArrays,
        period: Period,
        place: tuple[int, int],
        grid: tuple[int, int],
    ) -> None:
        """Ask for one launch of events; `place` is its number and its ticks."""
        numbers = (*(np.uint32(word) for word in place), np.float32(period.dt_s))
        outputs = (lattice.phases, self._success_total)
        arguments = (*bridges.columns, self._plan_words, *numbers, *outputs)
        self._device.launch("run_tunnel_events", grid, arguments)

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
        """Let the bridges in `segments` attempt one event each.

        Args:
            lattice: Oscillators, changed in place.
            bridges: Bridges, changed in place.
            period: Gives the time step and the random key.
            segments: Contiguous slots that are due, shape (m, 2), in host memory.
            tick: Number of this tunnel step, counted from 1.
        """
        alone = replace(
            period,
            step_count=period.slice_steps,
            first_tick=tick,
            segments=segments,
            segment_bounds=np.array([0, len(segments)]),
            segment_layers=None,
        )
        plan = plan_launches(alone)
        grid = self._device.fill_grid(max(plan.most_events, 1))
        with self._device.working():
            self._upload_plan(plan)
            for launch in range(plan.launches_per_slice):
                self._run_events(lattice, bridges, alone, (launch, 0), grid)

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
            words = np.ascontiguousarray(phases, dtype=np.uint32)
            lattice.phases.set(words, stream=self._device.stream)

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
