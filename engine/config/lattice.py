"""The crystal: shape, coupling and natural frequencies."""

from __future__ import annotations

import math
from dataclasses import dataclass

from engine.config.checks import (
    MAX_RATE,
    MAX_TIME_S,
    check_between,
    check_choice,
    check_positive,
)
from engine.config.hints import check_types
from engine.constants import MAX_NODES
from engine.errors import ConfigError, count_noun

LATTICE_KINDS = ("chain", "square", "triangular", "cubic", "bcc", "fcc")
LATTICE_AXES = {
    "chain": 1, "square": 2, "triangular": 2, "cubic": 3, "bcc": 3, "fcc": 3,
}  # fmt: skip
DISTRIBUTIONS = ("gaussian", "lorentzian", "uniform", "given")
SAMPLINGS = ("quantile", "random")
INITIAL_PHASES = ("random", "aligned")
COUPLING_RANGES = ("nearest", "all")


@dataclass(frozen=True)
class LatticeConfig:
    """The crystal: its shape, its coupling and its natural frequencies."""

    kind: str = "square"
    """One of `LATTICE_KINDS`."""
    shape: tuple[int, ...] = (256, 256)
    """Cells along each axis, each >= 2 (>= 3 if periodic)."""
    periodic: tuple[bool, ...] = (True,)
    """Per axis; a single value counts for every axis."""
    coupling_rad_s: float = 216.0
    """K [rad/s], >= 0: per edge, never divided by degree or size. Only the mean field
    of `coupling_range` "all" divides it by the number of nodes, as its theory does."""
    coupling_range: str = "nearest"
    """One of `COUPLING_RANGES`; all: every pair of nodes instead of neighbours."""
    phase_lag_rad: float = 0.0
    """alpha in sin(theta_j - theta_i - alpha) [rad], in [-pi, pi]; not for bridges."""
    mean_frequency_hz: float = 432.0
    """Resonance frequency: mean natural frequency and rotating frame [Hz], > 0."""
    spread_hz: float = 34.4
    """Standard deviation, half-width (lorentzian), half-range (uniform) [Hz], >= 0."""
    distribution: str = "gaussian"
    """One of `DISTRIBUTIONS`."""
    sampling: str = "quantile"
    """One of `SAMPLINGS`; quantile is deterministic and permuted by the seed."""
    cutoff_hz: float | None = None
    """Largest detuning drawn; the distribution is truncated there [Hz], > 0."""
    frequencies_path: str | None = None
    """`.npy` file of natural frequencies [Hz], one per node, for `given`."""
    drift_period_s: float | None = None
    """Simulated time in which natural frequencies turn from one draw to an independent
    one, to the first's mirror image and back, their law kept [s], in (0, 1e9]; they
    stand if absent."""
    initial_phases: str = "random"
    """One of `INITIAL_PHASES`."""

    @property
    def node_count(self) -> int:
        """Number of oscillators [-]."""
        return math.prod(self.shape)

    def validate(self) -> None:
        """Check ranges and the shape against the lattice kind.

        Raises:
            ConfigError: A value is unknown or out of range.
        """
        check_types("lattice.", self)
        check_choice("lattice.kind", self.kind, LATTICE_KINDS)
        check_choice("lattice.distribution", self.distribution, DISTRIBUTIONS)
        check_choice("lattice.sampling", self.sampling, SAMPLINGS)
        check_choice("lattice.initial_phases", self.initial_phases, INITIAL_PHASES)
        check_choice("lattice.coupling_range", self.coupling_range, COUPLING_RANGES)
        check_between("lattice.phase_lag_rad", self.phase_lag_rad, -math.pi, math.pi)
        self._validate_shape()
        check_between("lattice.coupling_rad_s", self.coupling_rad_s, 0.0, MAX_RATE)
        check_positive("lattice.mean_frequency_hz", self.mean_frequency_hz, MAX_RATE)
        check_between("lattice.spread_hz", self.spread_hz, 0.0, MAX_RATE)
        if self.cutoff_hz is not None:
            check_positive("lattice.cutoff_hz", self.cutoff_hz, MAX_RATE)
        self._validate_drift()
        given = self.distribution == "given"
        if given and not self.frequencies_path:
            raise ConfigError(
                "lattice.distribution is 'given' but lattice.frequencies_path is not "
                "set; name a .npy file with one natural frequency [Hz] per node."
            )
        if given and self.cutoff_hz is not None:
            raise ConfigError(
                f"lattice.cutoff_hz is {self.cutoff_hz:g}, but given frequencies are "
                "taken as they are; remove it, or cut the file."
            )

    def _validate_drift(self) -> None:
        """Hold a drift to frequencies that are drawn, and differ."""
        period_s = self.drift_period_s
        if period_s is None:
            return
        check_positive("lattice.drift_period_s", period_s, MAX_TIME_S)
        if self.distribution == "given":
            raise ConfigError(
                f"lattice.drift_period_s is {period_s:g}, but frequencies drift to a "
                "second draw and lattice.distribution is 'given'; draw them, or set "
                "lattice.drift_period_s to null."
            )
        if not self.spread_hz:
            raise ConfigError(
                f"lattice.drift_period_s is {period_s:g}, but lattice.spread_hz is 0, "
                "so nothing can drift; give it a spread, or set "
                "lattice.drift_period_s to null."
            )

    def _validate_shape(self) -> None:
        axes = LATTICE_AXES[self.kind]
        if len(self.shape) != axes:
            raise ConfigError(
                f"lattice.shape has {count_noun(len(self.shape), 'number')}; a "
                f"{self.kind} lattice needs {axes}."
            )
        if len(self.periodic) not in (1, axes):
            raise ConfigError(
                f"lattice.periodic has {len(self.periodic)} entries; give one value, "
                f"or one for each of the {axes} axes."
            )
        for axis, cells in enumerate(self.shape):
            least = 3 if self.periodic[axis % len(self.periodic)] else 2
            check_between(f"lattice.shape[{axis}]", cells, least)
        if self.node_count > MAX_NODES:
            raise ConfigError(
                f"lattice.shape asks for {self.node_count} nodes; ids are 32-bit, so "
                f"at most {MAX_NODES} fit. Shrink lattice.shape."
            )
