"""BridgeNetwork: every bridge in dense arrays, its ends and strength included.

Slots are sorted by layer, then rung group, then golden-ratio position, so that the
bridges due in a step are contiguous. Bridges follow the network's frequency unless
they are pinned to a rung of their own, or belong to the cohort: a part of the bridges
that follows the frequency, and the success law, of another policy.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.matching import DIRECTED_FLAG
from engine.backends.philox import PART
from engine.backends.protocol import Backend, BridgeArrays, U32Array
from engine.bridge.base import (
    COHORT,
    FOLLOW,
    SHARE,
    Group,
    Network,
    locking_value,
)
from engine.bridge.edges import EdgeList
from engine.bridge.shares import Shares
from engine.bridge.slots import U16Array, find_stops, invert, order_slots, split_rungs
from engine.bridge.soundness import check_bridges, check_layers, find_node_count
from engine.config import TunnelConfig
from engine.config.mesh import MOST_SHARES
from engine.errors import CheckpointError, ConfigError
from engine.state import State, check_inputs, digest_inputs, keep_array, take_fields

LAST_RUNG = 40
"""Most rungs that a ladder can have [-]."""


@dataclass(frozen=True)
class _Layout:
    """Which bridge sits in which slot; replaced as a whole, never changed."""

    rungs: npt.NDArray[np.int8]
    """Pinned rung, `FOLLOW`, `COHORT` or `SHARE` and below, by bridge id."""
    slot_of: U32Array
    """Slot of each bridge id."""
    groups: tuple[Group, ...]
    """Runs of slots with one frequency, in slot order."""
    arrays: BridgeArrays
    """The columns in the back end's memory, in slot order."""
    shares: Shares | None = None
    """How the budget is shared; None while every bridge follows alike."""
    is_in_turn: bool = False
    """Whether the first slots of every share are those that are due next."""


