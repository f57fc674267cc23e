"""Which tunnel frequencies the later part of a run has visited, and for how long."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from engine.state import State, keep_fields, take_fields

BINS_PER_OCTAVE: Final = 8
"""Frequencies nearer to each other than this are held to be one."""
SUMS: Final = ("_sums", "_older", "_newer")
"""Accounts of the visits: so far, and at the last two powers of two."""


@dataclass(frozen=True)
class Visit:
    """A frequency and how much of the time it was in use."""

    frequency_hz: float
    """Tunnel frequency [Hz]."""
    share: float
    """Share of the simulated time [-]."""


class LateVisits:
    """Visited frequencies without the first part of a run, as in `LateMeans`."""

    def __init__(self) -> None:
        """Start before the first control period."""
        self._sums: dict[int, tuple[float, int]] = {}
        self._older = self._newer = dict(self._sums)
        self._periods = 0

    def add(self, frequency_hz: float, steps: int) -> None:
        """Take in a control period.

        Args:
            frequency_hz: Tunnel frequency in it [Hz], > 0.
            steps: Lattice steps in it.
        """
        place = round(BINS_PER_OCTAVE * math.log2(frequency_hz))
        total_hz, count = self._sums.get(place, (0.0, 0))
        self._sums[place] = (total_hz + steps * frequency_hz, count + steps)
        self._periods += 1
        if self._periods & (self._periods - 1) == 0:
            self._older, self._newer = self._newer, dict(self._sums)

    def to_state(self) -> State:
        """Return the three accounts, each as place, frequency times steps, steps."""
        accounts = {
            name.lstrip("_"): [[p, hz, n] for p, (hz, n) in getattr(self, name).items()]
            for name in SUMS
        }
        return {**keep_fields(self, "_periods"), **accounts}

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one of visits.
        """
        take_fields(self, state, "_periods")
        for name in SUMS:
            rows = state[name.lstrip("_")]
            sums = {int(p): (float(hz), int(n)) for p, hz, n in rows}
            setattr(self, name, sums)

    def list_visits(self) -> list[Visit]:
        """List what was visited, the lowest frequency first; shares sum to one."""
        spans = []
        for place, (total_hz, steps) in sorted(self._sums.items()):
            before_hz, before = self._older.get(place, (0.0, 0))
            if steps > before:
                spans.append(((total_hz - before_hz), steps - before))
        whole = sum(steps for _, steps in spans)
        return [Visit(hz / steps, steps / whole) for hz, steps in spans]


def average_by_law(visits: Sequence[Visit], exponent: float) -> float:
    """Return the frequency whose error, ~ 1/f^exponent, is the mean of the visits'.

    Args:
        visits: At least one.
        exponent: Of the law [-], > 0.

    Returns:
        Frequency [Hz].
    """
    inverse = np.array([visit.frequency_hz for visit in visits]) ** -exponent
    shares = np.array([visit.share for visit in visits])
    return float((shares @ inverse) ** (-1.0 / exponent))
