"""Forecast and outcome agree on random networks wherever the floor is reachable."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from engine.config import (
    BackendConfig,
    BridgesConfig,
    ControllerConfig,
    DynamicsConfig,
    LatticeConfig,
    LoadConfig,
    RecordConfig,
    RunConfig,
    TunnelConfig,
)
from engine.forecast import build_forecaster
from engine.system import ScribbleSystem

TOLERANCE = 0.01
"""What the forecast promises; 145 other draws gave 0.0006 rms and 0.005 at most."""
SHAPES = {
    "chain": (2048,), "square": (48, 48), "triangular": (48, 48),
    "cubic": (12, 12, 12), "bcc": (12, 12, 12), "fcc": (12, 12, 12),
}  # fmt: skip


def draw_config(random: np.random.Generator) -> RunConfig:
    """Draw a network and a rung, over everything that a user may turn."""
    kind = str(random.choice(list(SHAPES)))
    law = str(random.choice(["gaussian", "uniform", "lorentzian"]))
    coupling = float(np.exp(random.uniform(np.log(40.0), np.log(170.0))))
    spread = coupling / (2.0 * np.pi) * float(np.exp(random.uniform(-1.6, 0.7)))
    is_heavy = law == "lorentzian"
    tunnel = TunnelConfig(linewidth_hz=float(np.exp(random.uniform(4.1, 6.9))))
    return RunConfig(
        seed=int(random.integers(1000)),
        lattice=LatticeConfig(
            kind=kind,
            shape=SHAPES[kind],
            periodic=(bool(random.random() < 0.7),),
            coupling_rad_s=coupling,
            spread_hz=0.2 * spread if is_heavy else spread,
            distribution=law,
            cutoff_hz=4.0 * spread if is_heavy else None,
            initial_phases=str(random.choice(["aligned", "random"])),
        ),
        bridges=BridgesConfig(
            kind=str(random.choice(["matchings", "small_world"])),
            per_node=int(random.integers(1, 9)),
            strength_rad_s=float(np.exp(random.uniform(np.log(30.0), np.log(400.0)))),
        ),
        dynamics=DynamicsConfig(duration_s=0.8),
        tunnel=tunnel,
        controller=ControllerConfig(
            objective="fixed",
            fixed_frequency_hz=tunnel.rung_frequency_hz(int(random.integers(9))),
        ),
        backend=BackendConfig("cpu"),
        load=LoadConfig(kind="synthetic", level=0.0),
        record=RecordConfig(forecast=False),
    )


def draw_reachable(seed: int) -> Iterator[tuple[RunConfig, float]]:
    """Draw networks that are forecast to hold the floor, and to be trusted."""
    random = np.random.default_rng(seed)
    while True:
        config = draw_config(random)
        hz = config.controller.fixed_frequency_hz
        found = build_forecaster(config).forecast(hz)
        if found.is_trusted and found.coherence >= config.tunnel.min_coherence:
            yield config, found.coherence


def measure(config: RunConfig) -> float:
    """Return the coherence over the second half of a run."""
    values: list[float] = []
    with ScribbleSystem(config) as system:
        system.run(lambda progress: values.append(progress.coherence))
    return float(np.mean(values[len(values) // 2 :]))


def test_ten_random_networks() -> None:
    for config, forecast in itertools.islice(draw_reachable(seed=2), 10):
        assert forecast == pytest.approx(measure(config), abs=TOLERANCE), config


@pytest.mark.validation
@pytest.mark.parametrize("hz", [39.0, 63.0, 165.0, 699.0])
def test_default_network_at_full_size(hz: float) -> None:
    config = RunConfig(
        lattice=LatticeConfig(initial_phases="aligned"),
        dynamics=DynamicsConfig(duration_s=0.6),
        controller=ControllerConfig(objective="fixed", fixed_frequency_hz=hz),
        load=LoadConfig(kind="synthetic", level=0.0),
        backend=BackendConfig("cpu"),
        record=RecordConfig(forecast=False),
    )
    found = build_forecaster(config).forecast(hz)
    assert found.is_trusted
    # The step of 0.25 ms itself takes 0.001 to 0.002 from r; the theory has no step.
    assert found.coherence == pytest.approx(measure(config), abs=0.004)
