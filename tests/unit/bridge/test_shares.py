"""A budget that is shared out: its sum is kept, its order too, whatever the lid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.backends.protocol import TABLEAUS, Backend
from engine.bridge import FOLLOW, SHARE, BridgeNetwork, build_matchings
from engine.bridge.base import Group
from engine.bridge.shares import Shares
from engine.bridge.slots import EVEN_ENOUGH, order_slots
from engine.config import BridgesConfig, TunnelConfig
from engine.tunnel import TunnelSchedule

TOP_HZ = TunnelConfig().maximum_frequency_hz
DT_S = 0.001
EULER = TABLEAUS["euler"]


def build_network(backend: Backend, bridges: int = 400) -> BridgeNetwork:
    edges = build_matchings(bridges, BridgesConfig(per_node=2), 0)
    return BridgeNetwork(edges, np.ones(len(edges)), backend)


def draw_ranks(count: int, share_count: int = 6) -> np.ndarray:
    return np.random.default_rng(1).integers(0, share_count, count).astype(np.int8)


@settings(max_examples=200, deadline=None)
@given(
    counts=st.lists(st.integers(0, 10**6), min_size=1, max_size=32).filter(any),
    mean=st.floats(1e-3, 0.999),
    ratio=st.floats(0.05, 0.95),
)
def test_mean_and_order_are_kept_under_the_lid(
    counts: list[int], mean: float, ratio: float
) -> None:
    spread = Shares(tuple(counts), ratio).spread(mean * TOP_HZ, TOP_HZ)
    used = np.array(counts, dtype=np.float64)
    # Sums of 32 products in float64.
    assert used @ spread == pytest.approx(mean * TOP_HZ * used.sum(), rel=1e-12)
    assert (np.diff(spread) <= 0.0).all()
    assert spread.max() <= TOP_HZ
    below = spread < TOP_HZ
    assert spread[1:][below[:-1]] == pytest.approx(ratio * spread[:-1][below[:-1]])


def test_budget_beyond_the_lid_is_the_same_for_all() -> None:
    assert (Shares((3, 5), 0.6).spread(TOP_HZ, TOP_HZ) == TOP_HZ).all()


def test_network_keeps_its_mean_while_it_glides(backend: Backend) -> None:
    network = build_network(backend)
    network.share_budget(draw_ranks(len(network)), 6)
    groups = network.groups
    for mean_hz in (3.0, 50.0, 600.0):
        network.follow(mean_hz)
        assert network.frequencies_hz.mean() == pytest.approx(mean_hz)
        assert network[7].frequency == network.frequencies_hz[7]
    assert network.groups is groups, "a budget that moves must move no bridge"
    assert network.mean_probability() == pytest.approx(1.0)


def test_pinned_bridges_keep_their_rung_and_stay_outside(reference: Backend) -> None:
    network = build_network(reference)
    network.follow(30.0)
    network.pin(5, 432.0)
    network.share_budget(draw_ranks(len(network)), 6)
    network.pin(6, 267.0)
    assert network.apply_requests()
    assert network.rung(5) == 1
    assert network[6].frequency == pytest.approx(266.99, abs=0.01)
    others = np.delete(network.frequencies_hz, [5, 6])
    assert others.mean() == pytest.approx(30.0)
    network.release(5)
    network.release(6)
    network.apply_requests()
    assert network.frequencies_hz.mean() == pytest.approx(30.0)
    assert network.rung(6) == SHARE - int(draw_ranks(len(network))[6])


def test_moving_bridges_moves_their_state_along(backend: Backend) -> None:
    network = build_network(backend)
    before = network.columns_by_id()
    for turn in range(3):
        network.share_budget(draw_ranks(len(network)) // (turn + 1), 6)
        now = network.columns_by_id()
        for ours, theirs in zip(before.columns, now.columns, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert {group.rung for group in network.groups} <= set(range(SHARE - 5, SHARE + 1))


def test_slots_are_those_of_a_plain_sort() -> None:
    """Sorting by rung within layers is sorting by layer, rung and source."""
    random = np.random.default_rng(3)
    layers = random.integers(0, 3, 500).astype(np.int32)
    rungs = random.integers(SHARE - 4, 3, 500).astype(np.int8)
    sources = random.integers(0, 100, 500).astype(np.uint32)
    order, groups = order_slots(layers, rungs, sources)
    plain = np.lexsort((sources, rungs, layers))
    for group in groups:
        part = slice(group.start, group.stop)
        assert sorted(order[part]) == sorted(plain[part])
        # One stride through the sorted bridges: the first stays the first.
        assert order[group.start] == plain[group.start]
        assert set(rungs[order[part]]) == {group.rung}


def _quotients(count: int, stride: int) -> list[int]:
    found = []
    while stride:
        found.append(count // stride)
        count, stride = stride, count % stride
    return found


@pytest.mark.parametrize(
    ("count", "largest"),
    # 30030 has so many divisors that no stride near the golden one does better.
    [(100, EVEN_ENOUGH), (1009, EVEN_ENOUGH), (4096, EVEN_ENOUGH), (30030, 5)],
)
def test_shares_lie_evenly_over_the_lattice(count: int, largest: int) -> None:
    zeros, sources = np.zeros(count, np.int32), np.arange(count, dtype=np.uint32)
    rungs = np.full(count, SHARE, np.int8)
    order, groups = order_slots(zeros, rungs, sources)
    assert groups == (Group(0, SHARE, 0, count),)
    assert max(_quotients(count, int(order[1]))) <= largest


def count_attempts(network: BridgeNetwork, periods: int, steps: int = 40) -> np.ndarray:
    schedule = TunnelSchedule(network, DT_S, seed=0, slice_steps=2)
    counts = np.zeros(len(network), np.int64)
    for _ in range(periods):
        period, attempts = schedule.plan_period(steps, EULER)
        spans = [np.arange(lo, hi) for lo, hi in period.segments]
        slots = np.concatenate([*spans, np.zeros(0, np.int64)])
        assert len(slots) == attempts
        np.add.at(counts, network.arrays.ids[slots], 1)
    return counts


@pytest.mark.parametrize("mean_hz", [2.0, 20.0, 300.0])
def test_every_share_acts_at_its_frequency(reference: Backend, mean_hz: float) -> None:
    network = build_network(reference)
    network.share_budget(draw_ranks(len(network)), 6)
    network.follow(mean_hz)
    counts = count_attempts(network, periods=50)
    expected = network.frequencies_hz * DT_S * 2000
    # One attempt for where a window starts and ends, an eighth of a turn for what
    # waits to come together, 1e-3 for cursors that are rounded.
    assert np.abs(counts - expected).max() < 1.126
    assert counts.sum() == pytest.approx(expected.sum(), abs=0.13 * len(network))


def test_slow_shares_come_in_fewer_pieces(reference: Backend) -> None:
    network = build_network(reference, bridges=4000)
    network.share_budget(draw_ranks(len(network)), 6)
    network.follow(5.0)
    schedule = TunnelSchedule(network, DT_S, seed=0)
    pieces = 0
    for _ in range(10):
        period, _ = schedule.plan_period(40, EULER)
        pieces += len(period.segments)
    # 12 groups in each of 400 slices would be 4800.
    assert pieces < 1000


def test_without_a_budget_nothing_waits(reference: Backend) -> None:
    network = build_network(reference)
    network.follow(20.0)
    assert {group.rung for group in network.groups} == {FOLLOW}
    schedule = TunnelSchedule(network, DT_S, seed=0)
    period, attempts = schedule.plan_period(40, EULER)
    # 200 bridges per layer at 0.02 per step: 4 in every step, or it had waited.
    assert np.diff(period.segment_bounds).min() >= 2
    assert attempts == 40 * 2 * 4


def test_share_counts_follow_pins(reference: Backend) -> None:
    network = build_network(reference)
    assert network.share_counts == ()
    assert network.ranks is None
    network.share_budget(np.zeros(len(network), np.int8), 2)
    assert network.share_counts == (400, 0)
    network.pin(0, 432.0)
    network.apply_requests()
    assert network.share_counts == (399, 0)


def test_ladder_of_another_ratio(reference: Backend) -> None:
    edges = build_matchings(40, BridgesConfig(per_node=1), 0)
    tunnel = replace(TunnelConfig(), phi_coefficient=0.5)
    network = BridgeNetwork(edges, np.ones(len(edges)), reference, tunnel)
    network.share_budget(np.arange(20) % 2, 2)
    network.follow(30.0)
    assert sorted(set(network.frequencies_hz)) == pytest.approx([20.0, 40.0])


def test_nobody_misses_a_turn_when_shares_change(reference: Backend) -> None:
    """Moved in the order of their turns, bridges wait for one turn at most."""
    network = build_network(reference)
    network.follow(20.0)
    schedule = TunnelSchedule(network, DT_S, seed=0)
    last, longest = np.zeros(len(network)), np.zeros(len(network))
    for step in range(400):
        if step % 40 == 39:
            ranks = np.random.default_rng(step).integers(0, 2, len(network))
            network.share_budget(ranks, 2, schedule.read_turns())
        period, _ = schedule.plan_period(1, EULER)
        spans = [np.arange(lo, hi) for lo, hi in period.segments]
        due = network.arrays.ids[np.concatenate([*spans, np.zeros(0, np.int64)])]
        longest[due] = np.maximum(longest[due], step - last[due])
        last[due] = step
    # The slower share has at least 20 / 1.618 Hz: 81 steps, and ten more for an eighth
    # of a turn that waits; every change may add the rounding of groups of 100.
    assert longest.max() < 81 + 10 + 4


def test_turns_tell_who_is_next(reference: Backend) -> None:
    network = build_network(reference)
    network.follow(30.0)
    schedule = TunnelSchedule(network, DT_S, seed=0)
    schedule.plan_period(37, EULER)
    turns = schedule.read_turns()
    period, _ = schedule.plan_period(1, EULER)
    slots = np.concatenate([np.arange(lo, hi) for lo, hi in period.segments])
    due = network.arrays.ids[slots]
    waiting = np.setdiff1d(np.arange(len(network)), due)
    assert turns[due].max() < turns[waiting].min()
