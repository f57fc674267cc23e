"""Counting the turns of every node, for phases themselves forget them.

A binary angle wraps, so turns are counted by adding up the wrapped distance that each
node has moved since the last look. That is exact as long as no node can have moved by
more than half a turn in between. `CountingBackend` keeps the account of how far a node
may have moved at most, and looks before the next motion could exceed it: often enough,
and no more often. Looking changes no phase.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from engine.backends.protocol import Backend, LatticeState, Period, TurnCount
from engine.constants import TURN

HALF_TURN = 0.5
"""Longest way that a wrapped difference tells from a shorter one [turn]."""


class CountingBackend(Backend):
    """Counts turns in host memory; a back end with a memory of its own overrides."""

    def start_counting(
        self, lattice: LatticeState, fastest_hz: float, event_turns: float
    ) -> None:
        """Count every node's turns from here on.

        Args:
            lattice: Oscillators.
            fastest_hz: Largest rate of a phase in the rotating frame, bridges and
                noise apart [Hz].
            event_turns: Longest way that one tunnel event moves a node [turn].
        """
        marks = self.read_phases(lattice)
        sums = np.zeros(marks.size, np.int64)
        lattice.turn_count = TurnCount(sums, marks, fastest_hz, event_turns)

    def count_turns(self, lattice: LatticeState) -> None:
        """Add the way since the last look to the sums, and mark where nodes stand."""
        count = lattice.turn_count
        assert count is not None
        phases = self.read_phases(lattice)
        count.sums += (phases - count.marks).view(np.int32)
        count.marks = phases
        count.moved_turns = 0.0

    def read_turns(self, lattice: LatticeState) -> npt.NDArray[np.float64]:
        """Return the turns of each node since the count began, on the host.

        Args:
            lattice: Oscillators whose turns are counted.

        Returns:
            Turns in the rotating frame, positive where a node runs ahead of it
            [turn], float64, shape (nodes,).
        """
        self.count_turns(lattice)
        assert lattice.turn_count is not None
        sums = self.to_host(lattice.turn_count.sums)
        turns: npt.NDArray[np.float64] = np.multiply(sums, 1.0 / TURN)
        return turns

    def reserve_steps(
        self, lattice: LatticeState, step_turns: float, count: int
    ) -> int:
        """Return how many lattice steps may run before the next call.

        Args:
            lattice: Oscillators; where nothing is counted, all steps may run.
            step_turns: Longest way of a node in one step [turn].
            count: Steps that are wanted, >= 1.
        """
        turns = lattice.turn_count
        if turns is None:
            return count
        if turns.moved_turns + step_turns > HALF_TURN:
            self.count_turns(lattice)
        room = HALF_TURN - turns.moved_turns
        fitting = count if step_turns * count <= room else int(room / step_turns)
        steps = max(fitting, 1)
        turns.moved_turns += steps * step_turns
        return steps

    def reserve_event(self, lattice: LatticeState) -> None:
        """Make sure that every node can take part in one more tunnel event.

        With inertia an event moves nothing yet, but gives a velocity of its way / m.
        """
        turns, inertia_s = lattice.turn_count, lattice.motion.inertia_s
        if turns is None:
            return
        if inertia_s:
            turns.pushed_hz += turns.event_turns / inertia_s
            return
        if turns.moved_turns + turns.event_turns > HALF_TURN:
            self.count_turns(lattice)
        turns.moved_turns += turns.event_turns


def split_layers(period: Period, index: int) -> Iterator[npt.NDArray[np.int64]]:
    """Cut the segments of a slice where a node could be met a second time.

    Args:
        period: Gives the segments and, where they are known, their layers.
        index: Which slice.

    Yields:
        Neighbouring segments of one layer, shape (m, 2).
    """
    low, high = period.segment_bounds[index : index + 2]
    layers = period.segment_layers
    if layers is None:
        yield from (period.segments[at : at + 1] for at in range(low, high))
        return
    changes = low + 1 + np.flatnonzero(np.diff(layers[low:high]))
    for start, stop in itertools.pairwise([low, *changes.tolist(), high]):
        yield period.segments[start:stop]
