"""What a run is made of: frozen dataclasses, their ranges and cross-field rules.

No Hydra here, and no import from any other room but errors and constants. The
keys below are the keys of `conf/` and of the command line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from engine.constants import (
    BASE_FREQUENCY_HZ,
    COHERENCE_FLOOR,
    MAX_BRIDGES,
    MAX_NODES,
    PHI_COEFFICIENT,
)
from engine.errors import ConfigError, unknown_choice

LATTICE_KINDS = ("chain", "square", "triangular", "cubic", "bcc", "fcc")
LATTICE_AXES = {
    "chain": 1, "square": 2, "triangular": 2, "cubic": 3, "bcc": 3, "fcc": 3,
}  # fmt: skip
DISTRIBUTIONS = ("gaussian", "lorentzian", "uniform", "given")
SAMPLINGS = ("quantile", "random")
INITIAL_PHASES = ("random", "aligned")
BRIDGE_KINDS = ("matchings", "procedural", "small_world", "file", "none")
INTEGRATORS = ("euler", "rk2", "rk4")
OBJECTIVES = ("headroom", "pace", "floor", "fixed")
LOAD_KINDS = ("none", "synthetic", "replay")
MAX_RATE = 1e12
"""Largest coupling, strength [rad/s] or spread [Hz]: float32 holds its products."""
MIN_LINEWIDTH_HZ = 1e-3
"""Narrowest resonance; below it probabilities round to zero [Hz]."""
MIN_FREQUENCY_HZ = 1e-9
"""Slowest rung of any ladder [Hz]."""
MIN_TIME_STEP_S = 1e-9
"""Shortest time step; below it phases do not resolve a step [s]."""
MAX_STEPS = 2**32
"""Lattice steps of a run are counted in 32 bits."""
PROFILES = ("constant", "step", "ramp", "square", "sine")


def _choice(key: str, value: str, allowed: Iterable[str]) -> None:
    if value not in allowed:
        raise unknown_choice(key, value, allowed)


def _between(
    key: str,
    value: float,
    low: float,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """Raise `ConfigError` unless `value` lies in the stated interval."""
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    if not math.isinf(value) and above and below:
        return
    left, right = "(" if open_low else "[", ")" if open_high else "]"
    if math.isinf(high):
        limit = f"be finite and {'above' if open_low else 'at least'} {_show(low)}"
    else:
        limit = f"lie in {left}{_show(low)}, {_show(high)}{right}"
    raise ConfigError(f"{key} is {_show(value)}; it must {limit}.")


def _show(value: float) -> str:
    """Write whole numbers in full and others in short."""
    return str(value) if isinstance(value, int) else f"{value:g}"


def _positive(key: str, value: float) -> None:
    _between(key, value, 0.0, open_low=True)


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
    """K, per edge, never divided by degree or size [rad/s], >= 0."""
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
        _choice("lattice.kind", self.kind, LATTICE_KINDS)
        _choice("lattice.distribution", self.distribution, DISTRIBUTIONS)
        _choice("lattice.sampling", self.sampling, SAMPLINGS)
        _choice("lattice.initial_phases", self.initial_phases, INITIAL_PHASES)
        self._validate_shape()
        _between("lattice.coupling_rad_s", self.coupling_rad_s, 0.0, MAX_RATE)
        _positive("lattice.mean_frequency_hz", self.mean_frequency_hz)
        _between("lattice.spread_hz", self.spread_hz, 0.0, MAX_RATE)
        if self.cutoff_hz is not None:
            _positive("lattice.cutoff_hz", self.cutoff_hz)
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

    def _validate_shape(self) -> None:
        axes = LATTICE_AXES[self.kind]
        if len(self.shape) != axes:
            raise ConfigError(
                f"lattice.shape has {len(self.shape)} axes; a {self.kind} lattice "
                f"needs {axes}."
            )
        if len(self.periodic) not in (1, axes):
            raise ConfigError(
                f"lattice.periodic has {len(self.periodic)} entries; give one value, "
                f"or one for each of the {axes} axes."
            )
        for axis, cells in enumerate(self.shape):
            least = 3 if self.periodic[axis % len(self.periodic)] else 2
            _between(f"lattice.shape[{axis}]", cells, least)
        if self.node_count > MAX_NODES:
            raise ConfigError(
                f"lattice.shape asks for {self.node_count} nodes; ids are 32-bit, so "
                f"at most {MAX_NODES} fit. Shrink lattice.shape."
            )


@dataclass(frozen=True)
class BridgesConfig:
    """The long-range links and where they come from."""

    kind: str = "matchings"
    """One of `BRIDGE_KINDS`."""
    per_node: int = 4
    """Bridge ends per node, for matchings and procedural (each one a layer) and
    small_world, >= 1."""
    strength_rad_s: float = 108.0
    """kappa of every bridge whose file names none [rad/s], >= 0."""
    distance_exponent: float = 2.0
    """small_world: P(distance) falls as distance to minus this power [-], >= 0."""
    path: str | None = None
    """file: .csv, .parquet, .npz or .graphml edge list."""
    source_column: str = "source"
    """file: column or array with the first end of each bridge."""
    target_column: str = "target"
    """file: column or array with the second end of each bridge."""
    strength_column: str = "strength"
    """file: optional column or array of strengths [rad/s]."""

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is unknown, missing or out of range.
        """
        _choice("bridges.kind", self.kind, BRIDGE_KINDS)
        _between("bridges.per_node", self.per_node, 1, 64)
        _between("bridges.strength_rad_s", self.strength_rad_s, 0.0, MAX_RATE)
        _between("bridges.distance_exponent", self.distance_exponent, 0.0, 16.0)
        if self.kind == "file" and not self.path:
            raise ConfigError(
                "bridges.kind is 'file' but bridges.path is not set; name a .csv, "
                ".parquet, .npz or .graphml edge list."
            )


