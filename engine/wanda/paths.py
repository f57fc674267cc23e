"""Structural plasticity: bridges of least worth are retired, better ones grown.

The worth of a bridge is its stiffness times the fall of J per stiffness that
`engine.bridge.alignment` gives in closed form. In one layer after the other the
bridges of least worth are taken out, the locked state without them is solved for, and
the nodes they leave are paired anew, opposite ends of that state with each other. A
layer that does not gain stays as it was, so J never rises. A rewired bridge keeps its
id, layer, strength and rung: counts and total strength do not change, and layers stay
matchings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.bridge import Alignment, BareLattice, BridgeNetwork, EdgeList
from engine.bridge.alignment import TOLERANCE
from engine.bridge.edges import I64Array
from engine.bridge.pairing import avoid_repeats, find_members, match_opposites, to_keys
from engine.bridge.placement import PLACING_TOLERANCE, find_working_stiffnesses
from engine.config.checks import check_between
from engine.errors import ConfigError

F64 = npt.NDArray[np.float64]
Law = Callable[[I64Array, I64Array], F64]
"""Returns the success probability [-] of bridges between given nodes."""

RETIRED_SHARE: Final = 1.0
"""Share of each layer whose bridges compete for their places [-]: smaller ones gain
less at the same cost, for the nodes of bridges of little worth have little to gain."""
LEAST_GAIN: Final = 0.02
"""Least fall of J for which a layer is rewired, as a share of J: solves are exact to a
hundredth of that, and every move costs what its bridge has learned."""
FEWEST_PAIRS: Final = 2
"""Retired bridges without which no node gets another partner."""
LEAST_MISALIGNMENT: Final = 1e-12
"""J below which phases agree as well as they ever will [rad^2]."""


@dataclass(frozen=True)
class PathReport:
    """What rewiring has brought, by the linearised locked state."""

    misalignment_before: float
    """J, mean square phase, before [rad^2]."""
    misalignment_after: float
    """J after, never above that before [rad^2]."""
    coherence_before: float
    """Order parameter r of the linearised state before [-]."""
    coherence_after: float
    """r of the linearised state after [-]."""
    retired: int
    """Bridges that were retired; as many were grown."""
    rewired_layers: int
    """Layers in which that happened."""
    is_solved: bool
    """Whether the state was found; nothing is moved where it was not."""

    @property
    def grown(self) -> int:
        """Bridges that were grown."""
        return self.retired

    def to_dict(self) -> dict[str, Any]:
        """Return plain figures, ready for JSON."""
        return {**asdict(self), "grown": self.grown}


@dataclass(frozen=True)
class PathPlan:
    """Which bridges get which ends."""

    bridge_ids: I64Array
    """Bridges that move, shape (moved,)."""
    sources: I64Array
    """Their new first ends, node ids, shape (moved,)."""
    targets: I64Array
    """Their new second ends, node ids, shape (moved,)."""
    report: PathReport
    """What that brings."""


def find_stiffnesses(strengths: F64, probabilities: F64, frequencies_hz: F64) -> F64:
    """Return the mean pull per gap of bridges that act at instants.

    k = f P (1 - exp(-2 kappa / (f P))) / 2: kappa where they act often, f P / 2 where
    they act rarely.

    Args:
        strengths: kappa [rad/s], >= 0, shape (bridges,).
        probabilities: Success probability P [-], in (0, 1], shape (bridges,).
        frequencies_hz: Attempt frequency f [Hz], > 0, shape (bridges,).

    Returns:
        Stiffnesses [rad/s], shape (bridges,).
    """
    rates = frequencies_hz * probabilities
    return np.asarray(-0.5 * rates * np.expm1(-2.0 * strengths / rates))


def plan_paths(
    lattice: BareLattice,
    edges: EdgeList,
    stiffnesses: F64,
    *,
    share: float = RETIRED_SHARE,
) -> PathPlan:
    """Find better ends for the bridges of least worth; nothing is changed.

    Args:
        lattice: What the bridges span.
        edges: The bridges, undirected and attractive.
        stiffnesses: Mean pull per gap of each [rad/s], >= 0, shape (bridges,).
        share: Share of each layer that is retired at most [-], in (0, 1].

    Returns:
        The bridges to move and what that brings.

    Raises:
        ConfigError: The share is out of range, or a bridge repels or is directed.
    """
    check_between("share", share, 0.0, 1.0, open_low=True)
    check_edges(edges)
    search = _Search(lattice, edges, stiffnesses)
    before = search.state
    layers = 0
    if before.is_solved and before.misalignment > LEAST_MISALIGNMENT:
        layers = sum(
            search.rewire_layer(layer, share) for layer in np.unique(edges.layers)
        )
    moved = search.find_moved(edges)
    return PathPlan(
        moved,
        search.sources[moved],
        search.targets[moved],
        PathReport(
            misalignment_before=before.misalignment,
            misalignment_after=search.state.misalignment,
            coherence_before=before.coherence,
            coherence_after=search.state.coherence,
            retired=len(moved),
            rewired_layers=layers,
            is_solved=before.is_solved,
        ),
    )


def optimize_paths(
    network: BridgeNetwork,
    lattice: BareLattice,
    law: Law,
    *,
    tick: int,
    frequencies_hz: F64 | None = None,
    share: float = RETIRED_SHARE,
) -> PathReport:
    """Rewire a network, also one that is running, between two control periods.

    Args:
        network: The bridges; undirected and attractive.
        lattice: What they span, with the natural frequencies of now.
        law: Gives the success probability of new bridges.
        tick: Lattice steps so far [-].
        frequencies_hz: Attempt frequency of each bridge that they are rewired for
            [Hz], shape (bridges,). If absent, they keep the ratios that they have now
            and are rewired for where a floor makes them work.
        share: Share of each layer that is retired at most [-], in (0, 1].

    Returns:
        What it has brought.

    Raises:
        ConfigError: The share is out of range, or a bridge repels or is directed.
    """
    check_edges(network.edges)
    network.apply_requests()
    strengths = network.strengths_rad_s
    if frequencies_hz is None:
        limits = find_working_stiffnesses(lattice, strengths)
        stiffnesses = np.minimum(limits * _find_ratios(network), strengths)
    else:
        stiffnesses = find_stiffnesses(strengths, network.probabilities, frequencies_hz)
    plan = plan_paths(lattice, network.edges, stiffnesses, share=share)
    if len(plan.bridge_ids):
        network.rewire(
            plan.bridge_ids,
            plan.sources,
            plan.targets,
            law(plan.sources, plan.targets),
            tick=tick,
        )
    return plan.report


def _find_ratios(network: BridgeNetwork) -> F64:
    """Return how often bridges act beside their mean [-]: soft ones pull like that."""
    frequencies = network.frequencies_hz
    if not len(frequencies) or (frequencies == frequencies[0]).all():
        return np.ones(len(frequencies))
    return np.asarray(frequencies / frequencies.mean())


class _Search:
    """Ends of all bridges, and the locked state that they lead to."""

    def __init__(self, lattice: BareLattice, edges: EdgeList, stiffnesses: F64) -> None:
        """Solve for the state of the bridges as they are."""
        self._lattice = lattice
        self._layers = edges.layers
        self._stiffnesses = np.asarray(stiffnesses, dtype=np.float64)
        self.sources = edges.sources.astype(np.int64)
        self.targets = edges.targets.astype(np.int64)
        self.state: Alignment = self._solve(self._stiffnesses)

    def _solve(
        self,
        stiffnesses: F64,
        start: Alignment | None = None,
        *,
        tolerance: float = TOLERANCE,
    ) -> Alignment:
        ends = self.sources, self.targets
        return self._lattice.align(*ends, stiffnesses, start=start, tolerance=tolerance)

    def rewire_layer(self, layer: int, share: float) -> bool:
        """Retire and grow bridges of one layer; undo it unless J falls enough.

        Args:
            layer: Which layer.
            share: Share of its bridges that are retired.

        Returns:
            Whether it was rewired.
        """
        retired = self._find_least(np.flatnonzero(self._layers == layer), share)
        if len(retired) < FEWEST_PAIRS:
            return False
        before = self.state, self.sources, self.targets
        self._grow(retired)
        self.state = self._solve(self._stiffnesses, before[0])
        goal = (1.0 - LEAST_GAIN) * before[0].misalignment
        if self.state.is_solved and self.state.misalignment <= goal:
            return True
        self.state, self.sources, self.targets = before
        return False

    def _find_least(self, ids: I64Array, share: float) -> I64Array:
        """Return the bridges of least worth among some."""
        gains = self.state.find_gains(self.sources[ids], self.targets[ids])
        order = np.argsort(self._stiffnesses[ids] * gains, kind="stable")
        return ids[order[: round(share * len(ids))]]

    def _grow(self, retired: I64Array) -> None:
        """Pair the nodes of retired bridges anew; the stiffest get the widest pairs."""
        rest = self._stiffnesses.copy()
        rest[retired] = 0.0
        scores = self._solve(rest, self.state, tolerance=PLACING_TOLERANCE).scores
        count = self._lattice.geometry.node_count
        keys = to_keys(self.sources, self.targets, count)
        nodes = np.sort(np.concatenate([self.sources[retired], self.targets[retired]]))
        first, second = match_opposites(nodes, scores[nodes])
        others = np.sort(np.delete(keys, retired))
        second = avoid_repeats(first, second, others, count)
        grown = to_keys(first, second, count)
        # A pair that comes out as it was stays with its bridge.
        is_new = ~find_members(grown, np.sort(keys[retired]))
        free = retired[~find_members(keys[retired], np.sort(grown))]
        free = free[np.argsort(-self._stiffnesses[free], kind="stable")]
        self.sources, self.targets = self.sources.copy(), self.targets.copy()
        self.sources[free], self.targets[free] = first[is_new], second[is_new]

    def find_moved(self, edges: EdgeList) -> I64Array:
        """Return the bridges whose ends are no longer those of a list."""
        count = self._lattice.geometry.node_count
        old = to_keys(
            edges.sources.astype(np.int64), edges.targets.astype(np.int64), count
        )
        return np.flatnonzero(old != to_keys(self.sources, self.targets, count))


def check_edges(edges: EdgeList) -> None:
    """Refuse bridges that the linearised locked state does not know.

    Args:
        edges: The bridges.

    Raises:
        ConfigError: One repels or is directed.
    """
    repelling = int(np.count_nonzero(edges.strengths_rad_s < 0.0))
    directed = int(np.count_nonzero(edges.directed))
    if repelling or directed:
        raise ConfigError(
            f"{repelling:,} of {len(edges):,} bridges repel and {directed:,} are "
            "directed, but paths are optimised by the locked state of undirected "
            "bridges that attract; use bridges.strength_rad_s > 0, "
            "bridges.repulsive_share=0 and bridges.directed=false."
        )
