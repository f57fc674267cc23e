"""Numba kernels that advance the `cpu` back end, over binary angles.

Lattice kernels walk slabs (index planes along the first axis of the box) and keep
the sines and cosines of three of them in cache, so each node costs two
polynomials whatever its coordination number. Rows carry one halo entry on each
side; across an open boundary sine and cosine are zero, which adds exactly
nothing to a sum. Every kernel is a pure map from input to output arrays or an
integer sum, so the split over threads cannot change a bit.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from engine.backends.formulas import (
    I32,
    U32,
    U64,
    F,
    pair_shift,
    philox_word,
    sine_cosine,
    to_binary_increment,
)
from engine.constants import LOCKING_MEMORY

I64 = np.int64
ZERO = F(0.0)
LOCKING_WEIGHT = F(LOCKING_MEMORY)
CHAIN_PIECE = 4096
EVENT_BLOCK = 256
PARALLEL_EVENTS = 2048


@njit(inline="always")
def fill_row(phases, source, sine, cosine, start, count):
    """Write sine and cosine of `count` phases; all positions are unsigned."""
    for k in range(count):
        s, c = sine_cosine(phases[source + k])
        sine[start + k] = s
        cosine[start + k] = c


@njit(cache=True)
def copy_row(row, source, start, count, is_kept):
    """Copy `count` entries within a buffer, or write zeros where not `is_kept`."""
    for k in range(count):
        row[start + k] = row[source + k] if is_kept else ZERO


@njit(cache=True)
def fill_slab(phases, box, periodic, slab, sine, cosine, start):
    """Write a slab with its halo, (rows + 2) x (columns + 2), from `start` on.

    A slab outside an open boundary becomes zeros.
    """
    slabs, rows, columns = box
    width = columns + 2
    if (slab < 0 or slab >= slabs) and not periodic[0]:
        for buffer in (sine, cosine):
            copy_row(buffer, U64(start), U64(start), U64((rows + 2) * width), False)
        return
    one, count = U64(1), U64(columns)
    first = (slab % slabs) * rows
    for row in range(rows):
        left = U64(start + (row + 1) * width)
        fill_row(phases, U64((first + row) * columns), sine, cosine, left + one, count)
        for buffer in (sine, cosine):
            copy_row(buffer, left + count, left, one, periodic[2])
            copy_row(buffer, left + one, left + count + one, one, periodic[2])
    for halo, row in ((0, rows), (rows + 1, 1)):
        to, source = U64(start + halo * width), U64(start + row * width)
        for buffer in (sine, cosine):
            copy_row(buffer, source, to, U64(width), periodic[1])


@njit(cache=True)
def fill_chunk(phases, box, periodic, span, sine, cosine):
    """Write a stretch of a chain with one halo entry on each side."""
    columns = box[2]
    lo, hi = span
    fill_row(phases, U64(lo), sine, cosine, U64(1), U64(hi - lo))
    for halo, site in ((0, lo - 1), (hi - lo + 1, hi)):
        if periodic[2] or 0 <= site < columns:
            sine[halo], cosine[halo] = sine_cosine(phases[site % columns])
        else:
            sine[halo], cosine[halo] = ZERO, ZERO


@njit(inline="always")
def sum_pair(sine, cosine, ahead, behind, is_first, sums, count):
    """Add the neighbours at +offset and -offset of each node of a row to its sums."""
    total_sine, total_cosine = sums
    if is_first:
        for k in range(count):
            total_sine[k] = sine[ahead + k] + sine[behind + k]
            total_cosine[k] = cosine[ahead + k] + cosine[behind + k]
    else:
        for k in range(count):
            total_sine[k] = (total_sine[k] + sine[ahead + k]) + sine[behind + k]
            total_cosine[k] = (total_cosine[k] + cosine[ahead + k]) + cosine[behind + k]


@njit(inline="always")
def rate_increment(detuning, sine, cosine, total_sine, total_cosine, gains):
    """Return dt (nu + K / 2 pi (c S - s C)) in turns."""
    coupling, dt = gains
    pull = cosine * total_sine - sine * total_cosine
    return dt * (detuning + coupling * pull)


@njit(inline="always")
def step_row(arrays, sine, cosine, middle, sums, gains, node, count):
    """Advance a row by a whole Euler step: 8 flops and a rounding per node."""
    base, detunings, _, out = arrays
    total_sine, total_cosine = sums
    for k in range(count):
        i, m = node + k, middle + k
        increment = rate_increment(
            detunings[i], sine[m], cosine[m], total_sine[k], total_cosine[k], gains
        )
        out[i] = U32(base[i] + U32(to_binary_increment(increment)))


@njit(inline="always")
def stage_row(arrays, sine, cosine, middle, sums, gains, stage, node, count):
    """Advance a row through one stage of several.

    arrays = (base, detunings, total, out), stage = (feed, weight, is_first,
    is_last). The weighted increments collect in `total`; `out` is
    base + feed * increment, or base + total at the last stage.
    """
    base, detunings, total, out = arrays
    total_sine, total_cosine = sums
    feed, weight, is_first, is_last = stage
    for k in range(count):
        i, m = node + k, middle + k
        increment = rate_increment(
            detunings[i], sine[m], cosine[m], total_sine[k], total_cosine[k], gains
        )
        collected = weight * increment
        if not is_first:
            collected = total[i] + collected
        total[i] = collected
        move = collected if is_last else feed * increment
        out[i] = U32(base[i] + U32(to_binary_increment(move)))


@njit(inline="always")
def finish_row(arrays, sine, cosine, middle, sums, gains, stage, node, count):
    """Advance a row by the step or the stage that is due."""
    if stage[2] and stage[3]:
        step_row(arrays, sine, cosine, middle, sums, gains, node, count)
    else:
        stage_row(arrays, sine, cosine, middle, sums, gains, stage, node, count)


@njit(cache=True)
def step_slabs(arrays, phases, box, periodic, offsets, gains, stage, span):
    """Advance the slabs span[0] .. span[1] - 1 with a rolling window of three.

    Positions in the flat buffers are unsigned: signed ones would be checked for
    Python's negative indices, and views of rows would be counted, at every use.
    """
    _, rows, columns = box
    width = columns + 2
    plane = (rows + 2) * width
    sine = np.empty(3 * plane, np.float32)
    cosine = np.empty(3 * plane, np.float32)
    sums = (np.empty(columns, np.float32), np.empty(columns, np.float32))
    count = U64(columns)
    for early in range(2):
        slab = span[0] - 1 + early
        fill_slab(phases, box, periodic, slab, sine, cosine, early * plane)
    for slab in range(span[0], span[1]):
        turn = slab - span[0]
        late, here = (turn + 2) % 3, (turn + 1) % 3
        fill_slab(phases, box, periodic, slab + 1, sine, cosine, late * plane)
        for row in range(rows):
            middle = U64(here * plane + (row + 1) * width + 1)
            for o in range(0, offsets.shape[0], 2):
                aside = (row + 1 + offsets[o, 1]) * width + 1 + offsets[o, 2]
                opposite = (row + 1 - offsets[o, 1]) * width + 1 - offsets[o, 2]
                ahead = U64((here + offsets[o, 0] + 3) % 3 * plane + aside)
                behind = U64((here - offsets[o, 0] + 3) % 3 * plane + opposite)
                sum_pair(sine, cosine, ahead, behind, o == 0, sums, count)
            node = U64((slab * rows + row) * columns)
            finish_row(arrays, sine, cosine, middle, sums, gains, stage, node, count)


@njit(cache=True)
def step_chunk(arrays, phases, box, periodic, gains, stage, span):
    """Advance the sites span[0] .. span[1] - 1 of a chain, in cache-sized pieces."""
    width = min(span[1] - span[0], CHAIN_PIECE)
    sine = np.empty(width + 2, np.float32)
    cosine = np.empty(width + 2, np.float32)
    sums = (np.empty(width, np.float32), np.empty(width, np.float32))
    for lo in range(span[0], span[1], CHAIN_PIECE):
        hi = min(lo + CHAIN_PIECE, span[1])
        count = U64(hi - lo)
        fill_chunk(phases, box, periodic, (lo, hi), sine, cosine)
        sum_pair(sine, cosine, U64(2), U64(0), True, sums, count)
        finish_row(arrays, sine, cosine, U64(1), sums, gains, stage, U64(lo), count)


@njit(parallel=True, cache=True)
def step_lattice(
    base, phases, detunings, box, periodic, offsets, gains, stage, total, out, blocks
):
    """Advance every oscillator through one integrator stage.

    out_i = base_i + dt (nu_i + K/2pi (c_i S_i - s_i C_i)) in turns, rounded to
    binary angles. Bytes per node: read 4 + 4, write 4 (Euler).

    Args:
        base: Phases at the start of the step, uint32, shape (nodes,).
        phases: Phases at which the rate is taken, uint32, shape (nodes,).
        detunings: Natural frequency minus frame [Hz], float32, shape (nodes,).
        box: (slabs, rows, columns).
        periodic: Whether each box axis closes.
        offsets: Neighbour offsets in the box, + and - in turn, int64, shape (z, 3).
        gains: (K / 2 pi [1/s], dt [s]) as float32.
        stage: (feed, weight, is_first, is_last) of the tableau's row.
        total: Weighted increments so far [turn], float32; unused by Euler.
        out: Result, uint32, shape (nodes,); must not alias base or phases.
        blocks: Number of independent parts.
    """
    is_chain = box[0] == 1 and box[1] == 1
    extent = box[2] if is_chain else box[0]
    arrays = (base, detunings, total, out)
    for block in prange(blocks):
        span = (block * extent // blocks, (block + 1) * extent // blocks)
        if is_chain:
            step_chunk(arrays, phases, box, periodic, gains, stage, span)
        else:
            step_slabs(arrays, phases, box, periodic, offsets, gains, stage, span)


@njit(cache=True)
def run_event_block(phases, bridges, lo, hi, tick, dt, key, difference, shift):
    """Let the bridges in slots lo .. hi - 1 attempt one tunnel event each.

    Gather, compute, scatter: no node occurs twice in a layer, so the order inside
    the block does not matter. Returns the number of successes.
    """
    ids, sources, targets, rates, thresholds = bridges[:5]
    last_ticks, attempts, successes, locking_cos, locking_sin = bridges[5:]
    source, target = sources[lo:hi], targets[lo:hi]
    for k in range(source.size):
        difference[k] = I32(U32(phases[target[k]] - phases[source[k]]))
    rate, last = rates[lo:hi], last_ticks[lo:hi]
    lock_c, lock_s = locking_cos[lo:hi], locking_sin[lo:hi]
    for k in range(source.size):
        elapsed = F(I32(U32(tick - last[k]))) * dt
        moved, s, c = pair_shift(difference[k], rate[k] * elapsed)
        shift[k] = moved
        sc = s * c
        lock_c[k] += LOCKING_WEIGHT * ((c * c - s * s) - lock_c[k])
        lock_s[k] += LOCKING_WEIGHT * ((sc + sc) - lock_s[k])
        last[k] = tick
    ident, threshold = ids[lo:hi], thresholds[lo:hi]
    attempt, success = attempts[lo:hi], successes[lo:hi]
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
    count = I64(0)
    for start in range(lo, hi, EVENT_BLOCK):
        stop = min(start + EVENT_BLOCK, hi)
        count += run_event_block(
            phases, bridges, start, stop, tick, dt, key, difference, shift
        )
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
