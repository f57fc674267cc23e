"""Numbers at the ends of their ranges: a run takes them without a warning."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from engine.config import BackendConfig, DynamicsConfig, LatticeConfig, RunConfig
from engine.config.checks import MAX_FACTOR, MAX_RATE, MAX_TIME_S
from engine.config.tunnel import MIN_PROBABILITY
from engine.errors import ConfigError
from engine.system import ScribbleSystem

TINY = 1e-300
"""float32 rounds it to 0, its inverse is infinite there."""


def build_base(group: str, key: str) -> RunConfig:
    """A run of 64 nodes in which the key means something."""
    config = RunConfig(
        lattice=LatticeConfig(shape=(8, 8)),
        dynamics=DynamicsConfig(duration_s=0.02),
        backend=BackendConfig(name="cpu"),
    )
    needs: dict[str, tuple[str, dict[str, Any]]] = {
        "inertia_s": ("dynamics", {"integrator": "leapfrog", "inertia_s": 0.1}),
        "fixed_frequency_hz": ("controller", {"objective": "fixed"}),
        "target_pace": ("controller", {"objective": "pace"}),
        "error_window_s": ("controller", {"error_windows": 1}),
        "distance_exponent": ("bridges", {"kind": "small_world"}),
    }
    if group == "load":
        needs[key] = ("load", {"kind": "synthetic", "profile": "sine"})
    name, changes = needs.get(key, (group, {}))
    return replace(config, **{name: replace(getattr(config, name), **changes)})


def list_float_keys() -> list[str]:
    config = RunConfig()
    return [
        f"{group.name}.{entry.name}"
        for group in fields(config)
        if group.name != "seed"
        for entry in fields(getattr(config, group.name))
        if "float" in str(entry.type)
    ]


def run_with(key: str, value: float) -> float:
    """Run and return the mean coherence; warnings are errors here."""
    group, _, name = key.partition(".")
    config = build_base(group, name)
    changed = replace(getattr(config, group), **{name: value})
    with ScribbleSystem(replace(config, **{group: changed})) as system:
        mean = system.run().coherence["mean"]
    assert isinstance(mean, float)
    return mean


@pytest.mark.parametrize("key", list_float_keys())
def test_tiny_numbers_are_refused_or_harmless(key: str) -> None:
    try:
        mean = run_with(key, TINY)
    except ConfigError as error:
        assert key.partition(".")[0] in str(error)
    else:
        assert 0.0 <= mean <= 1.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lattice.mean_frequency_hz", MAX_RATE),
        ("lattice.cutoff_hz", MAX_RATE),
        ("bridges.strength_rad_s", MAX_RATE),
        ("bridges.strength_rad_s", -MAX_RATE),
        ("dynamics.inertia_s", MAX_TIME_S),
        ("tunnel.linewidth_hz", MAX_RATE),
        ("tunnel.max_probability", MIN_PROBABILITY),
        ("controller.target_pace", MAX_FACTOR),
        ("controller.proportional_gain", MAX_FACTOR),
        ("controller.integral_gain_per_s", MAX_FACTOR),
        ("controller.margin_sigmas", MAX_FACTOR),
        ("controller.dead_band", 1.0),
        ("controller.descent_rungs_per_s", MAX_FACTOR),
        ("controller.hold_stale_s", MAX_TIME_S),
        ("controller.fixed_frequency_hz", 1e-9),
        ("load.start_s", MAX_TIME_S),
        ("load.period_s", MAX_TIME_S),
        ("load.period_s", 1e-6),
    ],
)
def test_ends_of_the_ranges_run(key: str, value: float) -> None:
    assert 0.0 <= run_with(key, value) <= 1.0