@dataclass(frozen=True)
class DynamicsConfig:
    """How time passes."""

    integrator: str = "euler"
    """One of `INTEGRATORS`."""
    dt_s: float = 0.00025
    """Lattice time step [s], >= `MIN_TIME_STEP_S`."""
    duration_s: float = 60.0
    """Simulated time [s], > 0."""

    @property
    def step_count(self) -> int:
        """Number of lattice steps [-], at least one."""
        return max(1, round(self.duration_s / self.dt_s))

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is unknown or out of range.
        """
        _choice("dynamics.integrator", self.integrator, INTEGRATORS)
        _between("dynamics.dt_s", self.dt_s, MIN_TIME_STEP_S)
        _positive("dynamics.duration_s", self.duration_s)
        if self.duration_s / self.dt_s >= MAX_STEPS:
            raise ConfigError(
                f"dynamics.duration_s is {self.duration_s:g} s in steps of "
                f"{self.dt_s:g} s; steps are counted in 32 bits, so fewer than "
                f"{MAX_STEPS} fit. Shorten the run or lengthen dynamics.dt_s."
            )


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
        _positive("tunnel.base_frequency", self.base_frequency)
        for key in ("phi_coefficient", "min_coherence"):
            value = getattr(self, key)
            _between(f"tunnel.{key}", value, 0.0, 1.0, open_low=True, open_high=True)
        _between("tunnel.rungs", self.rungs, 1, 40)
        _between(
            "tunnel.max_probability", self.max_probability, 0.0, 1.0, open_low=True
        )
        _between("tunnel.linewidth_hz", self.linewidth_hz, MIN_LINEWIDTH_HZ)
        _between("tunnel.slice_steps", self.slice_steps, 1, 64)
        slowest = self.maximum_frequency_hz * self.phi_coefficient**self.rungs
        if not MIN_FREQUENCY_HZ <= slowest < math.inf:
            raise ConfigError(
                f"tunnel.rungs is {self.rungs}, which puts the slowest rung at "
                f"{slowest:g} Hz; it must be at least {MIN_FREQUENCY_HZ:g} Hz. Lower "
                "tunnel.rungs, or raise tunnel.base_frequency or "
                "tunnel.phi_coefficient."
            )


@dataclass(frozen=True)
class ResourcesConfig:
    """How the machine is watched and how much of it may be used."""

    min_memory_threshold: float = 0.2
    """Share of memory that must stay free [-], in [0, 1)."""
    optimal_core_count: int = 8
    """Idle cores beyond which more do not help, >= 1."""
    minimum_availability: float = 0.01
    """Lower bound of the availability [-], in (0, 1]."""
    sample_period_s: float = 0.25
    """Period of cores, memory and utilisation samples [s], in [0.05, 10]."""
    slow_period_s: float = 1.0
    """Period of power, temperature and clock samples [s], >= sample_period_s."""
    process_period_s: float = 5.0
    """Period of GPU process lists [s], >= sample_period_s."""
    stale_after_s: float = 3.0
    """Age at which a sample counts as lost [s], > sample_period_s."""
    use_gpus: bool = True
    """Whether NVML is asked at all."""

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is out of range.
        """
        threshold = self.min_memory_threshold
        _between("resources.min_memory_threshold", threshold, 0.0, 1.0, open_high=True)
        _between("resources.optimal_core_count", self.optimal_core_count, 1, 65536)
        least = self.minimum_availability
        _between("resources.minimum_availability", least, 0.0, 1.0, open_low=True)
        period = self.sample_period_s
        _between("resources.sample_period_s", period, 0.05, 10.0)
        _between("resources.slow_period_s", self.slow_period_s, period, 3600.0)
        _between("resources.process_period_s", self.process_period_s, period, 3600.0)
        stale = self.stale_after_s
        _between("resources.stale_after_s", stale, period, 3600.0, open_low=True)


