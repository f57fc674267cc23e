"""Turns are counted without aliasing on every back end, and without a trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine.backends.cpu import CpuBackend
from engine.backends.protocol import TABLEAUS, Backend, BridgeArrays, Motion, Period
from engine.backends.reference import ReferenceBackend
from engine.backends.stepping import SteppingBackend
from engine.config import RunConfig
from engine.crystal import CrystalLattice
from engine.geometry import build_geometry
from engine.system import ScribbleSystem
from tests.parity.bounds import EVENT_ERROR, grow, step_error

BuildConfig = Callable[..., RunConfig]
DT_S = 0.0005
STEPS = 200


def build_backend(name: str) -> SteppingBackend:
    return ReferenceBackend() if name == "reference" else CpuBackend()


def build_wild_config(build_config: BuildConfig, name: str, **more: Any) -> RunConfig:
    """A run whose nodes turn fast and are pulled hard, with every bridge in use."""
    groups: dict[str, dict[str, Any]] = {
        "lattice": {"shape": (12, 12), "coupling_rad_s": 200.0, "spread_hz": 100.0},
        "bridges": {"strength_rad_s": 300.0},
        "dynamics": {"dt_s": DT_S, "duration_s": STEPS * DT_S},
        "controller": {"objective": "fixed", "fixed_frequency_hz": 500.0},
        "backend": {"name": name},
    }
    return build_config(**{key: {**groups[key], **more.get(key, {})} for key in groups})


def count_run(config: RunConfig, *, is_counted: bool = True) -> tuple[Any, Any]:
    """Run with or without a count; return digest and turns."""
    with ScribbleSystem(config) as system:
        lattice, backend = system.lattice, system.backend
        if is_counted:
            backend.start_counting(lattice.state, lattice.fastest_rate_hz, 0.25)
        system.run()
        turns = backend.read_turns(lattice.state) if is_counted else None
        return system.state_digest(), turns


@pytest.mark.parametrize("bridges", ["matchings", "procedural"])
@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_counting_changes_no_bit(
    name: str, bridges: str, build_config: BuildConfig
) -> None:
    config = build_wild_config(build_config, name, bridges={"kind": bridges})
    seen, turns = count_run(config)
    alone, _ = count_run(config, is_counted=False)
    assert seen == alone
    assert np.abs(turns).max() > 5.0


def test_binary_turns_are_those_of_reference(
    binary_backend: Backend, reference: Backend, build_config: BuildConfig
) -> None:
    # Radians of float64 never wrap, so `reference` cannot alias. A single lost turn
    # would be a difference of one.
    gentle = {
        "lattice": {"coupling_rad_s": 5.0},
        "bridges": {"strength_rad_s": 2.5},
    }
    counts = []
    for backend in (reference, binary_backend):
        config = build_wild_config(build_config, backend.name, **gentle)
        counts.append(count_run(config)[1])
        with ScribbleSystem(config) as system:
            state = system.lattice.state
    # Pulls of 4 K + 4 kappa double a difference's growth over 0.1 s: exp(2 * 3).
    bound = grow(2.0 * step_error(state, DT_S), STEPS, 6.0)
    bound += EVENT_ERROR * 4 * 500.0 * STEPS * DT_S * np.exp(6.0)
    assert bound < 0.5
    assert np.abs(counts[1] - counts[0]).max() < bound
    assert np.abs(counts[0]).max() > 20.0


@pytest.mark.parametrize("turns_per_period", [20.0, -20.0])
def test_fast_rotators_are_counted_right(
    backend: Backend, turns_per_period: float, build_config: BuildConfig
) -> None:
    # 100 steps a period, a fifth of a turn each: near the most that a step may do.
    config = build_config(
        backend={"name": backend.name},
        bridges={"kind": "none"},
        lattice={"coupling_rad_s": 0.0},
        controller={"period_steps": 100},
    )
    with ScribbleSystem(config) as system:
        lattice = system.lattice
        rate_hz = turns_per_period / (100 * config.dynamics.dt_s)
        detunings = np.full(lattice.node_count, rate_hz, np.float32)
        lattice.state = backend.build_lattice(
            lattice.geometry, lattice.phases, detunings, 0.0
        )
        system.backend.start_counting(lattice.state, abs(rate_hz), 0.25)
        system.run()
        turns = system.backend.read_turns(lattice.state)
    # Two periods; float32 rounds the time step, the turn and their product.
    assert turns == pytest.approx(
        np.full(lattice.node_count, 2.0 * turns_per_period), rel=3 * 2.0**-24
    )


MOTIONS = {
    "noise": Motion(diffusion_rad2_s=20.0, noise_key=(1, 2)),
    "inertia": Motion(inertia_s=0.01, noise_key=(1, 2)),
    "both": Motion(inertia_s=0.01, diffusion_rad2_s=1.0, noise_key=(1, 2)),
    "mean field": Motion(is_global=True),
}


@pytest.mark.parametrize("kind", MOTIONS)
@pytest.mark.parametrize("name", ["reference", "cpu"])
def test_every_motion_is_counted_without_a_trace(
    name: str, kind: str, build_config: BuildConfig
) -> None:
    config = build_wild_config(build_config, name)
    turns = []
    for each in ("reference", name):
        backend = build_backend(each)
        lattice = CrystalLattice(config.lattice, backend, 3)
        runs = []
        for is_counted in (True, False):
            state = backend.build_lattice(
                lattice.geometry, lattice.phases, lattice.detunings_hz, 5.0,
                MOTIONS[kind],
            )  # fmt: skip
            if is_counted:
                backend.start_counting(state, lattice.fastest_rate_hz, 0.25)
            for steps in (2, 50, 1):
                backend.move_lattice(state, TABLEAUS["euler"], DT_S, steps)
            runs.append(state)
        first, second = (backend.read_phases(run) for run in runs)
        assert np.array_equal(first, second)
        turns.append(backend.read_turns(runs[0]))
    # K dt of 0.0025 in 53 steps: rounding does not grow to a millionth of a turn.
    assert turns[0] == pytest.approx(turns[1], abs=1e-5)
    assert np.abs(turns[0]).max() > 1.0


@pytest.mark.parametrize("knows_layers", [True, False])
def test_node_carried_around_by_events_is_counted(
    backend: Backend, knows_layers: bool
) -> None:
    # Bridge k pulls node 0 ahead by 0.24 turn, to halfway between its ends. After the
    # four layers of one slice it has gone 0.96 turn, which at its end looks like -0.04.
    ends = np.arange(1, 5, dtype=np.uint32)
    way = 0.24
    phases = np.array([0.0, *(way * (ends + 1.0))]) * 2.0**32
    geometry = build_geometry("chain", (5,))
    state = backend.build_lattice(
        geometry,
        phases.astype(np.int64).astype(np.uint32),
        np.zeros(5, np.float32),
        0.0,
    )
    counts = [np.zeros(4, np.uint32) for _ in range(3)]
    means = [np.zeros(4, np.float32) for _ in range(2)]
    sources, strong = np.zeros(4, np.uint32), np.full(4, 1e5, np.float32)
    sure = np.full(4, 2**32 - 1, np.uint32)
    bridges = backend.build_bridges(
        BridgeArrays(ends - 1, sources, ends, strong, sure, *counts, *means)
    )
    slots = np.arange(4, dtype=np.int64)
    period = Period(
        1, DT_S, TABLEAUS["euler"], 1, np.stack((slots, slots + 1), axis=1),
        np.array([0, 4]), (0, 4), segment_layers=slots if knows_layers else None,
    )  # fmt: skip
    backend.start_counting(state, 0.0, 0.25)
    backend.advance(state, bridges, period)
    turns = backend.read_turns(state)
    # A dose of 50 leaves nothing of a gap; float32 shifts are off by EVENT_ERROR each.
    assert turns[0] == pytest.approx(4.0 * way, abs=4.0 * EVENT_ERROR)
    assert turns[1:] == pytest.approx(np.full(4, -way), abs=4.0 * EVENT_ERROR)
