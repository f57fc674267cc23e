"""Fields on paper: averaged over directions, on the places of their sites."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.backends.reference import ReferenceBackend
from engine.config import LATTICE_AXES, LatticeConfig
from engine.crystal import CrystalLattice
from engine.observation import Snapshots, SnapshotWriter, open_snapshots
from experiments.observed.fields import (
    average_phases,
    average_values,
    find_edges,
    find_plane_vectors,
    take_plane,
)


@pytest.mark.parametrize(
    ("cells", "most"), [(1, 4), (7, 4), (8, 4), (9, 4), (512, 512)]
)
def test_blocks_cover_an_axis(cells: int, most: int) -> None:
    edges = find_edges(cells, most)
    assert (edges[0], edges[-1]) == (0, cells)
    assert len(edges) - 1 <= most
    sizes = np.diff(edges)
    assert (sizes[:-1] == sizes[0]).all()
    assert 0 < sizes[-1] <= sizes[0]


def test_phases_around_zero_average_to_zero() -> None:
    # The mean of the numbers would be pi, a colour that no node has.
    degrees = np.array([350, 10, 355, 5, 90, 90, 100, 80])
    phases = (degrees / 360.0 * 2.0**32).astype(np.uint32)
    found = average_phases(phases, 2)
    assert np.exp(1j * found) == pytest.approx([1.0, 1j], abs=1e-8)
    assert ((found >= 0.0) & (found < 2.0 * np.pi)).all()


def test_small_fields_are_shown_as_they_are() -> None:
    phases = np.array([[0, 2**31], [2**30, 3 * 2**30]], np.uint32)
    expected = np.array([[0.0, np.pi], [0.5 * np.pi, 1.5 * np.pi]])
    assert average_phases(phases) == pytest.approx(expected)


def test_values_are_averaged_over_uneven_blocks() -> None:
    values = np.arange(15.0).reshape(5, 3)
    found = average_values(values, 2)
    assert found.shape == (2, 2)
    assert found[0, 0] == values[:3, :2].mean()
    assert found[1, 1] == values[3:, 2:].mean()


def test_middle_slab_of_three_axes() -> None:
    values = np.arange(2 * 3 * 5).reshape(2, 3, 5)
    assert np.array_equal(take_plane(values), values[:, :, 2])
    assert np.array_equal(take_plane(values, 4), values[:, :, 4])
    assert np.array_equal(take_plane(values[0]), values[0])


def open_empty(tmp_path: Path, kind: str) -> Snapshots:
    shape = (4,) * LATTICE_AXES[kind]
    lattice = CrystalLattice(LatticeConfig(kind=kind, shape=shape), ReferenceBackend())
    writer = SnapshotWriter(tmp_path / "snapshots.arrow", lattice)
    writer.add(0, 0.0, 0.0, lattice.phases)
    writer.close()
    return open_snapshots(tmp_path)


@pytest.mark.parametrize(
    "kind", [kind for kind, axes in LATTICE_AXES.items() if axes > 1]
)
def test_plane_keeps_lengths_and_angles(tmp_path: Path, kind: str) -> None:
    snapshots = open_empty(tmp_path, kind)
    flat, whole = find_plane_vectors(snapshots), snapshots.primitive_vectors[:2]
    assert flat @ flat.T == pytest.approx(whole @ whole.T)
    assert flat[0, 1] == 0.0
    assert flat[1, 1] > 0.0
