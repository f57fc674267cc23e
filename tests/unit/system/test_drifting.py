"""Runs whose natural frequencies drift: replayed, followed, and honest about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.config import RunConfig
from engine.errors import ConfigError
from engine.forecast import find_obstacle
from engine.system import ScribbleSystem

BuildConfig = Callable[..., RunConfig]
DRIFT = {"drift_period_s": 1.0}
QUICK = {"controller": {"period_steps": 10}}


def digest(config: RunConfig) -> str:
    with ScribbleSystem(config) as system:
        summary = system.run()
    assert summary.notes == ()
    return summary.state_digest


@pytest.mark.parametrize("kind", ["matchings", "procedural"])
def test_drift_moves_the_run_and_repeats_it(
    build_config: BuildConfig, kind: str
) -> None:
    bridges = {"bridges": {"kind": kind}, **QUICK}
    drifting = build_config(lattice=DRIFT, **bridges)
    found = digest(drifting)
    assert found == digest(drifting)
    assert found != digest(build_config(**bridges))
    threads = replace(drifting.backend, threads=1)
    assert found == digest(replace(drifting, backend=threads))


def test_steps_come_to_where_the_time_says(build_config: BuildConfig) -> None:
    config = build_config(lattice=DRIFT, **QUICK)
    with ScribbleSystem(config) as system, ScribbleSystem(config) as other:
        first = system.lattice.detunings_hz
        system.advance(0.1)
        other.lattice.follow_drift(system.simulated_s)
        system.lattice.follow_drift(system.simulated_s)
        found = system.lattice.detunings_hz
        assert (found == other.lattice.detunings_hz).all()
        assert np.std(found - first) > 1.0


def test_kernels_see_the_drift(build_config: BuildConfig) -> None:
    """Without any coupling each phase has turned by the sum of its frequencies."""
    free = {"bridges": {"kind": "none"}, "backend": {"name": "reference"}, **QUICK}
    lattice = {**DRIFT, "coupling_rad_s": 0.0}
    with ScribbleSystem(build_config(lattice=lattice, **free)) as system:
        start = system.lattice.phases.copy()
        turns = np.zeros(len(start))
        span_s = 10 * system.config.dynamics.dt_s
        for _ in range(20):
            system.lattice.follow_drift(system.simulated_s)
            turns += span_s * system.lattice.detunings_hz.astype(np.float64)
            system.advance(span_s)
        moved = (system.lattice.phases - start).astype(np.float64) * 2.0**-32
        away = (moved - turns + 0.5) % 1.0 - 0.5
    # A phase is read in units of 2^-32 turn; sums of 200 float64 steps round far less.
    assert np.abs(away).max() < 1e-6


def test_no_forecast_is_made(build_config: BuildConfig) -> None:
    config = build_config(lattice=DRIFT, **QUICK)
    assert find_obstacle(config).startswith("lattice.drift_period_s is 1, but")
    with ScribbleSystem(config) as system:
        assert system.run().forecast["coherence"] is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lattice": {"distribution": "given", "frequencies_path": "f.npy"}}, "given"),
        ({"lattice": {"spread_hz": 0.0}}, "nothing can drift"),
        ({"controller": {"error_windows": 2}}, "a network that stands"),
        ({"lattice": {"drift_period_s": 0.01}}, "a turn takes 64 of them"),
    ],
)
def test_combinations_without_sense(
    build_config: BuildConfig, changes: dict[str, dict[str, object]], words: str
) -> None:
    groups = {"lattice": DRIFT | changes.pop("lattice", {}), **QUICK, **changes}
    if "controller" in changes:
        groups["controller"] = {**QUICK["controller"], **changes["controller"]}
    with pytest.raises(ConfigError, match=words) as caught:
        build_config(**groups).validate()
    assert str(caught.value).startswith("lattice.drift_period_s is ")


def test_detunings_that_drift_cannot_be_set(build_config: BuildConfig) -> None:
    with ScribbleSystem(build_config(lattice=DRIFT, **QUICK)) as system:
        with pytest.raises(ConfigError, match="move by themselves"):
            system.adjust_detunings(np.zeros(system.lattice.node_count))
        assert system.run().notes == ()
