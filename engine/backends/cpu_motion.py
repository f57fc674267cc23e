"""Numba kernels of mean field, noise and inertia on the `cpu` back end.

All of them walk the nodes once, each for itself, so no bit depends on the threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from engine.backends.formulas import (
    I32,
    U32,
    F,
    fused,
    philox_words,
    rate_increment,
    sine_cosine,
    to_binary_increment,
)
from engine.backends.noise import normal_pair

QUAD = 4
"""Nodes that share the words of a counter."""
PART_QUADS = 4096
"""Quads that a thread takes at a time."""
FARTHEST = F(2.0**31 - 128.0)
"""Largest float32 below half a turn [binary angle]."""


@njit(inline="always")
def to_binary_drift(velocity, gain):
    """Return how far a phase drifts [binary angle]; never half a turn or more."""
    ahead = np.rint(velocity * gain)
    return U32(I32(min(max(ahead, -FARTHEST), FARTHEST)))


@njit(parallel=True, cache=True)
def move_to_mean(phases, bases, detunings, mean, gains, stage, totals, out):
    """Take every oscillator through one stage of a step in the mean field.

    increment = dt (nu + K / 2 pi (c S - s C)) with the means S, C of sine and cosine
    over all nodes; the rest as in a lattice step. Bytes per node: read 4 + 4 + 4 (and
    a total), write 4 (and a total).

    Args:
        phases: Phases at the stage, uint32, shape (nodes,).
        bases: Phases at the start of the step, likewise.
        detunings: Natural frequency minus frame [Hz], float32, shape (nodes,).
        mean: (S, C), rotated by the phase lag, float32.
        gains: (K / 2 pi [1/s], 2^32 dt [s]) as float32.
        stage: (feed, weight, whether first, whether last).
        totals: Weighted increments so far, float32, shape (nodes,); empty if there is
            one stage only.
        out: Where the phases go, uint32, shape (nodes,); may be `phases`.
    """
    feed, weight, is_first, is_last = stage
    for i in prange(phases.size):
        sine, cosine = sine_cosine(phases[i])
        increment = rate_increment(detunings[i], sine, cosine, mean[0], mean[1], gains)
        move = weight * increment
        if not is_first:
            move = totals[i] + move
        if not is_last:
            totals[i] = move
            move = feed * increment
        out[i] = U32(bases[i] + U32(I32(np.rint(move))))


@njit(inline="always")
def draw_quad(quad, kick, key):
    """Return four normal numbers."""
    a, b, c, d = philox_words(U32(quad), kick, key[0], key[1])
    return (*normal_pair(a, b), *normal_pair(c, d))


@njit(parallel=True, cache=True)
def kick_phases(phases, width, kick, key):
    """Add noise to the phases: 8 bytes, a quarter Philox and half a pair per node.

    Args:
        phases: Binary angles, uint32, shape (nodes,), changed in place.
        width: Standard deviation [turn], float32.
        kick: Number of this kick, uint32.
        key: (seed, stream) of the Philox generator, uint32.
    """
    quads = phases.size // QUAD
    for part in prange((quads + PART_QUADS) // PART_QUADS):
        for quad in range(part * PART_QUADS, min((part + 1) * PART_QUADS, quads)):
            noise = draw_quad(quad, kick, key)
            for lane in range(QUAD):
                i = quad * QUAD + lane
                moved = to_binary_increment(width * noise[lane])
                phases[i] = U32(phases[i] + U32(moved))
    noise = draw_quad(quads, kick, key)
    for lane in range(phases.size - quads * QUAD):
        i = quads * QUAD + lane
        phases[i] = U32(phases[i] + U32(to_binary_increment(width * noise[lane])))


@njit(parallel=True, cache=True)
def drift_phases(starts, velocities, gain, out):
    """Move phases by their velocities: out = start + round(gain v); 12 bytes per node.

    Args:
        starts: Binary angles, uint32, shape (nodes,).
        velocities: [Hz], float32, shape (nodes,).
        gain: 2^32 times the time [s], float32.
        out: Where the phases go; may be `starts`.
    """
    for i in prange(starts.size):
        out[i] = U32(starts[i] + to_binary_drift(velocities[i], gain))


@njit(parallel=True, cache=True)
def relax_velocities(velocities, starts, phases, keep, take):
    """Relax velocities towards the rate of a plain step: v = keep v + take rate.

    Bytes per node: 12 read, 4 written.

    Args:
        velocities: [Hz], float32, shape (nodes,), changed in place.
        starts: Phases before the plain step, uint32, shape (nodes,).
        phases: Phases after it, likewise.
        keep: Share that is kept [-], float32.
        take: Share of the rate that is taken, over 2^32 dt [1/s], float32.
    """
    for i in prange(starts.size):
        moved = F(I32(U32(phases[i] - starts[i])))
        velocities[i] = fused(keep, velocities[i], take * moved)


@njit(parallel=True, cache=True)
def kick_velocities(velocities, width_hz, kick, key):
    """Add noise to the velocities, as `kick_phases` does to phases.

    Args:
        velocities: [Hz], float32, shape (nodes,), changed in place.
        width_hz: Standard deviation [Hz], float32.
        kick: Number of this kick, uint32.
        key: (seed, stream) of the Philox generator, uint32.
    """
    quads = velocities.size // QUAD
    for part in prange((quads + PART_QUADS) // PART_QUADS):
        for quad in range(part * PART_QUADS, min((part + 1) * PART_QUADS, quads)):
            noise = draw_quad(quad, kick, key)
            for lane in range(QUAD):
                i = quad * QUAD + lane
                velocities[i] = fused(width_hz, noise[lane], velocities[i])
    noise = draw_quad(quads, kick, key)
    for lane in range(velocities.size - quads * QUAD):
        i = quads * QUAD + lane
        velocities[i] = fused(width_hz, noise[lane], velocities[i])
