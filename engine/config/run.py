"""One run, complete, and the rules that join its groups."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

from engine.config.bridges import BridgesConfig
from engine.config.checks import check_between
from engine.config.controller import ControllerConfig
from engine.config.dynamics import MAX_STEPS, DynamicsConfig
from engine.config.fault import FaultConfig
from engine.config.hints import check_types
from engine.config.lattice import LatticeConfig
from engine.config.load import LoadConfig
from engine.config.machine import BackendConfig, ResourcesConfig
from engine.config.mesh import AUTO_RULE, MeshConfig
from engine.config.output import MetricsConfig, ObserveConfig, RecordConfig
from engine.config.rollout import RolloutConfig
from engine.config.tunnel import TunnelConfig
from engine.constants import MAX_BRIDGES
from engine.errors import ConfigError

LEAST_TURN_PERIODS = 64
"""Control periods in a turn of drifting frequencies at least, a tenth of a radian."""
LEAST_SAMPLES = 16
"""Control periods of the shortest window of a rollout, so that it can be doubted."""
MAX_SNAPSHOT_NODES = 2**31 - 1
"""Phases of a snapshot: the length of an Arrow list is a signed 32-bit number."""


@dataclass(frozen=True)
class RunConfig:
    """One run, complete."""

    seed: int = 0
    """Key of every random number, in [0, 2^32)."""
    lattice: LatticeConfig = field(default_factory=LatticeConfig)
    bridges: BridgesConfig = field(default_factory=BridgesConfig)
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    tunnel: TunnelConfig = field(default_factory=TunnelConfig)
    resources: ResourcesConfig = field(default_factory=ResourcesConfig)
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    backend: BackendConfig = field(default_factory=BackendConfig)
    load: LoadConfig = field(default_factory=LoadConfig)
    fault: FaultConfig = field(default_factory=FaultConfig)
    observe: ObserveConfig = field(default_factory=ObserveConfig)
    record: RecordConfig = field(default_factory=RecordConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)

    @property
    def acting_mesh(self) -> MeshConfig:
        """The mesh with `auto` decided.

        At a fixed frequency every bridge has that one, and a rollout itself chooses
        which bridges act how often.
        """
        if not self.mesh.is_auto:
            return self.mesh
        can_act = (
            self.bridges.kind not in ("procedural", "none")
            and self.controller.objective != "fixed"
            and self.rollout.is_idle
        )
        return replace(self.mesh, rule=AUTO_RULE if can_act else "none")

    def validate(self) -> None:
        """Check every group, then the rules that join them.

        Raises:
            ConfigError: A value is unknown, out of range or contradicts another.
        """
        check_types("", self)
        check_between("seed", self.seed, 0, 2**32, open_high=True)
        for group in fields(self):
            if group.name != "seed":
                getattr(self, group.name).validate()
        self._validate_attempts_per_step()
        self._validate_matchings()
        self._validate_placement()
        self._validate_observation()
        if not self.acting_mesh.is_idle:
            self._validate_mesh()
        self._validate_windows()
        if self.lattice.drift_period_s is not None:
            self._validate_drift(self.lattice.drift_period_s)
        if not self.rollout.is_idle:
            self._validate_rollout()

    def _validate_attempts_per_step(self) -> None:
        """Hold every bridge to at most one attempt per step."""
        objective, rollout = self.controller.objective, self.rollout
        self._validate_top("tunnel", self.tunnel, objective)
        if not rollout.is_idle:
            objective = rollout.objective or objective
            self._validate_top("rollout.tunnel", rollout.tunnel, objective)

    def _validate_top(self, key: str, tunnel: TunnelConfig, objective: str) -> None:
        top, dt_s = tunnel.maximum_frequency_hz, self.dynamics.dt_s
        asked = self.controller.fixed_frequency_hz if objective == "fixed" else top
        if asked * dt_s > 1.0:
            raise ConfigError(
                f"dynamics.dt_s is {dt_s:g} s, but the highest tunnel frequency is "
                f"{asked:g} Hz and a bridge acts at most once per step; use dt_s <= "
                f"{1.0 / asked:.3g} or a lower {key}.base_frequency."
            )

    def _validate_matchings(self) -> None:
        nodes = self.lattice.node_count
        if self.bridges.kind not in ("matchings", "procedural"):
            return
        if nodes % 2:
            raise ConfigError(
                f"lattice.shape gives {nodes} nodes, an odd number, so no perfect "
                "matching exists; make one axis even, or use bridges=small_world."
            )
        bridges = nodes // 2 * self.bridges.per_node
        if self.bridges.kind == "procedural" and bridges > MAX_BRIDGES:
            raise ConfigError(
                f"bridges.per_node is {self.bridges.per_node}, which makes {bridges} "
                f"bridges; ids are 32-bit, so at most {MAX_BRIDGES} fit. Lower "
                "bridges.per_node or shrink lattice.shape."
            )

    def _validate_placement(self) -> None:
        """Hold bridges that follow the locked state to a lattice of neighbours."""
        bridges, reach = self.bridges, self.lattice.coupling_range
        for is_asked, key, cure in (
            (bridges.placement == "aligned", "placement is 'aligned'", "balanced"),
            (
                bridges.rewire_every_s is not None,
                f"rewire_every_s is {bridges.rewire_every_s}",
                "null",
            ),
        ):
            if is_asked and reach != "nearest":
                raise ConfigError(
                    f"bridges.{key}, but lattice.coupling_range is {reach!r}, and "
                    "bridges are aligned with the locked state of a lattice of "
                    f"neighbours; use bridges.{key.split()[0]}={cure}, or "
                    "lattice.coupling_range=nearest."
                )

    def _validate_observation(self) -> None:
        """Hold what is observed to what there is."""
        observe, duration_s = self.observe, self.dynamics.duration_s
        for key in ("snapshot_every_s", "frequency_window_s"):
            value = getattr(observe, key)
            if value is not None and value > duration_s:
                raise ConfigError(
                    f"observe.{key} is {value:g} s, longer than the run "
                    f"(dynamics.duration_s is {duration_s:g} s); use at most that, or "
                    "a longer run."
                )
        nodes = self.lattice.node_count
        if observe.probe_count > nodes:
            raise ConfigError(
                f"observe.probe_count is {observe.probe_count}, but lattice.shape has "
                f"only {nodes} nodes; use at most that."
            )
        if observe.snapshot_every_s is not None and nodes > MAX_SNAPSHOT_NODES:
            raise ConfigError(
                f"observe.snapshot_every_s is set, but a snapshot holds at most "
                f"{MAX_SNAPSHOT_NODES} phases and lattice.shape has {nodes}; set it to "
                "null, or shrink lattice.shape."
            )

    def _validate_mesh(self) -> None:
        """Hold a mesh to bridges that can have frequencies of their own."""
        rule = self.mesh.rule
        if self.bridges.kind == "procedural":
            raise ConfigError(
                f"mesh.rule is {rule!r}, but the ends of bridges=procedural follow "
                "from their slots, so all act alike; use bridges=matchings, or "
                "mesh=none."
            )
        if not self.rollout.is_idle:
            raise ConfigError(
                f"mesh.rule is {rule!r} and rollout.target {self.rollout.target!r}, "
                "but a mesh and a rollout each choose which bridges act how often; "
                "use mesh=none or rollout=none."
            )

    def _validate_drift(self, turn_s: float) -> None:
        """Hold drifting frequencies to control periods in which they hardly move."""
        controller = self.controller
        least_s = LEAST_TURN_PERIODS * controller.period_steps * self.dynamics.dt_s
        if turn_s < least_s:
            raise ConfigError(
                f"lattice.drift_period_s is {turn_s:g} s, but natural frequencies move "
                f"between control periods and a turn takes {LEAST_TURN_PERIODS} of "
                f"them; use at least {least_s:g}, or lower controller.period_steps."
            )
        if controller.error_windows:
            raise ConfigError(
                f"lattice.drift_period_s is {turn_s:g} and controller.error_windows "
                f"{controller.error_windows}, but windows are compared with each other "
                "on a network that stands; use lattice.drift_period_s=null or "
                "controller.error_windows=0."
            )

    def _validate_windows(self) -> None:
        """Hold the run and its error windows to the steps that can be counted."""
        controller, dynamics = self.controller, self.dynamics
        if not controller.error_windows:
            return
        span_s = controller.error_window_s or dynamics.duration_s / 8.0
        total_s = dynamics.duration_s + 2 * controller.error_windows * span_s
        if total_s / dynamics.dt_s >= MAX_STEPS:
            raise ConfigError(
                f"controller.error_windows is {controller.error_windows}, and the "
                f"run with so many pairs of {span_s:g} s takes {total_s:g} s in "
                f"steps of {dynamics.dt_s:g} s; fewer than {MAX_STEPS} steps fit. "
                "Shorten the run or the windows."
            )

    def _validate_rollout(self) -> None:
        """Hold a rollout to bridges that can be moved, and to the time there is."""
        rollout, kind = self.rollout, self.bridges.kind
        if kind in ("procedural", "none"):
            why = "cannot be moved, for they are computed where they lie"
            raise ConfigError(
                f"rollout.target is {rollout.target!r}, but bridges={kind} makes "
                f"{'none' if kind == 'none' else f'bridges that {why}'}; use bridges="
                "matchings, small_world or file, or rollout=none."
            )
        if self.bridges.rewire_every_s is not None:
            raise ConfigError(
                f"bridges.rewire_every_s is {self.bridges.rewire_every_s:g} and "
                f"rollout.target {rollout.target!r}, but a rollout compares two "
                "policies on the bridges as they are; use bridges.rewire_every_s=null "
                "or rollout=none."
            )
        if self.controller.error_windows:
            raise ConfigError(
                f"controller.error_windows is {self.controller.error_windows} and "
                f"rollout.target {rollout.target!r}, but an error window sets one "
                "frequency for all bridges; use controller.error_windows=0 or "
                "rollout=none."
            )
        rollout.validate_against(self.tunnel, self.controller.objective)
        period_s = self.controller.period_steps * self.dynamics.dt_s
        if rollout.window_s < LEAST_SAMPLES * period_s:
            raise ConfigError(
                f"rollout.window_s is {rollout.window_s:g} s, but coherence is seen "
                f"every {period_s:g} s and {LEAST_SAMPLES} samples are needed; use at "
                f"least {LEAST_SAMPLES * period_s:g}."
            )
        is_replay = self.load.kind == "replay"  # of a run that was stopped, perhaps
        if rollout.shortest_s > self.dynamics.duration_s and not is_replay:
            raise ConfigError(
                f"rollout.target is {rollout.target!r}, which takes at least "
                f"{rollout.shortest_s:g} s, but dynamics.duration_s is "
                f"{self.dynamics.duration_s:g} s; lengthen the run, or shorten "
                "rollout.start_s, rollout.settle_s or rollout.window_s."
            )
