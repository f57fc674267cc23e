"""Antithetic evolution strategies (Salimans et al. 2017, arXiv:1703.03864).

Offline searches of the mesh share them: the training of its learned policy and the
search of the best frequencies of single bridges.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


class Descent:
    """Goes down a cost that is known by trying, each step scaled as by Adam."""

    def __init__(
        self, start: F64, *, deviation: float, rate: float, pairs: int, seed: int
    ) -> None:
        """Stand at the start.

        Args:
            start: Where to begin, shape (n,).
            deviation: Standard deviation of what is tried.
            rate: Length of a step.
            pairs: Antithetic pairs of a step.
            seed: Key of what is tried.
        """
        self.place = start
        """Where it stands, shape (n,)."""
        self._deviation, self._rate, self._pairs = deviation, rate, pairs
        self._random = np.random.default_rng(seed)
        self._momentum, self._square = np.zeros_like(start), np.zeros_like(start)
        self._pairs_tried = 0

    def step(self, cost: Callable[[F64, int], float]) -> F64:
        """Try pairs around the place and move on.

        Args:
            cost: Of a place and the number of the pair that it is tried in, from 0.

        Returns:
            The new place, shape (n,).
        """
        slope = np.zeros_like(self.place)
        for _ in range(self._pairs):
            trial = self._deviation * self._random.standard_normal(len(slope))
            ahead, behind = (
                cost(self.place + sign * trial, self._pairs_tried)
                for sign in (1.0, -1.0)
            )
            slope += (ahead - behind) * trial
            self._pairs_tried += 1
        self._momentum = 0.8 * self._momentum + 0.2 * slope
        self._square = 0.9 * self._square + 0.1 * slope**2
        stride = self._rate * self._momentum / np.sqrt(self._square + 1e-12)
        self.place = self.place - stride
        return self.place
