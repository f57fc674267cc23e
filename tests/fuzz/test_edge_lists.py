"""Edge lists, damaged in every way: bridges, or one sentence; never a crash."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from engine.bridge import EdgeList, read_edges
from engine.config import BridgesConfig
from engine.config.checks import MAX_RATE
from tests.faults.harness import Ledger
from tests.fuzz.mutations import damage, explore

NODES = 16
COLUMNS: dict[str, Any] = {
    "source": [0, 5, 15, 2],
    "target": [4, 1, 3, 9],
    "strength": [1.5, -2.0, 0.0, 108.25],
    "directed": [True, False, True, False],
}
HOW_MANY = pytest.mark.parametrize(
    "examples", [100, pytest.param(10_000, marks=pytest.mark.faults)]
)


def to_csv() -> bytes:
    rows = [",".join(COLUMNS)]
    rows += [",".join(map(str, row)) for row in zip(*COLUMNS.values(), strict=True)]
    return "\n".join(rows).encode()


def to_parquet(**options: Any) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.table(COLUMNS), sink, **options)
    return sink.getvalue()


def to_npz(save: Any) -> bytes:
    sink = io.BytesIO()
    save(sink, **{name: np.array(values) for name, values in COLUMNS.items()})
    return sink.getvalue()


def to_graphml(kind: type[networkx.Graph]) -> bytes:
    graph = kind()
    for source, target, strength, directed in zip(*COLUMNS.values(), strict=True):
        graph.add_edge(source, target, strength=strength, directed=directed)
    sink = io.BytesIO()
    networkx.write_graphml(graph, sink)
    # networkx writes booleans as Python does, which the standard does not know.
    return sink.getvalue().replace(b"True", b"true").replace(b"False", b"false")


SEEDS = {
    "csv": (to_csv(), b"source,target\n0,1\n2,3\n", b"source;target\r\n0;1\r\n"),
    "parquet": (
        to_parquet(),
        to_parquet(compression="zstd", use_dictionary=False),
        to_parquet(compression="none", data_page_version="2.0"),
    ),
    "npz": (to_npz(np.savez), to_npz(np.savez_compressed)),
    "graphml": (to_graphml(networkx.Graph), to_graphml(networkx.DiGraph)),
}


def assert_whole(edges: EdgeList) -> None:
    """What was taken can be run: ids are nodes, strengths are finite."""
    for ends in (edges.sources, edges.targets):
        assert ends.dtype == np.uint32
        assert (ends < NODES).all()
    assert (edges.sources != edges.targets).all()
    assert (np.abs(edges.strengths_rad_s) <= MAX_RATE).all()
    assert len(edges.layers) == len(edges.directed) == len(edges)


def read(path: Path) -> None:
    assert_whole(read_edges(BridgesConfig("file", path=str(path)), NODES))


@HOW_MANY
@pytest.mark.parametrize("ending", SEEDS)
def test_damaged_files(
    ending: str, examples: int, tmp_path: Path, ledger: Ledger
) -> None:
    path, inputs = tmp_path / f"edges.{ending}", ledger.inputs[f"edge lists, {ending}"]
    path.write_bytes(SEEDS[ending][0])
    read(path)

    @explore(examples)
    @given(damage(*SEEDS[ending]))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        inputs.attempt(lambda: read(path))

    check()
    assert inputs.taken
    assert inputs.refused


cells = st.one_of(
    st.integers(-2, NODES + 1),
    st.integers(),
    st.floats(),
    st.none(),
    st.booleans(),
    st.text(max_size=5),
    st.sampled_from(("", "nan", "1e400", "0x10", "0 ", '"1"', "-0", 2**64)),
)


@HOW_MANY
def test_any_cells(examples: int, tmp_path: Path, ledger: Ledger) -> None:
    path, inputs = tmp_path / "edges.csv", ledger.inputs["edge lists, csv"]
    names = st.sampled_from((*COLUMNS, "", "source ", "weight", "SOURCE"))

    @explore(examples)
    @given(st.lists(names, max_size=5), st.lists(st.lists(cells, max_size=5)))
    def check(head: list[str], rows: list[list[Any]]) -> None:
        lines = [",".join(map(str, row)) for row in (head, *rows)]
        path.write_text("\n".join(lines), "utf-8", "surrogatepass")
        inputs.attempt(lambda: read(path))

    check()


arrays = st.one_of(
    st.lists(st.integers(0, NODES - 1), max_size=4).map(np.array),
    st.lists(cells, max_size=4).map(lambda row: np.array(row, dtype=object)),
    st.sampled_from(
        (
            np.array(3),
            np.zeros((2, 2)),
            np.array([1 + 2j]),
            np.array([b"ab"]),
            np.array(["1", "2"]),
            np.array(["2020-01-01"], dtype="datetime64[D]"),
            np.zeros(2, dtype=[("a", "i4"), ("b", "f8")]),
            np.zeros((3, 0)),
            np.array([2**63], dtype=np.uint64),
            np.array([np.nan, 1.0]),
            np.zeros(2, dtype="V8"),
            np.ones(4, dtype=">i2"),
        )
    ),
)


@HOW_MANY
def test_any_arrays(examples: int, tmp_path: Path, ledger: Ledger) -> None:
    path, inputs = tmp_path / "edges.npz", ledger.inputs["edge lists, npz"]
    names = st.sampled_from((*COLUMNS, "other"))

    @explore(examples)
    @given(st.dictionaries(names, arrays, max_size=4))
    def check(columns: dict[str, Any]) -> None:
        np.savez(path, allow_pickle=True, **columns)
        inputs.attempt(lambda: read(path))

    check()
