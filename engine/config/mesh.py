"""The mesh: which bridges get how much of the tunnel budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from engine.config.checks import check_between, check_choice
from engine.config.hints import check_types
from engine.errors import ConfigError

MESH_RULES: Final = ("auto", "none", "detuning", "plastic", "learned")
AUTO_RULE: Final = "plastic"
"""The rule that auto stands for, wherever a mesh can act: never dearer than none."""
RULE_EXPONENTS: Final = {"plastic": 2.5, "detuning": 1.0}
"""Exponents of the rules that have one [-]."""
MOST_SHARES: Final = 32
"""Shares of a budget at most: rungs are counted in 8 bits, beside those of pins."""


@dataclass(frozen=True)
class MeshConfig:
    """How the budget of tunnel events is shared among bridges."""

    rule: str = "auto"
    """One of `MESH_RULES`; none: every bridge alike; auto: `AUTO_RULE` where bridges
    can have frequencies of their own and a controller chooses their mean, else none."""
    period: int = 32
    """Control periods before the first look at the bridges, >= 1."""
    growth: float = 1.5
    """Each wait for the next look is this many times the last [-], in [1, 100]."""
    longest_period: int = 128
    """Control periods between two looks at most, >= period; four times as many where
    hardly a bridge moves any more."""
    shares: int = 12
    """Rungs of the ladder over which bridges are spread, in 2..`MOST_SHARES`."""
    exponent: float | None = None
    """plastic, detuning: frequencies go with this power of a bridge's usefulness [-],
    in [0, 16]; that of `RULE_EXPONENTS` if absent."""
    gain: float = 0.35
    """plastic: share of the way to that frequency taken at each look [-], in (0, 1]."""
    policy_path: str | None = None
    """learned: `.json` file of weights; those that ship with the engine if absent."""

    @property
    def is_idle(self) -> bool:
        """Whether every bridge acts alike."""
        return self.rule == "none"

    @property
    def is_auto(self) -> bool:
        """Whether the rule follows from the run."""
        return self.rule == "auto"

    def find_exponent(self, rule: str) -> float:
        """Return the exponent of one of `RULE_EXPONENTS` [-]."""
        return RULE_EXPONENTS[rule] if self.exponent is None else self.exponent

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is unknown or out of range.
        """
        check_types("mesh.", self)
        check_choice("mesh.rule", self.rule, MESH_RULES)
        check_between("mesh.period", self.period, 1, 1_000_000)
        check_between("mesh.longest_period", self.longest_period, 1, 1_000_000)
        check_between("mesh.growth", self.growth, 1.0, 100.0)
        check_between("mesh.shares", self.shares, 2, MOST_SHARES)
        if self.exponent is not None:
            check_between("mesh.exponent", self.exponent, 0.0, 16.0)
        check_between("mesh.gain", self.gain, 0.0, 1.0, open_low=True)
        if self.longest_period < self.period:
            raise ConfigError(
                f"mesh.longest_period is {self.longest_period}; it must be at least "
                f"mesh.period, {self.period}."
            )
