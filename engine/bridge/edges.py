"""Edge lists: where bridges come from before they become a network.

`take_edges` accepts what a builder, a reader or a user brings, `colour_edges` finds
the layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Never

import numpy as np
import numpy.typing as npt

from engine.config.checks import MAX_RATE
from engine.errors import ShapeError, cut, quote

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

    def move(
        self,
        rows: npt.NDArray[np.integer],
        sources: npt.NDArray[np.integer],
        targets: npt.NDArray[np.integer],
    ) -> EdgeList:
        """Return a list in which some bridges have other ends.

        Args:
            rows: Which bridges, shape (n,).
            sources: New first ends, node ids, shape (n,).
            targets: New second ends, node ids, shape (n,).

        Raises:
            ShapeError: A node would occur twice in a layer.
        """
        moved = replace(self, sources=self.sources.copy(), targets=self.targets.copy())
        moved.sources[rows], moved.targets[rows] = sources, targets
        _check_layers(moved)
        return moved


def build_empty() -> EdgeList:
    """Build a list of no bridges."""
    ids, layers = np.zeros(0, np.uint32), np.zeros(0, np.int32)
    return EdgeList(ids, ids, np.zeros(0, np.float32), layers)


def _check_layers(edges: EdgeList) -> None:
    """Refuse layers that are no matchings."""
    layers = np.tile(edges.layers, 2)
    ends = np.concatenate([edges.sources, edges.targets])
    order = np.lexsort((ends, layers))
    layers, ends = layers[order], ends[order]
    repeats = np.flatnonzero((layers[1:] == layers[:-1]) & (ends[1:] == ends[:-1]))
    if len(repeats):
        node, layer = ends[repeats[0]], layers[repeats[0]]
        raise ShapeError(
            f"moved bridges: node {node} would be an end of two bridges of layer "
            f"{layer} ({len(repeats)} such nodes); a layer must stay a matching."
        )


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
    if array.ndim == 1 and not is_whole:
        _refuse_row(
            array, _is_node, f"{origin}: {name}", "a whole number, the index of a node"
        )
    if array.ndim != 1:
        raise ShapeError(
            f"{origin}: {name} ids have type {cut(str(array.dtype))} and shape "
            f"{array.shape}; they must be a column of whole numbers, the flat index of "
            "each node."
        )
    if array.dtype == np.uint64:
        array = np.minimum(array, np.uint64(2**63 - 1))
    return array.astype(np.int64)


def _refuse_row(
    array: npt.NDArray[Any], is_right: Callable[[Any], bool], name: str, wanted: str
) -> Never:
    """Name the first row whose value is none of those that are wanted.

    Where text holds nothing but right values, it is the text that is wrong.

    Raises:
        ShapeError: Always.
    """
    values = array.tolist()
    row = next((row for row, value in enumerate(values) if not is_right(value)), 0)
    value = "missing" if values[row] is None else quote(values[row])
    raise ShapeError(
        f"{name} of row {row} is {value}; it must be {wanted} (rows count from 0)."
    )


def _is_node(value: Any) -> bool:
    """Say whether a value, or the text of one, is a whole number."""
    return _is_number(value) and float(value).is_integer()


def _is_number(value: Any) -> bool:
    """Say whether a value, or the text of one, is a number that is not infinite."""
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _is_flag(value: Any) -> bool:
    """Say whether a value, or the text of one, is true, false, 1 or 0."""
    return str(value).lower() in ("true", "false", "0", "1", "0.0", "1.0")


def _real_strengths(values: npt.NDArray[Any], origin: str) -> npt.NDArray[np.float64]:
    array = np.asarray(values)
    if array.ndim == 1 and array.size and array.dtype.kind not in "fiu":
        _refuse_row(array, _is_number, f"{origin}: strength", "a number [rad/s]")
    if array.ndim != 1:
        raise ShapeError(
            f"{origin}: strengths have type {cut(str(array.dtype))} and shape "
            f"{array.shape}; they must be a column of numbers [rad/s]."
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
    if array.shape == (count,) and count and not is_flag:
        name = f"{origin}: the flag of directed bridges"
        _refuse_row(array, _is_flag, name, "true or false, or 1 or 0")
    if array.shape != (count,):
        raise ShapeError(
            f"{origin}: the flags of directed bridges have type "
            f"{cut(str(array.dtype))} and "
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
                f"in 0..{node_count - 1}, the nodes of lattice.shape (rows count from "
                "0)."
            )
    loops = np.flatnonzero(first == second)
    if len(loops):
        raise ShapeError(
            f"{origin}: row {loops[0]} joins node {first[loops[0]]} with itself "
            f"({len(loops)} such rows, counted from 0); remove self loops."
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
            f"it must lie in [-{MAX_RATE:g}, {MAX_RATE:g}] (rows count from 0)."
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
