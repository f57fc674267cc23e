"""Pairs span the score as far as any matching can, and never repeat a taken pair."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from engine.bridge.pairing import avoid_repeats, match_opposites, to_keys


def list_matchings(nodes: list[int]) -> list[list[tuple[int, int]]]:
    """List all perfect matchings of a few nodes."""
    if not nodes:
        return [[]]
    first, *others = nodes
    return [
        [(first, other), *rest]
        for other in others
        for rest in list_matchings([node for node in others if node != other])
    ]


def test_no_matching_spans_more() -> None:
    scores = np.random.default_rng(2).normal(size=8)
    first, second = match_opposites(np.arange(8), scores)
    spans = [
        sum((scores[a] - scores[b]) ** 2 for a, b in pairs)
        for pairs in list_matchings(list(range(8)))
    ]
    assert len(spans) == 105
    found = float(((scores[first] - scores[second]) ** 2).sum())
    assert found == pytest.approx(max(spans), rel=1e-12)
    assert (np.diff(np.abs(scores[first] - scores[second])) <= 0.0).all()


def test_ties_keep_the_order_of_nodes() -> None:
    nodes = np.array([9, 2, 5, 7])
    first, second = match_opposites(nodes, np.zeros(4))
    assert first.tolist() == [9, 2]
    assert second.tolist() == [7, 5]


def test_keys_do_not_tell_ends_apart() -> None:
    pairs = list(itertools.combinations(range(5), 2))
    first, second = np.array(pairs).T
    keys = to_keys(first, second, 5)
    assert len(set(keys.tolist())) == len(pairs)
    assert (keys == to_keys(second, first, 5)).all()


@pytest.mark.parametrize("seed", range(5))
def test_repeats_are_avoided(seed: int) -> None:
    nodes = 24
    order = np.random.default_rng(seed).permutation(nodes)
    first, second = order[:12], order[12:]
    taken = np.sort(to_keys(first, second, nodes))
    for shift in (1, 2, 5):  # three more layers between the same two halves
        taken = np.union1d(taken, to_keys(first, np.roll(second, shift), nodes))
    changed = avoid_repeats(first, second, taken, nodes)
    assert sorted(changed.tolist()) == sorted(second.tolist())
    assert not np.isin(to_keys(first, changed, nodes), taken).any()


def test_repeats_exchange_ends_with_pairs_of_near_rank() -> None:
    first, second = np.arange(100), np.arange(199, 99, -1)
    taken = np.sort(to_keys(first[[3, 60, 99]], second[[3, 60, 99]], 200))
    changed = avoid_repeats(first, second, taken, 200)
    assert np.abs(changed - second).max() == 1
    assert np.flatnonzero(changed != second).tolist() == [3, 4, 60, 61, 98, 99]


def test_unavoidable_repeats_are_left() -> None:
    first, second = np.array([0]), np.array([1])
    taken = to_keys(first, second, 2)
    assert avoid_repeats(first, second, taken, 2).tolist() == [1]


def test_pairs_without_repeats_stay() -> None:
    first, second = np.array([0, 2]), np.array([1, 3])
    kept = avoid_repeats(first, second, np.array([], dtype=np.int64), 4)
    assert kept.tolist() == [1, 3]
