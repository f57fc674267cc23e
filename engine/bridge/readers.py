"""Readers: edge lists from CSV, Parquet, NPZ, GraphML and networkx graphs.

The edges of a directed graph become directed bridges, whose target alone moves. A
column or a data attribute that tells of each edge goes before that, and that before
`bridges.directed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.bridge.edges import EdgeList, take_edges
from engine.config import BridgesConfig
from engine.errors import (
    EngineError,
    RecordError,
    ShapeError,
    cut,
    quote,
    unknown_choice,
)
from engine.intake import describe, read_arrays, read_head, read_table

Columns = Mapping[str, npt.NDArray[Any]]


def _read_csv(path: Path, config: BridgesConfig) -> Columns:
    from pyarrow import csv

    read_head(path)
    table = csv.read_csv(path)
    return {
        name: table.column(name).to_numpy(zero_copy_only=False)
        for name in table.column_names
    }


def _read_parquet(path: Path, config: BridgesConfig) -> Columns:
    return read_table(path)


def _read_npz(path: Path, config: BridgesConfig) -> Columns:
    return read_arrays(path)


def _read_graphml(path: Path, config: BridgesConfig) -> Columns:
    import rustworkx

    graphs = rustworkx.read_graphml(str(path))
    if not graphs:
        raise ValueError("it holds no graph with a node")
    graph = graphs[0]
    names = [str(node.get("id", index)) for index, node in enumerate(graph.nodes())]
    ids = np.array([_node_number(name) for name in names], dtype=np.int64)
    ends = np.array(graph.edge_list(), dtype=np.int64).reshape(-1, 2)
    columns = {
        config.source_column: ids[ends[:, 0]],
        config.target_column: ids[ends[:, 1]],
    }
    key = config.strength_column
    values = [(edge or {}).get(key) for edge in graph.edges()]
    if any(value is not None for value in values):
        default = config.strength_rad_s
        strengths = [default if value is None else value for value in values]
        columns[key] = np.array(strengths, dtype=np.float64)
    is_directed = isinstance(graph, rustworkx.PyDiGraph) or config.directed
    key = config.directed_column
    flags = [(edge or {}).get(key) for edge in graph.edges()]
    columns[key] = np.array([is_directed if flag is None else flag for flag in flags])
    return columns


def _node_number(name: str) -> int:
    """Read a node's number from its GraphML id: '17' or 'n17'."""
    digits = name[1:] if name[:1] == "n" else name
    if not digits.isdigit():
        raise ShapeError(
            f"GraphML node id {quote(name)} is no number; name the nodes 0, 1, 2 ... "
            "(or n0, n1 ...), the flat index of each lattice node."
        )
    return int(digits)


_READERS: dict[str, Callable[[Path, BridgesConfig], Columns]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".npz": _read_npz,
    ".graphml": _read_graphml,
}


def read_edges(config: BridgesConfig, node_count: int) -> EdgeList:
    """Read the edge list that a configuration names.

    Args:
        config: Path, column names, and strength and direction where the file has none.
        node_count: Number of nodes of the lattice.

    Returns:
        Checked bridges with layers.

    Raises:
        ConfigError: The file's ending is unknown.
        RecordError: The file is absent or damaged.
        ShapeError: A column is missing, there is no edge, or the edges do not fit the
            lattice.
    """
    path = Path(str(config.path))
    ending = path.suffix.lower()
    if ending not in _READERS:
        raise unknown_choice("the ending of bridges.path", path.suffix, _READERS)
    try:
        if not path.is_file():
            raise RecordError(
                f"bridges.path {path} is no file; name an existing edge list."
            )
        columns = _READERS[ending](path, config)
    except EngineError:
        raise
    except Exception as error:  # readers of four libraries, each with its own errors
        raise RecordError(
            f"bridges.path {path} cannot be read as {ending[1:]}: {describe(error)}."
        ) from error
    _check_names(columns, config)
    sources, targets = columns[config.source_column], columns[config.target_column]
    if not np.size(sources):
        raise ShapeError(
            f"bridges.path {path} holds no bridge, only the names of its columns; add "
            "rows, or use bridges=none."
        )
    default = np.full(np.size(sources), config.strength_rad_s)
    strengths = columns.get(config.strength_column, default)
    directed = columns.get(config.directed_column, np.array(config.directed))
    return take_edges(
        sources, targets, strengths, node_count, str(path), directed=directed
    )


def _check_names(columns: Columns, config: BridgesConfig) -> None:
    """Refuse a file without its ends, or without a column that was named on purpose."""
    plain = BridgesConfig()
    for key in ("source_column", "target_column", "strength_column", "directed_column"):
        name = getattr(config, key)
        is_optional = key in ("strength_column", "directed_column")
        if name in columns or (is_optional and name == getattr(plain, key)):
            continue
        raise ShapeError(
            f"{config.path}: column {quote(name)} is missing; it has "
            f"{cut(', '.join(columns))}. Set bridges.{key}."
        )


def take_graph(
    graph: Any,
    config: BridgesConfig,
    node_count: int,
    strength: str = "strength",
    *,
    directed: str = "directed",
) -> EdgeList:
    """Take the edges of a networkx graph as bridges.

    Args:
        graph: A networkx graph whose nodes are flat lattice indices; the edges of a
            directed one become directed bridges.
        config: Gives the strength of edges that carry none [rad/s].
        node_count: Number of nodes of the lattice.
        strength: Edge attribute with the strength [rad/s].
        directed: Edge attribute that tells which edges of a directed graph are.

    Returns:
        Checked bridges with layers.

    Raises:
        ShapeError: The edges do not fit the lattice, or edges of an undirected graph,
            which keeps no order of ends, are to be directed.
    """
    rows = list(graph.edges(data=strength, default=config.strength_rad_s))
    sources = [source for source, _, _ in rows]
    targets = [target for _, target, _ in rows]
    strengths = np.array([value for _, _, value in rows])
    is_directed = bool(graph.is_directed()) or config.directed
    flags = [flag for _, _, flag in graph.edges(data=directed, default=is_directed)]
    if any(flags) and not graph.is_directed():
        raise ShapeError(
            "networkx graph: an edge of an undirected graph has no first end, so it "
            "cannot be a directed bridge; use networkx.DiGraph, with directed=False on "
            "edges that pull both ends."
        )
    return take_edges(
        sources,
        targets,
        strengths,
        node_count,
        "networkx graph",
        directed=np.array(flags),
    )
