"""Rotating windows: which bridges attempt an event in which tunnel slice.

Each group of slots has a cursor that advances by count * f * dt per lattice step; a
slice falls due every few steps and takes the slots passed since the last one. So every
bridge fires at exactly its frequency, the load is even in time, and the due slots are
one contiguous, circular piece per group. The groups are taken forwards and backwards
in turn, which keeps the splitting second order.

Where a budget is shared, groups are many and small. A slow one then lets some slices
pass and takes its slots in one piece, which memory gives faster than many short ones;
the pieces stay short beside the time between two attempts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.philox import Stream
from engine.backends.protocol import MatchingArrays, Period, Tableau
from engine.bridge import SHARE, Group, Network
from engine.errors import CheckpointError
from engine.state import State, keep_array, keep_fields, take_fields

CURSOR_UNIT = 2**20
"""Cursors count in 2^-20 slots, as integers, so that nothing drifts."""
SLICE_SHARE = 0.25
"""Longest slice, as a share of the time between two attempts of a bridge [-]."""
BATCH_SHARE = 0.125
"""Longest piece of a share of the budget, likewise [-]."""
BATCH_SLOTS = 128
"""Slots that are worth a piece of their own."""
MOST_WAITS = 64
"""Slices that a group lets come together at most."""


class TunnelSchedule:
    """The cursors of all groups of a network."""

    def __init__(
        self, network: Network, dt_s: float, seed: int, *, slice_steps: int = 1
    ) -> None:
        """Start every cursor at its first slot.

        Args:
            network: Bridges and their frequencies.
            dt_s: Lattice time step [s].
            seed: Key of the success draws.
            slice_steps: Lattice steps between slices at most, >= 1.
        """
        self.network = network
        self.dt_s = dt_s
        self.key = (seed, int(Stream.TUNNELS))
        self._groups: tuple[Group, ...] = network.groups
        self._cursors = np.zeros(len(self._groups), dtype=np.int64)
        self._owed = np.zeros(len(self._groups), dtype=np.int64)
        self._slice_steps = slice_steps
        self._next_tick = 1
        self._next_slice = 0

    def to_state(self) -> State:
        """Return the cursors, the groups that they are of, and the next tick."""
        groups = [[g.layer, g.rung, g.start, g.stop] for g in self._groups]
        table = np.array(groups, dtype=np.int64).reshape(len(groups), 4)
        return {
            **keep_fields(self, "_next_tick", "_next_slice"),
            "is_followed": self._groups is self.network.groups,
            "groups": keep_array(table, ("group", "layer, rung, start, stop"), "1"),
            "cursors": keep_array(self._cursors, ("group",), "2^-20 slot"),
            "owed": keep_array(self._owed, ("group",), "slot"),
        }

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; the next plan carries its cursors over to the network.

        The network has taken its own state over before.

        Raises:
            CheckpointError: It is not one of a schedule of this network, or a cursor is
                out of its group.
        """
        take_fields(self, state, "_next_tick", "_next_slice")
        count = state["groups"].shape[0]
        table = state["groups"].load("groups", np.int64, (count, 4))
        cursors = state["cursors"].load("cursors", np.int64, (count,))
        sizes = table[:, 3] - table[:, 2]
        # Divided, for a product with the unit could leave 64 bits.
        if not ((cursors >= 0) & (cursors // CURSOR_UNIT < sizes)).all():
            raise CheckpointError("A cursor lies outside its group of bridges.")
        owed = state["owed"].load("owed", np.int64, (count,))
        if not ((owed >= 0) & (owed <= sizes)).all():
            raise CheckpointError("A group of bridges owes more slots than it has.")
        groups = tuple(Group(*map(int, row)) for row in table)
        if state["is_followed"] is True:
            if groups != self.network.groups:
                raise CheckpointError("The cursors are not those of these bridges.")
            groups = self.network.groups
        self._groups, self._cursors, self._owed = groups, cursors, owed

    def plan_period(self, step_count: int, tableau: Tableau) -> tuple[Period, int]:
        """Plan the next control period and advance the cursors past it.

        Args:
            step_count: Lattice steps, >= 1.
            tableau: Integrator of the lattice.

        Returns:
            The period and the number of attempts in it.
        """
        self._follow_groups()
        shares = self._find_shares()
        stride = self._choose_slice(step_count, shares)
        pieces, bounds, attempts = self._pass_slots(step_count, stride, shares)
        first_tick, self._next_tick = self._next_tick, self._next_tick + step_count
        self._next_slice += step_count // stride
        period = Period(
            step_count=step_count,
            dt_s=self.dt_s,
            tableau=tableau,
            first_tick=first_tick,
            segments=np.ascontiguousarray(pieces[:, :2]),
            segment_bounds=bounds,
            key=self.key,
            slice_steps=stride,
            segment_layers=pieces[:, 2],
        )
        return period, attempts

    def read_turns(self) -> npt.NDArray[np.uint16]:
        """Return how far each bridge is from its next attempt [2^-16 turn].

        Returns:
            By bridge id, shape (bridges,), the next ones of each group least.
        """
        self._follow_groups()
        turns = np.empty(len(self.network), np.uint16)
        firsts = self._cursors // CURSOR_UNIT - self._owed
        for group, first in zip(self._groups, firsts.tolist(), strict=True):
            count = group.stop - group.start
            ahead = (np.arange(count, dtype=np.int64) - first) % count
            turns[group.start : group.stop] = (ahead << 16) // count
        arrays = self.network.arrays
        if isinstance(arrays, MatchingArrays):  # slot and bridge id are the same number
            return turns
        by_id = np.empty_like(turns)
        by_id[self.network.backend.to_host(arrays.ids)] = turns
        return by_id

    def _choose_slice(self, step_count: int, shares: npt.NDArray[np.float64]) -> int:
        """Return the steps per slice: short beside the time between two attempts."""
        most = self._slice_steps
        if len(shares) and shares.max() > 0.0:
            most = min(most, max(int(SLICE_SHARE / shares.max()), 1))
        return next(n for n in range(most, 0, -1) if step_count % n == 0)

    def _follow_groups(self) -> None:
        """Carry cursors over, as shares of their groups, when bridges change rungs."""
        if self._groups is self.network.groups:
            return
        starts = self._cursors - self._owed * CURSOR_UNIT
        known = {
            (group.layer, group.rung): (int(start), group.stop - group.start)
            for group, start in zip(self._groups, starts, strict=True)
        }
        self._groups = self.network.groups
        cursors = []
        for group in self._groups:
            if self.network.is_in_turn and group.rung <= SHARE:
                cursors.append(0)
                continue
            cursor, count = known.get((group.layer, group.rung), (0, 1))
            now = group.stop - group.start
            cursors.append(cursor * now // count % (now * CURSOR_UNIT))
        self._cursors = np.array(cursors, dtype=np.int64)
        self._owed = np.zeros(len(cursors), dtype=np.int64)

    def _find_shares(self) -> npt.NDArray[np.float64]:
        """Return the share of each group that attempts in a lattice step [-]."""
        network = self.network
        frequencies = np.array(
            [network.find_frequency_hz(group.rung) for group in self._groups]
        )
        return np.minimum(frequencies * self.dt_s, 1.0)

    def _pass_slots(
        self, step_count: int, slice_steps: int, shares: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
        """Advance the cursors and collect the slots they pass, slice by slice.

        Each piece is its first slot, one past its last, and its layer.
        """
        slice_count = step_count // slice_steps
        if not self._groups:
            empty = np.zeros((0, 3), np.int64)
            return empty, np.zeros(slice_count + 1, np.int64), 0
        starts = np.array([group.start for group in self._groups], dtype=np.int64)
        counts = np.array([group.stop for group in self._groups], np.int64) - starts
        steps = slice_steps * np.arange(slice_count + 1, dtype=np.int64)[:, None]
        strides = np.rint(counts * shares * CURSOR_UNIT).astype(np.int64)
        # Rounded up, a cursor could pass a slot twice in one slice.
        strides = np.minimum(strides, counts * CURSOR_UNIT // slice_steps)
        # Whole slots and parts of one apart: their products with steps fit 64 bits.
        slots, parts = np.divmod(strides, CURSOR_UNIT)
        parts = self._cursors % CURSOR_UNIT + parts * steps
        passed = self._cursors // CURSOR_UNIT + slots * steps + parts // CURSOR_UNIT
        waits = self._choose_waits(counts, shares * slice_steps)
        taken = self._take_batches(passed, waits)
        lengths = np.diff(taken, axis=0)
        low = taken[:-1] % counts
        high = low + lengths
        self._cursors = passed[-1] % counts * CURSOR_UNIT + parts[-1] % CURSOR_UNIT
        self._owed = passed[-1] - taken[-1]
        pieces = np.empty((slice_count, len(counts), 2, 3), dtype=np.int64)
        pieces[..., 0, 0], pieces[..., 0, 1] = low, np.minimum(high, counts)
        pieces[..., 1, 0], pieces[..., 1, 1] = 0, np.maximum(high - counts, 0)
        pieces[..., :2] += starts[:, None, None]
        pieces[..., 2] = np.array([group.layer for group in self._groups])[:, None]
        # Layers do not commute; taking them backwards in every second slice cancels
        # the first-order error of their splitting.
        is_backwards = (self._next_slice + np.arange(slice_count)) % 2 == 1
        pieces[is_backwards] = pieces[is_backwards, ::-1, ::-1]
        is_due = pieces[..., 1] > pieces[..., 0]
        bounds = np.zeros(slice_count + 1, dtype=np.int64)
        np.cumsum(is_due.reshape(slice_count, -1).sum(axis=1), out=bounds[1:])
        return pieces[is_due], bounds, int(lengths.sum())

    def _choose_waits(
        self, counts: npt.NDArray[np.int64], shares: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.int64]:
        """Return how many slices each group lets come together, >= 1.

        Args:
            counts: Slots of each group.
            shares: Share of each that attempts in a slice [-].
        """
        is_share = np.array([group.rung <= SHARE for group in self._groups])
        wanted = np.ceil(BATCH_SLOTS / np.maximum(counts * shares, 1e-9))
        waits = np.minimum(wanted, BATCH_SHARE / np.maximum(shares, 1e-9))
        return np.where(is_share, np.clip(waits, 1, MOST_WAITS), 1).astype(np.int64)

    def _take_batches(
        self, passed: npt.NDArray[np.int64], waits: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Hold slots back in slices in which their group waits.

        Args:
            passed: Slots that each cursor has passed before every slice and after the
                last, shape (slices + 1, groups).
            waits: Slices that each group lets come together.

        Returns:
            Slots that are taken, likewise; groups take turns in waiting.
        """
        taken = passed.copy()
        taken[0] -= self._owed
        slices = self._next_slice + np.arange(len(passed) - 1)[:, None]
        is_due = (slices + np.arange(len(waits))) % waits == 0
        taken[1:] = np.where(is_due, passed[1:], taken[0])
        return np.maximum.accumulate(taken, axis=0)
