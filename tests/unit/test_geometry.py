"""Lattices as index boxes have the neighbours, edges and loops of the crystals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from engine.config import LATTICE_AXES
from engine.errors import ShapeError
from engine.geometry import (
    Geometry,
    build_geometry,
    build_neighbour_table,
    list_plaquettes,
    shift_sites,
)

SHAPES = {1: (7,), 2: (5, 4), 3: (3, 5, 4)}
COORDINATION = {
    "chain": 2, "square": 4, "triangular": 6, "cubic": 6, "bcc": 8, "fcc": 12,
}  # fmt: skip
ALL = [
    build_geometry(kind, SHAPES[axes], periodic)
    for kind, axes in LATTICE_AXES.items()
    for periodic in itertools.product((True, False), repeat=axes)
]


def describe(geometry: Geometry) -> str:
    return f"{geometry.kind}-{''.join('op'[closed] for closed in geometry.periodic)}"


def edges(geometry: Geometry) -> set[tuple[int, int]]:
    table = build_neighbour_table(geometry)
    return {(i, int(j)) for i, row in enumerate(table) for j in row if j >= 0}


@pytest.mark.parametrize("geometry", ALL, ids=describe)
def test_neighbours_are_mutual(geometry: Geometry) -> None:
    pairs = edges(geometry)
    assert pairs == {(j, i) for i, j in pairs}
    assert all(i != j for i, j in pairs)


@pytest.mark.parametrize("geometry", ALL, ids=describe)
def test_edge_count_counts_the_table(geometry: Geometry) -> None:
    assert 2 * geometry.edge_count == len(edges(geometry))


@pytest.mark.parametrize("kind", LATTICE_AXES)
def test_coordination_of_periodic_lattices(kind: str) -> None:
    geometry = build_geometry(kind, SHAPES[LATTICE_AXES[kind]])
    table = build_neighbour_table(geometry)
    assert table.shape == (geometry.node_count, COORDINATION[kind])
    assert all(len(set(row)) == COORDINATION[kind] for row in table.tolist())


@pytest.mark.parametrize("kind", LATTICE_AXES)
def test_three_periodic_cells_keep_neighbours_apart(kind: str) -> None:
    # The smallest lattice that the configuration admits has no double edge.
    geometry = build_geometry(kind, (3,) * LATTICE_AXES[kind])
    rows = build_neighbour_table(geometry).tolist()
    assert all(len(set(row)) == COORDINATION[kind] for row in rows)


@pytest.mark.parametrize("kind", LATTICE_AXES)
def test_offsets_are_exactly_the_nearest_sites(kind: str) -> None:
    geometry = build_geometry(kind, (3,) * LATTICE_AXES[kind])
    steps = np.array(list(itertools.product(range(-3, 4), repeat=LATTICE_AXES[kind])))
    distance = np.linalg.norm(steps @ geometry.primitive_vectors, axis=1)
    nearest = {tuple(step) for step in steps[np.isclose(distance, 1.0)].tolist()}
    assert set(geometry.offsets) == nearest
    # ... and no site lies nearer.
    assert np.sort(distance)[1] == pytest.approx(1.0)


@pytest.mark.parametrize("kind", LATTICE_AXES)
def test_offsets_alternate_in_sign(kind: str) -> None:
    geometry = build_geometry(kind, (3,) * LATTICE_AXES[kind])
    for plus, minus in zip(geometry.offsets[::2], geometry.offsets[1::2], strict=True):
        assert minus == tuple(-step for step in plus)
    assert geometry.half_offsets == geometry.offsets[::2]


@pytest.mark.parametrize(
    ("kind", "volume"),
    [
        ("triangular", math.sqrt(3) / 2),
        ("bcc", 4 / math.sqrt(27)),
        ("fcc", 1 / math.sqrt(2)),
    ],
)
def test_volume_per_site_in_nearest_neighbour_units(kind: str, volume: float) -> None:
    vectors = build_geometry(kind, (3,) * LATTICE_AXES[kind]).primitive_vectors
    assert abs(np.linalg.det(vectors)) == pytest.approx(volume)


def test_shift_stops_at_an_open_boundary_and_wraps_at_a_periodic_one() -> None:
    geometry = build_geometry("square", (2, 3), (False, True))
    sites, exists = shift_sites(geometry, (1, 1))
    assert sites.reshape(2, 3)[0].tolist() == [4, 5, 3]
    assert exists.reshape(2, 3).tolist() == [[True] * 3, [False] * 3]
    assert not sites[~exists].any()


@pytest.mark.parametrize(
    ("kind", "per_site"),
    [("chain", 0), ("square", 1), ("triangular", 2), ("cubic", 3), ("fcc", 6)],
)
def test_plaquettes_per_site(kind: str, per_site: int) -> None:
    geometry = build_geometry(kind, SHAPES[LATTICE_AXES[kind]])
    assert len(list_plaquettes(geometry)) == per_site


@pytest.mark.parametrize("kind", LATTICE_AXES)
def test_plaquettes_walk_along_edges(kind: str) -> None:
    geometry = build_geometry(kind, SHAPES[LATTICE_AXES[kind]])
    for loop in list_plaquettes(geometry):
        assert len(set(loop)) == len(loop)
        for before, after in zip(loop, loop[1:] + loop[:1], strict=True):
            step = tuple(b - a for a, b in zip(before, after, strict=True))
            assert step in geometry.offsets


@pytest.mark.parametrize(
    ("kind", "shape", "box"),
    [
        ("chain", (7,), (1, 1, 7)),
        ("square", (5, 4), (5, 1, 4)),
        ("cubic", (3, 5, 4), (3, 5, 4)),
    ],
)
def test_box_keeps_the_order_of_sites(
    kind: str, shape: tuple[int, ...], box: tuple[int, int, int]
) -> None:
    geometry = build_geometry(kind, shape, (False,))
    assert geometry.box == box
    assert math.prod(box) == geometry.node_count
    assert geometry.to_box(shape) == tuple(0 if cells == 1 else cells for cells in box)
    assert geometry.box_periodic == tuple(cells == 1 for cells in box)


def test_offsets_reach_no_further_than_the_next_cell() -> None:
    # The kernels keep three slabs and one halo entry: (2, 0) would be read wrongly.
    with pytest.raises(ShapeError, match="each entry must be -1, 0 or 1"):
        Geometry("far", (8, 8), (True, True), ((2, 0), (-2, 0)))
