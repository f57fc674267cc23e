"""Quantum bridges: long-range links that act by tunnel events.

`edges.py` checks edge lists, `drawing.py` draws them, `readers.py` reads them from
files, `network.py` holds them in dense arrays; `matching.py` holds matchings whose ends
are computed, and `base.py` what both kinds of network offer. Imports configuration,
geometry and back ends.
"""

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
from engine.bridge.readers import read_edges, take_graph
from engine.config import BridgesConfig
from engine.geometry import Geometry

__all__ = [
    "COHORT",
    "FOLLOW",
    "SHARE",
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
    "read_edges",
    "take_edges",
    "take_graph",
]


def build_edges(geometry: Geometry, config: BridgesConfig, seed: int) -> EdgeList:
    """Build the edge list that a configuration describes.

    Args:
        geometry: The lattice that the bridges span.
        config: Kind, number and strength.
        seed: Key of the random numbers.

    Returns:
        Checked bridges with layers.

    Raises:
        ConfigError: The kind does not fit the lattice.
        RecordError: The edge list cannot be read.
        ShapeError: The edge list does not fit the lattice.
    """
    if config.kind == "matchings":
        return build_matchings(geometry.node_count, config, seed)
    if config.kind == "small_world":
        return build_small_world(geometry, config, seed)
    if config.kind == "file":
        return read_edges(config, geometry.node_count)
    return build_empty()
