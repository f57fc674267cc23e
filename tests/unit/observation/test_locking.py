"""Probe sets are spread evenly; locking values are those of the definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.constants import LOCKING_FILE
from engine.errors import RecordError
from engine.observation import Locking, choose_probe, open_locking
from engine.observation.locking import LockingSums


@pytest.mark.parametrize("nodes", [1, 2, 60, 64, 4096, 99991])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_probes_are_distinct_nodes(nodes: int, share: float) -> None:
    count = round(share * min(nodes, 1024))
    probe = choose_probe(nodes, count)
    assert len(set(probe.tolist())) == count
    assert (np.diff(probe) > 0).all()
    assert not count or 0 <= probe[0] <= probe[-1] < nodes


def test_probes_are_spread_evenly() -> None:
    # Three-gap theorem: gaps differ by the golden ratio's powers, 2.7 at most here.
    gaps = np.diff(choose_probe(65536, 64))
    assert gaps.max() < 2.7 * gaps.min()


def test_matrix_is_the_mean_of_unit_vectors() -> None:
    phases = np.random.default_rng(2).integers(0, 2**32, (50, 3), dtype=np.uint32)
    phases[:, 2] = phases[:, 0] + np.uint32(2**30)
    sums = LockingSums(3)
    for row in phases:
        sums.add(row)
    points = np.exp(2j * np.pi * phases / 2.0**32)
    expected = np.abs((points[:, :, None] * points[:, None, :].conj()).mean(axis=0))
    assert sums.matrix == pytest.approx(expected, abs=1e-12)
    # A constant distance is perfect locking, whatever the distance.
    assert sums.matrix[0, 2] == pytest.approx(1.0, abs=1e-12)
    assert sums.matrix[0, 1] < 0.5


def test_matrix_goes_to_a_file_and_back(tmp_path: Path) -> None:
    matrix = np.array([[1.0, 0.25], [0.25, 1.0]])
    saved = Locking(np.array([3, 9]), matrix, 17)
    assert saved.mean == 0.25
    assert open_locking(tmp_path) is None
    saved.save(tmp_path)
    found = open_locking(tmp_path)
    assert found is not None
    assert (found.sample_count, found.nodes.tolist()) == (17, [3, 9])
    assert np.array_equal(found.matrix, matrix)


def test_single_probe_has_no_mean() -> None:
    assert Locking(np.array([0]), np.ones((1, 1)), 4).mean is None


def test_damaged_matrix_is_refused(tmp_path: Path) -> None:
    (tmp_path / LOCKING_FILE).write_bytes(b"PK not an archive")
    with pytest.raises(RecordError, match="cannot be read"):
        open_locking(tmp_path)


def test_unwritable_place_is_explained(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"observe\.probe_count=0"):
        Locking(np.array([0]), np.ones((1, 1)), 4).save(tmp_path / "nowhere")
