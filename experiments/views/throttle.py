"""When to draw: at most so often, and never for more than a share of the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

COST_SHARE: Final = 0.003
"""Largest share of wall time that drawing may take [-]."""
SHORTEST_PERIOD_S: Final = 0.125
"""Least time between two drawings, eight per second [s]."""
LONGEST_PERIOD_S: Final = 3.0
"""Most time between two drawings, whatever they cost [s]."""


class Throttle:
    """Spaces drawings so that their measured cost stays a small share of wall time.

    The first drawing is not counted: it also pays for what is loaded only once.

    Args:
        clock: Steady clock [s].
        shortest_s: Least time between two drawings [s], >= 0.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.perf_counter,
        shortest_s: float = SHORTEST_PERIOD_S,
    ) -> None:
        self._clock = clock
        self._shortest_s = shortest_s
        self._due_s = float("-inf")
        self._is_warm = False

    def is_due(self) -> bool:
        """Whether it is time to draw."""
        return self._clock() >= self._due_s

    def call(self, draw: Callable[[], None]) -> None:
        """Draw now, and put the next drawing off by what this one cost.

        Args:
            draw: Draws once.
        """
        start_s = self._clock()
        draw()
        end_s = self._clock()
        cost_s = end_s - start_s if self._is_warm else 0.0
        self._is_warm = True
        wait_s = max(self._shortest_s, cost_s / COST_SHARE)
        longest_s = max(LONGEST_PERIOD_S, self._shortest_s)
        self._due_s = end_s + min(wait_s, longest_s)
