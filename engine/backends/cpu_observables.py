"""Numba kernels that measure the phases: order, edges, vortices, winding, turns.

All sums are integers (cosines in 2^-30 fixed point, angles in binary units), so
their order does not matter. Edges and plaquettes are walked line by line, a line
being one row of the box, so that the inner loops run over contiguous views.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from engine.backends.formulas import I32, U32, F, sine_cosine
from engine.constants import EDGE_UNIT, ORDER_UNIT

I64 = np.int64
FIXED_POINT = F(ORDER_UNIT)
EDGE_SCALE = F(EDGE_UNIT / ORDER_UNIT)


@njit(parallel=True, cache=True)
def sum_order(phases):
    """Sum cos and sin of all phases in 2^-30 fixed point."""
    total_cosine = I64(0)
    total_sine = I64(0)
    for i in prange(phases.size):
        s, c = sine_cosine(phases[i])
        total_cosine += I64(np.rint(c * FIXED_POINT))
        total_sine += I64(np.rint(s * FIXED_POINT))
    return total_cosine, total_sine


@njit(cache=True)
def find_line(box, periodic, line, offset):
    """Return the first node of the line at `offset` from `line`, or -1 outside."""
    slab, row = line // box[1] + offset[0], line % box[1] + offset[1]
    if not periodic[0] and (slab < 0 or slab >= box[0]):
        return -1
    if not periodic[1] and (row < 0 or row >= box[1]):
        return -1
    return ((slab % box[0]) * box[1] + row % box[1]) * box[2]


@njit(inline="always")
def subtract_angles(minuend, subtrahend):
    """Return the wrapped difference as a signed binary angle in 64 bits."""
    return I64(I32(U32(minuend - subtrahend)))


@njit(parallel=True, cache=True)
def count_turns(phases, marks, sums):
    """Add the wrapped way since `marks` to 64-bit sums; marks become phases.

    Bytes per node: 16 read, 12 written. Operations: one subtraction, one addition.
    """
    for i in prange(phases.size):
        sums[i] += subtract_angles(phases[i], marks[i])
        marks[i] = phases[i]


@njit(cache=True)
def sum_cosines(here, there):
    """Sum cos(there - here) over two views in 2^-28 fixed point."""
    total = I64(0)
    for k in range(here.size):
        _, cosine = sine_cosine(U32(there[k] - here[k]))
        total += I64(np.rint(EDGE_SCALE * cosine * FIXED_POINT))
    return total


@njit(cache=True)
def sum_gaps(here, there):
    """Sum the wrapped differences there - here over two views."""
    total = I64(0)
    for k in range(here.size):
        total += subtract_angles(there[k], here[k])
    return total


@njit(cache=True)
def count_windings(a, b, c, d):
    """Count the closed loops a -> b -> c -> d -> a that wind, over four views."""
    total = I64(0)
    for k in range(a.size):
        winding = (
            subtract_angles(b[k], a[k])
            + subtract_angles(c[k], b[k])
            + subtract_angles(d[k], c[k])
            + subtract_angles(a[k], d[k])
        )
        total += I64(winding != 0)
    return total


@njit(cache=True)
def sum_line_edges(phases, here, there, step, columns, is_closed, is_cosine):
    """Sum over the edges between two lines whose columns differ by `step`."""
    lo, hi = max(0, -step), columns - max(0, step)
    a = phases[here + lo : here + hi]
    b = phases[there + lo + step : there + hi + step]
    total = sum_cosines(a, b) if is_cosine else sum_gaps(a, b)
    if step != 0 and is_closed:
        k = here + (hi if step > 0 else 0)
        j = there + (0 if step > 0 else columns - 1)
        a, b = phases[k : k + 1], phases[j : j + 1]
        total += sum_cosines(a, b) if is_cosine else sum_gaps(a, b)
    return total


@njit(parallel=True, cache=True)
def sum_edges(phases, box, periodic, offsets, is_cosine):
    """Sum cosines [2^-28] or wrapped differences [binary angle] over edges.

    Args:
        phases: Binary angles, uint32, shape (nodes,).
        box: (slabs, rows, columns).
        periodic: Whether each box axis closes.
        offsets: One offset per edge direction, int64, shape (m, 3).
        is_cosine: Whether to sum cosines.

    Returns:
        The sum, int64.
    """
    columns = box[2]
    total = I64(0)
    for line in prange(box[0] * box[1]):
        for o in range(offsets.shape[0]):
            there = find_line(box, periodic, line, offsets[o])
            if there >= 0:
                here, step = line * columns, offsets[o, 2]
                total += sum_line_edges(
                    phases, here, there, step, columns, periodic[2], is_cosine
                )
    return total


@njit(cache=True)
def count_line_windings(phases, starts, steps, columns, is_closed):
    """Count winding loops over one line; corner columns differ by 0 or 1."""
    inner = columns - 1
    p0, p1, p2, p3 = starts[0], starts[1], starts[2], starts[3]
    d0, d1, d2, d3 = steps[0], steps[1], steps[2], steps[3]
    total = count_windings(
        phases[p0 + d0 : p0 + d0 + inner],
        phases[p1 + d1 : p1 + d1 + inner],
        phases[p2 + d2 : p2 + d2 + inner],
        phases[p3 + d3 : p3 + d3 + inner],
    )
    if is_closed or (d0 + d1 + d2 + d3) == 0:
        k0, k1 = p0 + (inner + d0) % columns, p1 + (inner + d1) % columns
        k2, k3 = p2 + (inner + d2) % columns, p3 + (inner + d3) % columns
        total += count_windings(
            phases[k0 : k0 + 1],
            phases[k1 : k1 + 1],
            phases[k2 : k2 + 1],
            phases[k3 : k3 + 1],
        )
    return total


@njit(parallel=True, cache=True)
def count_vortices(phases, box, periodic, loops):
    """Count the plaquettes around which the phase winds.

    Args:
        phases: Binary angles, uint32, shape (nodes,).
        box: (slabs, rows, columns).
        periodic: Whether each box axis closes.
        loops: Corners of each plaquette, each 0 or 1, int64, shape (m, 4, 3).

    Returns:
        The count, int64.
    """
    total = I64(0)
    for line in prange(box[0] * box[1]):
        for loop in range(loops.shape[0]):
            starts = np.empty(4, np.int64)
            for corner in range(4):
                starts[corner] = find_line(box, periodic, line, loops[loop, corner])
            if starts.min() >= 0:
                total += count_line_windings(
                    phases, starts, loops[loop, :, 2], box[2], periodic[2]
                )
    return total
