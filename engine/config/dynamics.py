"""How time passes."""

from __future__ import annotations

from dataclasses import dataclass

from engine.config.checks import (
    MAX_RATE,
    MAX_TIME_S,
    MIN_TIME_STEP_S,
    check_between,
    check_choice,
    check_positive,
)
from engine.config.hints import check_types
from engine.errors import ConfigError

INTEGRATORS = ("euler", "rk2", "rk4", "leapfrog")
"""leapfrog is for phases with inertia, the others for those without."""
MAX_STEPS = 2**31
"""Lattice steps of a run are counted in 32 bits, one of them the sign: a bridge may
wait for its first event all the time."""


@dataclass(frozen=True)
class DynamicsConfig:
    """How time passes."""

    integrator: str = "euler"
    """One of `INTEGRATORS`."""
    dt_s: float = 0.00025
    """Lattice time step [s], from `MIN_TIME_STEP_S` to `MAX_TIME_S`."""
    duration_s: float = 60.0
    """Simulated time [s], > 0."""
    inertia_s: float = 0.0
    """m in m theta'' + theta' = rate [s], from dt_s to `MAX_TIME_S`; 0: phases follow
    their rate."""
    diffusion_rad2_s: float = 0.0
    """D of white noise sqrt(2 D) xi on every node [rad^2/s], in [0, `MAX_RATE`]."""

    @property
    def step_count(self) -> int:
        """Number of lattice steps [-], at least one."""
        return max(1, round(self.duration_s / self.dt_s))

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is unknown or out of range.
        """
        check_types("dynamics.", self)
        check_choice("dynamics.integrator", self.integrator, INTEGRATORS)
        check_between("dynamics.dt_s", self.dt_s, MIN_TIME_STEP_S, MAX_TIME_S)
        check_positive("dynamics.duration_s", self.duration_s)
        check_between("dynamics.inertia_s", self.inertia_s, 0.0, MAX_TIME_S)
        diffusion = self.diffusion_rad2_s
        check_between("dynamics.diffusion_rad2_s", diffusion, 0.0, MAX_RATE)
        self._validate_inertia()
        if self.duration_s / self.dt_s >= MAX_STEPS:
            raise ConfigError(
                f"dynamics.duration_s is {self.duration_s:g} s in steps of "
                f"{self.dt_s:g} s; steps are counted in 32 bits, so fewer than "
                f"{MAX_STEPS} fit. Shorten the run or lengthen dynamics.dt_s."
            )

    def _validate_inertia(self) -> None:
        if (self.inertia_s > 0.0) != (self.integrator == "leapfrog"):
            raise ConfigError(
                f"dynamics.integrator is {self.integrator!r} and dynamics.inertia_s "
                f"{self.inertia_s:g} s, which do not go together; inertia above 0 "
                "needs leapfrog, and leapfrog needs it: use dynamics=inertial."
            )
        if 0.0 < self.inertia_s < self.dt_s:
            raise ConfigError(
                f"dynamics.inertia_s is {self.inertia_s:g} s, shorter than "
                f"dynamics.dt_s ({self.dt_s:g} s), so that it is not resolved; shorten "
                "dynamics.dt_s, or set inertia_s=0 with another integrator."
            )
