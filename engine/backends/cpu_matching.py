"""Numba kernels of bridges whose ends are computed, on the `cpu` back end.

A block computes its ends, dose rates and thresholds into small buffers, which stay in
the cache, and hands them to the same event code as stored bridges. The Feistel rounds
run over whole buffers, one round after the other, so that the compiler makes vectors
of them; words that land beyond the last node are packed together and walk on.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from engine.backends.cpu_tunnel import (
    EVENT_BLOCK,
    PARALLEL_EVENTS,
    address_field,
    address_five,
    attempt_events,
    move_five,
)
from engine.backends.formulas import U32, U64, F, mix_word, success_law
from engine.backends.matching import ROUNDS

I64 = np.int64
WORD_BITS = U32(32)
ENDS_PER_BLOCK = 2 * EVENT_BLOCK


@njit(cache=True)
def run_rounds(words, count, layout, keys, high, low):
    """Encrypt the first `count` words in place by a Feistel network."""
    high_bits, low_bits = layout
    mask = U32(U32(U32(1) << low_bits) - U32(1))
    for k in range(count):
        high[k] = U32(words[k] >> low_bits)
        low[k] = U32(words[k] & mask)
    to_high, to_low = U32(WORD_BITS - high_bits), U32(WORD_BITS - low_bits)
    for index in range(0, ROUNDS, 2):
        even, odd = keys[index], keys[index + 1]
        for k in range(count):
            high[k] = U32(high[k] ^ U32(mix_word(low[k], even) >> to_high))
        for k in range(count):
            low[k] = U32(low[k] ^ U32(mix_word(high[k], odd) >> to_low))
    for k in range(count):
        words[k] = U32(U32(high[k] << low_bits) | low[k])


@njit(cache=True)
def permute_block(words, count, node_count, layout, keys, spare):
    """Replace words below `node_count` by their images under a layer's permutation."""
    high, low, walking, places = spare
    run_rounds(words, count, layout, keys, high, low)
    if U32(1) << U32(layout[0] + layout[1]) == node_count:
        return
    left = 0
    for k in range(count):
        walking[left], places[left] = words[k], U32(k)
        left += words[k] >= node_count
    while left:
        run_rounds(walking, left, layout, keys, high, low)
        count, left = left, 0
        for k in range(count):
            word, place = walking[k], places[k]
            words[place] = word
            walking[left], places[left] = word, place
            left += word >= node_count


@njit(cache=True)
def compute_block(detunings, formula, lo, hi, words, reals):
    """Compute ids, ends, dose rates and thresholds of slots lo .. hi - 1.

    The slots lie in one layer. Returns views in the order of `BridgeArrays`.
    """
    keys, high_bits, low_bits, per_linewidth, max_probability, full_rate, flag = formula
    layout = (high_bits, low_bits)
    node_count = detunings.size
    layer = lo // (node_count // 2)
    first = I64(lo - layer * (node_count // 2))
    count = I64(hi - lo)
    ends = words[0]
    for k in range(count):
        ends[k] = U32(2 * (first + k))
        ends[count + k] = U32(2 * (first + k) + 1)
    spare = (words[1], words[2], words[3], words[4])
    permute_block(ends, 2 * count, U32(node_count), layout, keys[layer], spare)
    source, target = ends[:count], ends[count : 2 * count]
    ids, thresholds = words[1][:count], words[2][:count]
    gaps, rates = reals[0][:count], reals[1][:count]
    for k in range(count):
        gaps[k] = detunings[target[k]] - detunings[source[k]]
    for k in range(count):
        rates[k], thresholds[k] = success_law(
            gaps[k], per_linewidth, max_probability, full_rate
        )
        ids[k] = U32(lo + k)
    if flag:
        for k in range(count):
            source[k] = U32(source[k] | flag)
    return ids, source, target, rates, thresholds


@njit(cache=True)
def run_matching_span(field, detunings, bridges, lo, hi, tick, dt, key):
    """Run a contiguous span of slots block by block; return the successes."""
    formula = bridges[:7]
    work = np.empty(EVENT_BLOCK, np.int32)
    words = np.empty((5, ENDS_PER_BLOCK), U32)
    reals = np.empty((2, EVENT_BLOCK), F)
    moved = address_field(field)
    state = address_five(bridges[7:], lo)
    successes = I64(0)
    for start in range(lo, hi, EVENT_BLOCK):
        count = min(EVENT_BLOCK, hi - start)
        block = compute_block(detunings, formula, start, start + count, words, reals)
        ends = address_five(block, 0)
        successes += attempt_events(moved, ends, state, count, tick, dt, key, work)
        state = move_five(state, count)
    return successes


@njit(parallel=True, cache=True)
def run_matching_events(field, detunings, bridges, segments, tick, dt, key, threads):
    """Run every due bridge of one step, layer after layer; ends are computed.

    Bytes per event: 20 read and 20 written on the bridge side, two phases gathered and
    scattered, two detunings gathered. Operations: those of a stored event, two Feistel
    networks of eight rounds and one division.

    Args:
        field: Phases, velocities and push, as in `run_tunnel_events`.
        detunings: Natural frequency minus frame [Hz], float32, shape (nodes,).
        bridges: Round keys, bits of the high and the low half of a Feistel word, the
            three numbers of the success law, what is added to the sources of directed
            bridges, then the columns that change. All flat: Numba takes no tuple of
            tuples into a parallel loop.
        segments: Contiguous slots [lo, hi) that are due, int64, shape (m, 2);
            each lies in one layer.
        tick: Number of this tunnel step, counted from 1.
        dt: Simulated seconds per tick, float32.
        key: (seed, stream) of the Philox generator.
        threads: Number of parts for large segments.

    Returns:
        Number of successful events.
    """
    count = I64(0)
    for row in range(segments.shape[0]):
        lo, hi = segments[row, 0], segments[row, 1]
        if hi - lo < PARALLEL_EVENTS or threads == 1:
            count += run_matching_span(field, detunings, bridges, lo, hi, tick, dt, key)
        else:
            for part in prange(threads):
                start = lo + part * (hi - lo) // threads
                stop = lo + (part + 1) * (hi - lo) // threads
                count += run_matching_span(
                    field, detunings, bridges, start, stop, tick, dt, key
                )
    return count


@njit(cache=True)
def sum_span(detunings, formula, lo, hi):
    """Sum the thresholds of a span of slots of one layer."""
    words = np.empty((5, ENDS_PER_BLOCK), U32)
    reals = np.empty((2, EVENT_BLOCK), F)
    total = U64(0)
    for start in range(lo, hi, EVENT_BLOCK):
        stop = min(start + EVENT_BLOCK, hi)
        ends = compute_block(detunings, formula, start, stop, words, reals)
        for threshold in ends[4]:
            total += U64(threshold)
    return total


@njit(parallel=True, cache=True)
def sum_thresholds(detunings, formula):
    """Sum the thresholds of all bridges, exactly and so in any order.

    Args:
        detunings: Natural frequency minus frame [Hz], float32, shape (nodes,).
        formula: The first seven entries of `bridges` in `run_matching_events`.

    Returns:
        Sum [2^-32 of a probability], uint64.
    """
    size = detunings.size // 2
    total = U64(0)
    for layer in range(formula[0].shape[0]):
        parts = (size + 65535) // 65536
        for part in prange(parts):
            lo = layer * size + part * 65536
            hi = min(lo + 65536, (layer + 1) * size)
            total += sum_span(detunings, formula, lo, hi)
    return total
