"""A sweep up and down: its plan, its points, and what they say."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from engine.config import RunConfig
from engine.config.checks import MAX_RATE
from engine.config.dynamics import MAX_STEPS
from engine.errors import ConfigError, quote

COUPLING: Final = "lattice.coupling_rad_s"
STRENGTH: Final = "bridges.strength_rad_s"
PARAMETERS: Final = (COUPLING, STRENGTH)
"""Keys that a living network can change [rad/s]."""
MAX_POINTS: Final = 10_000
"""Most points of each way; tables and pictures hold them all."""
LEAST_JUMP: Final = 0.1
"""Smallest change of r between two points that is called a jump [-]."""
UP, DOWN = "up", "down"


@dataclass(frozen=True)
class SweepPlan:
    """What is swept, how finely and how slowly."""

    parameter: str = COUPLING
    """One of `PARAMETERS`."""
    low_rad_s: float = 0.0
    """Where the sweep starts and ends [rad/s]: >= 0 for the coupling; strengths keep
    one sign, below 0 if bridges repel."""
    high_rad_s: float = 432.0
    """Where it turns round [rad/s], above the start."""
    point_count: int = 21
    """Points of each way [-], from 2 to `MAX_POINTS`."""
    settle_s: float = 0.5
    """Simulated time at each point before r is measured [s], > 0."""
    measure_s: float = 0.25
    """Simulated time over which r is averaged [s], > 0."""

    @property
    def values(self) -> list[float]:
        """The points of the way up [rad/s]."""
        steps = np.linspace(self.low_rad_s, self.high_rad_s, self.point_count)
        return [float(value) for value in steps]

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is unknown or out of range.
        """
        if self.parameter not in PARAMETERS:
            raise ConfigError(
                f"--parameter is {quote(self.parameter)}; it must be one of "
                f"{', '.join(PARAMETERS)}."
            )
        for option, value in (
            ("--settle", self.settle_s),
            ("--measure", self.measure_s),
        ):
            if not 0.0 < value < math.inf:
                raise ConfigError(f"{option} is {value:g} s; it must be above 0.")
        if not 2 <= self.point_count <= MAX_POINTS:
            bound = "at least 2" if self.point_count < 2 else f"at most {MAX_POINTS:,}"
            raise ConfigError(f"--points is {self.point_count}; it must be {bound}.")
        self._validate_ends()

    def _validate_ends(self) -> None:
        low, high = self.low_rad_s, self.high_rad_s
        if not -MAX_RATE <= low < high <= MAX_RATE:
            raise ConfigError(
                f"--from is {low:g} and --to {high:g} rad/s; the sweep goes up first, "
                f"so --to must be above --from, and both in [-{MAX_RATE:g}, "
                f"{MAX_RATE:g}]."
            )
        if self.parameter == COUPLING and low < 0.0:
            raise ConfigError(
                f"--from is {low:g} rad/s; {COUPLING} must not be below 0."
            )
        if self.parameter == STRENGTH and low <= 0.0 <= high:
            raise ConfigError(
                f"--from is {low:g} and --to {high:g} rad/s, but {STRENGTH} is scaled "
                "while the network lives, so it cannot be 0 or change its sign; sweep "
                "above 0, or below it where bridges repel."
            )

    def _validate_steps(self, config: RunConfig) -> None:
        span_s = 2 * self.point_count * (self.settle_s + self.measure_s)
        dt_s = config.dynamics.dt_s
        if span_s >= MAX_STEPS * dt_s:
            raise ConfigError(
                f"--settle is {self.settle_s:g} s and --measure {self.measure_s:g} s, "
                f"at 2 x {self.point_count} points; in steps of {dt_s:g} s, a sweep "
                f"must be shorter than {MAX_STEPS * dt_s:g} s in all."
            )

    def list_targets(self) -> list[tuple[str, float]]:
        """List way and value of every point, in the order of the sweep."""
        up = [(UP, value) for value in self.values]
        return [*up, *((DOWN, value) for value in reversed(self.values))]

    def apply(self, config: RunConfig) -> RunConfig:
        """Return the configuration with the parameter at its start.

        Args:
            config: Any run configuration.

        Raises:
            ConfigError: The configuration has no bridges whose strength could change,
                or the sweep takes more steps than can be counted.
        """
        self._validate_steps(config)
        if self.parameter == STRENGTH and config.bridges.kind == "none":
            raise ConfigError(
                f"--parameter is {STRENGTH}, but bridges=none; choose other bridges."
            )
        group, key = self.parameter.split(".")
        changed = replace(getattr(config, group), **{key: self.low_rad_s})
        return replace(config, **{group: changed})


