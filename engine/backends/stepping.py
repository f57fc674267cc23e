"""The order of lattice steps and tunnel events, shared by all back ends.

A period of n steps is the Strang splitting L(dt/2) [T L(dt)]^(n-1) T L(dt/2):
two neighbouring half steps are merged into one, so that a step costs one lattice
update and coherence is always sampled half a step after the last event.
"""

from __future__ import annotations

import itertools
import time
from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.protocol import (
    TABLEAUS,
    Backend,
    BridgeArrays,
    LatticeState,
    Period,
    PeriodResult,
    Tableau,
)
from engine.geometry import build_geometry


class SteppingBackend(Backend):
    """Runs periods as a sequence of lattice steps and tunnel steps."""

    gpu_identifiers: tuple[str, ...] = ()
    """PCI addresses of the GPUs in use."""

    def memory_free_bytes(self) -> int | None:
        """Return the free memory of the device [byte]; None if it is the host's."""
        return None

    def warm_up(self) -> None:
        """Compile and load every kernel on a 4 x 4 lattice, so that no run waits.

        Without it the first control period would hold the compiler's seconds, and the
        cost model would learn them.
        """
        geometry = build_geometry("square", (4, 4))
        phases = np.zeros(16, np.uint32)
        lattice = self.build_lattice(geometry, phases, np.zeros(16, np.float32), 1.0)
        ids = np.arange(8, dtype=np.uint32)
        counts = [np.zeros(8, np.uint32) for _ in range(4)]
        reals = [np.zeros(8, np.float32) for _ in range(3)]
        bridges = self.build_bridges(
            BridgeArrays(ids, ids, ids + np.uint32(8), reals[0], *counts, *reals[1:])
        )
        segments, bounds = np.array([[0, 8]]), np.array([0, 1])
        euler = TABLEAUS["euler"]
        period = Period(1, 1e-3, euler, 1, segments, bounds, (0, 0))
        self.advance(lattice, bridges, period)
        self.order_parameter(lattice)
        self.local_coherence(lattice)
        self.vortex_count(lattice)
        self.winding_numbers(lattice)

    @abstractmethod
    def step_lattice(
        self, lattice: LatticeState, tableau: Tableau, dt_s: float
    ) -> None:
        """Advance all oscillators by one time step without bridges."""

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
    def take_successes(self) -> int:
        """Return the successes since the last call; waits for the device."""

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
        self, lattice: LatticeState, bridges: BridgeArrays, period: Period
    ) -> PeriodResult:
        """Run one control period.

        Args:
            lattice: Oscillators, changed in place.
            bridges: Bridges, changed in place.
            period: Steps, windows and integrator.

        Returns:
            Wall time of both stages [s] and the number of successes.
        """
        half_s = 0.5 * period.dt_s
        bounds = period.segment_bounds
        marks = [self.mark()]
        for step in range(period.step_count):
            dt_s = period.dt_s if step else half_s
            self.step_lattice(lattice, period.tableau, dt_s)
            marks.append(self.mark())
            due = period.segments[bounds[step] : bounds[step + 1]]
            if len(due):
                tick = period.first_tick + step
                self.step_tunnels(lattice, bridges, period, due, tick)
            marks.append(self.mark())
        self.step_lattice(lattice, period.tableau, half_s)
        marks.append(self.mark())
        successes = self.take_successes()
        spans = [
            self.seconds_between(first, second)
            for first, second in itertools.pairwise(marks)
        ]
        return PeriodResult(sum(spans[::2]), sum(spans[1::2]), successes)
