"""Cohorts are nested and exact, and give back what they took."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from engine.backends.protocol import TABLEAUS, Backend
from engine.bridge import COHORT, FOLLOW, BridgeNetwork, build_matchings
from engine.config import BridgesConfig
from engine.geometry import build_geometry
from engine.rollout import Cohort
from engine.tunnel import TunnelSchedule

OLD, NEW = 0.5, 0.8


def build(backend: Backend, nodes: int = 80) -> tuple[BridgeNetwork, Cohort]:
    edges = build_matchings(nodes, BridgesConfig(per_node=2), 0)
    network = BridgeNetwork(edges, np.full(len(edges), OLD), backend)
    return network, Cohort(network, np.full(len(edges), NEW), seed=0)


def advance(network: BridgeNetwork, schedule: TunnelSchedule, steps: int) -> None:
    geometry = build_geometry("chain", (80,))
    phases, rest = np.zeros(80, np.uint32), np.zeros(80, np.float32)
    lattice = network.backend.build_lattice(geometry, phases, rest, 0.0)
    period, _ = schedule.plan_period(steps, TABLEAUS["euler"])
    network.backend.advance(lattice, network.arrays, period)


def test_larger_cohort_holds_the_smaller_one(reference: Backend) -> None:
    network, cohort = build(reference)
    seen = []
    for share, count in ((0.1, 8), (0.5, 40), (1.0, 80)):
        cohort.assign(share)
        assert network.members.sum() == count
        seen.append(network.members.copy())
    assert (seen[1] >= seen[0]).all()
    assert (seen[2] >= seen[1]).all()
    cohort.assign(0.001)
    assert network.members.sum() == 1


def test_seed_draws_another_cohort(reference: Backend) -> None:
    network, cohort = build(reference)
    cohort.assign(0.5)
    one = network.members.copy()
    Cohort(network, network.probabilities, seed=1).assign(0.5)
    assert (network.members != one).any()


def test_groups_stay_contiguous_and_have_their_frequencies(backend: Backend) -> None:
    network, cohort = build(backend)
    cohort.assign(0.25)
    network.follow(100.0)
    network.follow_cohort(400.0)
    host = backend.to_host(network.arrays.ids)
    for group in network.groups:
        inside = network.members[host[group.start : group.stop]]
        assert (inside == (group.rung == COHORT)).all()
    assert network.frequencies_hz.sum() == pytest.approx(20 * 400.0 + 60 * 100.0)
    schedule = TunnelSchedule(network, 0.001, seed=0)
    advance(network, schedule, 400)
    attempts = network.columns_by_id().attempts
    # 160 and 40 attempts; a window's first pass may lack one at either end.
    assert np.abs(attempts[network.members] - 160.0).max() <= 1.0
    assert np.abs(attempts[~network.members] - 40.0).max() <= 1.0


def test_members_have_the_new_success_law(backend: Backend) -> None:
    network, cohort = build(backend)
    cohort.assign(0.5)
    host, members = network.columns_by_id(), network.members
    law = np.where(members, NEW, OLD)
    assert (host.thresholds + 1.0) * 2.0**-32 == pytest.approx(law)
    assert host.dose_rates == pytest.approx(108.0 / law, rel=1e-6)
    assert network[int(np.flatnonzero(members)[0])].probability == NEW
    assert network.mean_probability() == pytest.approx(0.65)


def test_state_moves_along_and_everything_comes_back(backend: Backend) -> None:
    network, cohort = build(backend)
    schedule = TunnelSchedule(network, 0.001, seed=0)
    advance(network, schedule, 30)
    before, groups = network.columns_by_id(), network.groups
    cohort.assign(0.5)
    state = zip(
        before.state_columns, network.columns_by_id().state_columns, strict=True
    )
    assert all(np.array_equal(one, two) for one, two in state)
    cohort.assign(0.0)
    after = network.columns_by_id()
    for entry in fields(before):
        assert np.array_equal(getattr(before, entry.name), getattr(after, entry.name))
    assert network.groups == groups
    assert (network.rungs == FOLLOW).all()


def test_scaled_strengths_stay_scaled(backend: Backend) -> None:
    network, cohort = build(backend)
    network.scale_strengths(2.0)
    cohort.assign(1.0)
    assert network.columns_by_id().dose_rates == pytest.approx(216.0 / NEW, rel=1e-6)


def test_pinned_bridge_keeps_its_rung_and_comes_back_to_its_policy(
    reference: Backend,
) -> None:
    network, cohort = build(reference)
    cohort.assign(0.5)
    ours, theirs = (
        int(np.flatnonzero(network.members == is_in)[0]) for is_in in (1, 0)
    )
    for bridge_id in (ours, theirs):
        network.pin(bridge_id, 432.0)
    cohort.assign(0.6)
    assert network[ours].frequency == network[theirs].frequency == pytest.approx(432.0)
    network.follow(100.0)
    network.follow_cohort(400.0)
    for bridge_id in (ours, theirs):
        network.release(bridge_id)
    assert network.apply_requests()
    assert network[ours].frequency == 400.0
    expected = 400.0 if network.members[theirs] else 100.0
    assert network[theirs].frequency == expected


def test_outcomes_count_members_alone(backend: Backend) -> None:
    network, cohort = build(backend)
    assert cohort.count_outcomes().attempts == 0
    cohort.assign(0.5)
    advance(network, TunnelSchedule(network, 0.001, seed=0), 400)
    host, members = network.columns_by_id(), network.members
    found = cohort.count_outcomes()
    assert found.attempts == host.attempts[members].sum() > 0
    assert found.successes == host.successes[members].sum()
    # As the old policy would have it.
    assert found.expected == pytest.approx(OLD * found.attempts)
    assert found.variance == pytest.approx(OLD * (1.0 - OLD) * found.attempts)
