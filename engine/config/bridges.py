"""The long-range links."""

from __future__ import annotations

import types
from dataclasses import dataclass

from engine.config.checks import MAX_RATE, check_between, check_choice, check_positive
from engine.config.hints import check_types
from engine.errors import ConfigError

BRIDGE_KINDS = ("matchings", "procedural", "small_world", "file", "none")
PLACEMENTS = ("random", "balanced", "aligned")
_FIXED_ENDS = types.MappingProxyType(
    {
        "procedural": "the ends of bridges=procedural are computed from a keyed "
        "permutation",
        "small_world": "the ends of bridges=small_world follow their distance",
        "file": "the ends of bridges=file are those of bridges.path",
        "none": "bridges=none makes no bridges",
    }
)
"""Why bridges of a kind cannot be placed."""


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
    placement: str = "random"
    """One of `PLACEMENTS`, for matchings: any two nodes; low natural frequencies with
    high ones; where the linearised locked state gains most."""
    rewire_every_s: float | None = None
    """Simulated time between two rewirings of the living network by the same measure
    [s], > 0; null: bridges stay. For matchings and small_world."""
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
        self._validate_placement()
        self._validate_rewiring()
        is_drawn = self.kind in ("matchings", "small_world")
        for key in ("strength_spread_rad_s", "repulsive_share"):
            value = getattr(self, key)
            if value and not is_drawn and self.kind != "none":
                raise ConfigError(
                    f"bridges.{key} is {value:g}, but the strengths of bridges="
                    f"{self.kind} are not drawn; leave it at 0, or use "
                    "bridges=matchings."
                )

    def _validate_placement(self) -> None:
        """Hold the placement to bridges that can be placed."""
        check_choice("bridges.placement", self.placement, PLACEMENTS)
        if self.placement == "random":
            return
        if self.kind != "matchings":
            raise ConfigError(
                f"bridges.placement is {self.placement!r}, but "
                f"{_FIXED_ENDS[self.kind]}; leave it at random, or use "
                "bridges=matchings."
            )
        if self.placement == "aligned":
            self._validate_attraction("placement is 'aligned'", "placement=balanced")

    def _validate_rewiring(self) -> None:
        """Hold rewiring to bridges that may be moved."""
        every_s = self.rewire_every_s
        if every_s is None:
            return
        check_positive("bridges.rewire_every_s", every_s)
        if self.kind not in ("matchings", "small_world"):
            raise ConfigError(
                f"bridges.rewire_every_s is {every_s:g}, but {_FIXED_ENDS[self.kind]}; "
                "set it to null, or use bridges=matchings."
            )
        self._validate_attraction(
            f"rewire_every_s is {every_s:g}", "rewire_every_s=null"
        )

    def _validate_attraction(self, asked: str, cure: str) -> None:
        """Refuse bridges without a linearised locked state, as far as is known here."""
        for is_wrong, what in (
            (self.strength_rad_s <= 0.0, f"strength_rad_s is {self.strength_rad_s:g}"),
            (
                self.repulsive_share > 0.0,
                f"repulsive_share is {self.repulsive_share:g}",
            ),
            (self.directed, "directed is true"),
        ):
            if is_wrong:
                raise ConfigError(
                    f"bridges.{asked}, but bridges.{what}, and only undirected bridges "
                    "that attract have a locked state to align with; use "
                    f"bridges.{cure}."
                )
