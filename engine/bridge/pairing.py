"""Pairing nodes: opposite ends of a score, never the same pair in two layers."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from engine.bridge.edges import I64Array

REPEAT_ROUNDS: Final = 64
"""Rounds in which repeated pairs change partners; two or three suffice on any lattice
of more than some hundred nodes, and on the smallest ones repeats cannot be avoided."""


def match_opposites(
    nodes: I64Array, scores: npt.NDArray[np.floating]
) -> tuple[I64Array, I64Array]:
    """Pair the lowest score with the highest, the next lowest with the next highest.

    No other matching has a larger sum of squared differences.

    Args:
        nodes: An even number of node ids, in the order that breaks ties, shape (n,).
        scores: Score of each, shape (n,).

    Returns:
        Both ends of the pairs, the widest apart first, shape (n/2,) each.
    """
    order = nodes[np.argsort(scores, kind="stable")]
    half = len(order) // 2
    return order[:half], order[::-1][:half]


def to_keys(first: I64Array, second: I64Array, node_count: int) -> I64Array:
    """Return a number for each pair of nodes that does not tell its two ends apart."""
    lower, upper = np.minimum(first, second), np.maximum(first, second)
    return np.asarray(lower * node_count + upper)


def find_members(keys: I64Array, sorted_keys: I64Array) -> npt.NDArray[np.bool_]:
    """Tell which keys occur in a sorted list; `numpy.isin` takes ten times as long.

    Args:
        keys: Shape (n,).
        sorted_keys: In ascending order, shape (m,).
    """
    if not len(sorted_keys):
        return np.zeros(len(keys), dtype=np.bool_)
    places = np.searchsorted(sorted_keys, keys)
    return np.asarray(sorted_keys[np.minimum(places, len(sorted_keys) - 1)] == keys)


def avoid_repeats(
    first: I64Array, second: I64Array, taken: I64Array, node_count: int
) -> I64Array:
    """Exchange second ends between pairs of near rank until none joins a taken pair.

    Args:
        first: First ends, in the order of their pairs' rank, shape (pairs,).
        second: Second ends, none of them among the first, shape (pairs,).
        taken: Keys of the pairs to avoid, as `to_keys` makes them, in ascending order.
        node_count: Number of nodes.

    Returns:
        Second ends in a new order; repeats are left where they cannot be avoided.
    """
    second = second.copy()
    for reach in range(1, REPEAT_ROUNDS + 1):
        keys = to_keys(first, second, node_count)
        repeats = np.flatnonzero(find_members(keys, taken))
        if not len(repeats):
            break
        for place in repeats:
            above = place + reach
            other = (above if above < len(second) else place - reach) % len(second)
            second[place], second[other] = second[other], second[place]
    return second
