"""Slots: the order in which bridges lie, so that those due in a step are one piece."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

from engine.backends.protocol import U32Array
from engine.bridge.base import SHARE, Group
from engine.constants import PHI_COEFFICIENT

U16Array = npt.NDArray[np.uint16]

STRIDE_REACH = 48
"""Strides tried on either side of count / golden ratio."""
EVEN_ENOUGH = 4
"""Largest partial quotient at which a share of a budget, laid out often, is content."""


def order_slots(
    layers: npt.NDArray[np.int32],
    rungs: npt.NDArray[np.int8],
    sources: npt.NDArray[np.uint32],
) -> tuple[npt.NDArray[np.int64], tuple[Group, ...]]:
    """Sort bridges into slots.

    Within a layer and a rung the bridges, sorted by their source, are taken with a
    golden-ratio stride: any contiguous window is spread evenly over the lattice.

    Args:
        layers: Layer of each bridge, shape (bridges,).
        rungs: Rung of each bridge, shape (bridges,).
        sources: First end of each bridge, shape (bridges,).

    Returns:
        Bridge id in each slot, shape (bridges,), and the groups in slot order.
    """
    order = np.lexsort((sources, layers))
    return split_rungs(order, layers, rungs)


def split_rungs(
    by_source: npt.NDArray[np.int64],
    layers: npt.NDArray[np.int32],
    rungs: npt.NDArray[np.int8],
    turns: U16Array | None = None,
) -> tuple[npt.NDArray[np.int64], tuple[Group, ...]]:
    """Sort bridges into slots as `order_slots`, given them by layer and source.

    Args:
        by_source: Bridge ids sorted by layer, then source, shape (bridges,).
        layers: Layer of each bridge, shape (bridges,).
        rungs: Rung of each bridge, shape (bridges,).
        turns: When each bridge was to act next, shape (bridges,): bridges of a shared
            budget are then taken in that order, so that none waits for two turns.

    Returns:
        Bridge id in each slot, shape (bridges,), and the groups in slot order.
    """
    order, groups = np.empty_like(by_source), []
    sorted_rungs = rungs[by_source]
    layer_stops = find_stops(layers[by_source])
    for low, high in itertools.pairwise([0, *layer_stops]):
        layer = int(layers[by_source[low]])
        # Of 8-bit and 16-bit keys a stable sort is a radix sort: a pass or two.
        within = np.arange(low, high)
        if turns is not None:
            within = np.argsort(turns[by_source[low:high]], kind="stable") + low
        within = within[np.argsort(sorted_rungs[within], kind="stable")]
        stops = find_stops(sorted_rungs[within])
        for first, last in itertools.pairwise([0, *stops]):
            rung = int(sorted_rungs[within[first]])
            group = within[first:last]
            if turns is None or rung > SHARE:
                enough = EVEN_ENOUGH if rung <= SHARE else 2
                group = group[_golden_stride(last - first, enough)]
            order[low + first : low + last] = by_source[group]
            groups.append(Group(layer, rung, low + first, low + last))
    return order, tuple(groups)


def find_stops(sorted_keys: npt.NDArray[np.integer]) -> list[int]:
    """Return one past the last place of every run of equal keys."""
    if not len(sorted_keys):
        return []
    changes = np.flatnonzero(sorted_keys[1:] != sorted_keys[:-1]) + 1
    return [*changes.tolist(), len(sorted_keys)]


def invert(order: npt.NDArray[np.int64]) -> U32Array:
    """Return the slot of each bridge id, given the id in each slot."""
    slot_of = np.empty(len(order), dtype=np.uint32)
    slot_of[order] = np.arange(len(order), dtype=np.uint32)
    return slot_of


def _golden_stride(count: int, enough: int) -> npt.NDArray[np.int64]:
    """Permute range(count) by the most even of the strides near count / golden ratio.

    A stride must be coprime to the count, which its nearest integer may not be; then
    the neighbour whose ratio has the smallest partial quotients spreads best. The first
    whose quotients are no larger than `enough` ends the search; none are below 2.
    """
    return np.arange(count, dtype=np.int64) * _choose_stride(count, enough) % count


def _choose_stride(count: int, enough: int) -> int:
    """Return the nearest of the strides whose largest partial quotient is least."""
    centre = round(count * PHI_COEFFICIENT)
    low, high = max(1, centre - STRIDE_REACH), min(centre + STRIDE_REACH, count)
    best, least = 1, count + 1
    for stride in sorted(range(low, high + 1), key=lambda k: abs(k - centre)):
        largest = _largest_quotient(count, stride, least)
        if largest < least and math.gcd(stride, count) == 1:
            best, least = stride, largest
            if least <= enough:
                break
    return best


def _largest_quotient(count: int, stride: int, enough: int) -> int:
    """Return the largest partial quotient of count / stride; 1 or 2 is even.

    Whatever reaches `enough` is returned as soon as it is seen.
    """
    largest = 1
    while stride and largest < enough:
        quotient, rest = divmod(count, stride)
        largest = max(largest, quotient)
        count, stride = stride, rest
    return largest
