"""How resources and coherence become one frequency."""

from __future__ import annotations

from dataclasses import dataclass

from engine.config.checks import check_between, check_choice, check_positive
from engine.config.hints import check_types
from engine.constants import BASE_FREQUENCY_HZ

OBJECTIVES = ("headroom", "pace", "floor", "fixed")


@dataclass(frozen=True)
class ControllerConfig:
    """How the two demands, resources and coherence, become one frequency."""

    objective: str = "headroom"
    """One of `OBJECTIVES`."""
    period_steps: int = 40
    """Lattice steps between two decisions, >= 1."""
    target_pace: float = 0.5
    """pace: simulated seconds per wall second [-], > 0."""
    fixed_frequency_hz: float = BASE_FREQUENCY_HZ
    """fixed: the tunnel frequency, with no regard to floor or resources [Hz], > 0."""
    proportional_gain: float = 20.0
    """Rungs asked for per unit of missing coherence [-], >= 0."""
    integral_gain_per_s: float = 60.0
    """Rungs per unit of missing coherence and simulated second [1/s], >= 0."""
    margin_sigmas: float = 3.0
    """Margin above the floor in standard deviations of the measured noise [-], >= 0."""
    dead_band: float = 0.002
    """Coherence error that is treated as none [-], >= 0."""
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
        check_positive("controller.target_pace", self.target_pace)
        check_positive("controller.fixed_frequency_hz", self.fixed_frequency_hz)
        for key in (
            "proportional_gain",
            "integral_gain_per_s",
            "margin_sigmas",
            "dead_band",
            "dwell_periods",
            "hold_stale_s",
        ):
            check_between(f"controller.{key}", getattr(self, key), 0.0)
        check_positive("controller.descent_rungs_per_s", self.descent_rungs_per_s)
        check_between("controller.error_windows", self.error_windows, 0, 1000)
        if self.error_window_s is not None:
            check_positive("controller.error_window_s", self.error_window_s)
