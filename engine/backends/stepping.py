"""The order of lattice steps and tunnel events, shared by all back ends.

A period of n slices is the Strang splitting L(h/2) [T L(h)]^(n-1) T L(h/2) with
h = slice_steps * dt: two neighbouring halves are merged into one, so that nothing is
worked twice and coherence is always sampled half a slice after the last event.
Slices in which nothing is due melt into one stretch of lattice steps, which a back end
may work several at a time.
"""

from __future__ import annotations

import itertools
import time
import weakref
from abc import abstractmethod
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.counting import split_layers
from engine.backends.matching import DIRECTED_FLAG, Matching, SuccessLaw
from engine.backends.motion import MovingBackend
from engine.backends.protocol import (
    FOLLOWING,
    TABLEAUS,
    BridgeArrays,
    Bridges,
    LatticeState,
    MatchingArrays,
    Motion,
    Period,
    PeriodResult,
    U32Array,
)
from engine.errors import ShapeError
from engine.geometry import build_geometry


class SteppingBackend(MovingBackend):
    """Runs periods as a sequence of lattice steps and tunnel steps."""

    gpu_identifiers: tuple[str, ...] = ()
    """PCI addresses of the GPUs in use."""
    _reach: tuple[weakref.ref[Bridges], int] | None = None
    """The bridges that were looked at last, and the nodes that they need."""

    def memory_free_bytes(self) -> int | None:
        """Return the free memory of the device [byte]; None if it is the host's."""
        return None

    def warm_up(
        self,
        *,
        computes_ends: bool = False,
        counts_turns: bool = False,
        motion: Motion = FOLLOWING,
    ) -> None:
        """Compile and load every kernel on a 4 x 4 lattice, so that no run waits.

        Without it the first control period would hold the compiler's seconds, and the
        cost model would learn them.

        Args:
            computes_ends: Whether the run's bridges are procedural.
            counts_turns: Whether the turns of the run's nodes are counted.
            motion: Lag, range, inertia and noise of the run's lattice.
        """
        geometry = build_geometry("square", (4, 4))
        phases = np.zeros(16, np.uint32)
        zeros = np.zeros(16, np.float32)
        lattice = self.build_lattice(geometry, phases, zeros, 1.0, motion)
        bridges = self._build_eight_bridges(computes_ends)
        segments, bounds = np.array([[0, 8]]), np.array([0, 1])
        euler = TABLEAUS["euler"]
        period = Period(1, 1e-3, euler, 1, segments, bounds, (0, 0))
        self.advance(lattice, bridges, period)
        if counts_turns:
            self.start_counting(lattice, 1.0, 0.25)
            self.advance(lattice, bridges, replace(period, first_tick=2))
            self.read_turns(lattice)
        self.order_parameter(lattice)
        self.local_coherence(lattice)
        self.vortex_count(lattice)
        self.winding_numbers(lattice)

    def move_bridges(
        self, bridges: BridgeArrays, came_from: npt.NDArray[np.integer]
    ) -> BridgeArrays:
        """Return the bridges in another order.

        Args:
            bridges: Columns in the back end's memory.
            came_from: Present slot of what each slot will hold, shape (bridges,).

        Returns:
            New columns; the old ones are left as they are.
        """
        columns = [column.take(came_from) for column in bridges.columns]
        return BridgeArrays(*columns)

    def _build_eight_bridges(self, computes_ends: bool) -> Bridges:
        """Build one layer over 16 nodes."""
        if computes_ends:
            return self.build_matchings(Matching(16, 1, 0, SuccessLaw(0.0, 1.0, 1.0)))
        ids = np.arange(8, dtype=np.uint32)
        counts = [np.zeros(8, np.uint32) for _ in range(4)]
        reals = [np.zeros(8, np.float32) for _ in range(3)]
        return self.build_bridges(
            BridgeArrays(ids, ids, ids + np.uint32(8), reals[0], *counts, *reals[1:])
        )

    @abstractmethod
    def step_tunnels(
        self,
        lattice: LatticeState,
        bridges: BridgeArrays,
        period: Period,
        segments: npt.NDArray[np.int64],
        tick: int,
    ) -> None:
        """Let the bridges in `segments` attempt one event each."""

    @abstractmethod
    def step_matchings(
        self,
        lattice: LatticeState,
        bridges: MatchingArrays,
        period: Period,
        segments: npt.NDArray[np.int64],
        tick: int,
    ) -> None:
        """Let the bridges in `segments`, whose ends are computed, attempt likewise."""

    def step_bridges(
        self,
        lattice: LatticeState,
        bridges: Bridges,
        period: Period,
        segments: npt.NDArray[np.int64],
        tick: int,
    ) -> None:
        """Run the events of bridges of either kind: the one place that tells them."""
        if isinstance(bridges, MatchingArrays):
            self.step_matchings(lattice, bridges, period, segments, tick)
        else:
            self.step_tunnels(lattice, bridges, period, segments, tick)

    def _step_slice(
        self, lattice: LatticeState, bridges: Bridges, period: Period, index: int
    ) -> None:
        """Run the events of a slice, layer by layer while turns are counted."""
        tick = period.first_tick + index * period.slice_steps
        if lattice.turn_count is None:
            low, high = period.segment_bounds[index : index + 2]
            due = period.segments[low:high]
            self.step_bridges(lattice, bridges, period, due, tick)
            return
        for due in split_layers(period, index):
            self.reserve_event(lattice)
            self.step_bridges(lattice, bridges, period, due, tick)

    @abstractmethod
    def take_successes(self) -> int:
        """Return the successes since the last call; waits for the device."""

    def read_probe(
        self, lattice: LatticeState, nodes: npt.NDArray[np.int64]
    ) -> U32Array:
        """Copy the phases of some nodes to the host as binary angles.

        Args:
            lattice: Oscillators.
            nodes: Node ids, shape (m,).

        Returns:
            Their phases, shape (m,).
        """
        return self.read_phases(lattice)[nodes]

    def fill(self, array: Any, values: npt.NDArray[Any]) -> None:
        """Replace the values of an array, which host memory holds here.

        Args:
            array: An array of this back end.
            values: Of the same shape and type.
        """
        np.copyto(array, values, casting="no")

    def share_cores(self, idle_cores: float) -> None:
        """Hear how many cores others leave; a back end may use fewer threads.

        Args:
            idle_cores: Cores that this process can use without waiting, >= 0.
        """

    def mark(self) -> Any:
        """Record a point in time on the device's own clock."""
        return time.perf_counter()

    def seconds_between(self, first: Any, second: Any) -> float:
        """Return the time between two marks [s]; the device is idle by then."""
        return float(second - first)

    def advance(
        self, lattice: LatticeState, bridges: Bridges, period: Period
    ) -> PeriodResult:
        """Run one control period.

        Args:
            lattice: Oscillators, changed in place.
            bridges: Bridges, changed in place.
            period: Steps, windows and integrator.

        Returns:
            Wall time of both stages [s] and the number of successes.

        Raises:
            ShapeError: A bridge ends beyond the lattice.
        """
        self._check_ends(lattice, bridges)
        bounds = period.segment_bounds
        marks = [self.mark()]
        waiting = 0
        for index in range(period.slice_count):
            waiting += period.slice_steps if index else 0
            if bounds[index] == bounds[index + 1]:
                continue
            self._step_between(lattice, period, waiting, is_first=len(marks) == 1)
            marks.append(self.mark())
            self._step_slice(lattice, bridges, period, index)
            marks.append(self.mark())
            waiting = 0
        self._step_between(lattice, period, waiting, is_first=len(marks) == 1)
        self._step_half(lattice, period)
        marks.append(self.mark())
        successes = self.take_successes()
        spans = [
            self.seconds_between(first, second)
            for first, second in itertools.pairwise(marks)
        ]
        return PeriodResult(sum(spans[::2]), sum(spans[1::2]), successes)

    def _check_ends(self, lattice: LatticeState, bridges: Bridges) -> None:
        """Hold the ends of bridges against a lattice; kernels follow them unasked."""
        nodes = lattice.geometry.node_count
        if self._reach is None or self._reach[0]() is not bridges:
            self._reach = weakref.ref(bridges), _find_reach(bridges)
        needed = self._reach[1]
        if needed > nodes:
            raise ShapeError(
                f"A bridge joins node {needed - 1}, but the lattice has {nodes} nodes, "
                f"0..{nodes - 1}; remove the bridge or enlarge lattice.shape."
            )

    def _step_between(
        self, lattice: LatticeState, period: Period, count: int, *, is_first: bool
    ) -> None:
        """Run the steps since the last events, or since the period's start."""
        if is_first:
            self._step_half(lattice, period)
        if count:
            self.move_lattice(lattice, period.tableau, period.dt_s, count)

    def _step_half(self, lattice: LatticeState, period: Period) -> None:
        """Run half a slice at either end of a period."""
        whole, half = divmod(period.slice_steps, 2)
        if whole:
            self.move_lattice(lattice, period.tableau, period.dt_s, whole)
        if half:
            self.move_lattice(lattice, period.tableau, 0.5 * period.dt_s, 1)


def _find_reach(bridges: Bridges) -> int:
    """Return the nodes that a lattice must have for these bridges [-]."""
    if isinstance(bridges, MatchingArrays):
        return bridges.matching.node_count
    if not len(bridges.sources):
        return 0
    sources = bridges.sources & ~np.uint32(DIRECTED_FLAG)
    return 1 + max(int(sources.max()), int(bridges.targets.max()))
