"""Numba kernels of the tunnel events on the `cpu` back end, over binary angles.

Events are worked in blocks that gather, compute and scatter in separate loops, which
the compiler turns into vectors. Bridges of one layer share no node, so the split over
blocks and threads cannot change a bit.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from engine.backends.formulas import I32, U32, F, pair_shift, philox_word
from engine.constants import LOCKING_MEMORY

I64 = np.int64
LOCKING_WEIGHT = F(LOCKING_MEMORY)
EVENT_BLOCK = 256
PARALLEL_EVENTS = 2048


@njit(cache=True)
def attempt_events(phases, ends, state, tick, dt, key, difference, shift):
    """Let a block of bridges of one layer attempt one tunnel event each.

    Gather, compute, scatter: no node occurs twice in a layer, so the order inside
    the block does not matter. `ends` holds ids, sources, targets, dose rates and
    thresholds, `state` the columns that change, as in `BridgeArrays`, each of the
    block alone. Returns the number of successes.
    """
    ident, source, target, rate, threshold = ends
    last, attempt, success, lock_c, lock_s = state
    for k in range(source.size):
        difference[k] = I32(U32(phases[target[k]] - phases[source[k]]))
    for k in range(source.size):
        elapsed = F(I32(U32(tick - last[k]))) * dt
        moved, s, c = pair_shift(difference[k], rate[k] * elapsed)
        shift[k] = moved
        sc = s * c
        lock_c[k] += LOCKING_WEIGHT * ((c * c - s * s) - lock_c[k])
        lock_s[k] += LOCKING_WEIGHT * ((sc + sc) - lock_s[k])
        last[k] = tick
    count = I64(0)
    for k in range(source.size):
        word = philox_word(ident[k], attempt[k], key[0], key[1])
        passed = U32(1) if word <= threshold[k] else U32(0)
        attempt[k] = U32(attempt[k] + U32(1))
        success[k] = U32(success[k] + passed)
        shift[k] = I32(shift[k] * I32(passed))
        count += I64(passed)
    for k in range(source.size):
        moved = U32(shift[k])
        phases[source[k]] = U32(phases[source[k]] + moved)
        phases[target[k]] = U32(phases[target[k]] - moved)
    return count


@njit(cache=True)
def run_event_span(phases, bridges, lo, hi, tick, dt, key):
    """Run a contiguous span of slots block by block; return the successes."""
    difference = np.empty(EVENT_BLOCK, np.int32)
    shift = np.empty(EVENT_BLOCK, np.int32)
    ids, sources, targets, rates, thresholds = bridges[:5]
    last_ticks, attempts, successes, locking_cos, locking_sin = bridges[5:]
    count = I64(0)
    for start in range(lo, hi, EVENT_BLOCK):
        stop = min(start + EVENT_BLOCK, hi)
        ends = (
            ids[start:stop],
            sources[start:stop],
            targets[start:stop],
            rates[start:stop],
            thresholds[start:stop],
        )
        state = (
            last_ticks[start:stop],
            attempts[start:stop],
            successes[start:stop],
            locking_cos[start:stop],
            locking_sin[start:stop],
        )
        count += attempt_events(phases, ends, state, tick, dt, key, difference, shift)
    return count


@njit(parallel=True, cache=True)
def run_tunnel_events(phases, bridges, segments, tick, dt, key, threads):
    """Run every due bridge of one step, layer after layer.

    Bytes per event: 40 read and 20 written on the bridge side, two phases
    gathered and scattered. Operations: two polynomials, exp, atan, one Philox.

    Args:
        phases: Phases, uint32, shape (nodes,), updated in place.
        bridges: Tuple of arrays as in `BridgeArrays.columns`, shape (bridges,).
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
            count += run_event_span(phases, bridges, lo, hi, tick, dt, key)
        else:
            for part in prange(threads):
                start = lo + part * (hi - lo) // threads
                stop = lo + (part + 1) * (hi - lo) // threads
                count += run_event_span(phases, bridges, start, stop, tick, dt, key)
    return count
