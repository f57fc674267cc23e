"""Quantum bridges: long-range links that act by tunnel events.

`edges.py` checks edge lists, `drawing.py` draws them, `placement.py` places them by
natural frequency with `pairing.py`, `readers.py` reads them from files, `network.py`
holds them in dense arrays, in the order of `slots.py` and at the frequencies that
`shares.py` gives them, once `soundness.py` has found them sound; `matching.py` holds
matchings whose ends are computed, and `base.py` what both kinds of network offer.
`operator.py` is the Laplacian of lattice plus bridges, `alignment.py` the locked state
that follows from it and the worth of a bridge. Layer 3 (README, "The house").
"""

import numpy as np
import numpy.typing as npt

from engine.bridge.alignment import Alignment, BareLattice
from engine.bridge.base import (
    COHORT,
    FOLLOW,
    SHARE,
    Group,
    Network,
    QuantumBridge,
)
from engine.bridge.drawing import build_matchings, build_small_world
from engine.bridge.edges import EdgeList, build_empty, colour_edges, take_edges
from engine.bridge.matching import MatchingNetwork
from engine.bridge.network import BridgeNetwork
from engine.bridge.placement import place_matchings
from engine.bridge.readers import read_edges, take_graph
from engine.config import BridgesConfig
from engine.errors import ConfigError
from engine.geometry import Geometry

__all__ = [
    "COHORT",
    "FOLLOW",
    "SHARE",
    "Alignment",
    "BareLattice",
    "BridgeNetwork",
    "EdgeList",
    "Group",
    "MatchingNetwork",
    "Network",
    "QuantumBridge",
    "build_edges",
    "build_empty",
    "build_matchings",
    "build_small_world",
    "colour_edges",
    "place_matchings",
    "read_edges",
    "take_edges",
    "take_graph",
]


def build_edges(
    geometry: Geometry,
    config: BridgesConfig,
    seed: int,
    *,
    detunings_hz: npt.NDArray[np.floating] | None = None,
    coupling_rad_s: float = 0.0,
) -> EdgeList:
    """Build the edge list that a configuration describes.

    Args:
        geometry: The lattice that the bridges span.
        config: Kind, number and strength.
        seed: Key of the random numbers.
        detunings_hz: Natural frequencies minus a common one [Hz], shape (nodes,), by
            which bridges are placed; not needed where they are drawn at random.
        coupling_rad_s: K of every lattice edge [rad/s], likewise.

    Returns:
        Checked bridges with layers.

    Raises:
        ConfigError: The kind or the placement does not fit the lattice.
        RecordError: The edge list cannot be read.
        ShapeError: The edge list does not fit the lattice.
    """
    if config.kind == "matchings" and config.placement != "random":
        if detunings_hz is None:
            raise ConfigError(
                f"bridges.placement is {config.placement!r}, but no natural "
                "frequencies were given to build_edges; pass detunings_hz."
            )
        lattice = BareLattice(geometry, detunings_hz, coupling_rad_s)
        return place_matchings(lattice, config, seed)
    if config.kind == "matchings":
        return build_matchings(geometry.node_count, config, seed)
    if config.kind == "small_world":
        return build_small_world(geometry, config, seed)
    if config.kind == "file":
        return read_edges(config, geometry.node_count)
    return build_empty()
