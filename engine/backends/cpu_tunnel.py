"""Numba kernels of the tunnel events on the `cpu` back end, over binary angles.

Events are worked in blocks that gather, compute and scatter in separate loops, which
the compiler turns into vectors. Bridges of one layer share no node, so the split over
blocks and threads cannot change a bit.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from engine.backends.cpu_memory import (
    ENTRY_BYTES,
    view_floats,
    view_integers,
    view_words,
)
from engine.backends.formulas import (
    HALF_TURN,
    I32,
    U32,
    U64,
    F,
    flip_sign,
    fused,
    pair_shift,
    philox_word,
    split_rate,
)
from engine.constants import LOCKING_MEMORY

I64 = np.int64
LOCKING_WEIGHT = F(LOCKING_MEMORY)
NODE_BITS = U32(HALF_TURN - U32(1))
"""Bits of a source that are its node id; the top one tells directed bridges."""
FLAG_PLACE = U32(31)
EVENT_BLOCK = 256
PARALLEL_EVENTS = 2048


@njit(cache=True)
def measure_gaps(phases, ends, count, gaps):
    """Gather theta_target - theta_source of a block."""
    angles, difference = view_words(phases), view_integers(gaps)
    source, target = view_words(ends[1]), view_words(ends[2])
    for k in range(U64(count)):
        home = U32(source[k] & NODE_BITS)
        difference[k] = I32(U32(angles[target[k]] - angles[home]))


@njit(cache=True)
def compute_shifts(ends, state, count, tick, dt, gaps):
    """Turn gaps into shifts and follow the phase-locking values of a block."""
    gap, rate = view_integers(gaps), view_floats(ends[3])
    last = view_words(state[0])
    lock_c, lock_s = view_floats(state[3]), view_floats(state[4])
    for k in range(U64(count)):
        elapsed = F(I32(U32(tick - last[k]))) * dt
        turn, size = split_rate(rate[k])
        moved, s, c = pair_shift(I32(gap[k] ^ turn), size * elapsed)
        gap[k] = moved
        sc = s * c
        gap_c, gap_s = flip_sign(c * c - s * s, turn), flip_sign(sc + sc, turn)
        lock_c[k] += LOCKING_WEIGHT * (gap_c - lock_c[k])
        lock_s[k] += LOCKING_WEIGHT * (gap_s - lock_s[k])
        last[k] = tick


@njit(cache=True)
def draw_successes(ends, state, count, key, shifts):
    """Count attempts and successes of a block; who fails does not shift."""
    ident, threshold = view_words(ends[0]), view_words(ends[4])
    attempt, success = view_words(state[1]), view_words(state[2])
    shift = view_integers(shifts)
    total = I64(0)
    for k in range(U64(count)):
        word = philox_word(ident[k], attempt[k], key[0], key[1])
        passed = U32(1) if word <= threshold[k] else U32(0)
        attempt[k] = U32(attempt[k] + U32(1))
        success[k] = U32(success[k] + passed)
        shift[k] = I32(shift[k] * I32(passed))
        total += I64(passed)
    return total


@njit(cache=True)
def shift_ends(phases, ends, count, shifts):
    """Scatter the shifts of a block: sources gain them, targets lose them.

    The source of a directed bridge stays, its target moves twice as far.
    """
    angles, shift = view_words(phases), view_words(shifts)
    source, target = view_words(ends[1]), view_words(ends[2])
    for k in range(U64(count)):
        home, flag = U32(source[k] & NODE_BITS), U32(source[k] >> FLAG_PLACE)
        angles[home] = U32(angles[home] + U32(shift[k] & U32(flag - U32(1))))
        angles[target[k]] = U32(angles[target[k]] - U32(shift[k] << flag))


@njit(cache=True)
def push_ends(pushes, ends, count, shifts):
    """Push the velocities of a block's ends by their shifts instead.

    A shift of nothing changes no bit, so that failures need not be told from it.
    """
    velocities, shift = view_floats(pushes[0]), view_integers(shifts)
    source, target = view_words(ends[1]), view_words(ends[2])
    for k in range(U64(count)):
        if shift[k] == 0:
            continue
        moved, push = F(shift[k]), pushes[1]
        home, end = U32(source[k] & NODE_BITS), target[k]
        if source[k] > NODE_BITS:
            push = push + push
        else:
            velocities[home] = fused(push, moved, velocities[home])
        velocities[end] = fused(-push, moved, velocities[end])


@njit(cache=True)
def attempt_events(field, ends, state, count, tick, dt, key, work):
    """Let a block of bridges of one layer attempt one tunnel event each.

    Gather, compute, scatter: no node occurs twice in a layer, so the order inside the
    block does not matter.

    Args:
        field: Address of the phases, that of the velocities (0 without inertia) and
            the push [Hz] of a unit of shift.
        ends: Addresses of ids, sources, targets, dose rates and thresholds.
        state: Addresses of the columns that change, as in `BridgeArrays`.
        count: Bridges of the block.
        tick: Number of this lattice step, counted from 1.
        dt: Simulated seconds per tick, float32.
        key: (seed, stream) of the Philox generator.
        work: `EVENT_BLOCK` entries to work in, int32.

    Returns:
        Number of successful events.
    """
    spare = work.ctypes.data
    measure_gaps(field[0], ends, count, spare)
    compute_shifts(ends, state, count, tick, dt, spare)
    successes = draw_successes(ends, state, count, key, spare)
    if field[1]:
        push_ends(field[1:], ends, count, spare)
    else:
        shift_ends(field[0], ends, count, spare)
    return successes


@njit(inline="always")
def address_field(field):
    """Return what `attempt_events` takes of phases, velocities and push."""
    phases, velocities, push = field
    there = U64(velocities.ctypes.data) if velocities.size else U64(0)
    return phases.ctypes.data, there, push


@njit(inline="always")
def address_five(columns, start):
    """Return the addresses of entry `start` of five columns of 4 bytes."""
    a, b, c, d, e = columns
    ahead = start * ENTRY_BYTES
    return (
        a.ctypes.data + ahead,
        b.ctypes.data + ahead,
        c.ctypes.data + ahead,
        d.ctypes.data + ahead,
        e.ctypes.data + ahead,
    )


@njit(inline="always")
def move_five(addresses, count):
    """Return five addresses `count` entries further on."""
    a, b, c, d, e = addresses
    ahead = count * ENTRY_BYTES
    return (a + ahead, b + ahead, c + ahead, d + ahead, e + ahead)


@njit(cache=True)
def run_event_span(field, bridges, lo, hi, tick, dt, key):
    """Run a contiguous span of slots block by block; return the successes."""
    work = np.empty(EVENT_BLOCK, np.int32)
    moved = address_field(field)
    ends, state = address_five(bridges[:5], lo), address_five(bridges[5:], lo)
    successes = I64(0)
    for start in range(lo, hi, EVENT_BLOCK):
        count = min(EVENT_BLOCK, hi - start)
        successes += attempt_events(moved, ends, state, count, tick, dt, key, work)
        ends, state = move_five(ends, count), move_five(state, count)
    return successes


@njit(parallel=True, cache=True)
def run_tunnel_events(field, bridges, segments, tick, dt, key, threads):
    """Run every due bridge of one step, layer after layer.

    Bytes per event: 40 read and 20 written on the bridge side, two phases
    gathered and scattered. Operations: two polynomials, exp, atan, one Philox.

    Args:
        field: Phases, uint32, shape (nodes,); velocities [Hz], float32, likewise, or
            none of them without inertia; push of a unit of shift [Hz], float32. What
            is there to move is updated in place.
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
            count += run_event_span(field, bridges, lo, hi, tick, dt, key)
        else:
            for part in prange(threads):
                start = lo + part * (hi - lo) // threads
                stop = lo + (part + 1) * (hi - lo) // threads
                count += run_event_span(field, bridges, start, stop, tick, dt, key)
    return count
