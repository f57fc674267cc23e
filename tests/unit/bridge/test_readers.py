"""Readers: every format gives back what was written, and says what is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from engine.bridge import EdgeList, build_edges, read_edges, take_graph
from engine.config import BridgesConfig
from engine.errors import ConfigError, EngineError, RecordError, ShapeError
from engine.geometry import build_geometry

NODES = 16
SOURCES, TARGETS = [0, 5, 15, 2], [4, 1, 3, 9]
STRENGTHS = [1.5, 2.0, 0.0, 108.25]


def write_csv(path: Path, columns: dict[str, Any]) -> None:
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_parquet(path: Path, columns: dict[str, Any]) -> None:
    parquet.write_table(pa.table(columns), path)


def write_npz(path: Path, columns: dict[str, Any]) -> None:
    np.savez(path, **{name: np.array(values) for name, values in columns.items()})


def write_graphml(path: Path, columns: dict[str, Any]) -> None:
    networkx.write_graphml(build_graph(columns), path)


def build_graph(columns: dict[str, Any]) -> networkx.Graph:
    graph = networkx.Graph()
    names = [name for name in columns if name not in ("source", "target")]
    for row, ends in enumerate(zip(columns["source"], columns["target"], strict=True)):
        graph.add_edge(*ends, **{name: columns[name][row] for name in names})
    return graph


WRITERS: dict[str, Callable[[Path, dict[str, Any]], None]] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "npz": write_npz,
    "graphml": write_graphml,
}


def read(path: Path, **changes: Any) -> EdgeList:
    return read_edges(BridgesConfig("file", path=str(path), **changes), NODES)


def list_bridges(edges: EdgeList) -> set[tuple[frozenset[int], float]]:
    return {
        (frozenset((int(s), int(t))), float(k))
        for s, t, k in zip(
            edges.sources, edges.targets, edges.strengths_rad_s, strict=True
        )
    }


def expected(strengths: list[float]) -> set[tuple[frozenset[int], float]]:
    ends = map(frozenset, zip(SOURCES, TARGETS, strict=True))
    return set(zip(ends, strengths, strict=True))


@pytest.mark.parametrize("kind", WRITERS)
def test_round_trip(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"links.{kind}"
    columns = {"source": SOURCES, "target": TARGETS, "strength": STRENGTHS}
    WRITERS[kind](path, columns)
    assert list_bridges(read(path)) == expected(STRENGTHS)


@pytest.mark.parametrize("kind", WRITERS)
def test_strength_defaults_to_the_configuration(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"links.{kind}"
    WRITERS[kind](path, {"source": SOURCES, "target": TARGETS})
    assert list_bridges(read(path, strength_rad_s=7.0)) == expected([7.0] * 4)


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_columns_may_have_other_names(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"links.{kind}"
    WRITERS[kind](path, {"from": SOURCES, "to": TARGETS, "kappa": STRENGTHS})
    names = {
        "source_column": "from",
        "target_column": "to",
        "strength_column": "kappa",
    }
    assert list_bridges(read(path, **names)) == expected(STRENGTHS)


@pytest.mark.parametrize("kind", WRITERS)
def test_column_named_on_purpose_must_be_there(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"links.{kind}"
    columns = {"source": SOURCES, "target": TARGETS, "strength": STRENGTHS}
    WRITERS[kind](path, columns)
    with pytest.raises(ShapeError, match="column 'weight' is missing") as caught:
        read(path, strength_column="weight")
    assert "Set bridges.strength_column." in str(caught.value)


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_flags_named_on_purpose_must_be_there(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"links.{kind}"
    WRITERS[kind](path, {"source": SOURCES, "target": TARGETS})
    with pytest.raises(ShapeError, match="column 'way' is missing"):
        read(path, directed_column="way")


def test_graphml_edges_without_strength_take_the_default(tmp_path: Path) -> None:
    graph = networkx.Graph([(0, 4, {"strength": -2.5}), (5, 1)])
    path = tmp_path / "links.graphml"
    networkx.write_graphml(graph, path)
    edges = read(path, strength_rad_s=7.0)
    ends = np.minimum(edges.sources, edges.targets).tolist()
    found = dict(zip(ends, edges.strengths_rad_s.tolist(), strict=True))
    assert found == {0: -2.5, 1: 7.0}


@pytest.mark.parametrize("kind", ["csv", "parquet", "npz"])
def test_missing_column(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"links.{kind}"
    WRITERS[kind](path, {"source": SOURCES, "end": TARGETS})
    with pytest.raises(ShapeError) as caught:
        read(path)
    assert "column 'target' is missing; it has source, end." in str(caught.value)
    assert "bridges.target_column" in str(caught.value)


@pytest.mark.parametrize("kind", WRITERS)
def test_faulty_edges_are_refused_with_the_file_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"links.{kind}"
    WRITERS[kind](path, {"source": [1, 3], "target": [2, 16]})
    with pytest.raises(ShapeError, match=rf"links\.{kind}: target of row 1 is 16"):
        read(path)


@pytest.mark.parametrize("kind", WRITERS)
def test_file_that_is_no_such_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"links.{kind}"
    path.write_bytes(b"" if kind == "csv" else b"\x00nonsense")
    with pytest.raises(RecordError, match=f"cannot be read as {kind}"):
        read(path)


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="is no file"):
        read(tmp_path / "absent.csv")


def test_unknown_ending(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'\.xlsx'; choose one of: "):
        read(tmp_path / "links.xlsx")


@pytest.mark.parametrize(
    "text",
    [
        "source,target\n1,2,3\n",
        "source,target\na,b\n",
        "source,target\n1.5,2\n",
        "source,target\n1,\n3,4\n",
        "source,target,strength\n1,2,strong\n",
        "source,target,strength\n1,2,\n3,4,1\n",
        "source,target\n1,1e30\n",
    ],
)
def test_damaged_csv(text: str, tmp_path: Path) -> None:
    path = tmp_path / "links.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EngineError, match=r"links\.csv"):
        read(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("source,target\n3,4\na,b\n", "source of row 1 is 'a'; it must be a whole"),
        ("source,target\n1,2\n2,4.5\n", "target of row 1 is 4.5; it must be a whole"),
        ("source,target\n1,2\n,4\n", "source of row 1 is nan; it must be a whole"),
        ("source,target\n1,2\n1,1e400\n", "target of row 1 is inf; it must be a whole"),
        ("source,target\n1,2\n1,x\n2,3\n3,y\n", "target of row 1 is 'x'"),
        ("source,target\n1,2\n1,99\n", "target of row 1 is 99; ids must lie in 0..15"),
        (
            "source,target,strength\n1,2,7\n3,4,strong\n",
            "strength of row 1 is 'strong'",
        ),
        ("source,target,strength\n1,2,7\n3,4,\n", "strength of row 1 is nan"),
        ("source,target,directed\n1,2,1\n3,4,2\n", "bridges of row 1 is 2; it must"),
        ("source,target,directed\n1,2,1\n3,4,yes\n", "row 1 is 'yes'; it must be"),
    ],
)
def test_wrong_row_is_named_with_its_value(
    text: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "links.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ShapeError) as caught:
        read(path)
    assert words in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("kind", WRITERS)
def test_file_without_a_bridge(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"links.{kind}"
    WRITERS[kind](path, {"source": [], "target": []})
    # Without a node, GraphML holds no graph either.
    words = r"holds no (bridge.*bridges=none|graph with a node)"
    with pytest.raises(EngineError, match=words):
        read(path)


@pytest.mark.parametrize(
    "columns",
    [
        {"source": 1, "target": 2},
        {"source": [[1, 2]], "target": [[3, 4]]},
        {"source": [1, 2], "target": [3, 4], "strength": 1.0},
        {"source": [1, 2], "target": [3, 4], "strength": [[1.0], [1.0]]},
        {"source": [1, 2], "target": [3, 4], "strength": ["a", "b"]},
    ],
    ids=str,
)
def test_archive_of_other_shapes(columns: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "links.npz"
    write_npz(path, columns)
    with pytest.raises(EngineError, match=r"links\.npz"):
        read(path)


def test_graphml_nodes_may_be_named_like_networkx_or_igraph(tmp_path: Path) -> None:
    path = tmp_path / "links.graphml"
    graph = networkx.relabel_nodes(
        build_graph({"source": SOURCES, "target": TARGETS}), lambda node: f"n{node}"
    )
    networkx.write_graphml(graph, path)
    assert list_bridges(read(path)) == expected([108.0] * 4)
    networkx.write_graphml(networkx.Graph([("left", "right")]), path)
    with pytest.raises(ShapeError, match="GraphML node id 'left' is no number"):
        read(path)


def test_networkx_graph() -> None:
    columns = {"source": SOURCES, "target": TARGETS, "strength": STRENGTHS}
    graph = build_graph(columns)
    assert list_bridges(take_graph(graph, BridgesConfig(), NODES)) == expected(
        STRENGTHS
    )
    renamed = networkx.Graph()
    renamed.add_weighted_edges_from(zip(SOURCES, TARGETS, STRENGTHS, strict=True))
    edges = take_graph(renamed, BridgesConfig(), NODES, strength="weight")
    assert list_bridges(edges) == expected(STRENGTHS)


@pytest.mark.parametrize(
    "graph",
    [
        networkx.grid_2d_graph(3, 3),
        networkx.Graph([(0, 0)]),
        networkx.path_graph(17),
        networkx.MultiGraph([(0, 1), (0, 1)]),
        networkx.Graph([(0, 1, {"strength": "strong"})]),
        networkx.Graph([(0, 1, {"strength": math.inf})]),
        networkx.DiGraph([(0, 1, {"directed": "yes"})]),
        networkx.DiGraph([(0, 1), (1, 0, {"directed": False})]),
    ],
    ids=["tuples", "loop", "large", "multiple", "text", "infinite", "flag", "both"],
)
def test_bad_networkx_graph(graph: networkx.Graph) -> None:
    with pytest.raises(ShapeError, match="networkx graph: "):
        take_graph(graph, BridgesConfig(), NODES)


FLAGS = [True, False, False, True]


@pytest.mark.parametrize("kind", WRITERS)
def test_signs_and_directions_of_each_bridge(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"links.{kind}"
    strengths = [1.5, -2.0, 0.0, -108.25]
    # GraphML as networkx writes it knows True, which other readers do not.
    flags = [int(flag) for flag in FLAGS] if kind in ("csv", "graphml") else FLAGS
    columns = {"source": SOURCES, "target": TARGETS, "strength": strengths}
    WRITERS[kind](path, {**columns, "way": flags})
    for default in (False, True):
        edges = read(path, directed_column="way", directed=default)
        assert list_bridges(edges) == expected(strengths)
        found = dict(zip(edges.sources.tolist(), edges.directed.tolist(), strict=True))
        assert found == dict(zip(SOURCES, FLAGS, strict=True))


@pytest.mark.parametrize("kind", WRITERS)
def test_direction_defaults_to_the_configuration(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"links.{kind}"
    WRITERS[kind](path, {"source": SOURCES, "target": TARGETS})
    for default in (False, True):
        assert (read(path, directed=default).directed == default).all()


def test_words_of_a_table_are_flags(tmp_path: Path) -> None:
    path = tmp_path / "links.csv"
    path.write_text("source,target,directed\n1,2,true\n3,4,false\n", encoding="utf-8")
    assert read(path).directed.tolist() == [True, False]
    path.write_text("source,target,directed\n1,2,both\n3,4,no\n", encoding="utf-8")
    with pytest.raises(ShapeError, match=r"links\.csv: the flag of directed bridges"):
        read(path)


def test_directed_graphs_make_directed_bridges(tmp_path: Path) -> None:
    graph = networkx.DiGraph([(0, 1), (1, 0), (5, 2)])
    graph.add_edge(7, 3, directed=0)
    path = tmp_path / "links.graphml"
    networkx.write_graphml(graph, path)
    for edges in (read(path), take_graph(graph, BridgesConfig(), NODES)):
        columns = (edges.sources, edges.targets, edges.directed)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        assert set(rows) == {(0, 1, True), (1, 0, True), (5, 2, True), (7, 3, False)}


def test_undirected_networkx_graphs_have_no_first_end() -> None:
    graph = networkx.Graph([(0, 1), (2, 3)])
    for config in (BridgesConfig(directed=True), BridgesConfig()):
        with pytest.raises(ShapeError, match=r"no first end.*networkx\.DiGraph"):
            take_graph(graph, config, NODES)
        graph.add_edge(4, 5, directed=True)


def test_configuration_leads_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "links.csv"
    write_csv(path, {"source": SOURCES, "target": TARGETS})
    geometry = build_geometry("square", (4, 4))
    edges = build_edges(geometry, BridgesConfig("file", path=str(path)), 0)
    assert list_bridges(edges) == expected([108.0] * 4)
