"""Edge lists: where bridges come from before they become a network.

Builders draw them (random matchings, small-world links) and their strengths,
`take_edges` accepts what a reader or a user brings, `colour_edges` finds the layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from engine.backends.philox import PART, Stream, draw_permutation, draw_uniform
from engine.config import BridgesConfig
from engine.config.checks import MAX_RATE
from engine.errors import ConfigError, ShapeError
from engine.geometry import Geometry

I64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


def spread_flag(flag: bool, count: int) -> BoolArray:
    """Return a read-only column that repeats one flag without taking memory for it."""
    return np.broadcast_to(np.bool_(flag), (count,))


@dataclass(frozen=True)
class EdgeList:
    """Bridges as columns, in the order that gives them their ids."""

    sources: npt.NDArray[np.uint32]
    """First ends, node ids, shape (bridges,)."""
    targets: npt.NDArray[np.uint32]
    """Second ends, node ids, shape (bridges,)."""
    strengths_rad_s: npt.NDArray[np.float32]
    """kappa [rad/s], negative where a bridge repels, shape (bridges,)."""
    layers: npt.NDArray[np.int32]
    """Layer of each bridge; no node occurs twice in a layer, shape (bridges,)."""
    directed: BoolArray = field(default_factory=lambda: spread_flag(False, 1))
    """Whether only the target moves, shape (bridges,); one flag may stand for all."""

    def __post_init__(self) -> None:
        """Spread a single flag over all bridges."""
        shape = (len(self.sources),)
        object.__setattr__(self, "directed", np.broadcast_to(self.directed, shape))

    def __len__(self) -> int:
        """Return the number of bridges."""
        return len(self.sources)


def build_empty() -> EdgeList:
    """Build a list of no bridges."""
    ids, layers = np.zeros(0, np.uint32), np.zeros(0, np.int32)
    return EdgeList(ids, ids, np.zeros(0, np.float32), layers)


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
    if node_count % 2:
        raise ConfigError(
            f"{node_count} nodes is an odd number, so no perfect matching exists; make "
            "one axis of lattice.shape even, or use bridges=small_world."
        )
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


def take_edges(
    sources: Iterable[int] | npt.NDArray[Any],
    targets: Iterable[int] | npt.NDArray[Any],
    strengths_rad_s: npt.NDArray[Any],
    node_count: int,
    origin: str = "edge list",
    *,
    directed: npt.NDArray[Any] | bool = False,
) -> EdgeList:
    """Check an edge list and find its layers.

    Args:
        sources: First ends, node ids, shape (bridges,).
        targets: Second ends, node ids, shape (bridges,).
        strengths_rad_s: kappa [rad/s], negative where a bridge repels, (bridges,).
        node_count: Number of nodes of the lattice.
        origin: File or builder, for error messages.
        directed: Whether only the target of a bridge moves, booleans or 0 and 1, shape
            (bridges,) or one for all. Directed bridges may join the same nodes either
            way.

    Returns:
        The bridges with layers by greedy edge colouring.

    Raises:
        ShapeError: Ids are no integers or out of range, a bridge joins a node with
            itself or occurs twice, a strength is not finite or too large, or a flag is
            neither true nor false.
    """
    first = _integer_ids(sources, "source", origin)
    second = _integer_ids(targets, "target", origin)
    strengths = _real_strengths(strengths_rad_s, origin)
    if not len(first) == len(second) == len(strengths):
        raise ShapeError(
            f"{origin}: {len(first)} sources, {len(second)} targets and "
            f"{len(strengths)} strengths; all three must have the same length."
        )
    flags = _take_flags(directed, len(first), origin)
    _check_ids(first, second, node_count, origin)
    _check_pairs(first, second, flags, origin)
    _check_strengths(strengths, origin)
    return EdgeList(
        first.astype(np.uint32),
        second.astype(np.uint32),
        strengths.astype(np.float32),
        colour_edges(first, second, node_count),
        flags,
    )


def _integer_ids(
    values: Iterable[int] | npt.NDArray[Any], name: str, origin: str
) -> I64Array:
    array = np.asarray(values if isinstance(values, np.ndarray) else list(values))
    if array.ndim == 1 and array.size == 0:
        return np.zeros(0, dtype=np.int64)
    is_whole = array.dtype.kind in "iu"
    if array.dtype.kind == "f":
        is_whole = bool((np.abs(array) < 2.0**53).all() and (array % 1.0 == 0.0).all())
    if array.ndim != 1 or not is_whole:
        raise ShapeError(
            f"{origin}: {name} ids have type {array.dtype} and shape {array.shape}; "
            "they must be a column of whole numbers, the flat index of each node."
        )
    if array.dtype == np.uint64:
        array = np.minimum(array, np.uint64(2**63 - 1))
    return array.astype(np.int64)


def _real_strengths(values: npt.NDArray[Any], origin: str) -> npt.NDArray[np.float64]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "fiu"):
        raise ShapeError(
            f"{origin}: strengths have type {array.dtype} and shape {array.shape}; "
            "they must be a column of numbers [rad/s]."
        )
    return array.astype(np.float64)


def _take_flags(values: npt.NDArray[Any] | bool, count: int, origin: str) -> BoolArray:
    """Check a column of flags."""
    array = np.asarray(values)
    if array.ndim == 0 and array.dtype.kind == "b":
        return spread_flag(bool(array), count)
    is_flag = array.dtype.kind == "b"
    if array.dtype.kind in "fiu":
        is_flag = bool(((array == 0) | (array == 1)).all())
    if array.shape != (count,) or not (is_flag or array.size == 0):
        raise ShapeError(
            f"{origin}: the flags of directed bridges have type {array.dtype} and "
            f"shape {array.shape}; they must be a column of {count} times true or "
            "false, or 1 or 0."
        )
    return array.astype(np.bool_)


def _check_ids(first: I64Array, second: I64Array, node_count: int, origin: str) -> None:
    for name, ids in (("source", first), ("target", second)):
        wrong = np.flatnonzero((ids < 0) | (ids >= node_count))
        if len(wrong):
            raise ShapeError(
                f"{origin}: {name} of row {wrong[0]} is {ids[wrong[0]]}; ids must lie "
                f"in 0..{node_count - 1}, the nodes of lattice.shape."
            )
    loops = np.flatnonzero(first == second)
    if len(loops):
        raise ShapeError(
            f"{origin}: row {loops[0]} joins node {first[loops[0]]} with itself "
            f"({len(loops)} such rows); remove self loops."
        )


def _check_pairs(
    first: I64Array, second: I64Array, directed: BoolArray, origin: str
) -> None:
    """Refuse bridges that join the same nodes, unless as directed ones, back and forth.

    An undirected bridge counts both ways, so it goes with no other.
    """
    lower, upper = np.minimum(first, second), np.maximum(first, second)
    backwards = directed & (first > second)
    order = np.lexsort((backwards, upper, lower))
    lower, upper, backwards = lower[order], upper[order], backwards[order]
    is_same = (lower[1:] == lower[:-1]) & (upper[1:] == upper[:-1])
    is_return = directed[order][1:] & directed[order][:-1]
    is_return &= backwards[1:] != backwards[:-1]
    repeats = np.flatnonzero(is_same & ~is_return)
    if len(repeats):
        one, other = sorted(order[repeats[0] : repeats[0] + 2].tolist())
        raise ShapeError(
            f"{origin}: rows {one} and {other} join the same nodes {first[one]} and "
            f"{second[one]} ({len(repeats)} duplicates); keep one of each and add "
            "their strengths (only directed bridges may go back and forth)."
        )


def _check_strengths(strengths: npt.NDArray[np.float64], origin: str) -> None:
    wrong = np.flatnonzero(~(np.abs(strengths) <= MAX_RATE))
    if len(wrong):
        raise ShapeError(
            f"{origin}: strength of row {wrong[0]} is {strengths[wrong[0]]:g} rad/s; "
            f"it must lie in [-{MAX_RATE:g}, {MAX_RATE:g}]."
        )


def colour_edges(
    sources: I64Array, targets: I64Array, node_count: int
) -> npt.NDArray[np.int32]:
    """Split edges into layers in which no node occurs twice.

    Args:
        sources: First ends, shape (edges,).
        targets: Second ends, shape (edges,).
        node_count: Number of nodes.

    Returns:
        Layer of each edge, int32, shape (edges,); greedy, at most 2 * degree - 1.
    """
    import rustworkx

    graph = rustworkx.PyGraph(multigraph=True)
    graph.add_nodes_from(range(node_count))
    graph.add_edges_from_no_data(
        list(zip(sources.tolist(), targets.tolist(), strict=True))
    )
    colours = rustworkx.graph_greedy_edge_color(graph)
    return np.array([colours[edge] for edge in range(len(sources))], dtype=np.int32)
