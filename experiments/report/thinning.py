"""Long series made short enough for a page, with every peak and dip kept."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from experiments.report.document import Band

ROWS_KEPT = 1500
"""Rows of a plot's table at most, about a row per pixel of a wide screen."""
BANDS_KEPT = 300
"""Bands of a plot at most."""
DIGITS = 6
"""Significant digits of what is plotted."""

F64Array = npt.NDArray[np.float64]


def find_kept_rows(
    columns: Sequence[F64Array], most: int = ROWS_KEPT
) -> npt.NDArray[np.intp]:
    """Choose rows so that the least and greatest value of each bucket stay.

    Args:
        columns: Columns of equal length that are drawn together.
        most: Rows to keep, at most (and at least the first and the last).

    Returns:
        Indices of the rows, ascending.
    """
    count = len(columns[0])
    if count <= most:
        return np.arange(count)
    buckets = max(1, (most - 2) // (2 * len(columns)))
    edges = np.linspace(0, count, buckets + 1).astype(int)
    kept = {0, count - 1}
    for column in columns:
        low = np.where(np.isnan(column), np.inf, column)
        high = np.where(np.isnan(column), -np.inf, column)
        for start, end in pairwise(edges):
            kept.add(int(start + np.argmin(low[start:end])))
            kept.add(int(start + np.argmax(high[start:end])))
    return np.array(sorted(kept))


def round_values(values: F64Array) -> tuple[float | None, ...]:
    """Round to `DIGITS` significant digits; what is not finite becomes None.

    Args:
        values: Any numbers.
    """
    return tuple(
        float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
        for value in values.tolist()
    )


def build_bands(
    times: F64Array, labels: npt.NDArray[np.object_], quiet: str, most: int = BANDS_KEPT
) -> tuple[Band, ...]:
    """Join rows of equal label into stretches of time.

    A label holds for the period that ends at its row. Where a label flickers so much
    that there would be too many stretches, the shortest gaps are closed first.

    Args:
        times: End of each period, ascending.
        labels: Label of each period.
        quiet: Label that gets no band.
        most: Bands at most.
    """
    if not len(times):
        return ()
    changes = np.flatnonzero(labels[1:] != labels[:-1]) + 1
    starts = [0, *changes.tolist()]
    ends = [*changes.tolist(), len(labels)]
    bounds = np.concatenate([[0.0], times])
    bands = [
        Band(float(bounds[start]), float(bounds[end]), str(labels[start]))
        for start, end in zip(starts, ends, strict=True)
        if labels[start] != quiet and bounds[end] > bounds[start]
    ]
    while len(bands) > most:
        bands = _close_gaps(bands, most)
    return tuple(bands)


def _close_gaps(bands: list[Band], most: int) -> list[Band]:
    """Join neighbours of the smallest gaps; the longer one names the whole."""
    gaps = [after.start - before.end for before, after in pairwise(bands)]
    limit = sorted(gaps)[min(len(bands) - most, len(gaps)) - 1]
    joined = [bands[0]]
    for band, gap in zip(bands[1:], gaps, strict=True):
        last = joined[-1]
        if gap > limit:
            joined.append(band)
            continue
        is_longer = band.end - band.start > last.end - last.start
        label = band.label if is_longer else last.label
        joined[-1] = Band(last.start, band.end, label)
    return joined
