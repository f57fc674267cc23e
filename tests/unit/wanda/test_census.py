"""Levels are cut by bits, kinds by what does not change, and nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest

from engine.backends.protocol import Backend
from engine.bridge import BridgeNetwork, EdgeList, build_matchings
from engine.config import BridgesConfig
from engine.constants import LOCKING_MEMORY
from engine.wanda import find_kinds, take_census
from engine.wanda.census import LEVELS, STEPS, find_levels, measure_levels

MANY = 10_000


def find_level(gap: float, attempts: int = MANY, locking: float = 1.0) -> int:
    """Level of a mean of exp(i d) of a length and with 1 - cos as told."""
    weight = 1.0 - (1.0 - LOCKING_MEMORY) ** attempts
    along, across = 1.0 - gap, np.sqrt(max(locking**2 - (1.0 - gap) ** 2, 0.0))
    means = (np.array([part * weight], np.float32) for part in (along, across))
    return int(find_levels(*means, np.array([attempts], np.uint32))[0])


def test_gap_that_does_not_last_counts_less() -> None:
    middles = measure_levels()
    for locking in (1.0, 0.5, 0.1):
        level = find_level(1.0, locking=locking)
        # cos d = 0 on average: across alone, in units of float32.
        assert middles[level] == pytest.approx(locking, rel=0.126)


def test_level_is_that_of_the_gap() -> None:
    middles = measure_levels()
    for gap in np.geomspace(2e-4, 1.99, 200):
        level = find_level(gap)
        # A step is a quarter to a fifth of an octave's start wide, half to either
        # side; float32 knows 1 - cos d to 6e-8, 3e-4 of the least gap here.
        assert middles[level] == pytest.approx(gap, rel=0.126)


def test_levels_fall_as_gaps_do() -> None:
    assert (np.diff(measure_levels()) < 0.0).all()
    assert [find_level(gap) for gap in (2.0, 1.0, 1e-9, 0.0)] == [
        0,
        STEPS,
        LEVELS - 1,
        LEVELS - 1,
    ]
    beyond = find_level(-1e-7)
    assert beyond == LEVELS - 1, "rounding may take a mean beyond 1"


@pytest.mark.parametrize("attempts", [1, 2, 16, 200, 300, MANY])
def test_the_start_from_nothing_is_taken_out(attempts: int) -> None:
    assert find_level(0.26, attempts) == find_level(0.26)


def test_bridge_that_did_nothing_has_work_to_do() -> None:
    assert measure_levels()[find_level(1.0, 0)] == pytest.approx(1.0, rel=0.13)


def build_edges(strengths: list[float]) -> EdgeList:
    count = len(strengths)
    ids = np.arange(count, dtype=np.uint32)
    layers = np.zeros(count, np.int32)
    return EdgeList(
        ids, ids + np.uint32(count), np.array(strengths, np.float32), layers
    )


def test_equal_bridges_are_one_kind() -> None:
    kinds = find_kinds(build_edges([108.0] * 8), None)
    assert len(kinds) == 1
    assert kinds.of_bridge is None
    assert kinds.strengths_rad_s == pytest.approx([108.0], rel=0.25)


def test_kinds_tell_strengths_and_detunings_apart() -> None:
    strengths = [100.0, -100.0, 0.0, 7.0, 100.0]
    detunings = np.array([0, 0, 0, 0, 0, 5, 5, 5, 5, 80], np.float32)
    plain = find_kinds(build_edges(strengths), None)
    assert len(plain) == 3
    assert plain.of_bridge is not None
    assert plain.of_bridge[0] == plain.of_bridge[1] == plain.of_bridge[4]
    kinds = find_kinds(build_edges(strengths), detunings)
    assert len(kinds) == 4
    assert kinds.of_bridge is not None
    for bridge, row in enumerate(kinds.of_bridge):
        strength = max(abs(strengths[bridge]), 2.0**-10)
        # The middle of half an octave: within a fifth of all in it.
        assert kinds.strengths_rad_s[row] == pytest.approx(strength, rel=0.26)
        apart = 80.0 if bridge == 4 else 5.0
        assert kinds.detunings_hz[row] == pytest.approx(apart, rel=0.26)


def build_network(backend: Backend, strength: float = 108.0) -> BridgeNetwork:
    config = BridgesConfig(per_node=2, strength_rad_s=strength)
    edges = build_matchings(100, config, 0)
    return BridgeNetwork(edges, np.ones(len(edges)), backend)


def test_every_bridge_is_counted_once(backend: Backend) -> None:
    network = build_network(backend)
    network.pin(3, 432.0)
    network.apply_requests()
    kinds = find_kinds(network.edges, None)
    census, cells = take_census(network, kinds, 5)
    assert census.total == 99
    assert census.counts.shape == (5, LEVELS, 1)
    assert census.counts[0, STEPS, 0] == 99, "nothing has been attempted"
    assert (cells == census.counts.size).sum() == 1
    assert census.mean_gap == pytest.approx(1.0, rel=0.13)
    network.share_budget(np.arange(100) % 5, 5)
    shared, _ = take_census(network, kinds, 5)
    assert shared.counts.sum(axis=(1, 2)).tolist() == [20, 20, 20, 19, 20]


def test_repelling_bridges_rest_in_antiphase(reference: Backend) -> None:
    for strength, level in ((-108.0, LEVELS - 1), (108.0, 0)):
        network = build_network(reference, strength)
        network.arrays.locking_cos[:] = -1.0
        network.arrays.attempts[:] = MANY
        census, _ = take_census(network, find_kinds(network.edges, None), 3)
        assert census.counts[0, level, 0] == 100


def test_strength_that_is_scaled_counts_as_it_is(reference: Backend) -> None:
    network = build_network(reference)
    kinds = find_kinds(network.edges, None)
    network.scale_strengths(4.0)
    census, _ = take_census(network, kinds, 3)
    assert census.kinds.strengths_rad_s == pytest.approx(4.0 * kinds.strengths_rad_s)
