"""One comparison of asked and achieved, and the tally of all of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from engine.state import State, keep_fields, take_fields

SETTLING_S: Final = 1.0
"""Time at the beginning that does not count: the workers' first slices [s]."""


@dataclass(frozen=True)
class CoreSample:
    """One core over one window."""

    cpu: int
    """Number of the processor."""
    asked: float
    """Share of time that its worker was asked for [-]."""
    generated: float
    """Share of time that its worker used [-], by its own processor time."""
    total: float | None
    """Share of time that it was busy for anyone [-]; None where unknown."""


@dataclass(frozen=True)
class CoresSample:
    """All loaded cores over one window; None where there are none or unknown."""

    asked: float | None = None
    """Share of the cores asked for: generated, or of the machine [-]."""
    achieved: float | None = None
    """The same figure as measured [-]."""
    deviation: float | None = None
    """Mean distance of asked and achieved, core by core where each has its own [-]."""
    each: tuple[CoreSample, ...] = ()
    """Each core that is loaded."""


@dataclass(frozen=True)
class GpuSample:
    """The GPU over one window; None for what the device does not tell."""

    asked: float
    """What is asked: share of time [-], or power [W]."""
    achieved: float | None
    """The same figure as measured."""
    busy: float
    """Share of time that our own kernels ran [-]."""
    utilisation: float | None
    """What NVML reports, everybody's [-]."""
    power_w: float | None
    """Power [W]."""
    temperature_c: float | None
    """Temperature [degree Celsius]."""
    held_bytes: int
    """Memory held [byte]."""


@dataclass(frozen=True)
class LoadSample:
    """Asked against achieved over one window."""

    time_s: float
    """End of the window, since the load began [s]."""
    asked: float | None
    """Share of the cores asked for: generated, or of the machine [-]; None: none."""
    achieved: float | None
    """The same figure as measured [-]."""
    deviation: float | None
    """Mean distance of the two over the cores [-]."""
    cores: tuple[CoreSample, ...]
    """Each core that is loaded."""
    utilisation: float | None
    """Share of the allowed cores that anyone used [-]."""
    memory_asked_bytes: int
    """Memory asked for [byte]."""
    memory_held_bytes: int
    """Memory held [byte]."""
    memory_available_bytes: int
    """Memory left on the machine [byte]."""
    temperature_c: float | None
    """Hottest sensor of host and GPU [degree Celsius]."""
    gpu: GpuSample | None = None
    """The GPU, if one is loaded."""

    @property
    def generated(self) -> float | None:
        """Mean share of the loaded cores that our workers used [-]."""
        return mean_of([core.generated for core in self.cores])

    def to_row(self) -> dict[str, Any]:
        """Return the row of `load.parquet`."""
        gpu = self.gpu
        return {
            "time_s": self.time_s,
            "cpu_asked": self.asked,
            "cpu_achieved": self.achieved,
            "cpu_deviation": self.deviation,
            "cpu_generated": self.generated,
            "utilisation": self.utilisation,
            "memory_asked_bytes": self.memory_asked_bytes,
            "memory_held_bytes": self.memory_held_bytes,
            "memory_available_bytes": self.memory_available_bytes,
            "temperature_c": self.temperature_c,
            "gpu_asked": gpu.asked if gpu else None,
            "gpu_achieved": gpu.achieved if gpu else None,
            "gpu_busy": gpu.busy if gpu else None,
            "gpu_utilisation": gpu.utilisation if gpu else None,
            "gpu_power_w": gpu.power_w if gpu else None,
            "gpu_held_bytes": gpu.held_bytes if gpu else None,
        } | {
            f"cpu{core.cpu}_{name}": getattr(core, name)
            for core in self.cores
            for name in ("asked", "generated", "total")
        }


@dataclass
class Comparison:
    """Running means of asked and achieved."""

    _count: int = 0
    _asked: float = 0.0
    _achieved: float = 0.0
    _deviation: float = 0.0
    _worst: float = 0.0

    def add(
        self, asked: float | None, achieved: float | None, gap: float | None
    ) -> None:
        """Take in one window with the distance of the two; unknown does not count."""
        if asked is None or achieved is None or gap is None:
            return
        self._count += 1
        self._asked += asked
        self._achieved += achieved
        self._deviation += gap
        self._worst = max(self._worst, gap)

    def to_state(self) -> State:
        """Return the sums."""
        return keep_fields(self, *vars(self))

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one of a comparison.
        """
        take_fields(self, state, *vars(self))

    def to_dict(self) -> dict[str, float] | None:
        """Return the means; None where nothing was compared."""
        if not self._count:
            return None
        count = self._count
        return {
            "asked": self._asked / count,
            "achieved": self._achieved / count,
            "mean_deviation": self._deviation / count,
            "largest_deviation": self._worst,
        }


@dataclass
class Tally:
    """Everything that a load came to, after settling."""

    cpu: Comparison = field(default_factory=Comparison)
    """Cores [-]."""
    gpu: Comparison = field(default_factory=Comparison)
    """GPU [-] or [W]."""
    held_bytes: int = 0
    """Most memory held [byte]."""
    asked_bytes: int = 0
    """Memory asked for [byte]."""
    started_s: float = 0.0
    """When the workers were started, since the load began [s]."""

    def add(self, sample: LoadSample) -> None:
        """Take in one window."""
        self.held_bytes = max(self.held_bytes, sample.memory_held_bytes)
        self.asked_bytes = sample.memory_asked_bytes
        if sample.time_s < self.started_s + SETTLING_S:
            return
        self.cpu.add(sample.asked, sample.achieved, sample.deviation)
        gpu = sample.gpu
        if gpu is not None and gpu.achieved is not None:
            self.gpu.add(gpu.asked, gpu.achieved, abs(gpu.achieved - gpu.asked))

    def to_state(self) -> State:
        """Return what was compared and held."""
        return {
            **keep_fields(self, "held_bytes", "asked_bytes"),
            "cpu": self.cpu.to_state(),
            "gpu": self.gpu.to_state(),
        }

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, with workers that have to settle again.

        Raises:
            CheckpointError: It is not one of a tally.
        """
        take_fields(self, state, "held_bytes", "asked_bytes")
        self.cpu.from_state(state["cpu"])
        self.gpu.from_state(state["gpu"])

    def to_dict(self) -> dict[str, Any]:
        """Return the figures of `summary.json`."""
        return {
            "cpu": self.cpu.to_dict(),
            "gpu": self.gpu.to_dict(),
            "memory_asked_bytes": self.asked_bytes,
            "memory_held_bytes": self.held_bytes,
        }


def mean_of(values: Sequence[float | None]) -> float | None:
    """Average what is known.

    Args:
        values: Figures, or None.

    Returns:
        Their mean; None if any is unknown or there are none.
    """
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    return sum(known) / len(known)
