"""Rewiring a living network: which networks may be, and what it needs of the system."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.bridge import BareLattice, BridgeNetwork, Network
from engine.bridge.edges import I64Array
from engine.config import RunConfig
from engine.crystal import CrystalLattice
from engine.errors import CheckpointError, ConfigError
from engine.state import State, build_record, keep_array, keep_fields, take_fields
from engine.system.parts import apply_law
from engine.wanda import PathReport, check_edges, optimize_paths

REWIRED = "bridges were rewired during the run"
"""Why a forecast is withdrawn."""
COUNTS = ("_next", "_count", "_retired", "_seconds")
"""What a rewirer counts."""


class Rewirer:
    """Moves bridges of a living network, when asked and at configured times.

    The locked state that decides follows from natural frequencies, coupling, strengths
    and how often bridges act beside each other, as they are now, never from phases or
    wall time, so every back end and every replay moves the same bridges.
    """

    def __init__(
        self, config: RunConfig, network: Network, lattice: CrystalLattice
    ) -> None:
        """Move nothing yet.

        Args:
            config: The run.
            network: Its bridges.
            lattice: Its oscillators.

        Raises:
            ConfigError: Bridges are to be rewired of which one repels.
        """
        self._config, self._network, self._lattice = config, network, lattice
        every_s = config.bridges.rewire_every_s
        self._every: int | None = None
        if every_s is not None:
            self._every = max(round(every_s / config.dynamics.dt_s), 1)
            check_edges(_check_movable(config, network, False).edges)
        self._next = self._every
        self._count, self._retired, self._seconds = 0, 0, 0.0
        self._last: PathReport | None = None

    def is_due(self, step: int) -> bool:
        """Tell whether the configured time has come.

        Args:
            step: Lattice steps so far [-].
        """
        return self._next is not None and step >= self._next

    def rewire(
        self, step: int, *, share: float, is_user_given_allowed: bool = False
    ) -> PathReport:
        """Move bridges to where the linearised locked state gains most.

        Args:
            step: Lattice steps so far [-].
            share: Share of each layer that competes for its places [-], in (0, 1].
            is_user_given_allowed: Whether the edges of bridges=file may be changed.

        Returns:
            What it has brought.

        Raises:
            ConfigError: The bridges cannot be moved, repel or are directed, or the
                share is out of range.
        """
        began_s = time.perf_counter()
        config, lattice = self._config, self._lattice
        network = _check_movable(config, self._network, is_user_given_allowed)

        def law(sources: I64Array, targets: I64Array) -> npt.NDArray[np.float64]:
            return apply_law(sources, targets, lattice, config.tunnel)

        self._last = report = optimize_paths(
            network,
            BareLattice(lattice.geometry, lattice.detunings_hz, lattice.coupling_rad_s),
            law,
            tick=step,
            share=share,
        )
        if self._every is not None:
            self._next = (step // self._every + 1) * self._every
        self._count += 1
        self._retired += report.retired
        self._seconds += time.perf_counter() - began_s
        return report

    @property
    def has_moved(self) -> bool:
        """Whether a bridge has other ends than the run was built with."""
        return self._retired > 0

    def to_state(self) -> State:
        """Return what was counted, the last report, and the ends if any were moved."""
        last, ends, law = self._last, None, None
        if self.has_moved and isinstance(self._network, BridgeNetwork):
            edges = self._network.edges
            pair = np.stack([edges.sources, edges.targets])
            ends = keep_array(pair, ("source, target", "bridge"), "1")
            law = keep_array(self._network.probabilities, ("bridge",), "1")
        report = dict(vars(last)) if last else None
        counts = keep_fields(self, *COUNTS)
        return {**counts, "last": report, "ends": ends, "probabilities": law}

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, and move bridges again; their state is the network's.

        Raises:
            CheckpointError: It is not one of such a network.
        """
        if (state["next"] is None) != (self._next is None):
            raise CheckpointError("Bridges are rewired in the one, not in the other.")
        take_fields(self, state, *COUNTS)
        last, ends, network = state["last"], state["ends"], self._network
        self._last = build_record(PathReport, last) if last else None
        if ends is None or not isinstance(network, BridgeNetwork):
            return
        sources, targets = ends.load("Ends of bridges", np.uint32, (2, len(network)))
        if max(sources.max(), targets.max()) >= self._lattice.node_count:
            raise CheckpointError("A bridge ends at a node that is not there.")
        law = state["probabilities"].load("Probabilities", np.float64, sources.shape)
        if not ((law > 0.0) & (law <= 1.0)).all():
            raise CheckpointError("A bridge succeeds with a probability that none has.")
        network.rewire(np.arange(len(network)), sources, targets, law, tick=0)

    def to_dict(self) -> dict[str, Any] | None:
        """Return the entry `paths` of `summary.json`; None if nothing was rewired."""
        if self._last is None:
            return None
        return {
            "rewirings": self._count,
            "seconds": self._seconds,
            "retired": self._retired,
            "last": self._last.to_dict(),
        }


def _check_movable(
    config: RunConfig, network: Network, is_user_given_allowed: bool
) -> BridgeNetwork:
    """Refuse networks whose bridges are not to be moved, or cannot be."""
    obstacle = _find_obstacle(config, is_user_given_allowed)
    if obstacle or not isinstance(network, BridgeNetwork):
        raise ConfigError(f"optimize_paths moves no bridges here: {obstacle}.")
    return network


def _find_obstacle(config: RunConfig, is_user_given_allowed: bool) -> str:
    kind = config.bridges.kind
    if kind == "none":
        return "bridges=none makes none; use bridges=matchings"
    if kind == "procedural":
        return (
            "the ends of bridges=procedural are computed from a keyed permutation; use "
            "bridges=matchings"
        )
    if kind == "file" and not is_user_given_allowed:
        return (
            "those of bridges=file were given by the user; pass "
            "is_user_given_allowed=True to change them"
        )
    reach = config.lattice.coupling_range
    if reach != "nearest":
        return (
            f"lattice.coupling_range is {reach!r}, and paths are optimised by the "
            "locked state of a lattice of neighbours; use lattice.coupling_range="
            "nearest"
        )
    if not config.rollout.is_idle:
        return (
            "a rollout compares two policies on the bridges as they are; use "
            "rollout=none"
        )
    return ""
