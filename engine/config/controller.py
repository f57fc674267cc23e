"""How resources and coherence become one frequency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from engine.config.checks import (
    MAX_FACTOR,
    MAX_RATE,
    MAX_TIME_S,
    MIN_FREQUENCY_HZ,
    check_between,
    check_choice,
    check_positive,
)
from engine.config.hints import check_types
from engine.constants import BASE_FREQUENCY_HZ

OBJECTIVES = ("headroom", "pace", "floor", "fixed")
NUMBER_RANGES: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "target_pace": (1.0 / MAX_FACTOR, MAX_FACTOR),
        "fixed_frequency_hz": (MIN_FREQUENCY_HZ, MAX_RATE),
        "proportional_gain": (0.0, MAX_FACTOR),
        "integral_gain_per_s": (0.0, MAX_FACTOR),
        "margin_sigmas": (0.0, MAX_FACTOR),
        "dead_band": (0.0, 1.0),
        "descent_rungs_per_s": (1.0 / MAX_FACTOR, MAX_FACTOR),
        "dwell_periods": (0, 2**32),
        "hold_stale_s": (0.0, MAX_TIME_S),
    }
)
"""Smallest and largest value of each plain number."""


@dataclass(frozen=True)
class ControllerConfig:
    """How the two demands, resources and coherence, become one frequency."""

    objective: str = "headroom"
    """One of `OBJECTIVES`."""
    period_steps: int = 40
    """Lattice steps between two decisions, >= 1."""
    target_pace: float = 0.5
    """pace: simulated seconds per wall second [-], in [1e-9, 1e9]."""
    fixed_frequency_hz: float = BASE_FREQUENCY_HZ
    """fixed: the tunnel frequency, with no regard to floor or resources [Hz],
    in [1e-9, 1e12]."""
    proportional_gain: float = 20.0
    """Rungs asked for per unit of missing coherence [-], >= 0."""
    integral_gain_per_s: float = 60.0
    """Rungs per unit of missing coherence and simulated second [1/s], >= 0."""
    margin_sigmas: float = 3.0
    """Margin above the floor in standard deviations of the measured noise [-], >= 0."""
    dead_band: float = 0.002
    """Coherence above the target that is left as it is [-], in [0, 1]."""
    descent_rungs_per_s: float = 4.0
    """Fastest way down the ladder [rungs per simulated second], > 0."""
    dwell_periods: int = 4
    """Control periods a rung is held before the frequency may fall, >= 0."""
    hold_stale_s: float = 10.0
    """Age of a lost sensor up to which its last offer is held [s], >= 0."""
    error_windows: int = 0
    """Pairs of windows that a run goes on for to measure how far its coherence lies
    from the continuous network's, in 0..1000; 0: none."""
    error_window_s: float | None = None
    """Length of such a window [s], > 0; an 8th of dynamics.duration_s if absent, and
    at least 8 control periods."""

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is unknown or out of range.
        """
        check_types("controller.", self)
        check_choice("controller.objective", self.objective, OBJECTIVES)
        check_between("controller.period_steps", self.period_steps, 1, 100_000)
        for key, (low, high) in NUMBER_RANGES.items():
            check_between(f"controller.{key}", getattr(self, key), low, high)
        check_between("controller.error_windows", self.error_windows, 0, 1000)
        if self.error_window_s is not None:
            span_s = self.error_window_s
            check_positive("controller.error_window_s", span_s, MAX_TIME_S)
