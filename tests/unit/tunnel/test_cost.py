"""The cost model learns seconds per node step and per event, and inverts them."""

from __future__ import annotations

import pytest

from engine.tunnel import CostModel


def build_cost() -> CostModel:
    return CostModel(node_count=1000, bridge_count=200, dt_s=0.001)


def test_nothing_is_known_at_first() -> None:
    cost = build_cost()
    assert cost.affordable_hz(1.0) is None
    cost.update(1.0, 0.0, steps=10, events=0)
    assert cost.node_step_s == pytest.approx(1e-4)
    assert cost.event_s is None
    assert cost.affordable_hz(1.0) is None


def test_affordable_frequency_just_holds_the_pace() -> None:
    cost = build_cost()
    cost.update(lattice_s=0.02, tunnel_s=0.01, steps=10, events=1000)
    # 2 us per node step: 2 s per simulated second; 10 us per event.
    frequency_hz = cost.affordable_hz(0.25)
    assert frequency_hz is not None
    wall_s = 2e-6 * 1000 / 0.001 + frequency_hz * 200 * 1e-5
    assert 1.0 / wall_s == pytest.approx(0.25)
    assert frequency_hz == pytest.approx(1000.0)


def test_a_pace_beyond_the_lattice_alone_is_not_affordable() -> None:
    cost = build_cost()
    cost.update(lattice_s=0.02, tunnel_s=0.01, steps=10, events=1000)
    assert (cost.affordable_hz(1.0) or 0.0) < 0.0


def test_costs_follow_slowly() -> None:
    cost = build_cost()
    cost.update(0.01, 0.01, steps=10, events=1000)
    cost.update(0.02, 0.02, steps=10, events=1000)
    assert cost.node_step_s == pytest.approx(1e-6 * (1.0 + 1.0 / 16.0))
    for _ in range(200):
        cost.update(0.02, 0.02, steps=10, events=1000)
    assert cost.node_step_s == pytest.approx(2e-6, rel=1e-4)
    assert cost.event_s == pytest.approx(2e-5, rel=1e-4)


def test_no_bridges_afford_nothing() -> None:
    cost = CostModel(node_count=10, bridge_count=0, dt_s=0.001, node_step_s=1e-6)
    cost.event_s = 1e-6
    assert cost.affordable_hz(1.0) is None


def test_a_period_in_which_the_process_stood_still_says_little() -> None:
    """An hour in one period may double the mean, as 16 times its size would."""
    cost = build_cost()
    cost.update(0.01, 0.01, steps=10, events=1000)
    cost.update(3600.0, 0.01, steps=10, events=1000)
    assert cost.node_step_s == pytest.approx(1e-6 * (1.0 + 15.0 / 16.0))
    for _ in range(64):
        cost.update(0.01, 0.01, steps=10, events=1000)
    # (15/16)^64 = 0.016 of the excess is left.
    assert cost.node_step_s == pytest.approx(1e-6, rel=0.02)
