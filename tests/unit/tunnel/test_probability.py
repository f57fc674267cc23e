"""The success law, and its agreement with what a run counts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from engine.backends.protocol import Backend
from engine.bridge import BridgeNetwork, build_matchings
from engine.config import BridgesConfig, RunConfig, TunnelConfig
from engine.system import ScribbleSystem
from engine.tunnel import mean_probability, transmission_probability

NARROW = TunnelConfig(max_probability=0.9, linewidth_hz=40.0)


def test_resonant_law() -> None:
    detuning = np.array([0.0, 40.0, -40.0, 120.0])
    probability = transmission_probability(detuning, NARROW)
    # p_max at resonance, half at one linewidth, a tenth at three.
    assert probability == pytest.approx([0.9, 0.45, 0.45, 0.09])


def test_law_stays_within_its_range_and_falls() -> None:
    detuning = np.linspace(0.0, 1e6, 1000)
    probability = transmission_probability(detuning, NARROW)
    assert (probability > 0.0).all()
    assert (np.diff(probability) < 0.0).all()


def test_default_linewidth_keeps_the_probability_near_one() -> None:
    # Two detunings of 34.4 Hz spread differ by 34.4 sqrt 2 Hz: P = 0.987.
    typical = transmission_probability(np.array([34.4 * math.sqrt(2)]), TunnelConfig())
    assert typical[0] > 0.98


def test_mean_is_weighted_with_the_frequency(reference: Backend) -> None:
    edges = build_matchings(4, BridgesConfig(per_node=1), 0)
    network = BridgeNetwork(edges, np.array([0.2, 1.0]), reference)
    network.follow(100.0)
    assert mean_probability(network) == pytest.approx(0.6)
    network.pin(1, 432.0)
    network.apply_requests()
    assert mean_probability(network) == pytest.approx((20.0 + 432.0) / 532.0)


def test_no_bridges_no_probability(reference: Backend) -> None:
    edges = build_matchings(0, BridgesConfig(), 0)
    assert mean_probability(BridgeNetwork(edges, np.ones(0), reference)) == 0.0


@pytest.mark.parametrize("pinned", [0, 300])
def test_calculated_probability_agrees_with_counted_successes(
    pinned: int, build_config: Callable[..., RunConfig]
) -> None:
    config = build_config(
        dynamics={"duration_s": 1.0},
        tunnel={"max_probability": 0.9, "linewidth_hz": 40.0},
        controller={"objective": "fixed", "fixed_frequency_hz": 267.0},
    )
    with ScribbleSystem(config) as system:
        for bridge_id in range(pinned):
            system.network.pin(bridge_id, 39.0)
        summary = system.run()
        expected = system.controller.calculate_probability()
        law = system.network.probabilities
        attempts = system.network.columns_by_id().attempts
    assert 0.4 < expected < 0.8
    total = summary.tunnels["attempted"]
    found = summary.tunnels["successful"] / total
    # Binomial over all bridges; each may be one attempt off its frequency.
    deviation = math.sqrt(float((attempts * law * (1.0 - law)).sum())) / total
    assert abs(found - expected) < 4.0 * deviation + len(law) / total


def test_every_bridge_succeeds_at_its_own_rate(
    build_config: Callable[..., RunConfig],
) -> None:
    config = build_config(
        dynamics={"duration_s": 1.0}, tunnel={"linewidth_hz": 20.0}, seed=3
    )
    with ScribbleSystem(config) as system:
        system.run()
        law = system.network.probabilities
        host = system.network.columns_by_id()
    deviation = np.sqrt(host.attempts * law * (1.0 - law))
    score = (host.successes - host.attempts * law) / np.maximum(deviation, 0.1)
    # Of 512 unit normals the mean square is 1 +- sqrt(2 / 512); five deviations.
    assert np.mean(score**2) == pytest.approx(1.0, abs=5.0 * math.sqrt(2.0 / 512.0))