@dataclass(frozen=True)
class Point:
    """What one value of the parameter came to."""

    direction: str
    """up or down."""
    value_rad_s: float
    """The parameter [rad/s]."""
    coherence: float
    """Mean order parameter r [-]."""
    coherence_deviation: float
    """Standard deviation of r while it was averaged [-]."""


@dataclass(frozen=True)
class Jump:
    """Where coherence changes most between two points of one way."""

    value_rad_s: float
    """Middle of both points [rad/s]."""
    before: float
    """r before the jump [-]."""
    after: float
    """r after it [-]."""


@dataclass(frozen=True)
class HysteresisLoop:
    """A sweep that has come to its end, or was interrupted."""

    plan: SweepPlan
    """What was swept."""
    points: tuple[Point, ...]
    """In the order of the sweep."""

    @property
    def is_complete(self) -> bool:
        """Whether both ways were gone to their ends; what compares them needs that."""
        return len(self.points) == 2 * self.plan.point_count

    def select(self, direction: str) -> list[Point]:
        """Return the points of one way, by rising parameter.

        Args:
            direction: up or down.
        """
        points = [point for point in self.points if point.direction == direction]
        return sorted(points, key=lambda point: point.value_rad_s)

    @property
    def area_rad_s(self) -> float:
        """Integral of r on the way down minus r on the way up [rad/s]."""
        up, down = self.select(UP), self.select(DOWN)
        gaps = [b.coherence - a.coherence for a, b in zip(up, down, strict=True)]
        return float(np.trapezoid(gaps, [point.value_rad_s for point in up]))

    def find_gap(self) -> tuple[float, float]:
        """Find where both ways differ most.

        Returns:
            The parameter [rad/s], and r down minus r up there [-].
        """
        pairs = zip(self.select(UP), self.select(DOWN), strict=True)
        gaps = [(up.value_rad_s, down.coherence - up.coherence) for up, down in pairs]
        return max(gaps, key=lambda gap: abs(gap[1]))

    def find_jump(self, direction: str) -> Jump | None:
        """Find the largest rise of the way up, or the largest fall of the way down.

        Args:
            direction: up or down.

        Returns:
            The jump; None if r changes by less than `LEAST_JUMP` anywhere.
        """
        points = self.select(direction)
        rises = np.diff([point.coherence for point in points])
        place = int(np.argmax(rises))
        if rises[place] < LEAST_JUMP:
            return None
        low, high = points[place], points[place + 1]
        first, last = (low, high) if direction == UP else (high, low)
        middle = 0.5 * (low.value_rad_s + high.value_rad_s)
        return Jump(middle, first.coherence, last.coherence)

    def to_dict(self) -> dict[str, Any]:
        """Return plain figures, ready for JSON; of an interrupted sweep, its points."""
        found: dict[str, Any] = {"status": "interrupted", "plan": asdict(self.plan)}
        if self.is_complete:
            jumps = {way: self.find_jump(way) for way in (UP, DOWN)}
            found |= {
                "status": "done",
                "area_rad_s": self.area_rad_s,
                "jumps": {way: jump and asdict(jump) for way, jump in jumps.items()},
            }
        return {**found, "points": [asdict(point) for point in self.points]}
