"""The staged rollout of another tunnel policy."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final

from engine.config.checks import (
    MAX_FACTOR,
    MAX_TIME_S,
    check_between,
    check_choice,
    check_positive,
)
from engine.config.controller import OBJECTIVES
from engine.config.hints import check_types
from engine.config.tunnel import TunnelConfig
from engine.errors import ConfigError

STAGE_SHARES: Final = (("alpha", 0.1), ("beta", 0.5), ("production", 1.0))
"""Stages in order, and the share of the bridges that each gives the new policy [-]."""
ROLLOUT_TARGETS: Final = ("none", *(name for name, _ in STAGE_SHARES))
SHARED_KEYS: Final = ("slice_steps",)
"""Keys of a tunnel policy that old and new must have in common."""


@dataclass(frozen=True)
class RolloutConfig:
    """Which policy is rolled out, how far, and what its stages must hold."""

    target: str = "none"
    """One of `ROLLOUT_TARGETS`: the last stage; none: no rollout."""
    tunnel: TunnelConfig = field(default_factory=TunnelConfig)
    """The new policy; `rollout.policy=NAME` fills it with a choice of conf/tunnel."""
    objective: str | None = None
    """Objective of the new policy, one of `OBJECTIVES`; null: that of the old."""
    start_s: float = 4.0
    """Simulated time before the old policy is measured [s], >= 0."""
    settle_s: float = 1.0
    """Simulated time after each change that no gate but the floor judges [s], >= 0."""
    window_s: float = 2.0
    """Simulated time over which the gates of a stage judge [s], > 0."""
    windows: int = 2
    """Windows in a row in which a stage may pass, in 1..1000."""
    sigmas: float = 3.0
    """Standard errors by which coherence and successes are doubted [-], >= 0."""
    max_violation: float = 0.01
    """Share of a stage's samples that may lie below the floor [-], in [0, 1)."""
    cost_tolerance: float = 0.1
    """Events that the new policy may take beyond the old one's, a share [-], >= 0."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is rolled out."""
        return self.target == "none"

    @property
    def stages(self) -> tuple[tuple[str, float], ...]:
        """Stages up to the target: their names and shares of the bridges [-]."""
        return STAGE_SHARES[: ROLLOUT_TARGETS.index(self.target)]

    @property
    def shortest_s(self) -> float:
        """Simulated time of a rollout whose every stage passes at once [s]."""
        staged_s = len(self.stages) * (self.settle_s + self.window_s)
        return self.start_s + self.window_s + staged_s

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is unknown or out of range.
        """
        check_types("rollout.", self)
        check_choice("rollout.target", self.target, ROLLOUT_TARGETS)
        if self.objective is not None:
            check_choice("rollout.objective", self.objective, OBJECTIVES)
        try:
            self.tunnel.validate()
        except ConfigError as error:
            text = str(error).replace("tunnel.", "rollout.tunnel.")
            raise ConfigError(text) from error
        check_between("rollout.start_s", self.start_s, 0.0, MAX_TIME_S)
        check_between("rollout.settle_s", self.settle_s, 0.0, MAX_TIME_S)
        check_positive("rollout.window_s", self.window_s, MAX_TIME_S)
        check_between("rollout.windows", self.windows, 1, 1000)
        check_between("rollout.sigmas", self.sigmas, 0.0, MAX_FACTOR)
        violation = self.max_violation
        check_between("rollout.max_violation", violation, 0.0, 1.0, open_high=True)
        check_between("rollout.cost_tolerance", self.cost_tolerance, 0.0, MAX_FACTOR)

    def validate_against(self, old: TunnelConfig, objective: str) -> None:
        """Check that the new policy differs, and only where it may.

        Args:
            old: The policy in use.
            objective: Its objective.

        Raises:
            ConfigError: It is the same, or differs in a key that both must share.
        """
        for key in SHARED_KEYS:
            ours, theirs = getattr(self.tunnel, key), getattr(old, key)
            if ours != theirs:
                raise ConfigError(
                    f"rollout.tunnel.{key} is {ours} but tunnel.{key} is {theirs}; all "
                    "bridges share it, so the new policy must keep it."
                )
        if not list_changes(old, self.tunnel) and self.objective in (None, objective):
            raise ConfigError(
                f"rollout.target is {self.target!r}, but the policy in rollout.tunnel "
                "is the one in use; choose another with rollout.policy=NAME, or set "
                "rollout.tunnel.KEY or rollout.objective."
            )


def list_changes(
    old: TunnelConfig, new: TunnelConfig
) -> dict[str, tuple[float, float]]:
    """List the keys in which two policies differ, with the old and the new value.

    Args:
        old: One policy.
        new: Another.
    """
    pairs = {f.name: (getattr(old, f.name), getattr(new, f.name)) for f in fields(old)}
    return {key: (one, two) for key, (one, two) in pairs.items() if one != two}
