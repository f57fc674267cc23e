"""What bridges must be before kernels may follow them, whoever has built the list.

Kernels read and write phases at both ends without asking, and take all bridges of a
layer at once. So an end beyond the lattice would reach foreign memory, and a node that
occurs twice in a layer would make results depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from engine.bridge.base import Group
from engine.bridge.edges import EdgeList
from engine.config.checks import MAX_RATE
from engine.constants import MAX_NODES
from engine.errors import ShapeError

SPARE_IDS = 2**20
"""Node ids that a table may hold beside sixteen per bridge; beyond, ends are sorted."""


def check_bridges(
    edges: EdgeList, probabilities: npt.NDArray[np.floating]
) -> npt.NDArray[np.float64]:
    """Check the columns of bridges, each for itself.

    Args:
        edges: The bridges.
        probabilities: Success probability of each [-].

    Returns:
        The probabilities, shape (bridges,).

    Raises:
        ShapeError: A column has another length or type than it must, a node id is out
            of range, a bridge joins a node with itself, a strength is not finite or too
            large, or a probability is not in (0, 1].
    """
    values = np.asarray(probabilities, dtype=np.float64)
    if values.shape != (len(edges),) or not ((values > 0.0) & (values <= 1.0)).all():
        raise ShapeError(
            f"The probabilities of {len(edges)} bridges have shape {values.shape}, or "
            "not all of them lie in (0, 1]; give one for each bridge."
        )
    _check_columns(edges)
    if not (np.abs(edges.strengths_rad_s) <= MAX_RATE).all():
        raise ShapeError(
            "The strengths of the bridges are not all finite and within "
            f"[-{MAX_RATE:g}, {MAX_RATE:g}] rad/s; take them in by take_edges."
        )
    return values


def _check_columns(edges: EdgeList) -> None:
    wanted = {"sources": np.uint32, "targets": np.uint32, "layers": np.int32}
    for name, kind in {**wanted, "strengths_rad_s": np.float32}.items():
        column = getattr(edges, name)
        if column.dtype != kind or column.shape != (len(edges),):
            raise ShapeError(
                f"The {name} of {len(edges)} bridges have type {column.dtype} and "
                f"shape {column.shape}; they must be {np.dtype(kind)}, one for each "
                "bridge. Take bridges in by take_edges."
            )
    if find_node_count(edges) > MAX_NODES:
        raise ShapeError(
            f"The bridges join node {find_node_count(edges) - 1}; ids are those of "
            f"nodes of the lattice, 0..{MAX_NODES - 1} at most. Take bridges in by "
            "take_edges."
        )
    loops = np.flatnonzero(edges.sources == edges.targets)
    if len(loops):
        raise ShapeError(
            f"Bridge {loops[0]} joins node {edges.sources[loops[0]]} with itself; "
            "remove self loops."
        )


def find_node_count(edges: EdgeList) -> int:
    """Return the nodes that a lattice must have for these bridges [-]."""
    if not len(edges):
        return 0
    return 1 + max(int(edges.sources.max()), int(edges.targets.max()))


def check_layers(
    edges: EdgeList, order: npt.NDArray[np.int64], groups: Iterable[Group]
) -> None:
    """Check that no node occurs twice in a layer.

    Args:
        edges: The bridges, their ids in range.
        order: Bridge id in each slot, shape (bridges,).
        groups: Runs of slots, one for each layer.

    Raises:
        ShapeError: One does.
    """
    node_count = find_node_count(edges)
    is_compact = node_count <= 16 * len(edges) + SPARE_IDS
    places = np.empty(node_count, np.int64) if is_compact else None
    for group in groups:
        rows = order[group.start : group.stop]
        ends = np.concatenate([edges.sources[rows], edges.targets[rows]])
        if places is None:
            is_matching = len(np.unique(ends)) == len(ends)
        else:
            # Where a node occurs twice, the first of its two places is overwritten.
            own = np.arange(len(ends))
            places[ends] = own
            is_matching = bool((places[ends] == own).all())
        if not is_matching:
            nodes, counts = np.unique(ends, return_counts=True)
            raise ShapeError(
                f"Node {nodes[counts.argmax()]} occurs {counts.max()} times in layer "
                f"{group.layer} of the bridges; a layer must be a matching. Take "
                "bridges in by take_edges, which finds the layers."
            )
