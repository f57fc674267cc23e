"""What changes from one control period to the next, as one array for the kernels.

Imports the protocol only. A period is a fixed sequence of launches, which can be
captured once and repeated; each launch looks up here which slots are due. Contiguous
pieces of one layer share no node, so they go into one launch.

The words, uint64: first tick, seed, stream, 0; then for each launch where its pieces
start and end in this array; then the pieces, first slot and one past the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.backends.protocol import Period

HEADER_WORDS: Final = 4
"""Words before the table of launches [-]."""
LEAST_CAPACITY: Final = 1024
"""Words of the smallest array on the device [-]."""


@dataclass(frozen=True)
class PeriodPlan:
    """The launches of a period's tunnel slices."""

    words: npt.NDArray[np.uint64]
    """The array for the device."""
    launches_per_slice: int
    """Launches of each tunnel slice; those without pieces return at once [-]."""
    events: int
    """Tunnel events of the period [-]."""
    most_events: int
    """Events of the largest launch [-]."""


def plan_launches(period: Period) -> PeriodPlan:
    """Sort the segments of a period into launches.

    Args:
        period: Segments, bounds and, if they are known, layers.

    Returns:
        The plan.
    """
    slices = period.slice_count
    bounds = np.asarray(period.segment_bounds, dtype=np.int64)
    first, last = int(bounds[0]), int(bounds[-1])
    segments = np.asarray(period.segments, dtype=np.int64)[first:last].reshape(-1, 2)
    homes = np.repeat(np.arange(slices), np.diff(bounds))
    layers = period.segment_layers
    own = np.arange(len(segments)) if layers is None else layers[first:last]
    is_due = segments[:, 1] > segments[:, 0]
    segments, homes, own = segments[is_due], homes[is_due], own[is_due]
    is_new = np.ones(len(segments), dtype=np.bool_)
    is_new[1:] = (np.diff(homes) != 0) | (np.diff(own) != 0)
    starts = np.flatnonzero(is_new)
    owners = homes[starts]
    counts = np.bincount(owners, minlength=slices)
    width = int(counts.max(initial=0))
    ordinals = np.arange(len(starts)) - np.repeat(np.cumsum(counts) - counts, counts)
    pieces_at = HEADER_WORDS + 2 * slices * width
    table = np.zeros((slices, width, 2), dtype=np.int64)
    ends = np.append(starts[1:], len(segments))
    table[owners, ordinals, 0] = pieces_at + 2 * starts
    table[owners, ordinals, 1] = pieces_at + 2 * ends[: len(starts)]
    header = (period.first_tick, *period.key, 0)
    words = np.concatenate([np.array(header), table.ravel(), segments.ravel()])
    lengths = segments[:, 1] - segments[:, 0]
    totals = np.add.reduceat(lengths, starts) if len(starts) else lengths
    return PeriodPlan(
        words.astype(np.uint64), width, int(lengths.sum()), int(totals.max(initial=0))
    )


def round_capacity(count: int, least: int = LEAST_CAPACITY) -> int:
    """Return the smallest power of two that is neither below `count` nor `least`."""
    return max(least, 1 << max(count - 1, 0).bit_length())
