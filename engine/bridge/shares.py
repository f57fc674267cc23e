"""Shares of a budget: bridges whose frequencies keep a ratio to the network's.

Share m acts ratio^m times as often as share 0. A common factor makes the mean over all
sharing bridges the network's frequency, so whatever moves that moves them all, and no
bridge changes its group. What the ladder's top cuts off goes to all others, as water
that is poured into a vessel with a lid finds one level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Shares:
    """How many bridges hold which share of the budget."""

    counts: tuple[int, ...]
    """Bridges of each share, the largest share first."""
    ratio: float
    """Frequency of a share over that of the next larger one [-], in (0, 1)."""

    def spread(self, mean_hz: float, maximum_hz: float) -> npt.NDArray[np.float64]:
        """Return the frequency of every share, so that their mean over bridges holds.

        f_m = min(maximum, scale ratio^m), sum_m counts_m f_m = mean sum_m counts_m.

        Args:
            mean_hz: Mean over the bridges of all shares [Hz], > 0.
            maximum_hz: No bridge acts more often [Hz]; a mean above it holds for all.

        Returns:
            Frequencies [Hz], shape (shares,).

        Example:
            >>> Shares((1, 1), 0.618034).spread(10.0, 100.0).round(3).tolist()
            [12.361, 7.639]
            >>> Shares((1, 1), 0.618034).spread(10.0, 11.0).round(3).tolist()
            [11.0, 9.0]
        """
        counts = np.array(self.counts, dtype=np.float64)
        ratios = self.ratio ** np.arange(len(counts))
        if mean_hz >= maximum_hz or not counts.any():
            return np.full(len(counts), mean_hz)
        left_hz = mean_hz * counts.sum()
        weights = counts * ratios
        for capped in range(len(counts)):
            scale = left_hz / weights[capped:].sum()
            if scale * ratios[capped] <= maximum_hz:
                break
            left_hz -= counts[capped] * maximum_hz
        frequencies: npt.NDArray[np.float64] = np.minimum(scale * ratios, maximum_hz)
        return frequencies
