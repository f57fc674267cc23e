"""What `cuda` must have in common with `cpu` in lag, mean field, noise and inertia.

`MotionParity` is inherited like `CudaParity` of `parity.py`.
"""

from __future__ import annotations

import numpy as np
import pytest

from engine.backends.cpu import CpuBackend
from engine.backends.matching import Matching, SuccessLaw
from engine.backends.protocol import TABLEAUS, Motion
from tests.host_cuda.parity import (
    DT_S,
    SHAPES,
    assert_same_periods,
    assert_same_steps,
    build_case,
    build_period,
    measure,
)

LAGS = (0.7, -2.1, np.pi / 2)
NOISE_KEY = (2**32 - 3, 6)
INERTIA_S = 0.002
DIFFUSION = 40.0
MOVING = {
    "noise": Motion(0.0, False, 0.0, DIFFUSION, NOISE_KEY),
    "lagged noise": Motion(0.7, False, 0.0, DIFFUSION, NOISE_KEY),
    "noisy mean field": Motion(-0.4, True, 0.0, DIFFUSION, NOISE_KEY),
    "inertia": Motion(0.0, False, INERTIA_S),
    "lagged inertia": Motion(0.7, False, INERTIA_S),
    "noisy inertia": Motion(0.0, False, INERTIA_S, DIFFUSION, NOISE_KEY),
    "all of them": Motion(-0.4, True, INERTIA_S, DIFFUSION, NOISE_KEY),
}
"""Motions with drifts or kicks around plain steps."""
UNSTEADY = MOVING | {"mean field": Motion(is_global=True)}
"""Motions that take plain launches."""


def build_moving_case(motion, kind="square", boundary="mixed", shape=None):
    """Draw a lattice as `build_case` does, with a motion."""
    return (*build_case(kind, shape or SHAPES[kind], boundary), motion)


def assert_same_moves(cuda, case, tableau, counts=(1, 2, 5), first_kick=0):
    """Move both back ends side by side; compare phases, velocities and kicks."""
    cpu = CpuBackend()
    ours, theirs = cuda.build_lattice(*case), cpu.build_lattice(*case)
    ours.kicks = theirs.kicks = first_kick
    for count in counts:
        cuda.move_lattice(ours, TABLEAUS[tableau], DT_S, count)
        cpu.move_lattice(theirs, TABLEAUS[tableau], DT_S, count)
        np.testing.assert_array_equal(cuda.read_phases(ours), cpu.read_phases(theirs))
        assert ours.kicks == theirs.kicks
        if theirs.velocities is None:
            assert ours.velocities is None
            continue
        found, wanted = cuda.to_host(ours.velocities), theirs.velocities
        np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))
    assert measure(cuda, ours) == measure(cpu, theirs)