@dataclass(frozen=True)
class ControllerConfig:
    """How the two demands, resources and coherence, become one frequency."""

    objective: str = "headroom"
    """One of `OBJECTIVES`."""
    period_steps: int = 40
    """Lattice steps between two decisions, >= 1."""
    target_pace: float = 0.5
    """pace: simulated seconds per wall second [-], > 0."""
    fixed_frequency_hz: float = BASE_FREQUENCY_HZ
    """fixed: the tunnel frequency, with no regard to floor or resources [Hz], > 0."""
    proportional_gain: float = 20.0
    """Rungs asked for per unit of missing coherence [-], >= 0."""
    integral_gain_per_s: float = 60.0
    """Rungs per unit of missing coherence and simulated second [1/s], >= 0."""
    margin_sigmas: float = 3.0
    """Margin above the floor in standard deviations of the measured noise [-], >= 0."""
    dead_band: float = 0.002
    """Coherence error that is treated as none [-], >= 0."""
    descent_rungs_per_s: float = 4.0
    """Fastest way down the ladder [rungs per simulated second], > 0."""
    dwell_periods: int = 4
    """Control periods a rung is held before the frequency may fall, >= 0."""
    hold_stale_s: float = 10.0
    """Age of a lost sensor up to which its last offer is held [s], >= 0."""

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is unknown or out of range.
        """
        _choice("controller.objective", self.objective, OBJECTIVES)
        _between("controller.period_steps", self.period_steps, 1, 100_000)
        _positive("controller.target_pace", self.target_pace)
        _positive("controller.fixed_frequency_hz", self.fixed_frequency_hz)
        for key in (
            "proportional_gain",
            "integral_gain_per_s",
            "margin_sigmas",
            "dead_band",
            "dwell_periods",
            "hold_stale_s",
        ):
            _between(f"controller.{key}", getattr(self, key), 0.0)
        _positive("controller.descent_rungs_per_s", self.descent_rungs_per_s)


@dataclass(frozen=True)
class BackendConfig:
    """Where the arithmetic runs."""

    name: str = "auto"
    """auto, reference, cpu, cuda, or a registered back end."""
    threads: int | None = None
    """CPU threads; None takes every core this process may use. >= 1."""
    device: int = 0
    """CUDA device index as CuPy counts them, >= 0."""
    auto_min_nodes: int = 65_536
    """auto: problems smaller than this stay on the CPU, >= 1."""

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is out of range; `select_backend` judges the name.
        """
        if self.threads is not None:
            _between("backend.threads", self.threads, 1, 4096)
        _between("backend.device", self.device, 0, 1023)
        _between("backend.auto_min_nodes", self.auto_min_nodes, 1)


