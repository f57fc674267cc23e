"""The comparisons of `CudaParity` on a real device, and what only a device shows."""

import sys
from dataclasses import replace

import numpy as np
import psutil
import pytest

from engine.backends.cpu import CpuBackend
from engine.backends.protocol import TABLEAUS, BridgeArrays, Motion
from engine.geometry import build_geometry
from tests.host_cuda.motion_parity import (
    UNSTEADY,
    MotionParity,
    assert_same_moves,
    build_moving_case,
)
from tests.host_cuda.parity import (
    COUPLING_RAD_S,
    DT_S,
    SHAPES,
    SMALL_SHAPES,
    CudaParity,
    assert_same_periods,
    build_bridges,
    build_case,
    build_period,
    run_periods,
)

pytestmark = pytest.mark.gpu

BYTES_PER_NODE_STEP = 12
"""Floor of an Euler step: read phase and detuning, write phase [bytes]."""


class TestDevice(CudaParity, MotionParity):
    """Everything of `CudaParity` and `MotionParity`, on the device."""


def test_grids_stride_over_large_lattices(cuda_backend):
    """More nodes and events than the device holds threads, so that loops turn."""
    case = build_case("square", (2048, 1536), "mixed")
    layers = 2
    host = build_bridges(case[0].node_count, layers)
    period = build_period(host.ids.size, layers, 6)
    runs = []
    for backend in (cuda_backend, CpuBackend()):
        copies = BridgeArrays(*(column.copy() for column in host.columns))
        lattice, bridges = backend.build_lattice(*case), backend.build_bridges(copies)
        successes = backend.advance(lattice, bridges, period).successes
        columns = [backend.to_host(column) for column in bridges.state_columns]
        order = backend.order_parameter(lattice)
        runs.append((successes, order, backend.read_phases(lattice), *columns))
    for ours, theirs in zip(*runs, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("tableau", TABLEAUS)
@pytest.mark.parametrize("slice_steps", [1, 3])
def test_graphs_of_large_lattices(cuda_backend, tableau, slice_steps):
    """Too large for one block, so that periods are captured and repeated."""
    case = build_case("triangular", (300, 517), "mixed")
    assert_same_periods(cuda_backend, case, tableau, slice_steps, turns=7)


@pytest.mark.parametrize("slice_steps", [1, 3])
def test_graphs_of_large_lagged_lattices(cuda_backend, slice_steps):
    case = build_moving_case(Motion(lag_rad=0.7), "triangular", shape=(300, 517))
    assert_same_periods(cuda_backend, case, "rk2", slice_steps, turns=7)


@pytest.mark.parametrize("name", UNSTEADY)
def test_motions_of_large_lattices(cuda_backend, name):
    """More nodes than the device holds threads; sums of many blocks in any order."""
    tableau = "leapfrog" if UNSTEADY[name].inertia_s else "rk4"
    case = build_moving_case(UNSTEADY[name], shape=(2048, 1537))
    assert_same_moves(cuda_backend, case, tableau, (1, 6))


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_one_block_and_many_tiles_agree(cuda_backend, kind, monkeypatch):
    case = build_case(kind, SMALL_SHAPES[kind][-1], "mixed")
    whole = run_periods(cuda_backend, case, "rk4", 3)
    monkeypatch.setattr(
        "engine.backends.cuda_stepping.find_whole_bytes", lambda *_: None
    )
    tiled = run_periods(cuda_backend, case, "rk4", 3)
    for ours, theirs in zip(whole, tiled, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_repeated_run_gives_the_same_bits(cuda_backend):
    """A race between threads would show now and then."""
    case = build_case("square", (1024, 1024), "periodic")
    runs = [run_periods(cuda_backend, case, "euler", 4, turns=5) for _ in range(5)]
    for run in runs[1:]:
        for ours, theirs in zip(runs[0], run, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_bandwidth_beside_correctness(cuda_backend, capsys):
    """Print the rate of the Euler step; only its result decides the test."""
    case = build_case("square", (8192, 8192), "periodic")
    nodes, steps = case[0].node_count, 100
    cpu = CpuBackend()
    ours, theirs = cuda_backend.build_lattice(*case), cpu.build_lattice(*case)
    for backend, lattice in ((cuda_backend, ours), (cpu, theirs)):
        backend.step_lattice(lattice, TABLEAUS["euler"], DT_S, 5)
    np.testing.assert_array_equal(
        cuda_backend.read_phases(ours), cpu.read_phases(theirs)
    )
    none = BridgeArrays(*(column[:0] for column in build_bridges(4).columns))
    bridges = cuda_backend.build_bridges(none)
    period = replace(
        build_period(2, 1, steps), segment_bounds=np.zeros(steps + 1, np.int64)
    )
    for _ in range(3):
        result = cuda_backend.advance(ours, bridges, period)
    rate = nodes * (steps + 1) / (result.lattice_s + result.tunnel_s)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{cuda_backend.device}: {rate:.4g} node steps/s, which is "
            f"{rate * BYTES_PER_NODE_STEP / 1e9:.0f} GB/s at {BYTES_PER_NODE_STEP} "
            "bytes per node and step (square 8192 x 8192, Euler)\n"
        )


def test_a_billion_nodes(cuda_backend):
    """2^30 nodes of a square lattice; a corner of it is compared with `cpu`."""
    side, patch, steps = 2**15, 96, 8
    nodes = side * side
    host_bytes = psutil.virtual_memory().available
    if cuda_backend.memory_free_bytes() < 16e9 or host_bytes < 24e9:
        pytest.skip("needs 16 GB of free GPU memory and 24 GB of free host memory")
    rng = np.random.default_rng(5)
    phases = np.tile(rng.integers(0, 2**32, 2**20, np.uint32), nodes // 2**20)
    detunings = np.tile(rng.normal(0, 30, 2**20).astype(np.float32), nodes // 2**20)
    geometry = build_geometry("square", (side, side))
    lattice = cuda_backend.build_lattice(geometry, phases, detunings, COUPLING_RAD_S)
    cuda_backend.step_lattice(lattice, TABLEAUS["euler"], DT_S, steps)
    stepped = cuda_backend.read_phases(lattice).reshape(side, side)
    for corner in (0, side // 2 + 3, side - patch // 2):
        lines = (corner + np.arange(patch)) % side
        cells = np.ix_(lines, lines)
        window = build_geometry("square", (patch, patch), (False, False))
        cpu = CpuBackend()
        part = cpu.build_lattice(
            window,
            np.ascontiguousarray(phases.reshape(side, side)[cells]).ravel(),
            np.ascontiguousarray(detunings.reshape(side, side)[cells]).ravel(),
            COUPLING_RAD_S,
        )
        cpu.step_lattice(part, TABLEAUS["euler"], DT_S, steps)
        wanted = cpu.read_phases(part).reshape(patch, patch)
        inner = slice(steps, -steps)
        np.testing.assert_array_equal(
            stepped[cells][inner, inner], wanted[inner, inner]
        )


def test_byte_offsets_beyond_32_bits(cuda_backend):
    """A chain of 4.8 GB a column; windows of it are compared with short chains."""
    nodes, margin = 1_200_000_000, 1000
    host_bytes = psutil.virtual_memory().available
    if cuda_backend.memory_free_bytes() < 16e9 or host_bytes < 24e9:
        pytest.skip("needs 16 GB of free GPU memory and 24 GB of free host memory")
    rng = np.random.default_rng(3)
    repeats = -(-nodes // 999_983)
    phases = np.tile(rng.integers(0, 2**32, 999_983, np.uint32), repeats)[:nodes]
    detunings = np.tile(rng.normal(0, 30, 999_983).astype(np.float32), repeats)[:nodes]
    geometry = build_geometry("chain", (nodes,))
    lattice = cuda_backend.build_lattice(geometry, phases, detunings, COUPLING_RAD_S)
    cpu = CpuBackend()
    whole = cpu.build_lattice(geometry, phases, detunings, COUPLING_RAD_S)
    assert cuda_backend.order_parameter(lattice) == cpu.order_parameter(whole)
    cuda_backend.step_lattice(lattice, TABLEAUS["euler"], DT_S)
    stepped = cuda_backend.read_phases(lattice)
    for centre in (0, 2**30, nodes - 1):
        sites = (centre + np.arange(-margin, margin)) % nodes
        short = build_geometry("chain", (sites.size,), (False,))
        window = (short, phases[sites], detunings[sites], COUPLING_RAD_S)
        part = cpu.build_lattice(*window)
        cpu.step_lattice(part, TABLEAUS["euler"], DT_S)
        wanted = cpu.read_phases(part)
        np.testing.assert_array_equal(stepped[sites][1:-1], wanted[1:-1])
