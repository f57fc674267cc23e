"""The tunnel policy."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.config.checks import (
    MAX_RATE,
    MIN_FREQUENCY_HZ,
    check_between,
    check_positive,
)
from engine.config.hints import check_types
from engine.constants import BASE_FREQUENCY_HZ, COHERENCE_FLOOR, PHI_COEFFICIENT
from engine.errors import ConfigError

MIN_LINEWIDTH_HZ = 1e-3
"""Narrowest resonance; below it probabilities round to zero [Hz]."""
MIN_PROBABILITY = 1e-6
"""Smallest p_max; below it float32 does not hold the dose of every bridge [-]."""


@dataclass(frozen=True)
class TunnelConfig:
    """The tunnel policy: the frequency ladder, the floor and the success law."""

    base_frequency: float = BASE_FREQUENCY_HZ
    """Base of the ladder [Hz], > 0."""
    phi_coefficient: float = PHI_COEFFICIENT
    """Ratio of neighbouring rungs [-], in (0, 1)."""
    min_coherence: float = COHERENCE_FLOOR
    """Floor of the order parameter [-], in (0, 1)."""
    rungs: int = 14
    """Rungs below the top, so the slowest is top * phi_coefficient**rungs, >= 1."""
    max_probability: float = 1.0
    """p_max, success probability at zero detuning [-], in [`MIN_PROBABILITY`, 1]."""
    linewidth_hz: float = 432.0
    """Detuning that halves the success probability [Hz], from `MIN_LINEWIDTH_HZ` to
    `MAX_RATE`."""
    slice_steps: int = 4
    """Lattice steps between tunnel slices at most, in 1..64; fewer where the frequency
    or the control period asks for it."""

    @property
    def maximum_frequency_hz(self) -> float:
        """Top of the ladder, base_frequency / phi_coefficient [Hz]."""
        return self.base_frequency / self.phi_coefficient

    def rung_frequency_hz(self, rung: float) -> float:
        """Return top * phi_coefficient**rung [Hz]; rung 0 is the top."""
        return float(self.maximum_frequency_hz * self.phi_coefficient**rung)

    def frequency_rung(self, frequency_hz: float) -> float:
        """Return the (fractional) rung of a frequency [-]; 0 is the top."""
        ratio = frequency_hz / self.maximum_frequency_hz
        return math.log(ratio) / math.log(self.phi_coefficient)

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is out of range.
        """
        check_types("tunnel.", self)
        check_positive("tunnel.base_frequency", self.base_frequency, MAX_RATE)
        for key in ("phi_coefficient", "min_coherence"):
            value = getattr(self, key)
            check_between(
                f"tunnel.{key}", value, 0.0, 1.0, open_low=True, open_high=True
            )
        check_between("tunnel.rungs", self.rungs, 1, 40)
        most = self.max_probability
        check_between("tunnel.max_probability", most, MIN_PROBABILITY, 1.0)
        width = self.linewidth_hz
        check_between("tunnel.linewidth_hz", width, MIN_LINEWIDTH_HZ, MAX_RATE)
        check_between("tunnel.slice_steps", self.slice_steps, 1, 64)
        self._validate_ladder()

    def _validate_ladder(self) -> None:
        top = self.maximum_frequency_hz
        if top > MAX_RATE:
            raise ConfigError(
                f"tunnel.phi_coefficient is {self.phi_coefficient:g}, which puts the "
                f"top of the ladder at {top:g} Hz; it must be at most {MAX_RATE:g} Hz. "
                "Raise tunnel.phi_coefficient or lower tunnel.base_frequency."
            )
        slowest = top * self.phi_coefficient**self.rungs
        if slowest < MIN_FREQUENCY_HZ:
            raise ConfigError(
                f"tunnel.rungs is {self.rungs}, which puts the slowest rung at "
                f"{slowest:g} Hz; it must be at least {MIN_FREQUENCY_HZ:g} Hz. Lower "
                "tunnel.rungs, or raise tunnel.base_frequency or "
                "tunnel.phi_coefficient."
            )
