"""Effective frequencies: their histogram and the largest cluster at one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

APART_TURNS = 0.5
"""Nodes that part by less over the window count as turning together [turn]."""
HISTOGRAM_BINS = 49
"""Bins of a histogram of frequencies; odd, so that one lies in the middle [-]."""

F64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cluster:
    """The largest set of nodes at one frequency: the synchronised share."""

    share: float
    """Nodes of the cluster over all nodes [-]."""
    frequency_hz: float
    """Their mean effective frequency [Hz]."""
    width_hz: float
    """Frequencies that differ by less count as one [Hz]."""


def find_cluster(frequencies_hz: F64Array, window_s: float) -> Cluster:
    """Find the largest set of nodes that turn at one frequency.

    Locked nodes sway around each other but never part by a turn; drifting ones do. So
    frequencies within `APART_TURNS` / window of each other count as one.

    Args:
        frequencies_hz: Effective frequencies [Hz], shape (nodes,).
        window_s: Time over which they were measured [s], > 0.
    """
    width_hz = APART_TURNS / window_s
    ordered = np.sort(frequencies_hz)
    # To the right: equal frequencies are one, even where rounding takes the width.
    stops = np.searchsorted(ordered, ordered + width_hz, side="right")
    counts = stops - np.arange(ordered.size)
    first = int(counts.argmax())
    members = ordered[first : first + int(counts[first])]
    share = members.size / ordered.size
    return Cluster(share, float(members.mean()), width_hz)


@dataclass(frozen=True)
class Histogram:
    """How many nodes turn how fast."""

    edges_hz: F64Array
    """Borders of the bins [Hz], shape (bins + 1,)."""
    counts: npt.NDArray[np.int64]
    """Nodes in each bin [-], shape (bins,)."""


def build_histogram(
    frequencies_hz: F64Array, bins: int = HISTOGRAM_BINS, *, least_width_hz: float = 0.0
) -> Histogram:
    """Count the nodes by frequency.

    Args:
        frequencies_hz: Frequencies [Hz], shape (nodes,).
        bins: Number of bins, >= 1.
        least_width_hz: Width below which no bin falls, such as the width of a
            cluster [Hz].

    Returns:
        The histogram, from the lowest to the highest frequency.
    """
    low, high = float(frequencies_hz.min()), float(frequencies_hz.max())
    missing = max(least_width_hz * bins - (high - low), 0.0)
    span = (low - 0.5 * missing, high + 0.5 * missing)
    counts, edges = np.histogram(frequencies_hz, bins, span)
    return Histogram(edges, counts)
