"""How a lattice is cut into tiles that fit the shared memory of a CUDA block.

Pure integers: imports neither CuPy nor a kernel. A tile carries a halo as wide as the
levels (integrator stages times steps) that one launch works, so more steps per launch
move fewer bytes but work more places twice. The plan is the candidate with the least
estimated time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from engine.backends.layout import Box
from engine.errors import ResourceError

TILE_THREADS: Final = 512
"""Threads of a block of the lattice kernel, as in its launch bounds [-]."""
MOST_STEPS: Final = 8
"""Steps per launch; beyond these, memory no longer counts [-]."""
LANES: Final = 4
"""Words of a 16-byte access [-]."""
WAVE_BYTES: Final = 8
"""Sine and cosine of a node [byte]."""
WORD_BYTES: Final = 4
INDEX_BYTES: Final = 2
"""An index of a lattice that fits one block [byte]."""
MOST_PLACES: Final = 0xFFFF
"""Places of such a lattice with its padding, so that their indices fit [-]."""
WHOLE_THREADS: Final = 1024
"""Threads of the block that holds a whole lattice [-]."""
RESIDENT_BLOCKS: Final = (1, 2)
"""Blocks that may share a multiprocessor; of two, one loads while the other works."""
ALONE: Final = 1.25
"""How much longer a block takes that has a multiprocessor to itself [-]."""
RESERVED_BYTES: Final = 1024
"""Shared memory that the driver keeps for itself in each block [byte]."""
EXTENTS: Final = (1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64, 96, 128)
"""Slabs and rows of a tile without halo that are tried, beside the most possible."""
WIDTHS: Final = (12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192)
"""Columns of a tile with its halo that are tried, beside a whole row."""

# Clock cycles of a multiprocessor, predicted and not yet measured: the machine code of
# sm_90 moves 16 words of shared memory (0.5 cycles at 32 lanes) and issues 61
# instructions (0.48 cycles at 128 lanes) per place and level; two thirds of that rate.
LEVEL_CLOCKS: Final = 0.74
"""Cycles per place and level [-]."""
READ_CLOCKS: Final = 0.75
"""Cycles to read a place and make its sine and cosine [-]."""
WRITE_CLOCKS: Final = 0.4
"""Cycles to write a place [-]."""
BARRIER_CLOCKS: Final = 800.0
"""Cycles to fill and drain the pipeline in each level of a block [-]."""
LAUNCH_CLOCKS: Final = 3500.0
"""Cycles from one launch of a graph to the next [-]."""


@dataclass(frozen=True)
class DeviceLimits:
    """What a plan needs to know of a device."""

    multiprocessors: int
    """Multiprocessors [-]."""
    block_bytes: int
    """Most shared memory of a block, opted in [byte]."""
    multiprocessor_bytes: int
    """Shared memory of a multiprocessor [byte]."""

    def find_tile_bytes(self, residents: int) -> int:
        """Return the shared memory of a tile when so many share a multiprocessor."""
        share = self.multiprocessor_bytes // residents - RESERVED_BYTES
        return min(self.block_bytes, share)


@dataclass(frozen=True)
class LatticeShape:
    """What a plan needs to know of a lattice and its integrator."""

    box: Box
    """(slabs, rows, columns)."""
    reaches: tuple[int, int, int]
    """1 along each axis that has neighbours, else 0; columns always have some."""
    stages: int
    """Stages of the integrator [-]."""

    @property
    def node_bytes(self) -> int:
        """Shared memory of a place [byte]; several stages keep two words more."""
        return WAVE_BYTES + WORD_BYTES * (2 if self.stages == 1 else 4)

    @property
    def is_wide(self) -> bool:
        """Whether rows can be moved 16 bytes at a time."""
        return self.box[2] % LANES == 0


@dataclass(frozen=True)
class TilePlan:
    """One launch of the lattice kernel."""

    steps: int
    """Steps of the launch [-]."""
    tile: Box
    """Extents of a tile with its halo."""
    halo: Box
    """Places on either side of each axis that are worked by other tiles."""
    blocks: int
    """Tiles of the lattice [-]."""
    shared_bytes: int
    """Shared memory of a block [byte]."""
    clocks: float
    """Estimated time of the launch [cycle]."""

    @property
    def inner(self) -> Box:
        """Extents of a tile without its halo."""
        slabs, rows, columns = (
            cells - 2 * halo for cells, halo in zip(self.tile, self.halo, strict=True)
        )
        return slabs, rows, columns


def find_whole_bytes(shape: LatticeShape, limits: DeviceLimits) -> int | None:
    """Return the shared memory of a block that holds the whole lattice.

    Args:
        shape: The lattice and its integrator.
        limits: The device.

    Returns:
        Size [byte], or None if the lattice does not fit.
    """
    nodes = math.prod(shape.box)
    places = math.prod(
        cells + 2 * reach for cells, reach in zip(shape.box, shape.reaches, strict=True)
    )
    node_bytes = shape.node_bytes - WAVE_BYTES + INDEX_BYTES
    size = nodes * node_bytes + places * (WAVE_BYTES + INDEX_BYTES)
    return size if places < MOST_PLACES and size <= limits.block_bytes else None


def split_steps(count: int, most: int) -> list[int]:
    """Split steps into launches of equal size, as far as possible.

    Example:
        >>> split_steps(10, 4)
        [4, 3, 3]
    """
    launches = -(-count // most)
    return [count // launches + (index < count % launches) for index in range(launches)]


@lru_cache(maxsize=256)
def plan_steps(
    shape: LatticeShape, count: int, limits: DeviceLimits
) -> tuple[TilePlan, ...]:
    """Plan the launches that take a lattice through some steps.

    Args:
        shape: The lattice and its integrator.
        count: Steps that are due, >= 1.
        limits: The device.

    Returns:
        One plan per launch.

    Raises:
        ResourceError: Not even one step fits the shared memory.
    """
    best: tuple[float, int] | None = None
    for steps in range(1, min(count, MOST_STEPS) + 1):
        plan = plan_tiles(shape, steps, limits)
        if plan is None:
            break
        time = sum(
            found.clocks
            for part in split_steps(count, steps)
            if (found := plan_tiles(shape, part, limits))
        )
        best = min(best or (time, steps), (time, steps))
    if best is None:
        raise ResourceError(
            f"A tile of one lattice step needs more shared memory than the "
            f"{limits.block_bytes} bytes of this GPU. Take dynamics.integrator=euler, "
            "or use backend=cpu."
        )
    parts = split_steps(count, best[1])
    plans = (plan_tiles(shape, steps, limits) for steps in parts)
    return tuple(plan for plan in plans if plan)


@lru_cache(maxsize=256)
def plan_tiles(
    shape: LatticeShape, steps: int, limits: DeviceLimits
) -> TilePlan | None:
    """Choose the tile of a launch of so many steps; None if none fits."""
    levels = shape.stages * steps
    halo_columns = levels
    if shape.is_wide:
        halo_columns = -(-levels // LANES) * LANES
    halo = (levels * shape.reaches[0], levels * shape.reaches[1], halo_columns)
    plans = (
        _cost_tile(shape, steps, halo, tile, (residents, limits.multiprocessors))
        for residents in RESIDENT_BLOCKS
        for tile in _list_tiles(shape, halo, limits.find_tile_bytes(residents))
    )
    return min(plans, key=lambda plan: plan.clocks, default=None)


def _list_tiles(shape: LatticeShape, halo: Box, most_bytes: int) -> Iterator[Box]:
    """List tiles, halo included, that fit the shared memory."""
    most_places = most_bytes // shape.node_bytes
    whole = -(-(shape.box[2] + 2 * halo[2]) // 2 // LANES) * 2 * LANES
    widths = sorted({*(width for width in WIDTHS if width < whole), whole})
    for width in widths:
        lines = most_places // width
        if width - 2 * halo[2] < LANES or not lines:
            continue
        for rows in _list_extents(shape, 1, halo, lines):
            for slabs in _list_extents(shape, 0, halo, lines // rows):
                yield slabs, rows, width


def _list_extents(
    shape: LatticeShape, axis: int, halo: Box, most: int
) -> Iterator[int]:
    """List extents of a tile along an axis, halo included, up to `most`."""
    cells, border = shape.box[axis], 2 * halo[axis]
    largest = min(cells, most - border)
    if largest < 1:
        return
    extents = {extent for extent in EXTENTS if extent < largest} | {largest}
    for extent in sorted(extents):
        yield extent + border


def _cost_tile(
    shape: LatticeShape, steps: int, halo: Box, tile: Box, room: tuple[int, int]
) -> TilePlan:
    """Estimate the time of a launch; `room` is blocks by multiprocessors."""
    residents, multiprocessors = room
    inner = [cells - 2 * border for cells, border in zip(tile, halo, strict=True)]
    pairs = zip(shape.box, inner, strict=True)
    blocks = math.prod(-(-cells // kept) for cells, kept in pairs)
    places, levels = math.prod(tile), shape.stages * steps
    plane = tile[1] * tile[2]
    margin = shape.reaches[0] * plane + shape.reaches[1] * tile[2] + 1
    worked = sum(places - 2 * level * margin for level in range(1, levels + 1))
    traffic = places * READ_CLOCKS + math.prod(inner) * WRITE_CLOCKS
    busy = traffic + worked * LEVEL_CLOCKS
    fixed = BARRIER_CLOCKS * levels
    waves = -(-blocks // (multiprocessors * residents))
    share = min(residents, -(-blocks // multiprocessors))
    slowed = ALONE if share == 1 else share
    clocks = LAUNCH_CLOCKS + waves * (slowed * busy + fixed)
    return TilePlan(steps, tile, halo, blocks, places * shape.node_bytes, clocks)


def find_reaches(offsets: tuple[tuple[int, int, int], ...]) -> tuple[int, int, int]:
    """Return 1 for slabs and rows along which an offset leads, and for columns."""
    slabs = int(any(offset[0] for offset in offsets))
    rows = int(any(offset[1] for offset in offsets))
    return slabs, rows, 1


def pack_offsets(offsets: tuple[tuple[int, int, int], ...]) -> int:
    """Pack offsets with entries -1, 0, 1 as the kernels take them, five bits each.

    Example:
        >>> pack_offsets(((0, 0, 1), (0, 0, -1))) == 14 + (12 << 5)
        True
    """
    codes = (9 * (z + 1) + 3 * (y + 1) + (x + 1) for z, y, x in offsets)
    return sum(code << (5 * index) for index, code in enumerate(codes))


def count_places(plans: tuple[TilePlan, ...], shape: LatticeShape) -> tuple[int, int]:
    """Count the places that some launches read and work, halos included.

    Args:
        plans: The launches.
        shape: The lattice and its integrator.

    Returns:
        Places read, and places times levels worked [-].
    """
    read = worked = 0
    for plan in plans:
        places = math.prod(plan.tile)
        margin = plan.tile[2] * (shape.reaches[0] * plan.tile[1] + shape.reaches[1]) + 1
        levels = range(1, shape.stages * plan.steps + 1)
        read += plan.blocks * places
        worked += plan.blocks * sum(places - 2 * level * margin for level in levels)
    return read, worked