class BridgeNetwork(Network):
    """All bridges of a run, with their ends in memory.

    Example:
        >>> from engine.backends import select_backend
        >>> from engine.bridge import build_matchings
        >>> from engine.config import BackendConfig, BridgesConfig
        >>> backend = select_backend(BackendConfig("reference"), 16).backend
        >>> edges = build_matchings(16, BridgesConfig(per_node=2), seed=0)
        >>> len(BridgeNetwork(edges, np.ones(16), backend))
        16
    """

    def __init__(
        self,
        edges: EdgeList,
        probabilities: npt.NDArray[np.floating],
        backend: Backend,
        tunnel: TunnelConfig | None = None,
    ) -> None:
        """Lay the bridges out in slots and take them into the back end's memory.

        Args:
            edges: Checked bridges with layers; row i becomes bridge id i.
            probabilities: Success probability of each bridge [-], in (0, 1].
            backend: Where the arrays live.
            tunnel: The frequency ladder on which pinned bridges sit.

        Raises:
            ShapeError: A column has another length or type than it must, a node id is
                out of range, a node occurs twice in a layer, a strength is not finite
                or too large, or a probability is not in (0, 1].
        """
        super().__init__(backend, tunnel)
        self.edges = edges
        self.probabilities = check_bridges(edges, probabilities)
        """Success probability by bridge id [-], shape (bridges,)."""
        self.members: npt.NDArray[np.bool_] = np.zeros(len(edges), dtype=np.bool_)
        """Whether a bridge belongs to the cohort, by bridge id, shape (bridges,)."""
        self._ranks: npt.NDArray[np.int8] | None = None
        self._share_count = 0
        self._spread: tuple[Shares, float, npt.NDArray[np.float64]] | None = None
        self._by_source: npt.NDArray[np.int64] | None = None
        self._requests: dict[int, int] = {}
        self._lock = threading.Lock()
        rungs = np.full(len(edges), FOLLOW, dtype=np.int8)
        order, groups = order_slots(edges.layers, rungs, edges.sources)
        check_layers(edges, order, groups)
        arrays = backend.build_bridges(self._fill_arrays(order))
        self._layout = _Layout(rungs, invert(order), groups, arrays)

    def _fill_arrays(self, order: npt.NDArray[np.int64]) -> BridgeArrays:
        """Build the host columns of bridges that have not attempted anything."""
        edges, count = self.edges, len(order)
        dose_rates, thresholds = np.empty(count, np.float32), np.empty(count, np.uint32)
        for low in range(0, count, PART):
            part = slice(low, low + PART)
            probability = self.probabilities[order[part]]
            halves = np.where(edges.directed[order[part]], 0.5, 1.0)
            dose_rates[part] = edges.strengths_rad_s[order[part]] / probability * halves
            words = np.ceil(probability * 2.0**32)
            thresholds[part] = np.maximum(words - 1.0, 0.0)
        dose_rates *= np.float32(self._strength_factor)
        return BridgeArrays(
            ids=order.astype(np.uint32),
            sources=self._flag_sources(order),
            targets=edges.targets[order],
            dose_rates=dose_rates,
            thresholds=thresholds,
            last_ticks=np.zeros(count, np.uint32),
            attempts=np.zeros(count, np.uint32),
            successes=np.zeros(count, np.uint32),
            locking_cos=np.zeros(count, np.float32),
            locking_sin=np.zeros(count, np.float32),
        )

    def _flag_sources(self, order: npt.NDArray[np.int64]) -> U32Array:
        """Return the column of sources; those of directed bridges carry the flag."""
        sources: U32Array = self.edges.sources[order]
        sources[self.edges.directed[order]] |= np.uint32(DIRECTED_FLAG)
        return sources

    def __len__(self) -> int:
        """Return the number of bridges."""
        return len(self.edges)

    @property
    def node_count(self) -> int:
        """Nodes that a lattice must have for these bridges [-]."""
        return find_node_count(self.edges)

    @property
    def arrays(self) -> BridgeArrays:
        """The columns in the back end's memory, in slot order."""
        return self._layout.arrays

    @property
    def groups(self) -> tuple[Group, ...]:
        """Runs of slots with one frequency, in slot order."""
        return self._layout.groups

    @property
    def rungs(self) -> npt.NDArray[np.int8]:
        """Pinned rung, `FOLLOW` or `COHORT` by bridge id, shape (bridges,)."""
        return self._layout.rungs

    def find_ends(self, bridge_id: int) -> tuple[int, int]:
        """Return source and target of one bridge, node ids."""
        edges = self.edges
        return int(edges.sources[bridge_id]), int(edges.targets[bridge_id])

    def find_strength_rad_s(self, bridge_id: int) -> float:
        """Return kappa of one bridge [rad/s]."""
        return self._strength_factor * float(self.edges.strengths_rad_s[bridge_id])

    @property
    def strengths_rad_s(self) -> npt.NDArray[np.float64]:
        """Kappa by bridge id [rad/s], shape (bridges,)."""
        return self._strength_factor * self.edges.strengths_rad_s.astype(np.float64)

    def _apply_strengths(self) -> None:
        """Compute the dose rates anew, in a new layout that readers see as a whole."""
        layout = self._layout
        columns = {
            name: self.backend.to_host(column)
            for name, column in vars(layout.arrays).items()
        }
        rates = self._fill_arrays(columns["ids"].astype(np.int64)).dose_rates
        if np.array_equal(rates, columns["dose_rates"]):
            return
        arrays = BridgeArrays(**columns | {"dose_rates": rates})
        self._layout = replace(layout, arrays=self.backend.build_bridges(arrays))

    def is_directed(self, bridge_id: int) -> bool:
        """Return whether only the target of one bridge moves."""
        return bool(self.edges.directed[bridge_id])

    def find_probability(self, bridge_id: int) -> float:
        """Return the success probability of an attempt of one bridge [-]."""
        return float(self.probabilities[bridge_id])

    def mean_probability(self) -> float:
        """Return the frequency-weighted mean success probability [-]; 0 if empty."""
        frequencies = self.frequencies_hz
        total = float(frequencies.sum())
        if total == 0.0:
            return 0.0
        return float((frequencies * self.probabilities).sum()) / total

    @property
    def frequencies_hz(self) -> npt.NDArray[np.float64]:
        """Attempt frequency by bridge id [Hz], shape (bridges,)."""
        rungs = self.rungs
        low = int(rungs.min(initial=FOLLOW))
        kinds = range(low, int(rungs.max(initial=FOLLOW)) + 1)
        return np.array([self.find_frequency_hz(rung) for rung in kinds])[rungs - low]

    def find_frequency_hz(self, rung: int) -> float:
        """Return the frequency of the bridges on a rung [Hz].

        Args:
            rung: Pinned rung, `FOLLOW`, `COHORT`, or `SHARE` and below.
        """
        if rung > SHARE:
            return super().find_frequency_hz(rung)
        return float(self.spread_budget()[SHARE - rung])

    def spread_budget(self) -> npt.NDArray[np.float64]:
        """Return the frequency of every share [Hz], shape (shares,); none if none."""
        shares, mean_hz = self._layout.shares, self.frequency_hz
        if shares is None:
            return np.zeros(0)
        known = self._spread
        if known is None or known[0] is not shares or known[1] != mean_hz:
            frequencies = shares.spread(mean_hz, self.tunnel.maximum_frequency_hz)
            self._spread = known = (shares, mean_hz, frequencies)
        return known[2]

    def pin(self, bridge_id: int, frequency_hz: float) -> None:
        """Ask for a frequency of its own for one bridge; the nearest rung is taken.

        Safe from any thread: the loop applies requests between two periods.

        Args:
            bridge_id: Which bridge.
            frequency_hz: Wanted frequency [Hz], in (0, maximum].

        Raises:
            ConfigError: The frequency is outside the ladder.
            IndexError: There is no such bridge.
        """
        self._check_id(bridge_id)
        highest = self.tunnel.maximum_frequency_hz
        if not 0.0 < frequency_hz <= highest * (1.0 + 1e-9):
            raise ConfigError(
                f"The frequency of bridge {bridge_id} is {frequency_hz:g} Hz; "
                f"it must lie in (0, {highest:g}], the ladder's top."
            )
        rung = round(self.tunnel.frequency_rung(frequency_hz))
        self._request(bridge_id, min(rung, self.tunnel.rungs))

    def release(self, bridge_id: int) -> None:
        """Let a pinned bridge follow network or cohort again, from the next period on.

        Raises:
            IndexError: There is no such bridge.
        """
        self._check_id(bridge_id)
        self._request(bridge_id, self._find_free_rung(bridge_id))

    def _find_free_rung(self, bridge_id: int) -> int:
        """Return the rung of a bridge that is not pinned."""
        if self._ranks is not None:
            return SHARE - int(self._ranks[bridge_id])
        return COHORT if self.members[bridge_id] else FOLLOW

    def _request(self, bridge_id: int, rung: int) -> None:
        with self._lock:
            self._requests[bridge_id] = rung

    def rung(self, bridge_id: int) -> int:
        """Return the rung that was last asked for, `FOLLOW` or `COHORT`."""
        asked = self._requests.get(bridge_id)
        return int(self.rungs[bridge_id]) if asked is None else asked

    def apply_requests(self) -> bool:
        """Move bridges whose frequency was set to their rungs.

        Returns:
            Whether any slot changed.
        """
        if not self._requests:
            return False
        with self._lock:
            rungs = self.rungs.copy()
            for bridge_id, rung in self._requests.items():
                rungs[bridge_id] = rung
            # Readers look at the requests first, so these go last: no reader sees the
            # old frequency after the new one.
            self._layout = self._recount(self._arrange(rungs))
            self._requests.clear()
        return True

    def _arrange(
        self,
        rungs: npt.NDArray[np.int8],
        *,
        has_new_law: bool = False,
        turns: U16Array | None = None,
    ) -> _Layout:
        """Lay the bridges out on other rungs; their state moves along."""
        layers, layout = self.edges.layers, self._layout
        order, groups = split_rungs(self._sort_by_source(), layers, rungs, turns)
        arrays = self.backend.move_bridges(layout.arrays, layout.slot_of[order])
        if has_new_law:
            columns = [self.backend.to_host(column) for column in arrays.columns]
            columns[:5] = self._fill_arrays(order).columns[:5]
            arrays = self.backend.build_bridges(BridgeArrays(*columns))
        slot_of, is_in_turn = invert(order), turns is not None
        return _Layout(rungs, slot_of, groups, arrays, layout.shares, is_in_turn)

    def _sort_by_source(self) -> npt.NDArray[np.int64]:
        """Return the bridge ids by layer, then source; kept until ends move."""
        if self._by_source is None:
            edges = self.edges
            self._by_source = np.lexsort((edges.sources, edges.layers))
        return self._by_source

    def assign_cohort(
        self, members: npt.NDArray[np.bool_], probabilities: npt.NDArray[np.float64]
    ) -> None:
        """Choose which bridges follow the cohort's frequency, and all success laws.

        Pinned bridges keep their rung. To be called between two control periods.

        Args:
            members: Whether a bridge belongs to the cohort, shape (bridges,).
            probabilities: Success probability of every bridge [-], shape (bridges,).

        Raises:
            ShapeError: A probability is not in (0, 1].
        """
        probabilities = check_bridges(self.edges, probabilities)
        self.apply_requests()
        with self._lock:
            self.members = members
            self.probabilities = probabilities
            rungs = self.rungs.copy()
            shared = np.where(members, COHORT, FOLLOW).astype(np.int8)
            rungs[rungs < 0] = shared[rungs < 0]
            self._layout = self._arrange(rungs, has_new_law=True)

    def share_budget(
        self,
        ranks: npt.NDArray[np.integer],
        share_count: int,
        turns: U16Array | None = None,
    ) -> None:
        """Choose which bridge acts how often, under the network's mean frequency.

        Pinned bridges keep their rung and stay outside the budget. To be called
        between two control periods, and not together with a cohort.

        Args:
            ranks: Share of every bridge by id, 0 the largest, shape (bridges,).
            share_count: Number of shares, in 1..`MOST_SHARES`.
            turns: When each bridge was to act next, the next one least, by id, shape
                (bridges,); without it some wait for up to two turns once.
        """
        self.apply_requests()
        with self._lock:
            self._ranks, self._share_count = ranks.astype(np.int8), share_count
            rungs = np.where(self.rungs < 0, SHARE - self._ranks, self.rungs)
            self._layout = self._recount(
                self._arrange(rungs.astype(np.int8), turns=turns)
            )

    def _recount(self, layout: _Layout) -> _Layout:
        """Count the bridges of every share in a layout, if there are any."""
        if self._ranks is None:
            return layout
        counts = [0] * self._share_count
        for group in layout.groups:
            if group.rung <= SHARE:
                counts[SHARE - group.rung] += group.stop - group.start
        return replace(
            layout, shares=Shares(tuple(counts), self.tunnel.phi_coefficient)
        )

    @property
    def is_in_turn(self) -> bool:
        """Whether the first slots of every share are those that are due next."""
        return self._layout.is_in_turn

    @property
    def share_counts(self) -> tuple[int, ...]:
        """Bridges of each share, the largest share first; empty without a budget."""
        shares = self._layout.shares
        return shares.counts if shares else ()

    @property
    def ranks(self) -> npt.NDArray[np.int8] | None:
        """Share of every bridge by id, pinned ones included; None without a budget."""
        return self._ranks

    def rewire(
        self,
        bridge_ids: npt.NDArray[np.integer],
        sources: npt.NDArray[np.integer],
        targets: npt.NDArray[np.integer],
        probabilities: npt.NDArray[np.float64],
        *,
        tick: int,
    ) -> None:
        """Give bridges other ends; strength, layer, rung and counters are kept.

        The gap that their next events close begins to grow now, and what was known
        of their locking is forgotten. To be called between two control periods.

        Args:
            bridge_ids: Which bridges, each once, shape (n,).
            sources: New first ends, node ids; no node may occur twice in a layer, (n,).
            targets: New second ends, likewise, shape (n,).
            probabilities: New success probability of each [-], in (0, 1], shape (n,).
            tick: Lattice steps so far [-].

        Raises:
            ShapeError: A layer would no longer be a matching; nothing is changed.
        """
        _ = self._inputs_digest  # of the bridges that the run was built from
        edges = self.edges.move(bridge_ids, sources, targets)
        self.apply_requests()
        with self._lock:
            layout = self._layout
            columns = {
                name: np.array(self.backend.to_host(column))
                for name, column in vars(layout.arrays).items()
            }
            slots = layout.slot_of[bridge_ids]
            columns["last_ticks"][slots] = tick % 2**32
            for name in ("locking_cos", "locking_sin"):
                columns[name][slots] = 0.0
            arrays = self.backend.build_bridges(BridgeArrays(**columns))
            self._layout = replace(layout, arrays=arrays)
            self.edges, self._by_source = edges, None
            self.probabilities = self.probabilities.copy()
            self.probabilities[bridge_ids] = probabilities
            self._layout = self._arrange(self.rungs, has_new_law=True)

    @property
    def has_requests(self) -> bool:
        """Whether a bridge was asked to another rung since the last control period."""
        return bool(self._requests)

    def to_state(self) -> State:
        """Return what a run changes, pinned rungs and open requests included."""
        requests = [list(request) for request in self._requests.items()]
        state = {
            **super().to_state(),
            "inputs": self._inputs_digest,
            "rungs": keep_array(self.rungs, ("bridge",), "1"),
            "requests": requests,
            "share_count": self._share_count,
        }
        if self._ranks is not None:
            state["ranks"] = keep_array(self._ranks, ("bridge",), "1")
        if self.is_in_turn:  # every other layout follows from the rungs
            order = self.backend.to_host(self.arrays.ids)
            state["order"] = keep_array(order, ("slot",), "1")
        return state

    @cached_property
    def _inputs_digest(self) -> str:
        edges = self.edges
        ends, kinds = (edges.sources, edges.targets), (edges.layers, edges.directed)
        return digest_inputs(*ends, *kinds, edges.strengths_rad_s)

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of a network of the same bridges and success laws.

        Raises:
            CheckpointError: It is not one of such a network.
        """
        check_inputs("bridges", self._inputs_digest, state["inputs"])
        rungs = state["rungs"].load("Rungs", np.int8, (len(self),))
        requests = {int(bridge_id): int(rung) for bridge_id, rung in state["requests"]}
        for bridge_id in requests:
            self._check_id(bridge_id)
        self._take_shares(state)
        asked = np.concatenate([rungs, np.fromiter(requests.values(), np.int64)])
        lowest = SHARE - self._share_count + 1 if self._share_count else COHORT
        if len(asked) and not (lowest <= asked.min() <= asked.max() <= LAST_RUNG):
            raise CheckpointError("A bridge sits on a rung that no ladder has.")
        if "order" in state:
            order = state["order"].load("The order of bridges", np.uint32, (len(self),))
            self._layout = self._recount(self._lay_out(rungs, order.astype(np.int64)))
        elif not np.array_equal(rungs, self.rungs):
            self._layout = self._recount(self._arrange(rungs))
        self._requests = requests
        super().from_state(state)

    def _take_shares(self, state: Mapping[str, Any]) -> None:
        """Take over which bridge holds which share of the budget.

        Raises:
            CheckpointError: A share is none that a budget has.
        """
        take_fields(self, state, "_share_count")
        self._ranks = None
        if "ranks" not in state:
            return
        ranks = state["ranks"].load("Shares", np.int8, (len(self),))
        if not 0 <= ranks.min() <= ranks.max() < self._share_count <= MOST_SHARES:
            raise CheckpointError("A bridge holds a share that no budget has.")
        self._ranks = ranks

    def _lay_out(
        self, rungs: npt.NDArray[np.int8], order: npt.NDArray[np.int64]
    ) -> _Layout:
        """Lay the bridges out in a given order, each share by its turns.

        Raises:
            CheckpointError: It does not hold each bridge once, by layer and rung.
        """
        is_whole = np.array_equal(np.sort(order), np.arange(len(order)))
        if is_whole:
            keys = self.edges.layers[order].astype(np.int64) * 256 + rungs[order]
            is_whole = bool((keys[1:] >= keys[:-1]).all())
        if not is_whole:
            raise CheckpointError(
                "The bridges are not in an order that a run lays out."
            )
        stops = find_stops(keys)
        groups = tuple(
            Group(int(self.edges.layers[order[low]]), int(rungs[order[low]]), low, high)
            for low, high in itertools.pairwise([0, *stops])
        )
        layout = self._layout
        arrays = self.backend.move_bridges(layout.arrays, layout.slot_of[order])
        return _Layout(rungs, invert(order), groups, arrays, is_in_turn=True)

    def _fill_column(self, name: str, values: npt.NDArray[Any]) -> None:
        """Replace a column that a run changes by values by bridge id."""
        layout = self._layout
        by_slot = np.empty_like(values)
        by_slot[layout.slot_of] = values
        self.backend.fill(getattr(layout.arrays, name), by_slot)

    def read_column(self, name: str) -> Iterator[npt.NDArray[Any]]:
        """Copy a column that a run changes to the host, by id, in pieces."""
        layout = self._layout
        host = self.backend.to_host(getattr(layout.arrays, name))
        for low in range(0, len(host), PART):
            yield host[layout.slot_of[low : low + PART]]

    def columns_by_id(self) -> BridgeArrays:
        """Copy all columns to the host in the order of bridge ids."""
        layout = self._layout
        columns = [self.backend.to_host(column) for column in layout.arrays.columns]
        return BridgeArrays(*(column[layout.slot_of] for column in columns))

    def read(self, column: str, bridge_id: int) -> float:
        """Read one entry of a column for one bridge."""
        layout = self._layout
        slot = int(layout.slot_of[bridge_id])
        array = getattr(layout.arrays, column)
        return float(self.backend.to_host(array[slot : slot + 1])[0])

    def coherences(self) -> npt.NDArray[np.float64]:
        """Return the phase-locking value by bridge id [-], shape (bridges,)."""
        host = self.columns_by_id()
        return locking_value(host.locking_cos, host.locking_sin, host.attempts)

    def touching(self, node: int) -> npt.NDArray[np.int64]:
        """Return the ids of the bridges that end at a node."""
        edges = self.edges
        return np.flatnonzero((edges.sources == node) | (edges.targets == node))
