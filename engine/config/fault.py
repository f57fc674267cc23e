"""Fault: what goes wrong with the resource sensor of a run, on purpose."""

from __future__ import annotations

from dataclasses import dataclass

from engine.config.checks import MAX_TIME_S, check_between, check_choice
from engine.config.hints import check_types

FAULT_KINDS = ("none", "freeze", "lag", "lie", "vanish", "flap")
LIES = ("nan", "negative", "excess")


@dataclass(frozen=True)
class FaultConfig:
    """A fault of the resource sensor; the machine itself is not touched.

    All times are simulated time, whatever the source of the samples. The first reading
    of a run is always sound.
    """

    kind: str = "none"
    """One of `FAULT_KINDS`. freeze: the last sample is given on and on, and ages; lag:
    samples come late; lie: impossible values; vanish: no reading at all; flap: vanish
    in the first half of every period, sound in the other."""
    start_s: float = 2.0
    """When it begins [s], >= 0."""
    duration_s: float = 4.0
    """How long it lasts [s], > 0."""
    lag_s: float = 1.0
    """lag: how late samples come [s], > 0."""
    value: str = "nan"
    """lie: one of `LIES`; nan is no number, negative below nothing, excess four times
    all that there is."""
    period_s: float = 0.5
    """flap: from one loss to the next [s], > 0."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing goes wrong."""
        return self.kind == "none"

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is unknown or out of range.
        """
        check_types("fault.", self)
        check_choice("fault.kind", self.kind, FAULT_KINDS)
        check_choice("fault.value", self.value, LIES)
        check_between("fault.start_s", self.start_s, 0.0, MAX_TIME_S)
        for key in ("duration_s", "lag_s", "period_s"):
            value = getattr(self, key)
            check_between(f"fault.{key}", value, 0.0, MAX_TIME_S, open_low=True)
