"""Tiles cover the lattice, fit the shared memory, and keep their halo out of sight."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.backends.cuda_tiles import (
    LANES,
    MOST_STEPS,
    DeviceLimits,
    LatticeShape,
    count_places,
    find_reaches,
    pack_offsets,
    plan_steps,
    plan_tiles,
    split_steps,
)
from engine.backends.layout import box_arguments
from engine.errors import ResourceError
from engine.geometry import build_geometry

H100 = DeviceLimits(132, 232_448, 233_472)
SMALL = DeviceLimits(4, 48 * 1024, 64 * 1024)
EXTENT = st.integers(1, 700)


@given(
    st.tuples(EXTENT, EXTENT, EXTENT),
    st.sampled_from([(0, 0, 1), (1, 0, 1), (1, 1, 1)]),
    st.sampled_from([1, 2, 4]),
    st.integers(1, 20),
    st.sampled_from([H100, SMALL]),
)
def test_plans_cover_every_lattice(extents, reaches, stages, count, limits):
    box = tuple(cells if r else 1 for cells, r in zip(extents, reaches, strict=True))
    shape = LatticeShape(box, reaches, stages)
    plans = plan_steps(shape, count, limits)
    assert sum(plan.steps for plan in plans) == count
    for plan in plans:
        levels = stages * plan.steps
        assert plan.shared_bytes == math.prod(plan.tile) * shape.node_bytes
        assert plan.shared_bytes <= limits.find_tile_bytes(1)
        assert plan.halo[:2] == (levels * reaches[0], levels * reaches[1])
        assert plan.halo[2] >= levels
        tiles = [-(-n // kept) for n, kept in zip(box, plan.inner, strict=True)]
        assert min(plan.inner) >= 1
        assert plan.blocks == math.prod(tiles)
        # Arrays of a tile start on 16 bytes; wide accesses never cross a row.
        assert plan.tile[2] % LANES == 0
        if shape.is_wide:
            assert plan.inner[2] % LANES == plan.halo[2] % LANES == 0


def test_large_lattices_take_several_steps_per_launch():
    shape = LatticeShape((8192, 1, 8192), (1, 0, 1), 1)
    plans = plan_steps(shape, MOST_STEPS, H100)
    assert max(plan.steps for plan in plans) >= 4
    assert plans[0].blocks >= 2 * H100.multiprocessors
    read, worked = count_places(plans, shape)
    node_steps = MOST_STEPS * math.prod(shape.box)
    assert read < 0.5 * node_steps
    assert worked < 1.4 * node_steps


def test_small_lattices_are_cut_finer_to_fill_the_device():
    shape = LatticeShape((512, 1, 512), (1, 0, 1), 1)
    assert plan_steps(shape, 1, H100)[0].blocks >= 0.9 * H100.multiprocessors


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 23])
@pytest.mark.parametrize("most", [1, 3, 8])
def test_steps_are_split_evenly(count, most):
    parts = split_steps(count, most)
    assert sum(parts) == count
    assert max(parts) <= most
    assert max(parts) - min(parts) <= 1


def test_too_little_shared_memory_is_refused():
    tiny = DeviceLimits(1, 4096, 8192)
    shape = LatticeShape((64, 64, 64), (1, 1, 1), 4)
    assert plan_tiles(shape, 1, tiny) is None
    with pytest.raises(ResourceError, match=r"dynamics\.integrator=euler"):
        plan_steps(shape, 1, tiny)


@pytest.mark.parametrize("kind", ["chain", "square", "triangular", "cubic", "fcc"])
def test_offsets_are_packed_without_loss(kind):
    axes = {"chain": 1, "square": 2, "triangular": 2}.get(kind, 3)
    offsets = box_arguments(build_geometry(kind, (4,) * axes))[2].tolist()
    word = pack_offsets(offsets)
    assert word < 2**64
    codes = [word >> (5 * index) & 31 for index in range(len(offsets))]
    assert offsets == [[c // 9 - 1, c // 3 % 3 - 1, c % 3 - 1] for c in codes]
    assert find_reaches(offsets) == {1: (0, 0, 1), 2: (1, 0, 1), 3: (1, 1, 1)}[axes]
