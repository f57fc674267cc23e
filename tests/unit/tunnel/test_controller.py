"""TunnelController gathers what the law needs and hands its answer on."""

from __future__ import annotations

import numpy as np
import pytest

from engine.backends.protocol import Backend
from engine.bridge import BridgeNetwork, build_matchings
from engine.bridge.edges import build_empty
from engine.config import BridgesConfig, ControllerConfig, LoadConfig, TunnelConfig
from engine.monitor import ResourceMonitor, SyntheticSource
from engine.tunnel import CostModel, QuantumTunnel, TunnelController

TUNNEL = TunnelConfig()
TOP_HZ = TUNNEL.maximum_frequency_hz
EASY = ControllerConfig(dwell_periods=0, descent_rungs_per_s=1e6)


def build_monitor(level: float) -> ResourceMonitor:
    source = SyntheticSource(LoadConfig(kind="synthetic", level=level))
    return ResourceMonitor(source=source)


def build_network(backend: Backend) -> BridgeNetwork:
    edges = build_matchings(20, BridgesConfig(per_node=2), 0)
    return BridgeNetwork(edges, np.linspace(0.5, 1.0, 20), backend)


def settle(controller: TunnelController, coherence: float = 0.95) -> float:
    """Let the required frequency sink below the offer."""
    for period in range(300):
        controller.adjust_frequencies(coherence, 0.01 * period)
    return controller.frequency_hz


def test_starts_at_the_safe_top(reference: Backend) -> None:
    controller = TunnelController(build_monitor(0.8), network=build_network(reference))
    assert controller.decision is None
    assert controller.frequency_hz == TOP_HZ


@pytest.mark.parametrize("level", [0.0, 0.5, 0.8])
def test_headroom_follows_the_monitor_onto_the_network(
    level: float, reference: Backend
) -> None:
    network = build_network(reference)
    controller = TunnelController(
        build_monitor(level), controller=EASY, network=network
    )
    assert settle(controller) == pytest.approx((1.0 - level) * TOP_HZ)
    assert network.frequency_hz == controller.frequency_hz
    assert controller.decision is not None
    assert controller.decision.state == "nominal"


@pytest.mark.parametrize(
    ("event_s", "expected_hz"),
    [
        # 100 nodes at 1 us and 1 ms per step: 0.1 s per simulated second; pace 2
        # leaves 0.4 s for 20 bridges.
        (1e-4, 200.0),
        (5e-5, 400.0),
        (1e-6, TOP_HZ),
        (1.0, TUNNEL.rung_frequency_hz(14)),
    ],
)
def test_pace_follows_the_measured_costs(
    event_s: float, expected_hz: float, reference: Backend
) -> None:
    cost = CostModel(100, 20, 0.001, node_step_s=1e-6, event_s=event_s)
    controller = TunnelController(
        build_monitor(0.9),
        controller=ControllerConfig(
            objective="pace", target_pace=2.0, dwell_periods=0, descent_rungs_per_s=1e6
        ),
        network=build_network(reference),
        cost=cost,
    )
    assert settle(controller) == pytest.approx(expected_hz)


def test_pace_asks_the_resources_before_anything_is_measured() -> None:
    controller = TunnelController(
        build_monitor(0.5),
        controller=ControllerConfig(objective="pace"),
        cost=CostModel(100, 20, 0.001),
    )
    decision = controller.adjust_frequencies(0.95, 0.0)
    assert decision.offered_hz == pytest.approx(0.5 * TOP_HZ)


def test_elapsed_time_is_the_time_since_the_last_decision() -> None:
    # The descent is limited per simulated second, however often one decides.
    ends = []
    for periods in (10, 50):
        limited = ControllerConfig(dwell_periods=0, descent_rungs_per_s=2.0)
        controller = TunnelController(build_monitor(0.99), controller=limited)
        for period in range(periods + 1):
            controller.adjust_frequencies(0.99, period / periods)
        ends.append(TUNNEL.frequency_rung(controller.frequency_hz))
    assert ends == pytest.approx([2.0, 2.0])


def test_works_without_a_network() -> None:
    controller = TunnelController(build_monitor(0.0))
    decision = controller.adjust_frequencies(coherence=0.95)
    assert 0.0 < decision.frequency_hz <= TOP_HZ
    assert controller.calculate_probability() == 0.0
    assert len(controller.active_tunnels) == 0


def test_active_tunnels_are_views(reference: Backend) -> None:
    network = build_network(reference)
    controller = TunnelController(build_monitor(0.0), network=network)
    tunnels = controller.active_tunnels
    assert len(tunnels) == 20
    assert isinstance(tunnels[3], QuantumTunnel)
    assert [each.bridge.bridge_id for each in tunnels[2:8:3]] == [2, 5]
    assert tunnels[-1].bridge.bridge_id == 19
    assert sum(1 for _ in tunnels) == 20
    for index in (20, -21):
        with pytest.raises(IndexError, match="of 20"):
            tunnels[index]

    tunnel = tunnels[3]
    assert tunnel.rung is None
    assert tunnel.probability == network.probabilities[3]
    assert (tunnel.attempts, tunnel.successes) == (0, 0)
    network.follow(77.0)
    assert tunnel.frequency == 77.0
    network.pin(3, 432.0)
    network.apply_requests()
    assert tunnel.rung == 1
    assert tunnel.frequency == pytest.approx(432.0)


def test_probability_is_that_of_the_network(reference: Backend) -> None:
    controller = TunnelController(build_monitor(0.0), network=build_network(reference))
    assert controller.calculate_probability() == pytest.approx(0.75)


def test_held_frequency_comes_before_the_law() -> None:
    with ResourceMonitor(source=SyntheticSource(LoadConfig(kind="synthetic"))) as own:
        controller = TunnelController(own)
        before = controller.adjust_frequencies(coherence=0.9)
        controller.hold(50.0)
        held = controller.adjust_frequencies(coherence=0.2, simulated_s=0.01)
        assert (held.frequency_hz, controller.frequency_hz) == (50.0, 50.0)
        assert (held.state, held.required_hz) == (before.state, before.required_hz)
        assert held.reason == "Held at 50 Hz for a measurement."
        controller.hold(None)
        after = controller.adjust_frequencies(coherence=0.9, simulated_s=0.02)
    # The law never saw the 0.2, which would have raised what it asks for.
    assert after.frequency_hz == before.frequency_hz


def test_without_bridges_no_frequency_matters(reference: Backend) -> None:
    network = BridgeNetwork(build_empty(), np.ones(0), reference)
    controller = TunnelController(build_monitor(0.5), network=network)
    for period in range(300):
        decision = controller.adjust_frequencies(0.1, 0.1 * period)
    assert decision.state == "nominal"
    assert decision.reason == "Without bridges no frequency matters."
    assert decision.frequency_hz == pytest.approx(0.5 * TOP_HZ)
