"""How often bridges act: all alike, or in groups of one frequency each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.bridge.operator import F64


@dataclass(frozen=True)
class Rhythm:
    """Tunnel frequencies of all bridges, by group."""

    frequencies_hz: tuple[float, ...]
    """Frequency of each group, the lowest first [Hz]; infinity: all the time."""
    groups: npt.NDArray[np.intp] | None
    """Group of each bridge, shape (bridges,); None where there is one group."""
    mean_hz: float
    """Mean over the bridges [Hz]."""

    @property
    def is_continuous(self) -> bool:
        """Whether bridges act all the time."""
        return math.isinf(self.mean_hz)

    @property
    def by_bridge(self) -> float | F64:
        """Frequency of every bridge [Hz]: one number, or shape (bridges,)."""
        return self.spread(self.frequencies_hz)

    def spread(self, values: Sequence[float]) -> float | F64:
        """Give every bridge what its group has.

        Args:
            values: One for each group.

        Returns:
            The value where there is one group, else shape (bridges,).
        """
        return values[0] if self.groups is None else np.array(values)[self.groups]

    def split(self, values: F64) -> Iterator[F64]:
        """Hand out the values of the bridges of one group after the other.

        Args:
            values: One for each bridge, shape (bridges,).

        Yields:
            Those of a group, in the order of bridges.
        """
        if self.groups is None:
            yield values
            return
        for group in range(len(self.frequencies_hz)):
            yield values[self.groups == group]


def build_rhythm(frequencies_hz: float | F64) -> Rhythm:
    """Sort bridges into groups of one frequency.

    Args:
        frequencies_hz: Of all bridges, or of each, shape (bridges,) [Hz], > 0; either
            all are finite or none is.

    Returns:
        Their rhythm, of one group where all are equal.

    Example:
        >>> found = build_rhythm(np.array([7.0, 5.0, 7.0, 5.0]))
        >>> found.frequencies_hz, found.mean_hz
        ((5.0, 7.0), 6.0)
        >>> found.spread([1.0, 2.0]).tolist()
        [2.0, 1.0, 2.0, 1.0]
        >>> build_rhythm(np.array([7.0, 7.0])) == build_rhythm(7.0)
        True
    """
    values, groups = np.unique(frequencies_hz, return_inverse=True)
    if len(values) == 1:
        return Rhythm((float(values[0]),), None, float(values[0]))
    mean_hz = float(np.mean(frequencies_hz))
    return Rhythm(tuple(values.tolist()), groups, mean_hz)
