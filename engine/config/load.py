"""Load: what a run's machine is told or made to bear, and the load generator alone."""

from __future__ import annotations

from dataclasses import dataclass

from engine.config.checks import MAX_TIME_S, check_between, check_choice
from engine.config.hints import check_types
from engine.errors import ConfigError

LOAD_KINDS = ("none", "synthetic", "real", "replay")
PROFILES = ("constant", "step", "ramp", "square", "sine", "noise")
REAL_PROFILES = (*PROFILES, "trace")
CPU_TARGETS = ("generated", "machine")
GPU_TARGETS = ("duty", "utilisation")
MAX_LOAD_S = 86_400.0
"""Longest time that a generator may load a machine [s]: a day."""
MIN_PERIOD_S = 1e-6
"""Shortest period of a profile [s]; nobody looks at a load more often."""
MAX_MEMORY_SHARE = 0.95
"""Largest share of memory that may be asked for [-]."""


@dataclass(frozen=True)
class LoadConfig:
    """What the monitor sees: the truth, a profile, a real disturbance, a recording."""

    kind: str = "none"
    """One of `LOAD_KINDS`; none means live telemetry, real disturbs the machine too."""
    profile: str = "constant"
    """synthetic: one of `PROFILES`; real: one of `REAL_PROFILES`."""
    level: float = 0.8
    """synthetic, real: share of the cores that others use at the peak [-], [0, 1]."""
    base_level: float = 0.0
    """synthetic, real: share in use off the peak [-], in [0, 1]."""
    start_s: float = 0.0
    """Time at which the profile begins, of the run: simulated for synthetic, wall time
    for real [s], >= 0."""
    period_s: float = 4.0
    """Period of square and sine, length of ramp, time that a level of noise lasts:
    simulated time for synthetic, wall time for real [s], from `MIN_PERIOD_S` to
    `MAX_TIME_S`."""
    seed: int = 0
    """synthetic, real: key of the levels of profile=noise, in [0, 2^32)."""
    trace: str | None = None
    """replay: `trace.parquet` of an earlier run, or its run folder; real with
    profile=trace: the same, or a table of `time_s` and `utilisation`."""
    judge_anew: bool = False
    """replay: whether this run's thresholds and ladder judge the recorded samples; else
    the recorded verdict stands, to the bit."""
    memory: float = 0.0
    """real: share of memory held [-], in [0, 0.95]."""
    gpu: float = 0.0
    """real: share of wall time that kernels run at the peak [-], in [0, 1]."""
    headroom: float = 0.1
    """real: share of memory that always stays free [-], in [0.02, 1)."""
    temperature_limit_c: float = 90.0
    """real: temperature at which the load stops [degree Celsius], in [30, 110]."""
    limit_s: float = 600.0
    """real: wall time after which the load stops though the run goes on [s], in
    (0, 86400]."""

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is unknown, missing or out of range.
        """
        check_types("load.", self)
        check_choice("load.kind", self.kind, LOAD_KINDS)
        is_real = self.kind == "real"
        known = REAL_PROFILES if is_real else PROFILES
        check_choice("load.profile", self.profile, known)
        check_between("load.level", self.level, 0.0, 1.0)
        check_between("load.base_level", self.base_level, 0.0, 1.0)
        check_between("load.start_s", self.start_s, 0.0, MAX_TIME_S)
        check_between("load.period_s", self.period_s, MIN_PERIOD_S, MAX_TIME_S)
        check_between("load.seed", self.seed, 0, 2**32, open_high=True)
        check_between("load.memory", self.memory, 0.0, MAX_MEMORY_SHARE)
        check_between("load.gpu", self.gpu, 0.0, 1.0)
        _check_safety(self, "load.")
        _check_room(self, "load.")
        limit = self.limit_s
        check_between("load.limit_s", limit, 0.0, MAX_LOAD_S, open_low=True)
        if self.kind == "replay" and not self.trace:
            raise ConfigError(
                "load.kind is 'replay' but load.trace is not set; name the run folder "
                "or the trace.parquet to replay."
            )
        _check_trace(self, "load.")


@dataclass(frozen=True)
class GeneratorConfig:
    """What `scribble load` puts on this machine; all times are wall time."""

    cpu: tuple[float, ...] = (0.5,)
    """Share of each allowed core at the peak [-], each in [0, 1]; one figure for all
    cores, or one per core."""
    cpu_target: str = "generated"
    """generated: the load made here; machine: the total, filled up to the figure."""
    memory: float = 0.0
    """Share of memory held [-], in [0, 0.95]."""
    memory_bytes: int = 0
    """Memory held [byte], >= 0, instead of a share."""
    gpu: float = 0.0
    """Share of time that the GPU is busy at the peak [-], in [0, 1]."""
    gpu_target: str = "duty"
    """duty: the time of our own kernels; utilisation: what NVML reports."""
    gpu_power_w: float = 0.0
    """Power at the peak, instead of a share of time [W], >= 0."""
    gpu_memory: float = 0.0
    """Share of the GPU's memory held [-], in [0, 0.95]."""
    gpu_device: int = 0
    """CUDA device index as CuPy counts them, >= 0."""
    profile: str = "constant"
    """constant, step, ramp, square, sine, noise or trace; memory is held throughout."""
    base_level: float = 0.0
    """Share of the cores in use off the peak [-], in [0, 1]; the GPU rests there."""
    start_s: float = 0.0
    """Time at which the profile begins [s], >= 0."""
    period_s: float = 4.0
    """Period of square and sine, length of ramp, time that a level of noise lasts [s],
    in [1e-6, 1e9]."""
    seed: int = 0
    """Key of the levels of profile=noise, in [0, 2^32)."""
    trace: str | None = None
    """trace: a run folder, its `trace.parquet`, or a table of `time_s` and
    `utilisation`; 1 in it stands for the peak."""
    duration_s: float = 60.0
    """Time after which the load ends, in (0, 86400] [s]."""
    headroom: float = 0.1
    """Share of memory that always stays free [-], in [0.02, 1)."""
    temperature_limit_c: float = 90.0
    """Temperature at which the load stops [degree Celsius], in [30, 110]."""
    sample_period_s: float = 0.5
    """Time over which asked and achieved are compared [s], in [0.2, 60]."""

    @property
    def uses_gpu(self) -> bool:
        """Whether anything is asked of a GPU."""
        return self.gpu > 0 or self.gpu_power_w > 0 or self.gpu_memory > 0

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is unknown, missing, out of range or contradicts
                another.
        """
        check_types("", self)
        if not self.cpu:
            raise ConfigError("cpu is empty; give one figure, or one per core.")
        for index, share in enumerate(self.cpu):
            key = f"cpu[{index}]" if len(self.cpu) > 1 else "cpu"
            check_between(key, share, 0.0, 1.0)
        check_choice("cpu_target", self.cpu_target, CPU_TARGETS)
        check_between("memory", self.memory, 0.0, MAX_MEMORY_SHARE)
        check_between("memory_bytes", self.memory_bytes, 0, 2**63)
        check_between("gpu", self.gpu, 0.0, 1.0)
        check_choice("gpu_target", self.gpu_target, GPU_TARGETS)
        check_between("gpu_power_w", self.gpu_power_w, 0.0, 10_000.0)
        check_between("gpu_memory", self.gpu_memory, 0.0, MAX_MEMORY_SHARE)
        check_between("gpu_device", self.gpu_device, 0, 1023)
        check_choice("profile", self.profile, REAL_PROFILES)
        check_between("base_level", self.base_level, 0.0, 1.0)
        check_between("start_s", self.start_s, 0.0, MAX_TIME_S)
        check_between("period_s", self.period_s, MIN_PERIOD_S, MAX_TIME_S)
        check_between("seed", self.seed, 0, 2**32, open_high=True)
        duration = self.duration_s
        check_between("duration_s", duration, 0.0, MAX_LOAD_S, open_low=True)
        check_between("sample_period_s", self.sample_period_s, 0.2, 60.0)
        _check_safety(self, "")
        _check_room(self, "")
        _check_trace(self, "")
        self._check_pairs()

    def _check_pairs(self) -> None:
        """Refuse two figures for one thing."""
        for first, second in (("memory", "memory_bytes"), ("gpu", "gpu_power_w")):
            if getattr(self, first) and getattr(self, second):
                raise ConfigError(
                    f"{first} and {second} are both set; they ask for the same thing, "
                    "so give one of them."
                )


def to_generator(load: LoadConfig) -> GeneratorConfig:
    """Say what the generator of a disturbed run has to do.

    Args:
        load: The load of the run, of the kind real.

    Returns:
        The same as `scribble load` would be asked for.
    """
    return GeneratorConfig(
        cpu=(load.level,),
        memory=load.memory,
        gpu=load.gpu,
        profile=load.profile,
        base_level=load.base_level,
        start_s=load.start_s,
        period_s=load.period_s,
        seed=load.seed,
        trace=load.trace,
        duration_s=load.limit_s,
        headroom=load.headroom,
        temperature_limit_c=load.temperature_limit_c,
    )


def _check_safety(config: LoadConfig | GeneratorConfig, prefix: str) -> None:
    # Below a fiftieth the kernel itself begins to reclaim, and every program stalls.
    check_between(f"{prefix}headroom", config.headroom, 0.02, 1.0, open_high=True)
    limit = config.temperature_limit_c
    check_between(f"{prefix}temperature_limit_c", limit, 30.0, 110.0)


def _check_room(config: LoadConfig | GeneratorConfig, prefix: str) -> None:
    room = 1.0 - config.headroom
    if config.memory > room + 1e-9:  # both are decimal fractions
        raise ConfigError(
            f"{prefix}memory is {config.memory:g}, but {prefix}headroom keeps "
            f"{config.headroom:g} of the memory free; ask for at most {room:g}, or "
            f"lower {prefix}headroom."
        )


def _check_trace(config: LoadConfig | GeneratorConfig, prefix: str) -> None:
    if config.profile == "trace" and not config.trace:
        raise ConfigError(
            f"{prefix}profile is 'trace' but {prefix}trace is not set; name a run "
            "folder, or a Parquet table of time_s and utilisation."
        )
