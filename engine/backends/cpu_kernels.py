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
    F,
    pair_shift,
    philox_word,
    sine_cosine,
    to_binary_increment,
)

I64 = np.int64
ZERO = F(0.0)
LOCKING_MEMORY = F(1.0 / 16.0)
EVENT_BLOCK = 256
PARALLEL_EVENTS = 2048


@njit(cache=True)
def fill_row(angles, sine, cosine):
    """Write sine and cosine of one row; the halo is not touched."""
    for k in range(angles.size):
        s, c = sine_cosine(angles[k])
        sine[k] = s
        cosine[k] = c


@njit(cache=True)
def close_row(row, columns, is_periodic):
    """Fill the two halo entries of a padded row."""
    row[0] = row[columns] if is_periodic else ZERO
    row[columns + 1] = row[1] if is_periodic else ZERO


@njit(cache=True)
def fill_slab(phases, box, periodic, slab, sine, cosine):
    """Write a padded slab of sines and cosines, shape (rows + 2, columns + 2).

    A slab outside an open boundary becomes zeros.
    """
    slabs, rows, columns = box
    if (slab < 0 or slab >= slabs) and not periodic[0]:
        sine[:] = ZERO
        cosine[:] = ZERO
        return
    first = (slab % slabs) * rows
    for row in range(rows):
        base = (first + row) * columns
        angles = phases[base : base + columns]
        fill_row(angles, sine[row + 1, 1:-1], cosine[row + 1, 1:-1])
        close_row(sine[row + 1], columns, periodic[2])
        close_row(cosine[row + 1], columns, periodic[2])
    for halo, source in ((0, rows), (rows + 1, 1)):
        if periodic[1]:
            sine[halo] = sine[source]
            cosine[halo] = cosine[source]
        else:
            sine[halo] = ZERO
            cosine[halo] = ZERO


@njit(cache=True)
def fill_chunk(phases, box, periodic, start, sine, cosine):
    """Write a stretch of a single row with its halo, for chains cut into chunks."""
    columns = box[2]
    length = sine.size - 2
    fill_row(phases[start : start + length], sine[1:-1], cosine[1:-1])
    for halo, site in ((0, start - 1), (length + 1, start + length)):
        if periodic[2] or 0 <= site < columns:
            sine[halo], cosine[halo] = sine_cosine(phases[site % columns])
        else:
            sine[halo], cosine[halo] = ZERO, ZERO


@njit(cache=True)
def set_row(total_sine, total_cosine, sine, cosine):
    """Start the neighbour sums of a row with the first neighbour."""
    for k in range(total_sine.size):
        total_sine[k] = sine[k]
        total_cosine[k] = cosine[k]


@njit(cache=True)
def add_row(total_sine, total_cosine, sine, cosine):
    """Add one neighbour to the neighbour sums of a row."""
    for k in range(total_sine.size):
        total_sine[k] += sine[k]
        total_cosine[k] += cosine[k]


@njit(cache=True)
def step_row(base, detunings, sine, cosine, sums, gains, out):
    """Advance a row by one Euler step: 2 polynomials, z adds, 8 flops per node."""
    total_sine, total_cosine = sums
    coupling, dt = gains
    for k in range(base.size):
        pull = cosine[k] * total_sine[k] - sine[k] * total_cosine[k]
        increment = dt * (detunings[k] + coupling * pull)
        out[k] = U32(base[k] + U32(to_binary_increment(increment)))


@njit(cache=True)
def stage_row(base, detunings, sine, cosine, sums, gains, stage, total, out):
    """Advance a row through one Runge-Kutta stage.

    stage = (feed, weight, is_first, is_last): the weighted increments collect in
    `total`; `out` is base + feed * increment, or base + total at the last stage.
    """
    total_sine, total_cosine = sums
    coupling, dt = gains
    feed, weight, is_first, is_last = stage
    for k in range(base.size):
        pull = cosine[k] * total_sine[k] - sine[k] * total_cosine[k]
        increment = dt * (detunings[k] + coupling * pull)
        collected = weight * increment
        if not is_first:
            collected = total[k] + collected
        total[k] = collected
        move = collected if is_last else feed * increment
        out[k] = U32(base[k] + U32(to_binary_increment(move)))


