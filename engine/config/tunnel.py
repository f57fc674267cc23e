"""The tunnel policy."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.config.checks import check_between, check_positive
from engine.config.hints import check_types
from engine.constants import BASE_FREQUENCY_HZ, COHERENCE_FLOOR, PHI_COEFFICIENT
from engine.errors import ConfigError

MIN_LINEWIDTH_HZ = 1e-3
"""Narrowest resonance; below it probabilities round to zero [Hz]."""
MIN_FREQUENCY_HZ = 1e-9
"""Slowest rung of any ladder [Hz]."""


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
    """p_max, success probability at zero detuning [-], in (0, 1]."""
    linewidth_hz: float = 432.0
    """Detuning that halves the success probability [Hz], >= `MIN_LINEWIDTH_HZ`."""
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
        check_positive("tunnel.base_frequency", self.base_frequency)
        for key in ("phi_coefficient", "min_coherence"):
            value = getattr(self, key)
            check_between(
                f"tunnel.{key}", value, 0.0, 1.0, open_low=True, open_high=True
            )
        check_between("tunnel.rungs", self.rungs, 1, 40)
        check_between(
            "tunnel.max_probability", self.max_probability, 0.0, 1.0, open_low=True
        )
        check_between("tunnel.linewidth_hz", self.linewidth_hz, MIN_LINEWIDTH_HZ)
        check_between("tunnel.slice_steps", self.slice_steps, 1, 64)
        slowest = self.maximum_frequency_hz * self.phi_coefficient**self.rungs
        if not MIN_FREQUENCY_HZ <= slowest < math.inf:
            raise ConfigError(
                f"tunnel.rungs is {self.rungs}, which puts the slowest rung at "
                f"{slowest:g} Hz; it must be at least {MIN_FREQUENCY_HZ:g} Hz. Lower "
                "tunnel.rungs, or raise tunnel.base_frequency or "
                "tunnel.phi_coefficient."
            )
