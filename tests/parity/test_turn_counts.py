"""Turns are counted without aliasing on every back end, and without a trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from engine.backends.protocol import TABLEAUS, Backend, Motion
from engine.config import RunConfig
from engine.crystal import CrystalLattice
from engine.system import ScribbleSystem
from tests.parity.bounds import EVENT_ERROR, grow, step_error

BuildConfig = Callable[..., RunConfig]
DT_S = 0.0005
STEPS = 200


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


def test_noise_and_inertia_are_counted(
    reference: Backend, build_config: BuildConfig
) -> None:
    config = build_wild_config(build_config, "reference")
    lattice = CrystalLattice(config.lattice, reference, 3, config.dynamics)
    for motion in (
        Motion(diffusion_rad2_s=20.0, noise_key=(1, 2)),
        Motion(inertia_s=0.01, diffusion_rad2_s=1.0, noise_key=(1, 2)),
    ):
        states = [
            reference.build_lattice(
                lattice.geometry, lattice.phases, lattice.detunings_hz, 5.0, motion
            )
            for _ in range(2)
        ]
        reference.start_counting(states[0], lattice.fastest_rate_hz, 0.25)
        start = states[0].phases.copy()
        for state in states:
            reference.move_lattice(state, TABLEAUS["euler"], DT_S, 50)  # type: ignore[attr-defined]
        assert np.array_equal(states[0].phases, states[1].phases)
        way = (states[0].phases - start) / (2.0 * np.pi)
        assert reference.read_turns(states[0]) == pytest.approx(way, abs=1e-9)