@dataclass(frozen=True)
class LoadConfig:
    """What the monitor is told of the machine: the truth, a profile or a recording."""

    kind: str = "none"
    """One of `LOAD_KINDS`; none means live telemetry."""
    profile: str = "constant"
    """synthetic: one of `PROFILES`."""
    level: float = 0.8
    """synthetic: share of cores and memory that others use at the peak [-], [0, 1]."""
    base_level: float = 0.0
    """synthetic: share in use off the peak [-], in [0, 1]."""
    start_s: float = 0.0
    """synthetic: simulated time at which the profile begins [s], >= 0."""
    period_s: float = 4.0
    """synthetic: period of square and sine, length of ramp [simulated s], > 0."""
    trace: str | None = None
    """replay: `trace.parquet` of an earlier run, or its run folder."""

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is unknown, missing or out of range.
        """
        _choice("load.kind", self.kind, LOAD_KINDS)
        _choice("load.profile", self.profile, PROFILES)
        _between("load.level", self.level, 0.0, 1.0)
        _between("load.base_level", self.base_level, 0.0, 1.0)
        _between("load.start_s", self.start_s, 0.0)
        _positive("load.period_s", self.period_s)
        if self.kind == "replay" and not self.trace:
            raise ConfigError(
                "load.kind is 'replay' but load.trace is not set; name the run folder "
                "or the trace.parquet to replay."
            )


@dataclass(frozen=True)
class RecordConfig:
    """What is written, and where."""

    folder: str | None = None
    """Run folder; None records nothing (the command line always sets one)."""
    overwrite: bool = False
    """Whether an existing run folder may be replaced."""
    every_periods: int = 1
    """Control periods between two rows of the time series, >= 1."""
    forecast: bool = True
    """Whether coherence is forecast before a run and compared after it."""

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is out of range.
        """
        _between("record.every_periods", self.every_periods, 1)


@dataclass(frozen=True)
class MetricsConfig:
    """The Prometheus endpoint, off unless asked for."""

    http: bool = False
    """Whether the metrics are served over HTTP."""
    address: str = "127.0.0.1"
    """Address to bind."""
    port: int = 0
    """Port to bind; 0 takes a free one. In [0, 65535]."""

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is out of range.
        """
        _between("metrics.port", self.port, 0, 65535)


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
    backend: BackendConfig = field(default_factory=BackendConfig)
    load: LoadConfig = field(default_factory=LoadConfig)
    record: RecordConfig = field(default_factory=RecordConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)

    def validate(self) -> None:
        """Check every group, then the rules that join them.

        Raises:
            ConfigError: A value is unknown, out of range or contradicts another.
        """
        _between("seed", self.seed, 0, 2**32, open_high=True)
        for group in fields(self):
            if group.name != "seed":
                getattr(self, group.name).validate()
        self._validate_attempts_per_step()
        self._validate_matchings()

    def _validate_attempts_per_step(self) -> None:
        """Hold every bridge to at most one attempt per step."""
        top, dt_s = self.tunnel.maximum_frequency_hz, self.dynamics.dt_s
        fixed = self.controller.objective == "fixed"
        asked = self.controller.fixed_frequency_hz if fixed else top
        if asked * dt_s > 1.0:
            raise ConfigError(
                f"dynamics.dt_s is {dt_s:g} s, but the highest tunnel frequency is "
                f"{asked:g} Hz and a bridge acts at most once per step; use dt_s <= "
                f"{1.0 / asked:.3g} or a lower tunnel.base_frequency."
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
