"""The machine: what is watched, and what computes."""

from __future__ import annotations

from dataclasses import dataclass

from engine.config.checks import check_between
from engine.config.hints import check_types

MIN_AVAILABILITY = 1e-6
"""Smallest bound of the availability; it scales a frequency, which is above 0 [-]."""


@dataclass(frozen=True)
class ResourcesConfig:
    """How the machine is watched and how much of it may be used."""

    min_memory_threshold: float = 0.2
    """Share of memory that must stay free [-], in [0, 1)."""
    optimal_core_count: int = 8
    """Idle cores beyond which more do not help, >= 1."""
    minimum_availability: float = 0.01
    """Lower bound of the availability [-], in [`MIN_AVAILABILITY`, 1]."""
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
        check_types("resources.", self)
        threshold = self.min_memory_threshold
        check_between(
            "resources.min_memory_threshold", threshold, 0.0, 1.0, open_high=True
        )
        check_between("resources.optimal_core_count", self.optimal_core_count, 1, 65536)
        least = self.minimum_availability
        check_between("resources.minimum_availability", least, MIN_AVAILABILITY, 1.0)
        period = self.sample_period_s
        check_between("resources.sample_period_s", period, 0.05, 10.0)
        check_between("resources.slow_period_s", self.slow_period_s, period, 3600.0)
        check_between(
            "resources.process_period_s", self.process_period_s, period, 3600.0
        )
        stale = self.stale_after_s
        check_between("resources.stale_after_s", stale, period, 3600.0, open_low=True)


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
        check_types("backend.", self)
        if self.threads is not None:
            check_between("backend.threads", self.threads, 1, 4096)
        check_between("backend.device", self.device, 0, 1023)
        check_between("backend.auto_min_nodes", self.auto_min_nodes, 1)
