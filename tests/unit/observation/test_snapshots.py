"""Snapshots survive whatever ends a run, and tell a reader all that it needs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from engine.backends.reference import ReferenceBackend
from engine.config import LatticeConfig
from engine.crystal import CrystalLattice
from engine.errors import RecordError
from engine.observation import SnapshotWriter, open_snapshots


def build_lattice(
    kind: str = "square", shape: tuple[int, ...] = (4, 6)
) -> CrystalLattice:
    return CrystalLattice(LatticeConfig(kind=kind, shape=shape), ReferenceBackend())


def draw_field(index: int, nodes: int = 24) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 2**32, nodes, dtype=np.uint32)


def write_three(path: Path) -> SnapshotWriter:
    writer = SnapshotWriter(path, build_lattice())
    for index in range(3):
        writer.add(40 * index, 0.01 * index, 0.1 * index, draw_field(index))
    return writer


def check_three(path: Path, count: int = 3) -> None:
    found = open_snapshots(path)
    assert len(found) == count
    assert found.steps.tolist() == [40 * index for index in range(count)]
    assert found.times_s == pytest.approx(0.01 * np.arange(count))
    assert found.coherence == pytest.approx(0.1 * np.arange(count))
    for index in range(count):
        assert np.array_equal(found[index], draw_field(index).reshape(4, 6))
    assert np.array_equal(found[-1], found[count - 1])


def test_snapshots_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "snapshots.arrow"
    writer = write_three(path)
    writer.close()
    writer.close()
    assert writer.count == 3
    check_three(path)
    check_three(tmp_path)
    radians = open_snapshots(path).phases_rad(1)
    assert radians == pytest.approx(draw_field(1).reshape(4, 6) / 2.0**32 * 2 * np.pi)


def test_file_of_a_run_that_was_killed_is_readable(tmp_path: Path) -> None:
    # Nothing is closed: what the disk holds while a run goes on is what a kill leaves.
    path = tmp_path / "snapshots.arrow"
    writer = write_three(path)
    check_three(path)
    writer.close()


@pytest.mark.parametrize("missing", [1, 40, 90])
def test_a_half_written_snapshot_is_left_out(tmp_path: Path, missing: int) -> None:
    path = tmp_path / "snapshots.arrow"
    writer = write_three(path)
    cut = tmp_path / "cut.arrow"
    cut.write_bytes(path.read_bytes()[:-missing])
    check_three(cut, 2)
    writer.close()


def test_arrow_itself_opens_the_file(tmp_path: Path) -> None:
    path = tmp_path / "snapshots.arrow"
    write_three(path).close()
    table = pa.ipc.open_file(path).read_all()
    assert table.column_names == ["step", "simulated_s", "coherence", "phase"]
    assert table.schema.field("phase").type == pa.list_(
        pa.field("item", pa.uint32(), nullable=False), 24
    )
    about = {k.decode(): json.loads(v) for k, v in table.schema.metadata.items()}
    assert about["dims"] == ["x", "y"]
    assert about["shape"] == [4, 6]
    assert (about["lattice"], about["turn"]) == ("square", 2**32)
    assert about["phase_units"] == "turn / 4294967296"
    assert about["frame_hz"] == 432.0
    units = {field.name: field.metadata[b"units"] for field in table.schema}
    assert units["simulated_s"] == b"s"


@pytest.mark.parametrize(
    ("kind", "shape", "dims"),
    [("chain", (5,), ("x",)), ("bcc", (3, 4, 5), ("x", "y", "z"))],
)
def test_lattices_are_described(
    tmp_path: Path, kind: str, shape: tuple[int, ...], dims: tuple[str, ...]
) -> None:
    lattice = build_lattice(kind, shape)
    writer = SnapshotWriter(tmp_path / "snapshots.arrow", lattice)
    writer.add(0, 0.0, 1.0, lattice.phases)
    writer.close()
    found = open_snapshots(tmp_path)
    assert (found.kind, found.dims, found.shape) == (kind, dims, shape)
    assert found[0].shape == shape
    assert np.array_equal(found.primitive_vectors, lattice.geometry.primitive_vectors)
    assert found.periodic == lattice.geometry.periodic


@pytest.mark.parametrize("content", [None, b"", b"no arrow at all, but some text"])
def test_other_files_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "snapshots.arrow"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RecordError, match=r"observe\.snapshot_every_s"):
        open_snapshots(path)


def test_unwritable_place_is_explained(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"observe\.snapshot_every_s=null"):
        SnapshotWriter(tmp_path / "nowhere" / "snapshots.arrow", build_lattice())
