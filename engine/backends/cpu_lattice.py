"""Numba kernels of the lattice step on the `cpu` back end, over binary angles.

A pass takes several steps at once and reads and writes the oscillators once. It walks
slabs (index planes along the first axis of the box) as a pipeline: a *level* is one
integrator stage of one step, and while slab p is loaded, level l advances slab
p - 1 - l. Each level keeps sines and cosines of three slabs in cache, so a node costs
two polynomials per stage whatever its coordination number. Spans of slabs that other
parts advance are overlapped by one slab per level and worked twice.

A slab is a padded plane: rows lie `width` entries apart, with at least one entry of
halo on each side, so that a neighbour is a constant distance away and one loop, which
the compiler turns into vectors, walks the whole plane. Across an open boundary sine
and cosine are zero, which adds exactly nothing to a sum. A node's arithmetic does not
depend on the steps per pass, on the spans or on the threads, and so no bit does.

Fields are passed as addresses and seen as arrays only in the innermost loops: an array
that goes through a call is counted, and the counting of one plane's arrays took as
long as the arithmetic of 300 nodes.
"""

from __future__ import annotations

import numpy as np
from numba import carray, njit, prange

from engine.backends.cpu_memory import (
    ENTRY_BYTES,
    prefetch_entries,
    to_pointer,
    view_floats,
    view_words,
)
from engine.backends.cpu_pass import CHAIN_PIECE, MOST_NEIGHBOURS
from engine.backends.formulas import I32, U32, U64, F, rate_increment, sine_cosine

ZERO = F(0.0)


@njit(inline="always")
def view_places(address):
    """See memory as uint64."""
    return carray(to_pointer(address), (MOST_NEIGHBOURS,), np.uint64)


@njit(inline="always")
def add_neighbours(field, at, k):
    """Sum a field over the neighbours of entry k, in the order of the offsets."""
    total = field[at[0] + k] + field[at[1] + k]
    for o in range(2, len(at)):
        total = total + field[at[o] + k]
    return total


@njit(inline="always")
def move_euler(scratch, at, places, gains, count):
    """Advance a plane by a whole Euler step: 2 z + 8 flops and a rounding per node.

    result = base + dt (nu + K / 2 pi (c S - s C)), in binary angle units.
    """
    sines, cosines = view_floats(scratch[0]), view_floats(scratch[1])
    detunings = view_floats(scratch[2])
    phases, results = view_words(scratch[4]), view_words(scratch[5])
    own, detuning, _, base, out = places
    for k in range(count):
        total_sine = add_neighbours(sines, at, k)
        total_cosine = add_neighbours(cosines, at, k)
        nu, sine, cosine = detunings[detuning + k], sines[own + k], cosines[own + k]
        move = rate_increment(nu, sine, cosine, total_sine, total_cosine, gains)
        results[out + k] = U32(phases[base + k] + U32(I32(np.rint(move))))


@njit(inline="always")
def move_stage(scratch, at, places, gains, stage, count):
    """Advance a plane through one stage of several.

    The weighted increments collect in `totals`; the result is base + feed *
    increment, or base + total at the last stage.
    """
    sines, cosines = view_floats(scratch[0]), view_floats(scratch[1])
    detunings, totals = view_floats(scratch[2]), view_floats(scratch[3])
    phases, results = view_words(scratch[4]), view_words(scratch[5])
    own, detuning, total, base, out = places
    feed, weight, is_first, is_last = stage
    for k in range(count):
        total_sine = add_neighbours(sines, at, k)
        total_cosine = add_neighbours(cosines, at, k)
        nu, sine, cosine = detunings[detuning + k], sines[own + k], cosines[own + k]
        increment = rate_increment(nu, sine, cosine, total_sine, total_cosine, gains)
        collected = weight * increment
        if not is_first:
            collected = totals[total + k] + collected
        totals[total + k] = collected
        move = collected if is_last else feed * increment
        results[out + k] = U32(phases[base + k] + U32(I32(np.rint(move))))


@njit(inline="always")
def move_by(scratch, at, places, gains, stage, count):
    """Advance a plane by the step or the stage that is due."""
    if stage[2] and stage[3]:
        move_euler(scratch, at, places, gains, count)
    else:
        move_stage(scratch, at, places, gains, stage, count)


