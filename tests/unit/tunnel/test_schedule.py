"""Rotating windows: every bridge fires at exactly its frequency, and never twice."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.backends.protocol import TABLEAUS, Backend, Period
from engine.backends.reference import ReferenceBackend
from engine.bridge import BridgeNetwork, build_matchings
from engine.bridge.base import FOLLOW, Group
from engine.config import BridgesConfig
from engine.constants import MAX_NODES
from engine.tunnel import TunnelSchedule

DT_S = 0.001
EULER = TABLEAUS["euler"]
DRIFT = 1e-3
"""A cursor's step is rounded to 2^-20 slots: 2000 of them are off by 1e-3 slots."""


def build_network(bridges: int = 37, layers: int = 3) -> BridgeNetwork:
    config = BridgesConfig(per_node=layers)
    edges = build_matchings(2 * bridges, config, 0)
    return BridgeNetwork(edges, np.ones(len(edges)), ReferenceBackend())


def list_steps(network: BridgeNetwork, period: Period) -> list[np.ndarray]:
    """Ids of the bridges due in each step; check every segment on the way."""
    steps = []
    for step in range(period.step_count):
        first, last = period.segment_bounds[step : step + 2]
        slots = []
        assert period.segment_layers is not None
        for row in range(first, last):
            lo, hi = period.segments[row]
            assert lo < hi
            homes = [g for g in network.groups if g.start <= lo and hi <= g.stop]
            assert len(homes) == 1, "a segment must lie within one layer and rung"
            assert period.segment_layers[row] == homes[0].layer
            slots.append(np.arange(lo, hi))
        due = np.concatenate(slots) if slots else np.zeros(0, np.int64)
        assert len(np.unique(due)) == len(due), "no bridge twice in one step"
        steps.append(network.arrays.ids[due])
    assert period.segment_bounds[-1] == len(period.segments)
    return steps


def count_attempts(
    network: BridgeNetwork, schedule: TunnelSchedule, steps: int, periods: int
) -> np.ndarray:
    """Attempts by bridge id over several periods."""
    counts = np.zeros(len(network), np.int64)
    for _ in range(periods):
        period, attempts = schedule.plan_period(steps, EULER)
        due = np.concatenate(list_steps(network, period))
        assert len(due) == attempts
        np.add.at(counts, due, 1)
    return counts


@pytest.mark.parametrize("frequency_hz", [0.7, 13.0, 250.0, 618.03, 999.9, 1000.0])
def test_every_bridge_fires_at_its_frequency(frequency_hz: float) -> None:
    network = build_network()
    network.follow(frequency_hz)
    schedule = TunnelSchedule(network, DT_S, seed=0)
    counts = count_attempts(network, schedule, steps=40, periods=50)
    expected = frequency_hz * DT_S * 2000
    assert np.abs(counts - expected).max() < 1.0 + DRIFT


@settings(max_examples=40, deadline=None)
@given(
    bridges=st.integers(1, 60),
    frequency_hz=st.floats(0.1, 1000.0),
    steps=st.lists(st.integers(1, 60), min_size=1, max_size=8),
)
def test_any_size_any_frequency_any_periods(
    bridges: int, frequency_hz: float, steps: list[int]
) -> None:
    network = build_network(bridges, layers=2)
    network.follow(frequency_hz)
    schedule = TunnelSchedule(network, DT_S, seed=0)
    counts = sum(count_attempts(network, schedule, each, 1) for each in steps)
    expected = frequency_hz * DT_S * sum(steps)
    assert np.abs(counts - expected).max() < 1.0 + DRIFT


def test_load_is_even_in_time() -> None:
    network = build_network(bridges=100, layers=2)
    network.follow(123.4)
    schedule = TunnelSchedule(network, DT_S, seed=0)
    period, _ = schedule.plan_period(200, EULER)
    per_step = np.array([len(ids) for ids in list_steps(network, period)])
    # 12.34 bridges per step and layer: 12 or 13 in each of two.
    assert set(per_step) <= {24, 25, 26}


def test_window_wraps_around_the_end_of_a_layer() -> None:
    network = build_network(bridges=10, layers=1)
    network.follow(700.0)
    period, _ = TunnelSchedule(network, DT_S, seed=0).plan_period(2, EULER)
    # The second step takes its pieces backwards.
    assert period.segments.tolist() == [[0, 7], [0, 4], [7, 10]]
    assert period.segment_bounds.tolist() == [0, 1, 3]


def test_one_attempt_per_step_is_the_most() -> None:
    network = build_network(bridges=10, layers=1)
    network.follow(1e6)
    schedule = TunnelSchedule(network, DT_S, seed=0)
    assert (count_attempts(network, schedule, 7, 1) == 7).all()


def test_frequency_may_change_every_period() -> None:
    network = build_network()
    schedule = TunnelSchedule(network, DT_S, seed=0)
    counts, expected = np.zeros(len(network)), 0.0
    for frequency_hz in np.random.default_rng(1).uniform(5.0, 900.0, 50):
        network.follow(frequency_hz)
        counts += count_attempts(network, schedule, 40, 1)
        expected += frequency_hz * DT_S * 40
    assert np.abs(counts - expected).max() < 1.0 + DRIFT