class MotionParity:
    """The comparisons; a subclass runs them where its fixture says."""

    @pytest.mark.parametrize("boundary", ["periodic", "mixed"])
    @pytest.mark.parametrize("kind", SHAPES)
    def test_lagged_steps(self, cuda_backend, kind, boundary):
        for lag, tableau in zip(LAGS, ("euler", "rk2", "rk4"), strict=True):
            case = build_moving_case(Motion(lag_rad=lag), kind, boundary)
            assert_same_steps(cuda_backend, case, tableau, (1, 3))

    @pytest.mark.parametrize("slice_steps", [1, 3])
    @pytest.mark.parametrize("kind", ["chain", "triangular", "fcc"])
    def test_lagged_periods(self, cuda_backend, kind, slice_steps):
        """Small lattices, so that a block holds the whole of some."""
        shapes = {"chain": (300,), "triangular": (11, 13), "fcc": (5, 6, 4)}
        for lag, tableau in zip(LAGS[:2], ("euler", "rk4"), strict=True):
            case = build_moving_case(Motion(lag_rad=lag), kind, "mixed", shapes[kind])
            assert_same_periods(cuda_backend, case, tableau, slice_steps, turns=2)

    def test_lag_matters_and_zero_is_no_lag(self, cuda_backend):
        found = []
        for lag in (0.0, 1e-3, -1e-3):
            case = build_moving_case(Motion(lag_rad=lag))
            lattice = cuda_backend.build_lattice(*case)
            cuda_backend.step_lattice(lattice, TABLEAUS["euler"], DT_S)
            found.append(cuda_backend.read_phases(lattice))
        assert not any((found[0] == other).all() for other in found[1:])
        lattice = cuda_backend.build_lattice(*case[:4])
        cuda_backend.step_lattice(lattice, TABLEAUS["euler"], DT_S)
        np.testing.assert_array_equal(cuda_backend.read_phases(lattice), found[0])

    @pytest.mark.parametrize("lag", [0.0, *LAGS])
    @pytest.mark.parametrize("tableau", ["euler", "rk2", "rk4"])
    def test_mean_field(self, cuda_backend, tableau, lag):
        """Also a lattice of fewer nodes than a warp has threads."""
        motion = Motion(lag_rad=lag, is_global=True)
        for shape in ((4099,), (2,), (31,)):
            case = build_moving_case(motion, "chain", "open", shape)
            assert_same_steps(cuda_backend, case, tableau, (1, 2, 4))

    def test_integrators_take_turns(self, cuda_backend):
        """One lattice through schemes of different stages."""
        case = build_moving_case(Motion(is_global=True), shape=(9, 14))
        ours = cuda_backend.build_lattice(*case)
        cpu = CpuBackend()
        for tableau in ("euler", "rk4", "euler", "rk2"):
            phases = cuda_backend.read_phases(ours)
            theirs = cpu.build_lattice(case[0], phases, *case[2:])
            for backend, lattice in ((cuda_backend, ours), (cpu, theirs)):
                backend.step_lattice(lattice, TABLEAUS[tableau], DT_S, 2)
            found = cuda_backend.read_phases(ours)
            np.testing.assert_array_equal(found, cpu.read_phases(theirs))

    @pytest.mark.parametrize("name", MOVING)
    def test_moves(self, cuda_backend, name):
        tableau = "leapfrog" if MOVING[name].inertia_s else "rk4"
        for shape in ((4099,), (2,), (5,), (6,)):
            case = build_moving_case(MOVING[name], "chain", "open", shape)
            assert_same_moves(cuda_backend, case, tableau)

    @pytest.mark.parametrize("motion", [*UNSTEADY.values(), Motion(lag_rad=0.7)])
    def test_warm_up_loads_all_kernels(self, cuda_backend, motion):
        cuda_backend.warm_up(motion=motion)

    def test_kicks_are_counted_in_32_bits(self, cuda_backend):
        case = build_moving_case(MOVING["noise"], shape=(5, 7))
        assert_same_moves(cuda_backend, case, "euler", first_kick=2**32 - 2)

    @pytest.mark.parametrize("ahead_s", [1e-9, 0.01, 3.0, -3.0, 1e9])
    def test_long_drifts_end_below_half_a_turn(self, cuda_backend, ahead_s):
        """Velocities of some 10 Hz, so that most moves are beyond what 32 bits hold."""
        case = build_moving_case(MOVING["noisy inertia"])
        cpu, found = CpuBackend(), []
        for backend in (cuda_backend, cpu):
            lattice = backend.build_lattice(*case)
            backend.move_lattice(lattice, TABLEAUS["leapfrog"], DT_S, 3)
            backend.drift(lattice, ahead_s)
            found.append(backend.read_phases(lattice))
        np.testing.assert_array_equal(*found)

    @pytest.mark.parametrize("slice_steps", [1, 3])
    @pytest.mark.parametrize("name", UNSTEADY)
    def test_unsteady_periods(self, cuda_backend, name, slice_steps):
        """Events in between, on plain launches."""
        tableau = "leapfrog" if UNSTEADY[name].inertia_s else "rk2"
        case = build_moving_case(UNSTEADY[name], "triangular")
        assert_same_periods(cuda_backend, case, tableau, slice_steps, turns=2)

    @pytest.mark.parametrize("name", ["noise", "all of them"])
    def test_unsteady_periods_with_matchings(self, cuda_backend, name):
        case = build_moving_case(UNSTEADY[name], shape=(12, 16))
        tableau = "leapfrog" if UNSTEADY[name].inertia_s else "euler"
        law = SuccessLaw(1.0 / 60.0, 0.9, 120.0)
        matching = Matching(case[0].node_count, 3, 7, law)
        runs = []
        for backend in (cuda_backend, CpuBackend()):
            lattice = backend.build_lattice(*case)
            bridges = backend.build_matchings(matching)
            period = build_period(matching.bridge_count, 3, 8, tableau)
            successes = backend.advance(lattice, bridges, period).successes
            columns = [backend.to_host(column) for column in bridges.state_columns]
            runs.append((successes, backend.read_phases(lattice), *columns))
        assert runs[0][0] > 0
        for ours, theirs in zip(*runs, strict=True):
            np.testing.assert_array_equal(ours, theirs)
