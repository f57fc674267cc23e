"""The long-range links."""

from __future__ import annotations

from dataclasses import dataclass

from engine.config.checks import MAX_RATE, check_between, check_choice
from engine.config.hints import check_types
from engine.errors import ConfigError

BRIDGE_KINDS = ("matchings", "procedural", "small_world", "file", "none")


@dataclass(frozen=True)
class BridgesConfig:
    """The long-range links and where they come from."""

    kind: str = "matchings"
    """One of `BRIDGE_KINDS`."""
    per_node: int = 4
    """Bridge ends per node, for matchings and procedural (each one a layer) and
    small_world, >= 1."""
    strength_rad_s: float = 108.0
    """kappa of every bridge whose file names none [rad/s]; negative repels."""
    strength_spread_rad_s: float = 0.0
    """Standard deviation of a gaussian law of kappa around strength_rad_s [rad/s],
    >= 0; not for file and procedural."""
    repulsive_share: float = 0.0
    """Share of the bridges whose kappa changes its sign [-], in [0, 1]; likewise."""
    directed: bool = False
    """Whether only the target of a bridge moves; a file's column goes before it."""
    distance_exponent: float = 2.0
    """small_world: P(distance) falls as distance to minus this power [-], >= 0."""
    path: str | None = None
    """file: .csv, .parquet, .npz or .graphml edge list."""
    source_column: str = "source"
    """file: column or array with the first end of each bridge."""
    target_column: str = "target"
    """file: column or array with the second end of each bridge."""
    strength_column: str = "strength"
    """file: column or array of strengths [rad/s]; may be absent by its default name."""
    directed_column: str = "directed"
    """file: column or array that tells which bridges are directed; likewise."""

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is unknown, missing or out of range.
        """
        check_types("bridges.", self)
        check_choice("bridges.kind", self.kind, BRIDGE_KINDS)
        check_between("bridges.per_node", self.per_node, 1, 64)
        strength, spread = self.strength_rad_s, self.strength_spread_rad_s
        check_between("bridges.strength_rad_s", strength, -MAX_RATE, MAX_RATE)
        check_between("bridges.strength_spread_rad_s", spread, 0.0, MAX_RATE)
        check_between("bridges.repulsive_share", self.repulsive_share, 0.0, 1.0)
        check_between("bridges.distance_exponent", self.distance_exponent, 0.0, 16.0)
        if self.kind == "file" and not self.path:
            raise ConfigError(
                "bridges.kind is 'file' but bridges.path is not set; name a .csv, "
                ".parquet, .npz or .graphml edge list."
            )
        is_drawn = self.kind in ("matchings", "small_world")
        for key in ("strength_spread_rad_s", "repulsive_share"):
            value = getattr(self, key)
            if value and not is_drawn and self.kind != "none":
                raise ConfigError(
                    f"bridges.{key} is {value:g}, but the strengths of bridges="
                    f"{self.kind} are not drawn; leave it at 0, or use "
                    "bridges=matchings."
                )
