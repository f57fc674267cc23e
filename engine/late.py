"""Statistics of the later part of a run, where phases have settled.

Imports states alone. How long settling takes is not known beforehand, nor is the length
of a run that may be interrupted, so between a quarter and half of whatever has been run
is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from engine.state import State, Stateful, keep_fields, take_fields


class Sums(Stateful, Protocol):
    """Anything that takes in one sample after the other."""

    def add(self, *sample: Any) -> None:
        """Take in a sample."""


SumsType = TypeVar("SumsType", bound=Sums)


class LatePart(Generic[SumsType]):
    """Keeps sums over the samples since the last power of two but one.

    Example:
        >>> part = LatePart(Spread)
        >>> for value in (9.0, 1.0, 2.0, 2.0, 2.0):
        ...     part.add(value)
        >>> part.sums.count, part.sums.deviation
        (3, 0.0)
    """

    def __init__(self, build_sums: Callable[[], SumsType]) -> None:
        """Start before the first sample.

        Args:
            build_sums: Builds sums that hold nothing yet.
        """
        self._build_sums = build_sums
        self._count = 0
        self._newer = build_sums()
        self.sums = build_sums()
        """Over the later part of all samples so far."""

    def add(self, *sample: Any) -> None:
        """Take in a sample.

        Args:
            *sample: As the sums take it.
        """
        self.sums.add(*sample)
        self._newer.add(*sample)
        self._count += 1
        if self._count & (self._count - 1) == 0:
            self.sums, self._newer = self._newer, self._build_sums()

    def to_state(self) -> State:
        """Return the number of samples and both sums."""
        return {
            "count": self._count,
            "newer": self._newer.to_state(),
            "sums": self.sums.to_state(),
        }

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not of such sums.
        """
        take_fields(self, state, "_count")
        self._newer.from_state(state["newer"])
        self.sums.from_state(state["sums"])


@dataclass
class Spread:
    """Running mean and standard deviation (Welford 1962, doi:10.2307/1266577)."""

    count: int = 0
    """Values so far [-]."""
    mean: float = 0.0
    """Their mean."""
    _squares: float = 0.0

    def add(self, value: float) -> None:
        """Take in a value."""
        self.count += 1
        step = value - self.mean
        self.mean += step / self.count
        self._squares += step * (value - self.mean)

    @property
    def deviation(self) -> float | None:
        """Standard deviation of the values themselves; None for fewer than two."""
        return math.sqrt(self._squares / self.count) if self.count > 1 else None

    def to_state(self) -> State:
        """Return count, mean and squares."""
        return keep_fields(self, *vars(self))

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one of a spread.
        """
        take_fields(self, state, *vars(self))