def test_ticks_run_through_all_periods() -> None:
    schedule = TunnelSchedule(build_network(), DT_S, seed=3)
    first = [schedule.plan_period(steps, EULER)[0].first_tick for steps in (5, 1, 7)]
    assert first == [1, 6, 7]
    assert schedule.plan_period(1, EULER)[0].key == (3, 4)


def test_pinned_bridges_fire_at_their_own_rung() -> None:
    network = build_network()
    network.follow(50.0)
    for bridge_id, frequency_hz in ((0, 432.0), (5, 432.0), (40, 39.0), (110, 600.0)):
        network.pin(bridge_id, frequency_hz)
    network.apply_requests()
    schedule = TunnelSchedule(network, DT_S, seed=0)
    counts = count_attempts(network, schedule, steps=40, periods=25)
    expected = network.frequencies_hz * DT_S * 1000
    assert expected[40] == pytest.approx(38.95, abs=0.01)
    assert np.abs(counts - expected).max() < 1.0 + DRIFT


def test_nobody_starves_while_one_bridge_is_pinned_again_and_again() -> None:
    # Each change rearranges a layer's slots, so that a bridge may gain or lose an
    # attempt; but the windows must go on rotating, or the last slots never fire.
    network = build_network()
    network.follow(10.0)
    schedule = TunnelSchedule(network, DT_S, seed=0)
    counts = np.zeros(len(network))
    for turn in range(50):
        if turn % 2:
            network.release(0)
        else:
            network.pin(0, 432.0)
        network.apply_requests()
        counts += count_attempts(network, schedule, 40, 1)
    # 2000 steps at 10 Hz are 20 attempts; a random slot at each of the 50 changes
    # would make them binomial, 20 +- 3.5: five deviations below is 2.
    assert counts.min() > 2


def test_other_layers_do_not_notice_a_request() -> None:
    network, calm = build_network(), build_network()
    schedules = [TunnelSchedule(each, DT_S, seed=0) for each in (network, calm)]
    for each in (network, calm):
        each.follow(77.0)
    before = [count_attempts(network, schedules[0], 30, 1)]
    before.append(count_attempts(calm, schedules[1], 30, 1))
    network.pin(0, 432.0)  # layer 0 holds the ids 0 .. 36
    network.apply_requests()
    after = count_attempts(network, schedules[0], 30, 1)
    assert np.array_equal(after[37:], count_attempts(calm, schedules[1], 30, 1)[37:])
    assert np.array_equal(*before)


def test_bridges_count_what_the_schedule_plans(backend: Backend) -> None:
    edges = build_matchings(74, BridgesConfig(per_node=3), 0)
    network = BridgeNetwork(edges, np.full(len(edges), 0.5), backend)
    network.follow(333.0)
    schedule = TunnelSchedule(network, DT_S, seed=0)
    from engine.geometry import build_geometry

    lattice = backend.build_lattice(
        build_geometry("chain", (74,)), np.zeros(74, np.uint32), np.zeros(74, "f4"), 0.0
    )
    planned = successes = 0
    for _ in range(5):
        period, attempts = schedule.plan_period(40, EULER)
        planned += attempts
        successes += backend.advance(lattice, network.arrays, period).successes
    host = network.columns_by_id()
    assert host.attempts.sum() == planned
    assert host.successes.sum() == successes
    assert host.last_ticks.max() == 200


def test_windows_of_the_largest_network_stay_within_64_bits() -> None:
    # MAX_NODES, so a layer of half as many, in the longest control period there is.
    count, steps = MAX_NODES // 2, 100_000
    network = SimpleNamespace(
        groups=(Group(0, FOLLOW, 0, count),),
        find_frequency_hz=lambda rung: 618.03,
    )
    schedule = TunnelSchedule(network, DT_S, seed=0)  # type: ignore[arg-type]
    for period in range(3):
        planned, attempts = schedule.plan_period(steps, EULER)
        lengths = np.diff(planned.segments, axis=1).ravel()
        assert lengths.min() > 0
        assert int(lengths.sum()) == attempts
        # Exact to a unit of 2^-20 slots per step, and a slot.
        assert abs(attempts - count * 0.61803 * steps) < steps * 2.0**-20 + 1.0
        whole = (period + 1) * steps * count * 0.61803
        gaps = (planned.segments[-2:, 1] - whole) % count
        assert np.minimum(gaps, count - gaps).min() < 3.0


def test_segments_lie_as_the_kernels_were_compiled_for() -> None:
    # Another memory layout is another type: the first period would hold a compiler.
    period, _ = TunnelSchedule(build_network(), DT_S, seed=0).plan_period(40, EULER)
    assert period.segments.flags.c_contiguous
    assert period.segment_bounds.flags.c_contiguous