@njit(cache=True)
def move_plane(scratch, neighbour_count, places, gains, stage, count):
    """Advance a plane; each coordination number has a loop of its own.

    So the sum over neighbours is unrolled and the loop over nodes becomes vectors.
    """
    at, n = view_places(scratch[6]), U64(count)
    two = (at[0], at[1])
    if neighbour_count == 2:
        move_by(scratch, two, places, gains, stage, n)
        return
    four = (*two, at[2], at[3])
    if neighbour_count == 4:
        move_by(scratch, four, places, gains, stage, n)
        return
    six = (*four, at[4], at[5])
    if neighbour_count == 6:
        move_by(scratch, six, places, gains, stage, n)
        return
    eight = (*six, at[6], at[7])
    if neighbour_count == 8:
        move_by(scratch, eight, places, gains, stage, n)
        return
    twelve = (*eight, at[8], at[9], at[10], at[11])
    move_by(scratch, twelve, places, gains, stage, n)


@njit(cache=True)
def fill_plane(scratch, source, target, base, count):
    """Write sine and cosine of the results, and keep the results from `base` on."""
    results, phases = view_words(scratch[5]), view_words(scratch[4])
    sines, cosines = view_floats(scratch[0]), view_floats(scratch[1])
    start, to, kept = U64(source), U64(target), U64(base)
    for k in range(U64(count)):
        angle = results[start + k]
        s, c = sine_cosine(angle)
        sines[to + k] = s
        cosines[to + k] = c
        phases[kept + k] = angle


@njit(cache=True)
def copy_entries(source, start, target, to, count):
    """Copy `count` entries from one field to another."""
    entries, copies = view_words(source), view_words(target)
    first, goal = U64(start), U64(to)
    for k in range(U64(count)):
        copies[goal + k] = entries[first + k]


@njit(cache=True)
def clear_entries(field, start, count):
    """Write zeros."""
    entries, first = view_floats(field), U64(start)
    for k in range(U64(count)):
        entries[first + k] = ZERO


@njit(cache=True)
def close_axis(field, sources, targets, count, is_periodic):
    """Write both halos of an axis: the opposite edge, or zeros at an open end."""
    for end in range(2):
        if is_periodic:
            copy_entries(field, sources[end], field, targets[end], count)
        else:
            clear_entries(field, targets[end], count)


@njit(cache=True)
def close_plane(scratch, rings, box, periodic, start):
    """Write the halo of the plane whose first node is entry `start`."""
    _, rows, columns = box
    width = rings.width
    for which in range(2):
        field = scratch[which]
        entries = view_floats(field)
        for row in range(rows):
            left = U64(start + row * width - 1)
            right = left + U64(columns)
            entries[left] = entries[right] if periodic[2] else ZERO
            entries[right + U64(1)] = entries[left + U64(1)] if periodic[2] else ZERO
        if rows > 1:
            top, bottom = start - width - 1, start + (rows - 1) * width - 1
            ends = (bottom, top + width), (top, bottom + width)
            close_axis(field, ends[0], ends[1], width, periodic[1])


@njit(cache=True)
def fill_slab(scratch, rings, box, periodic, place, base):
    """Make sines and cosines of a slab for a level from the results; keep those.

    place = (level, slab). Outside an open boundary sines and cosines are zero.
    """
    level, slab = place
    start = (level * 3 + slab % 3) * rings.plane
    if periodic[0] or 0 <= slab < box[0]:
        target = start + rings.first
        fill_plane(scratch, rings.first, target, base, rings.length)
        close_plane(scratch, rings, box, periodic, start + rings.first)
    else:
        clear_entries(scratch[0], start, rings.plane)
        clear_entries(scratch[1], start, rings.plane)


@njit(inline="always")
def place_detunings(rings, slab):
    """Return where the detunings of a slab lie."""
    return (slab & (rings.kept_detunings - 1)) * rings.plane + rings.first


@njit(inline="always")
def place_start(rings, step, slab):
    """Return where the phases of a slab at the start of a step lie, and its totals."""
    ring = step * rings.kept + (slab & (rings.kept - 1))
    return ring * rings.plane + rings.first


