"""What `cuda` must have in common with `cpu`, to the bit, wherever it runs.

`CudaParity` is inherited by the tests on the host emulation and by those on a real
device; each brings its own fixture `cuda_backend`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.backends.cpu import CpuBackend
from engine.backends.matching import DIRECTED_FLAG, Matching, SuccessLaw
from engine.backends.philox import draw_attempt_words
from engine.backends.protocol import FOLLOWING, TABLEAUS, BridgeArrays, Motion, Period
from engine.geometry import build_geometry

SHAPES = {
    "chain": (4099,),
    "square": (23, 37),
    "triangular": (19, 67),
    "cubic": (7, 9, 41),
    "bcc": (5, 12, 33),
    "fcc": (9, 6, 35),
}
SMALL_SHAPES = {
    "chain": [(2,), (3,)],
    "square": [(2, 2), (2, 3), (3, 3)],
    "triangular": [(2, 2), (3, 2), (3, 3)],
    "cubic": [(2, 2, 2), (3, 2, 3)],
    "bcc": [(2, 2, 2), (2, 3, 3)],
    "fcc": [(2, 2, 2), (3, 3, 2)],
}
ODD_SHAPES = {
    "chain": [(2,), (5,), (64,), (130,), (4100,)],
    "square": [(2, 9), (9, 1), (16, 64), (31, 130), (130, 31)],
    "triangular": [(8, 128), (33, 18)],
    "cubic": [(4, 4, 64), (1, 3, 20), (9, 17, 5)],
    "bcc": [(5, 4, 16), (2, 9, 13)],
    "fcc": [(4, 5, 32), (11, 3, 10)],
}
"""Multiples of a tile, of a 16-byte access, and of neither; axes below the halo."""
BOUNDARIES = {
    "periodic": (True,) * 3,
    "open": (False,) * 3,
    "mixed": (False, True, False),
}
DT_S = 0.00025
COUPLING_RAD_S = 216.0


def build_case(kind, shape, boundary, seed=0):
    """Draw a lattice: geometry, phases, detunings [Hz] and coupling [rad/s].

    Half of the phases are random; the rest sits on multiples of a quarter turn, where
    sines and cosines are zeros of either sign.
    """
    periodic = BOUNDARIES[boundary][-len(shape) :]
    geometry = build_geometry(kind, shape, periodic)
    rng = np.random.default_rng(seed)
    nodes = geometry.node_count
    phases = rng.integers(0, 2**32, nodes, dtype=np.uint32)
    special = rng.integers(0, 4, nodes, dtype=np.uint32) * np.uint32(2**30)
    phases = np.where(rng.random(nodes) < 0.5, phases, special)
    detunings = rng.normal(0.0, 34.4, nodes).astype(np.float32)
    detunings[rng.random(nodes) < 0.1] = 0.0
    return geometry, phases, detunings, COUPLING_RAD_S


def build_bridges(nodes, layers=3, seed=1):
    """Draw random matchings with P < 1, one layer after the other, on the host.

    Some repel, some are directed, some have no strength at all.
    """
    rng = np.random.default_rng(seed)
    pairs = [
        rng.permutation(nodes)[: nodes // 2 * 2].reshape(-1, 2) for _ in range(layers)
    ]
    ends = np.concatenate(pairs).astype(np.uint32)
    count = len(ends)
    chance = rng.uniform(0.2, 1.0, count)
    chance[::7] = 1.0
    integers = [np.zeros(count, np.uint32) for _ in range(3)]
    means = [np.zeros(count, np.float32) for _ in range(2)]
    ids = rng.permutation(count).astype(np.uint32)
    flags = np.where(rng.random(count) < 0.3, DIRECTED_FLAG, 0).astype(np.uint32)
    strengths = rng.choice([108.0, -60.0, 0.0, -0.0], count, p=[0.6, 0.3, 0.05, 0.05])
    return BridgeArrays(
        ids,
        ends[:, 0] | flags,
        np.ascontiguousarray(ends[:, 1]),
        (strengths / chance).astype(np.float32),
        np.minimum(chance * 2.0**32, 2.0**32 - 1).astype(np.uint32),
        *integers,
        *means,
    )


def build_inert(backend, case, velocities_hz):
    """Take oscillators that have inertia, moving already."""
    lattice = backend.build_lattice(*case, Motion(inertia_s=0.003))
    cupy = getattr(backend, "_cupy", np)
    lattice.velocities = cupy.asarray(velocities_hz.copy())
    return lattice


def build_period(bridge_count, layers, steps, tableau="euler", first_tick=1, turn=0):
    """Let a window roll through each layer; some steps have nothing due.

    Windows wrap around, and their width depends on `turn`.
    """
    size = bridge_count // layers
    width = min(max(1, size // 3 + turn), size)
    segments, homes, bounds = [], [], [0]
    for step in range(steps):
        for layer in range(layers if step % 4 != 3 else 0):
            lo = (step * width + 11 * layer + 5 * turn) % size
            first, last = layer * size, (layer + 1) * size
            segments.append((first + lo, min(first + lo + width, last)))
            if first + lo + width > last:
                segments.append((first, lo + width - size + first))
            homes += [layer] * (len(segments) - len(homes))
        bounds.append(len(segments))
    table = np.array(segments, np.int64).reshape(-1, 2)
    key = (2**32 - 5, 4)
    rows = np.array(bounds, np.int64)
    return Period(
        *(steps, DT_S, TABLEAUS[tableau], first_tick, table, rows, key),
        segment_layers=np.array(homes, np.int64),
    )


def measure(backend, lattice):
    """Return everything a back end measures of the phases."""
    return (
        backend.order_parameter(lattice),
        backend.local_coherence(lattice),
        backend.vortex_count(lattice),
        backend.winding_numbers(lattice),
    )


def assert_same_steps(cuda, case, tableau, counts=(1, 2, 3, 7)):
    """Step both back ends side by side; compare all phases and all measurements.

    The steps go by `counts` on one side and by one on the other, so that steps per
    launch cannot change a bit unseen.
    """
    cpu = CpuBackend()
    ours, theirs = cuda.build_lattice(*case), cpu.build_lattice(*case)
    for count in counts:
        cuda.step_lattice(ours, TABLEAUS[tableau], DT_S, count)
        for _ in range(count):
            cpu.step_lattice(theirs, TABLEAUS[tableau], DT_S)
        np.testing.assert_array_equal(cuda.read_phases(ours), cpu.read_phases(theirs))
    assert measure(cuda, ours) == measure(cpu, theirs)


def run_periods(backend, case, tableau, slice_steps=1, turns=4):
    """Run some periods; return successes, phases and the columns of the bridges."""
    layers, slices = 3, 6
    host = build_bridges(case[0].node_count, layers)
    lattice, bridges = backend.build_lattice(*case), backend.build_bridges(host)
    successes = []
    for turn in range(turns):
        first_tick = 1 + slices * slice_steps * turn
        plan = build_period(host.ids.size, layers, slices, tableau, first_tick, turn)
        period = replace(plan, slice_steps=slice_steps, step_count=slices * slice_steps)
        successes.append(backend.advance(lattice, bridges, period).successes)
    columns = [backend.to_host(column) for column in bridges.columns]
    return (successes, backend.read_phases(lattice), *columns)


def assert_same_periods(cuda, case, tableau, slice_steps=1, turns=4):
    """Run the same periods on both back ends; compare every bit."""
    runs = [
        run_periods(backend, case, tableau, slice_steps, turns)
        for backend in (cuda, CpuBackend())
    ]
    attempts = runs[0][8].sum()
    assert 0 < sum(runs[0][0]) <= attempts
    for ours, theirs in zip(*runs, strict=True):
        np.testing.assert_array_equal(ours, theirs)


class CudaParity:
    """The comparisons; a subclass runs them where its fixture says."""

    @pytest.mark.parametrize("tableau", TABLEAUS)
    @pytest.mark.parametrize("boundary", BOUNDARIES)
    @pytest.mark.parametrize("kind", SHAPES)
    def test_lattice_steps(self, cuda_backend, kind, boundary, tableau):
        case = build_case(kind, SHAPES[kind], boundary)
        assert_same_steps(cuda_backend, case, tableau)

    @pytest.mark.parametrize("boundary", BOUNDARIES)
    @pytest.mark.parametrize("kind", SMALL_SHAPES)
    def test_smallest_lattices(self, cuda_backend, kind, boundary):
        for seed, shape in enumerate(SMALL_SHAPES[kind]):
            case = build_case(kind, shape, boundary, seed)
            assert_same_steps(cuda_backend, case, "euler", (1, 5))
            assert_same_steps(cuda_backend, case, "rk4", (1, 2))

    @pytest.mark.parametrize("kind", ODD_SHAPES)
    def test_rows_of_any_length(self, cuda_backend, kind):
        for seed, shape in enumerate(ODD_SHAPES[kind]):
            case = build_case(kind, shape, "mixed", seed)
            assert_same_steps(cuda_backend, case, "euler", (4,))
            assert_same_steps(cuda_backend, case, "rk2", (2,))

    def test_boundary_axes_are_not_confused(self, cuda_backend):
        for periodic in np.ndindex(2, 2, 2):
            closed = tuple(bool(axis) for axis in periodic)
            _, *rest = build_case("fcc", (3, 4, 5), "open")
            geometry = build_geometry("fcc", (3, 4, 5), closed)
            assert_same_steps(cuda_backend, (geometry, *rest), "euler")

    @pytest.mark.parametrize("tableau", TABLEAUS)
    def test_periods_with_tunnels(self, cuda_backend, tableau):
        case = build_case("triangular", SHAPES["triangular"], "mixed")
        assert_same_periods(cuda_backend, case, tableau)

    @pytest.mark.parametrize("slice_steps", [2, 3])
    @pytest.mark.parametrize("kind", SHAPES)
    def test_periods_of_every_lattice(self, cuda_backend, kind, slice_steps):
        case = build_case(kind, SHAPES[kind], "mixed")
        assert_same_periods(cuda_backend, case, "euler", slice_steps)

    @pytest.mark.parametrize("kind", SMALL_SHAPES)
    def test_periods_of_the_smallest_lattices(self, cuda_backend, kind):
        for seed, shape in enumerate(SMALL_SHAPES[kind]):
            for boundary in BOUNDARIES:
                case = build_case(kind, shape, boundary, seed)
                assert_same_periods(cuda_backend, case, "rk2", turns=1)

    @pytest.mark.parametrize(
        ("shape", "rate", "is_directed"),
        [
            ((23, 36), 120.0, False),
            ((32, 32), -120.0, False),
            ((32, 32), -60.0, True),
            ((2, 2), 60.0, True),
        ],
    )
    def test_periods_with_matchings(self, cuda_backend, shape, rate, is_directed):
        """Ends are computed; the device may hold more than its share of a layer."""
        case = build_case("square", shape, "open")
        layers, steps = 3, 12
        law = SuccessLaw(1.0 / 60.0, 0.9, rate)
        nodes = case[0].node_count
        matching = Matching(nodes, layers, 2**32 - 9, law, is_directed)
        runs = []
        for backend in (cuda_backend, CpuBackend()):
            lattice = backend.build_lattice(*case)
            bridges = backend.build_matchings(matching)
            count = matching.bridge_count
            period = build_period(count, layers, steps)
            later = build_period(count, layers, steps, "rk4", 1 + steps)
            successes = [
                backend.advance(lattice, bridges, each).successes
                for each in (period, later)
            ]
            columns = [backend.to_host(column) for column in bridges.state_columns]
            total = backend.sum_thresholds(lattice, bridges)
            runs.append((successes, total, backend.read_phases(lattice), *columns))
        assert 0 < sum(runs[0][0]) < runs[0][4].sum()
        for ours, theirs in zip(*runs, strict=True):
            np.testing.assert_array_equal(ours, theirs)

    @pytest.mark.parametrize("kind", ["stored", "directed", "undirected"])
    def test_pushes(self, cuda_backend, kind):
        """With inertia events push velocities, and leave the phases alone."""
        case = build_case("square", (23, 36), "open")
        nodes = case[0].node_count
        start = np.random.default_rng(5).normal(0.0, 30.0, nodes).astype(np.float32)
        start[::5] = -0.0
        law = SuccessLaw(1.0 / 60.0, 0.9, -60.0)
        matching = Matching(nodes, 3, 7, law, kind == "directed")
        runs = []
        for backend in (cuda_backend, CpuBackend()):
            lattice = build_inert(backend, case, start)
            if kind == "stored":
                bridges = backend.build_bridges(build_bridges(nodes))
            else:
                bridges = backend.build_matchings(matching)
            period = build_period(3 * (nodes // 2), 3, 12)
            for tick in range(1, 12):
                lo, hi = period.segment_bounds[tick - 1 : tick + 1]
                due = period.segments[lo:hi]
                backend.step_bridges(lattice, bridges, period, due, tick)
            velocities = backend.to_host(lattice.velocities).view(np.uint32)
            phases = backend.read_phases(lattice)
            runs.append((velocities, phases, backend.to_host(bridges.successes)))
        for ours, theirs in zip(*runs, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(runs[0][1], case[1])
        assert (runs[0][0] != start.view(np.uint32)).mean() > 0.5

    def test_threshold_is_inclusive(self, cuda_backend):
        """Also one segment of more events than the emulated device has threads."""
        case = build_case("chain", (6000,), "open")
        host = build_bridges(6000, 1)
        count = host.ids.size
        bounds, segments = np.array([0, 1]), np.array([[0, count]])
        plan = build_period(count, 1, 1)
        period = replace(plan, segments=segments, segment_bounds=bounds)
        words = draw_attempt_words(period.key, host.ids, host.attempts)
        is_even = np.arange(count) % 2 == 0
        host.thresholds[:] = np.where(is_even, words, words - np.uint32(1))
        lattice = cuda_backend.build_lattice(*case)
        bridges = cuda_backend.build_bridges(host)
        assert cuda_backend.advance(lattice, bridges, period).successes == count // 2
        successes = cuda_backend.to_host(bridges.successes)
        np.testing.assert_array_equal(successes, is_even)

    def test_subnormal_means_are_kept(self, cuda_backend):
        """Locked ends let a mean shrink by 1/16 per attempt, in the end below 1e-38."""
        geometry, _, detunings, coupling = build_case("chain", (64,), "periodic")
        phases = np.zeros(64, np.uint32)
        runs = []
        for backend in (cuda_backend, CpuBackend()):
            host = build_bridges(64, 1)
            host.locking_sin[:] = np.linspace(1e-40, 1.3e-38, host.ids.size)
            lattice = backend.build_lattice(geometry, phases, detunings * 0, coupling)
            bridges = backend.build_bridges(host)
            backend.advance(lattice, bridges, build_period(host.ids.size, 1, 9))
            runs.append(backend.to_host(bridges.locking_sin))
        assert (runs[1] > 0.0).all()
        np.testing.assert_array_equal(*(run.view(np.uint32) for run in runs))

    def test_period_without_bridges(self, cuda_backend):
        case = build_case("chain", (64,), "periodic")
        none = BridgeArrays(*(column[:0] for column in build_bridges(64).columns))
        empty = replace(build_period(3, 1, 3), segment_bounds=np.zeros(4, np.int64))
        lattice = cuda_backend.build_lattice(*case)
        result = cuda_backend.advance(lattice, cuda_backend.build_bridges(none), empty)
        assert result.successes == 0

    @pytest.mark.parametrize(
        "motion",
        [
            FOLLOWING,
            Motion(diffusion_rad2_s=20.0, noise_key=(1, 2)),
            Motion(inertia_s=0.01, diffusion_rad2_s=1.0, noise_key=(1, 2)),
        ],
        ids=["following", "noise", "inertia"],
    )
    def test_turns_are_counted_without_a_trace(self, cuda_backend, motion):
        """Equal turns on both back ends, and the phases of a run that nobody counts."""
        case = build_case("square", SHAPES["square"], "mixed")
        seen = []
        for backend, is_counted in (
            (cuda_backend, True),
            (CpuBackend(), True),
            (CpuBackend(), False),
        ):
            lattice = backend.build_lattice(*case, motion)
            bridges = backend.build_bridges(build_bridges(case[0].node_count))
            if is_counted:
                backend.start_counting(lattice, 400.0, 0.25)
            for turn in range(8):
                period = build_period(
                    bridges.ids.size, 3, 12, first_tick=1 + 12 * turn, turn=turn
                )
                backend.advance(lattice, bridges, period)
            turns = backend.read_turns(lattice) if is_counted else None
            probe = backend.read_probe(lattice, np.array([3, 0, 700]))
            seen.append((backend.read_phases(lattice), turns))
            np.testing.assert_array_equal(probe, seen[-1][0][[3, 0, 700]])
        np.testing.assert_array_equal(seen[0][0], seen[1][0])
        np.testing.assert_array_equal(seen[0][0], seen[2][0])
        np.testing.assert_array_equal(seen[0][1], seen[1][1])
        assert np.abs(seen[0][1]).max() > 0.5

    @pytest.mark.parametrize("steps", [1, 2, 7, 8, 9, 40])
    def test_stage_times_add_up(self, cuda_backend, steps):
        case = build_case("square", SHAPES["square"], "periodic")
        bridges = cuda_backend.build_bridges(build_bridges(case[0].node_count))
        lattice = cuda_backend.build_lattice(*case)
        period = build_period(bridges.ids.size, 3, steps)
        result = cuda_backend.advance(lattice, bridges, period)
        assert result.lattice_s > 0.0
        assert result.tunnel_s >= 0.0

    @pytest.mark.parametrize(
        ("kind", "turns"), [("chain", (3,)), ("cubic", (0, -1, 2))]
    )
    def test_twisted_wave_is_measured(self, cuda_backend, kind, turns):
        shape = (24,) if kind == "chain" else (5, 8, 12)
        geometry, _, detunings, coupling = build_case(kind, shape, "periodic")
        axes = np.indices(shape).reshape(len(shape), -1)
        twist = sum(t * i / n for t, i, n in zip(turns, axes, shape, strict=True))
        phases = (np.rint(twist * 2.0**32).astype(np.int64) % 2**32).astype(np.uint32)
        lattice = cuda_backend.build_lattice(geometry, phases, detunings, coupling)
        assert cuda_backend.winding_numbers(lattice) == turns
        assert cuda_backend.vortex_count(lattice) == 0
        assert abs(cuda_backend.order_parameter(lattice)) < 1e-6

    def test_phases_go_to_the_device_and_back(self, cuda_backend):
        geometry, phases, *rest = build_case("square", SHAPES["square"], "open")
        lattice = cuda_backend.build_lattice(geometry, phases, *rest)
        np.testing.assert_array_equal(cuda_backend.read_phases(lattice), phases)
        cuda_backend.write_phases(lattice, phases[::-1])
        np.testing.assert_array_equal(cuda_backend.read_phases(lattice), phases[::-1])
        assert cuda_backend.to_host(lattice.detunings).dtype == np.float32
        assert cuda_backend.memory_free_bytes() > 0
