"""What a run tells: its folder, its observations, its metrics."""

from __future__ import annotations

from dataclasses import dataclass

from engine.config.checks import MAX_TIME_S, check_between, check_choice, check_positive
from engine.config.hints import check_types

TRACKERS = ("mlflow",)


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
    tracker: str | None = None
    """Who else is told of the run: one of `TRACKERS`, or None."""
    checkpoint_wall_s: float | None = 60.0
    """Wall time between two checkpoints [s], > 0; where one takes more than a hundredth
    of that, a hundred times as long as it takes. None: none by the clock."""
    checkpoint_every_s: float | None = None
    """Simulated time between two checkpoints [s], > 0; None: none by simulated time."""
    checkpoints_kept: int = 2
    """Newest checkpoints that are kept until the run is done, in 0..1000; 0: none is
    written, not even when the run is interrupted."""

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is out of range.
        """
        check_types("record.", self)
        check_between("record.every_periods", self.every_periods, 1)
        if self.tracker is not None:
            check_choice("record.tracker", self.tracker, TRACKERS)
        for key in ("checkpoint_wall_s", "checkpoint_every_s"):
            value = getattr(self, key)
            if value is not None:
                check_between(f"record.{key}", value, 0.0, MAX_TIME_S, open_low=True)
        check_between("record.checkpoints_kept", self.checkpoints_kept, 0, 1000)


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
        check_types("metrics.", self)
        check_between("metrics.port", self.port, 0, 65535)


@dataclass(frozen=True)
class ObserveConfig:
    """What is seen of single nodes, beyond the time series; nothing by default."""

    snapshot_every_s: float | None = None
    """Simulated time between two snapshots of the phase field [s], > 0."""
    frequency_window_s: float | None = None
    """Length of the end of the run over which every node's effective frequency is
    measured [s], > 0."""
    probe_count: int = 0
    """Nodes of the probe set of the phase-locking matrix, in 0..1024."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing of single nodes is asked for."""
        spans = (self.snapshot_every_s, self.frequency_window_s)
        return spans == (None, None) and not self.probe_count

    def validate(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: A value is out of range.
        """
        check_types("observe.", self)
        for key in ("snapshot_every_s", "frequency_window_s"):
            value = getattr(self, key)
            if value is not None:
                check_positive(f"observe.{key}", value)
        check_between("observe.probe_count", self.probe_count, 0, 1024)
