"""How far the resource sensor could be trusted over a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from engine.monitor import ResourceMetrics
from engine.state import State, keep_fields, take_fields

COUNTS: Final = ("_decisions", "_stale", "_disbelieved", "_longest_age_s")
"""What a tally counts."""

FLAW_COUNT: Final = 8
"""Flaws that a summary lists at most [-]."""


class SensorTally:
    """Running account of samples that were stale or not believed."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self._decisions = 0
        self._stale = 0
        self._disbelieved = 0
        self._longest_age_s = 0.0
        self._flaws: dict[str, None] = {}

    def add(self, metrics: ResourceMetrics) -> None:
        """Take what a decision rested on.

        Args:
            metrics: The resources as the controller saw them.
        """
        self._decisions += 1
        self._stale += metrics.is_stale
        self._longest_age_s = max(self._longest_age_s, metrics.age_s)
        if metrics.flaw:
            self._disbelieved += 1
            if len(self._flaws) < FLAW_COUNT:
                self._flaws[metrics.flaw] = None

    def to_state(self) -> State:
        """Return counts and flaws."""
        return {**keep_fields(self, *COUNTS), "flaws": list(self._flaws)}

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one of a sensor.
        """
        take_fields(self, state, *COUNTS)
        self._flaws = dict.fromkeys(map(str, state["flaws"]))

    def to_dict(self) -> dict[str, Any] | None:
        """Return the entry `sensor` of `summary.json`; None if it never failed."""
        if not self._stale:
            return None
        return {
            "decisions": self._decisions,
            "stale": self._stale,
            "disbelieved": self._disbelieved,
            "longest_age_s": self._longest_age_s,
            "flaws": list(self._flaws),
        }