@njit(cache=True)
def load_slab(fields, scratch, rings, box, periodic, slab):
    """Read a slab of phases and detunings and open the pipeline with it."""
    slabs, rows, columns = box
    base, detuning = place_start(rings, 0, slab), place_detunings(rings, slab)
    for row in range(rows):
        node = (slab % slabs * rows + row) * columns
        aside = row * rings.width
        copy_entries(fields[0], node, scratch[5], rings.first + aside, columns)
        copy_entries(fields[1], node, scratch[2], detuning + aside, columns)
        # Rows end at pages, where the processor's own look ahead stops.
        after = ((slab + 1) % slabs * rows + row) * columns
        prefetch_entries(fields[0], after, columns)
        prefetch_entries(fields[1], after, columns)
    fill_slab(scratch, rings, box, periodic, (0, slab), base)


@njit(cache=True)
def store_slab(fields, scratch, rings, box, slab):
    """Write a finished slab of phases."""
    _, rows, columns = box
    for row in range(rows):
        node = (slab * rows + row) * columns
        start = rings.first + row * rings.width
        copy_entries(scratch[5], start, fields[2], node, columns)


@njit(cache=True)
def place_neighbours(scratch, rings, offsets, place):
    """Write where the neighbours of a slab's first node lie in the rings."""
    level, slab = place
    at = view_places(scratch[6])
    start = level * 3 * rings.plane + rings.first
    planes = ((slab + 2) % 3, slab % 3, (slab + 1) % 3)
    for o in range(offsets.shape[0]):
        plane = planes[offsets[o, 0] + 1] * rings.plane
        aside = offsets[o, 1] * rings.width + offsets[o, 2]
        at[o] = U64(start + plane + aside)
    return U64(start + planes[1] * rings.plane)