@njit(cache=True)
def finish_row(base, detunings, sine, cosine, sums, gains, stage, total, out):
    """Choose the plain or the staged row update."""
    if stage[2] and stage[3]:
        step_row(base, detunings, sine, cosine, sums, gains, out)
    else:
        stage_row(base, detunings, sine, cosine, sums, gains, stage, total, out)


@njit(cache=True)
def step_slabs(
    base, phases, detunings, box, periodic, offsets, gains, stage, total, out, span
):
    """Advance the slabs span[0] .. span[1] - 1 with a rolling window of three."""
    _, rows, columns = box
    sine = np.empty((3, rows + 2, columns + 2), np.float32)
    cosine = np.empty((3, rows + 2, columns + 2), np.float32)
    sums = (np.empty(columns, np.float32), np.empty(columns, np.float32))
    for early in range(2):
        slab = span[0] - 1 + early
        fill_slab(phases, box, periodic, slab, sine[early], cosine[early])
    for slab in range(span[0], span[1]):
        turn = slab - span[0]
        late, here = (turn + 2) % 3, (turn + 1) % 3
        fill_slab(phases, box, periodic, slab + 1, sine[late], cosine[late])
        for row in range(rows):
            for o in range(offsets.shape[0]):
                ring, r = (here + offsets[o, 0] + 3) % 3, row + 1 + offsets[o, 1]
                left = offsets[o, 2] + 1
                near_sine = sine[ring, r, left : left + columns]
                near_cosine = cosine[ring, r, left : left + columns]
                if o == 0:
                    set_row(sums[0], sums[1], near_sine, near_cosine)
                else:
                    add_row(sums[0], sums[1], near_sine, near_cosine)
            lo = (slab * rows + row) * columns
            hi = lo + columns
            finish_row(
                base[lo:hi],
                detunings[lo:hi],
                sine[here, row + 1, 1:-1],
                cosine[here, row + 1, 1:-1],
                sums,
                gains,
                stage,
                total[lo:hi],
                out[lo:hi],
            )


@njit(cache=True)
def step_chunk(base, phases, detunings, box, periodic, gains, stage, total, out, span):
    """Advance the sites span[0] .. span[1] - 1 of a chain."""
    lo, hi = span
    sine = np.empty(hi - lo + 2, np.float32)
    cosine = np.empty(hi - lo + 2, np.float32)
    fill_chunk(phases, box, periodic, lo, sine, cosine)
    sums = (np.empty(hi - lo, np.float32), np.empty(hi - lo, np.float32))
    set_row(sums[0], sums[1], sine[2:], cosine[2:])
    add_row(sums[0], sums[1], sine[:-2], cosine[:-2])
    finish_row(
        base[lo:hi],
        detunings[lo:hi],
        sine[1:-1],
        cosine[1:-1],
        sums,
        gains,
        stage,
        total[lo:hi],
        out[lo:hi],
    )


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
        offsets: Neighbour offsets in the box, int64, shape (z, 3).
        gains: (K / 2 pi [1/s], dt [s]) as float32.
        stage: (feed, weight, is_first, is_last) of the tableau's row.
        total: Weighted increments so far [turn], float32; unused by Euler.
        out: Result, uint32, shape (nodes,); must not alias base or phases.
        blocks: Number of independent parts.
    """
    is_chain = box[0] == 1 and box[1] == 1
    extent = box[2] if is_chain else box[0]
    for block in prange(blocks):
        span = (block * extent // blocks, (block + 1) * extent // blocks)
        if is_chain:
            step_chunk(
                base, phases, detunings, box, periodic, gains, stage, total, out, span
            )
        else:
            step_slabs(
                base,
                phases,
                detunings,
                box,
                periodic,
                offsets,
                gains,
                stage,
                total,
                out,
                span,
            )


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
        lock_c[k] += LOCKING_MEMORY * ((c * c - s * s) - lock_c[k])
        lock_s[k] += LOCKING_MEMORY * ((sc + sc) - lock_s[k])
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

    Bytes per event: 28 read and 20 written on the bridge side, two phases
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
