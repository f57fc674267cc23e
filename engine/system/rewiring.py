"""Rewiring a living network: which networks may be, and what it needs of the system."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.bridge import BareLattice, BridgeNetwork, Network
from engine.config import RunConfig
from engine.crystal import CrystalLattice
from engine.errors import ConfigError
from engine.system.parts import apply_law
from engine.wanda import PathReport, optimize_paths


def rewire(
    config: RunConfig,
    network: Network,
    lattice: CrystalLattice,
    *,
    share: float,
    tick: int,
    is_user_given_allowed: bool = False,
) -> PathReport:
    """Move bridges to where the linearised locked state gains most.

    The state follows from natural frequencies, coupling and strengths as they are now,
    never from phases, so every back end moves the same bridges.

    Args:
        config: The run.
        network: Its bridges.
        lattice: Its oscillators.
        share: Share of each layer that competes for its places [-], in (0, 1].
        tick: Lattice steps so far [-].
        is_user_given_allowed: Whether the edge list of bridges=file may be changed.

    Returns:
        What it has brought.

    Raises:
        ConfigError: The bridges cannot be moved, repel or are directed, or the share
            is out of range.
    """
    stored = _check_movable(config, network, is_user_given_allowed)
    bare = BareLattice(lattice.geometry, lattice.detunings_hz, lattice.coupling_rad_s)

    def law(
        sources: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        return apply_law(sources, targets, lattice, config.tunnel)

    return optimize_paths(stored, bare, law, tick=tick, share=share)


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