@njit(cache=True)
def advance_slab(fields, scratch, rings, lattice, gains, tableau, place):
    """Take a slab through one level and hand it to the next, or write it.

    lattice = (box, periodic, offsets), place = (step, stage, slab).
    """
    box, periodic, offsets = lattice
    step, stage, slab = place
    feeds, weights = tableau
    level, is_last = step * rings.stages + stage, stage == rings.stages - 1
    start = place_start(rings, step, slab)
    if periodic[0] or 0 <= slab < box[0]:
        own = place_neighbours(scratch, rings, offsets, (level, slab))
        total = start if rings.stages > 1 else rings.first
        detuning = place_detunings(rings, slab)
        places = (own, U64(detuning), U64(total), U64(start), U64(rings.first))
        due = (feeds[stage], weights[stage], stage == 0, is_last)
        move_plane(scratch, offsets.shape[0], places, gains, due, rings.length)
    if level == rings.levels - 1:
        store_slab(fields, scratch, rings, box, slab)
        return
    if is_last:
        base = place_start(rings, step + 1, slab)
    else:
        base = place_start(rings, rings.levels // rings.stages, 0)
    fill_slab(scratch, rings, box, periodic, (level + 1, slab), base)


@njit(cache=True)
def advance_slabs(fields, scratch, rings, lattice, gains, tableau, span):
    """Run all levels over the slabs span[0] .. span[1] - 1 as a pipeline."""
    box, periodic, _ = lattice
    levels = rings.levels
    for front in range(span[0] - levels, span[1] + levels):
        load_slab(fields, scratch, rings, box, periodic, front)
        slab = front
        for step in range(levels // rings.stages):
            for stage in range(rings.stages):
                slab -= 1
                # Level l starts levels - 1 - l slabs before the span.
                if 2 * slab >= span[0] - levels + front:
                    place = (step, stage, slab)
                    advance_slab(fields, scratch, rings, lattice, gains, tableau, place)


@njit(cache=True)
def load_piece(fields, scratch, rings, sites, span):
    """Read a stretch of chain that may reach around its end, or beyond it."""
    site = span[0]
    while site < span[1]:
        node = site % sites
        count = min(sites - node, span[1] - site)
        start = rings.first + site - span[0]
        copy_entries(fields[0], node, scratch[5], start, count)
        copy_entries(fields[1], node, scratch[2], start, count)
        site += count


@njit(cache=True)
def fill_piece(scratch, rings, chain, level, span, base):
    """Make sines and cosines of a stretch of chain; zero beyond an open end."""
    sites, is_periodic = chain
    start = level % 2 * rings.plane + rings.first
    fill_plane(scratch, rings.first, start, base, rings.length)
    if not is_periodic:
        left, right = max(0, -span[0]), max(0, span[1] - sites)
        end = start + span[1] - span[0]
        for which in range(2):
            clear_entries(scratch[which], start, left)
            clear_entries(scratch[which], end - right, right)


@njit(cache=True)
def advance_piece(fields, scratch, rings, chain, gains, tableau, span):
    """Take the sites span[0] .. span[1] - 1 of a chain through all levels.

    They are worked with as many sites on either side as there are levels; what is
    missing beyond the ends of that stretch reaches one site further with each level.
    """
    levels, first = rings.levels, rings.first
    feeds, weights = tableau
    worked = (span[0] - levels, span[1] + levels)
    load_piece(fields, scratch, rings, chain[0], worked)
    fill_piece(scratch, rings, chain, 0, worked, first)
    at = view_places(scratch[6])
    for level in range(levels):
        stage = level % weights.size
        is_last = stage == weights.size - 1
        own, here = level % 2 * rings.plane + first, U64(first)
        at[0], at[1] = U64(own + 1), U64(own - 1)
        due = (feeds[stage], weights[stage], stage == 0, is_last)
        places = (U64(own), here, here, here, here)
        move_plane(scratch, 2, places, gains, due, rings.length)
        if level + 1 < levels:
            base = first if is_last else first + rings.plane
            fill_piece(scratch, rings, chain, level + 1, worked, base)
    count = span[1] - span[0]
    copy_entries(scratch[5], first + levels, fields[2], span[0], count)


@njit(cache=True)
def locate_planes(scratch, rings, part):
    """Return the addresses of the rings of a part."""
    memory = scratch.ctypes.data + part * rings.size * ENTRY_BYTES
    return (
        memory,
        memory + rings.cosines * ENTRY_BYTES,
        memory + rings.detunings * ENTRY_BYTES,
        memory + rings.totals * ENTRY_BYTES,
        memory + rings.phases * ENTRY_BYTES,
        memory + rings.results * ENTRY_BYTES,
        memory + rings.places * ENTRY_BYTES,
    )


@njit(cache=True)
def advance_part(fields, scratch, rings, lattice, gains, tableau, part):
    """Advance one part of the slabs, or of a chain's sites, in its own planes."""
    phases, detunings, out = fields
    memory = (phases.ctypes.data, detunings.ctypes.data, out.ctypes.data)
    own = locate_planes(scratch, rings, part)
    box, periodic, offsets = lattice
    is_chain = offsets.shape[0] == 2
    extent, parts = box[2] if is_chain else box[0], scratch.shape[0]
    span = (part * extent // parts, (part + 1) * extent // parts)
    if not is_chain:
        advance_slabs(memory, own, rings, lattice, gains, tableau, span)
        return
    chain = (box[2], periodic[2])
    for start in range(span[0], span[1], CHAIN_PIECE):
        piece = (start, min(start + CHAIN_PIECE, span[1]))
        advance_piece(memory, own, rings, chain, gains, tableau, piece)


@njit(parallel=True, cache=True)
def step_lattice(fields, scratch, rings, box, periodic, offsets, gains, tableau):
    """Advance every oscillator by some steps of an explicit Runge-Kutta scheme.

    Per stage: out_i = base_i + dt (nu_i + K/2pi (c_i S_i - s_i C_i)) in turns, rounded
    to binary angles. Bytes per node and pass: read 4 + 4, write 4, however many steps
    a pass takes.

    Args:
        fields: (phases uint32, detunings float32 [Hz], out uint32), shape (nodes,)
            each; out must not alias phases.
        scratch: Memory for the planes, uint32, shape (parts, rings.size).
        rings: Its layout; tells steps and stages.
        box: (slabs, rows, columns).
        periodic: Whether each box axis closes.
        offsets: Neighbour offsets in the box, + and - in turn, int64, shape (z, 3).
        gains: (K / 2 pi [1/s], 2^32 dt [s]) as float32.
        tableau: (feeds, weights), float32, shape (stages,) each.
    """
    for part in prange(scratch.shape[0]):
        lattice = (box, periodic, offsets)
        advance_part(fields, scratch, rings, lattice, gains, tableau, part)
