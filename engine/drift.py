"""Natural frequencies that drift, as a function of simulated time alone.

Every node has two independent gaussian scores; the one in force turns from the first
to the second and on, z(t) = a cos(2 pi t / T) + b sin(2 pi t / T), which is as gaussian
as they are. The law's own quantile at the normal share of z gives the natural
frequency, so the law stays what it was throughout: for a gaussian one this is
nu(t) = nu_a cos + nu_b sin. Always computed on the host; knows no lattice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import special

from engine.state import digest_inputs

TICKS: Final = 1024
"""Moves of the natural frequencies in a turn, each of 0.6% of their spread."""

_PART: Final = 2**16
"""Nodes worked at a time, so that what is between takes little memory [-]."""
_F32 = npt.NDArray[np.float32]
_F64 = npt.NDArray[np.float64]


class Drift:
    """Where natural frequencies are at a time; nothing of it has to be kept.

    Example:
        >>> shares = np.array([0.25, 0.75])
        >>> drift = Drift(shares, shares[::-1], 8.0, lambda s: s.astype(np.float32))
        >>> drift.find_detunings(0.001) is None
        True
        >>> drift.find_detunings(2.0).tolist()
        [0.75, 0.25]
    """

    def __init__(
        self,
        first: _F64,
        second: _F64,
        period_s: float,
        spread: Callable[[_F64], _F32],
    ) -> None:
        """Stand at the first draw.

        Args:
            first: Share of the law below each node's first draw [-], shape (nodes,).
            second: The same of its second draw.
            period_s: T, simulated time of a whole turn [s], > 0.
            spread: Gives the detunings [Hz] below which shares of the law lie.
        """
        count = len(first)
        self._scores = [special.ndtri(s).astype(np.float32) for s in (first, second)]
        self._period_s, self._spread = period_s, spread
        self.tick = 0
        """Moves since time 0 [-]."""
        # Where quantile sampling ends, so that no node leaves the range drawn from.
        self._range = 0.5 / count, 1.0 - 0.5 / count

    @property
    def largest_hz(self) -> float:
        """Largest detuning that any node can come to [Hz]."""
        return float(np.abs(self._spread(np.array(self._range))).max())

    @property
    def inputs_digest(self) -> str:
        """SHA-256 of both draws."""
        return digest_inputs(*self._scores)

    def find_detunings(self, simulated_s: float) -> _F32 | None:
        """Return the detunings at a time if they are others than at the last call.

        Args:
            simulated_s: Simulated time [s], >= 0.

        Returns:
            Detunings [Hz], shape (nodes,); None where they stand.
        """
        tick = math.floor(simulated_s / self._period_s * TICKS)
        return None if tick == self.tick else self.go_to(tick)

    def go_to(self, tick: int) -> _F32:
        """Return the detunings after a number of moves, and stand there.

        Args:
            tick: Moves since time 0, `TICKS` in a turn [-], >= 0.

        Returns:
            Detunings [Hz], shape (nodes,).
        """
        self.tick = tick
        angle = 2.0 * math.pi * (tick % TICKS) / TICKS
        first, second = self._scores
        detunings = np.empty(len(first), dtype=np.float32)
        for low in range(0, len(first), _PART):
            part = slice(low, low + _PART)
            across, up = first[part].astype(np.float64), second[part]
            score = math.cos(angle) * across + math.sin(angle) * up
            detunings[part] = self._spread(np.clip(special.ndtr(score), *self._range))
        return detunings
