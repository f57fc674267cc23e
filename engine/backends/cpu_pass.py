"""How the lattice steps of the `cpu` back end are cut into passes, parts and planes.

Plain Python: sizes and places that the kernels of `cpu_lattice.py` take. Nothing here
changes a bit of the result.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.backends.cpu_memory import ENTRY_BYTES, LANES
from engine.backends.layout import Box
from engine.backends.protocol import Tableau

WIDE_ROW = 240
"""Rows from here on are padded to whole cache lines; narrow ones would lose more."""
CHAIN_PIECE = 4096
"""Sites of a chain that are worked at once."""
MOST_STEPS = 8
"""Steps per pass; beyond these, memory no longer counts."""
CACHE_BYTES = 768 * 1024
"""Scratch memory of a part that stays in the second-level cache of a core."""
SPAN_PER_LEVEL = 4
"""Slabs of a part for each level, at least, so that little is worked twice."""
PARTS_PER_THREAD = 4
"""Parts per thread, so that an unlucky thread can be helped out."""
SPAN_PER_PART = 16
"""Slabs for each level of a part, at least, for several parts per thread."""
MOST_NEIGHBOURS = 12


class Rings(NamedTuple):
    """Where a pass keeps its planes; everything is counted in entries of 4 bytes."""

    width: int
    """From one row to the next."""
    first: int
    """From the start of a plane to its first node."""
    length: int
    """From the first node of a plane to its last, in whole cache lines."""
    plane: int
    """From one plane to the next."""
    stages: int
    """Stages of a step."""
    levels: int
    """Stages of all steps of a pass."""
    kept: int
    """Planes of starting phases and of totals of each step: a power of two > stages."""
    kept_detunings: int
    """Planes of detunings: a power of two > levels."""
    cosines: int
    """Where the cosines start, behind the sines: three planes per level, as those."""
    detunings: int
    """Where the detunings start: `kept_detunings` planes."""
    totals: int
    """Where the weighted increments start: `kept` planes per step."""
    phases: int
    """Where the phases at the start of each step start: `kept` planes per step.

    One more takes what need not be kept.
    """
    results: int
    """Where the plane starts that was moved last; no loop reads what it writes."""
    places: int
    """Where the places of the neighbours start."""
    size: int
    """The whole scratch memory of a part."""


def plan_rings(box: Box, stages: int, steps: int, *, is_chain: bool) -> Rings:
    """Lay out the planes of a pass.

    Args:
        box: (slabs, rows, columns) of the lattice.
        stages: Stages of the integrator.
        steps: Steps of the pass.
        is_chain: Whether nodes have neighbours along the columns only.

    Returns:
        Sizes and places of planes and rings.
    """
    _, rows, columns = box
    levels = stages * steps
    if is_chain:
        columns = min(columns, CHAIN_PIECE) + 2 * levels
    width = fill_lines(columns + 2) if columns >= WIDE_ROW else columns + 2
    halo_rows = 2 if rows > 1 else 0
    length = fill_lines((rows - 1) * width + columns)
    first = LANES + (fill_lines(width) if halo_rows else 0)
    plane = first + fill_lines((rows + halo_rows) * width) + 2 * LANES
    kept, kept_detunings = 1 << stages.bit_length(), 1 << levels.bit_length()
    totals = kept * steps if stages > 1 else 1
    ring = 3 * max(levels, 2)
    planes = (ring, ring, kept_detunings, totals, kept * steps + 1, 1)
    ends = [int(end) * plane for end in np.cumsum(planes)]
    return Rings(
        width=width,
        first=first,
        length=length,
        plane=plane,
        stages=stages,
        levels=levels,
        kept=kept,
        kept_detunings=kept_detunings,
        cosines=ends[0],
        detunings=ends[1],
        totals=ends[2],
        phases=ends[3],
        results=ends[4],
        places=ends[5],
        size=ends[5] + fill_lines(2 * MOST_NEIGHBOURS),
    )


class Pass(NamedTuple):
    """How some steps are worked at once."""

    steps: int
    """Steps of the pass."""
    parts: int
    """Independent parts of the lattice."""
    rings: Rings
    """Layout of the scratch memory of a part."""


@lru_cache(maxsize=64)
def plan_pass(
    box: Box, stages: int, count: int, threads: int, *, is_chain: bool
) -> Pass:
    """Choose how many steps a pass takes and into how many parts it splits.

    As many steps as fit the cache of a core, unless the overlap of the parts would
    cost more than it saves.

    Args:
        box: (slabs, rows, columns) of the lattice.
        stages: Stages of the integrator.
        count: Steps that are due, >= 1.
        threads: Threads that share the work, >= 1.
        is_chain: Whether nodes have neighbours along the columns only.

    Returns:
        The pass.
    """
    extent = box[2] if is_chain else box[0]
    steps = min(count, MOST_STEPS)
    while True:
        rings = plan_rings(box, stages, steps, is_chain=is_chain)
        overlap = rings.levels * threads * SPAN_PER_LEVEL
        fits = rings.size * ENTRY_BYTES <= CACHE_BYTES and overlap <= extent
        if fits or steps == 1:
            break
        steps -= 1
    parts = threads
    spare = extent // (rings.levels * threads * PARTS_PER_THREAD * SPAN_PER_PART)
    if threads > 1 and spare:
        parts *= PARTS_PER_THREAD
    return Pass(steps, min(parts, extent), rings)


@lru_cache(maxsize=8)
def tableau_arrays(
    tableau: Tableau,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return feeds, with a zero for the last stage, and weights, as the kernel does."""
    feeds = np.array((*tableau.feeds, 0.0), dtype=np.float32)
    return feeds, np.array(tableau.weights, dtype=np.float32)


def fill_lines(entries: int) -> int:
    """Round a number of entries up to whole cache lines."""
    return -(-entries // LANES) * LANES


def build_scratch(rings: Rings, parts: int) -> npt.NDArray[np.uint32]:
    """Allocate zeroed planes for each part, on cache lines, shape (parts, size)."""
    raw = np.zeros(parts * rings.size + LANES, dtype=np.uint32)
    start = -(raw.ctypes.data // ENTRY_BYTES) % LANES
    return raw[start : start + parts * rings.size].reshape(parts, rings.size)
