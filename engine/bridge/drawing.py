"""Drawing bridges: random matchings, small-world links, and their strengths."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import special

from engine.backends.philox import PART, Stream, draw_permutation, draw_uniform
from engine.bridge.edges import EdgeList, I64Array, spread_flag, take_edges
from engine.config import BridgesConfig
from engine.config.checks import MAX_RATE
from engine.errors import ConfigError
from engine.geometry import Geometry


def build_matchings(node_count: int, config: BridgesConfig, seed: int) -> EdgeList:
    """Draw `per_node` random perfect matchings, each one a layer.

    Args:
        node_count: Even number of nodes.
        config: Layers and strength.
        seed: Key of the random numbers.

    Returns:
        per_node * node_count / 2 bridges; two layers may join the same pair.

    Raises:
        ConfigError: The node count is odd, or a strength that was drawn is too large.
    """
    check_even(node_count)
    size = node_count // 2
    ends = np.empty((2, config.per_node, size), dtype=np.uint32)
    for row in range(config.per_node):
        order = draw_permutation(seed, Stream.BRIDGES, node_count, row)
        ends[0, row], ends[1, row] = order[0::2], order[1::2]
    layers = np.repeat(np.arange(config.per_node, dtype=np.int32), size)
    return EdgeList(
        ends[0].ravel(),
        ends[1].ravel(),
        draw_strengths(len(layers), config, seed),
        layers,
        spread_flag(config.directed, len(layers)),
    )


def check_even(node_count: int) -> None:
    """Check that a perfect matching exists.

    Raises:
        ConfigError: The node count is odd.
    """
    if node_count % 2:
        raise ConfigError(
            f"{node_count} nodes is an odd number, so no perfect matching exists; make "
            "one axis of lattice.shape even, or use bridges=small_world."
        )


def draw_strengths(
    count: int, config: BridgesConfig, seed: int
) -> npt.NDArray[np.float32]:
    """Draw the strength of each bridge.

    A gaussian law around `strength_rad_s` of which a share, drawn independently,
    changes its sign. Without a spread or a share nothing is drawn.

    Args:
        count: Number of bridges.
        config: Mean, spread and repulsive share.
        seed: Key of the random numbers.

    Returns:
        kappa [rad/s], negative where a bridge repels, shape (bridges,).

    Raises:
        ConfigError: A strength is beyond what is allowed.
    """
    strengths = np.full(count, config.strength_rad_s, dtype=np.float32)
    if config.strength_spread_rad_s > 0.0:
        for low, share in _draw_shares(count, seed, row=0):
            drawn = config.strength_spread_rad_s * special.ndtri(share)
            strengths[low : low + len(share)] = config.strength_rad_s + drawn
    if config.repulsive_share > 0.0:
        for low, share in _draw_shares(count, seed, row=1):
            part = strengths[low : low + len(share)]
            np.negative(part, out=part, where=share < config.repulsive_share)
    largest = float(np.abs(strengths).max(initial=0.0))
    if not largest <= MAX_RATE:
        raise ConfigError(
            f"The largest strength drawn is {largest:g} rad/s and at most {MAX_RATE:g} "
            "is allowed; lower bridges.strength_spread_rad_s."
        )
    return strengths


def _draw_shares(
    count: int, seed: int, row: int
) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
    """Draw a uniform number for each bridge, in parts: their first row, and they."""
    shares = draw_uniform(seed, Stream.STRENGTHS, count, row)
    for low in range(0, count, PART):
        yield low, shares[low : low + PART]


def build_small_world(geometry: Geometry, config: BridgesConfig, seed: int) -> EdgeList:
    """Draw links whose probability falls with distance to a power.

    Each link starts at a random node and takes one of all lattice displacements
    beyond the neighbours with probability ~ distance^-exponent; draws that leave an
    open boundary or repeat a link are discarded and drawn again.

    Args:
        geometry: The lattice whose distances count.
        config: Bridge ends per node, exponent and strength.
        seed: Key of the random numbers.

    Returns:
        per_node * nodes / 2 bridges.

    Raises:
        ConfigError: The lattice is too small for so many distinct links.

    References:
        Kleinberg 2000, "Navigation in a small world", doi:10.1038/35022643.
    """
    wanted = config.per_node * geometry.node_count // 2
    displacements, cumulative = _displacement_law(geometry, config.distance_exponent)
    keys: I64Array = np.zeros(0, dtype=np.int64)
    for row in itertools.count(1):
        sources = _draw_integers(seed, 2 * row, wanted, geometry.node_count)
        picks = draw_uniform(seed, Stream.BRIDGES, wanted, 2 * row + 1)
        steps = displacements[np.searchsorted(cumulative, picks)]
        targets, exists = _displace(geometry, sources, steps)
        lower, upper = np.minimum(sources, targets), np.maximum(sources, targets)
        drawn = (lower * geometry.node_count + upper)[exists & (lower != upper)]
        merged = np.concatenate([keys, drawn])
        _, first = np.unique(merged, return_index=True)
        keys = merged[np.sort(first)][:wanted]
        if len(keys) == wanted:
            break
        if row > 200:
            raise ConfigError(
                f"bridges.per_node is {config.per_node}, too many distinct small-world "
                f"links for {geometry.node_count} nodes; lower it."
            )
    strengths = draw_strengths(wanted, config, seed)
    source, target = np.divmod(keys, geometry.node_count)
    if config.directed:  # a key has forgotten at which end the link started
        is_back = draw_uniform(seed, Stream.BRIDGES, wanted, 0) < 0.5
        source, target = np.where(is_back, (target, source), (source, target))
    directed = spread_flag(config.directed, wanted)
    return take_edges(
        source, target, strengths, geometry.node_count, "small_world", directed=directed
    )


def _draw_integers(seed: int, row: int, count: int, below: int) -> I64Array:
    share = draw_uniform(seed, Stream.BRIDGES, count, row)
    return np.minimum((share * below).astype(np.int64), below - 1)


def _displacement_law(
    geometry: Geometry, exponent: float
) -> tuple[I64Array, npt.NDArray[np.float64]]:
    """List all displacements beyond the neighbours and their cumulative law."""
    ranges = [
        np.arange(-((n - 1) // 2), n // 2 + 1) if closed else np.arange(1 - n, n)
        for n, closed in zip(geometry.shape, geometry.periodic, strict=True)
    ]
    grid = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1)
    steps = grid.reshape(-1, len(geometry.shape))
    distance = _nearest_image_distance(geometry, steps)
    is_far = distance > 1.0 + 1e-9
    if not is_far.any():
        raise ConfigError(
            f"lattice.shape {geometry.shape} has no two nodes beyond nearest "
            "neighbours; enlarge it for bridges=small_world."
        )
    weights = distance[is_far] ** -exponent
    cumulative = np.cumsum(weights)
    return steps[is_far], cumulative / cumulative[-1]


def _nearest_image_distance(
    geometry: Geometry, steps: I64Array
) -> npt.NDArray[np.float64]:
    """Return how far displacements reach, around closed axes if that is shorter.

    Primitive vectors may be oblique, so the nearest image need not be the one with
    the smallest index steps; the images one turn either way suffice.
    """
    turns = [
        (-cells, 0, cells) if closed else (0,)
        for cells, closed in zip(geometry.shape, geometry.periodic, strict=True)
    ]
    vectors = geometry.primitive_vectors
    nearest = np.full(len(steps), np.inf)
    for image in itertools.product(*turns):
        length = np.linalg.norm((steps + np.array(image)) @ vectors, axis=1)
        np.minimum(nearest, length, out=nearest)
    return nearest


def _displace(
    geometry: Geometry, sources: I64Array, steps: I64Array
) -> tuple[I64Array, npt.NDArray[np.bool_]]:
    """Move each node by its own step; also tell which stay inside."""
    index = np.stack(np.unravel_index(sources, geometry.shape), axis=1) + steps
    shape, closed = np.array(geometry.shape), np.array(geometry.periodic)
    inside = ((index >= 0) & (index < shape)) | closed
    wrapped = tuple((index % shape).T)
    return np.ravel_multi_index(wrapped, geometry.shape), inside.all(axis=1)
