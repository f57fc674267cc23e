"""RunTracker: tells a tracking server of a run, and never gets in the run's way.

Everything that may wait or fail happens in a thread of its own. After the first
failure nothing more is told; the run goes on and its summary says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from engine.config import RunConfig

logger = logging.getLogger(__name__)

POINTS_PER_RUN = 200
"""Points of each time series that a whole run tells, about."""
MAX_BATCH = 50
"""Points told at once; MLflow takes 1000 figures a call."""
END_WAIT_S = 120.0
"""Wait at the end of a run for what is still to be told [s]."""


@dataclass(frozen=True)
class Point:
    """Figures of one control period."""

    step: int
    """Lattice steps so far [-]."""
    time_ms: int
    """When it was taken [ms since 1970]."""
    figures: Mapping[str, float]
    """Value by name."""


@dataclass(frozen=True)
class RunCard:
    """What identifies a run at its start."""

    name: str
    """Name of the run folder, or of the program without one."""
    params: Mapping[str, str]
    """Configuration keys that are not at their defaults."""
    tags: Mapping[str, str]
    """Versions, back end and device."""
    memo: Path | None = None
    """File of the run folder in which a sink keeps what it needs to go on; None without
    a folder."""


@dataclass(frozen=True)
class RunEnding:
    """What a run came to."""

    status: str
    """done, interrupted or failed."""
    figures: Mapping[str, float]
    """The numbers of the summary, by dotted name."""
    tags: Mapping[str, str]
    """What is known at the end only, such as the digest of the state."""
    folder: Path | None
    """Run folder, complete by now."""


class Sink(Protocol):
    """Where a tracker tells it; every method may wait and may fail."""

    def open(self, card: RunCard) -> None:
        """Begin a run."""

    def write(self, points: list[Point]) -> None:
        """Add to its time series."""

    def close(self, ending: RunEnding) -> None:
        """Add summary and files, and end it."""


@dataclass
class RunTracker:
    """Hands a run to a sink, from a thread of its own.

    Args:
        sink: Where it goes.
        card: What is known at the start.
        on_failure: Called once, from that thread, if the sink fails.
    """

    sink: Sink
    card: RunCard
    on_failure: Callable[[], None] = lambda: None
    failure: str | None = None
    """Why nothing more is told; None while all is well."""
    _queue: SimpleQueue[Point | RunEnding] = field(default_factory=SimpleQueue)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to tell; returns at once."""
        self._thread = threading.Thread(
            target=self._tell, name="scribble-tracker", daemon=True
        )
        self._thread.start()

    def add(self, step: int, row: Mapping[str, Any]) -> None:
        """Tell a row of the time series.

        Args:
            step: Lattice steps so far [-].
            row: Its values; only numbers are told.
        """
        if self.failure is None:
            figures = flatten_numbers(row)
            self._queue.put(Point(step, time.time_ns() // 1_000_000, figures))

    def finish(self, ending: RunEnding, wait_s: float = END_WAIT_S) -> str | None:
        """Tell how the run ended and wait until that is told.

        Args:
            ending: What it came to.
            wait_s: Longest wait [s].

        Returns:
            Why something is missing at the other end; None if all was told.
        """
        self._queue.put(ending)
        if self._thread is not None:
            self._thread.join(wait_s)
            if self._thread.is_alive() and self.failure is None:
                self._fail(TimeoutError(f"no answer within {wait_s:g} s"))
        return self.failure

    def give_up(self) -> None:
        """Tell that the run has failed, wait for nothing and let the thread end."""
        self._queue.put(RunEnding("failed", {}, {}, None))

    def _tell(self) -> None:
        """Work off the queue until the run has ended or the sink fails."""
        try:
            self.sink.open(self.card)
            ending = None
            while ending is None:
                points, ending = self._take()
                if points:
                    self.sink.write(points)
            self.sink.close(ending)
        except Exception as error:  # noqa: BLE001 - whatever a client of a server raises
            self._fail(error)

    def _take(self) -> tuple[list[Point], RunEnding | None]:
        """Wait for the next thing to tell; take what lies behind it as well."""
        points: list[Point] = []
        found = self._queue.get()
        while True:
            if isinstance(found, RunEnding):
                return points, found
            points.append(found)
            if len(points) == MAX_BATCH:
                return points, None
            try:
                found = self._queue.get_nowait()
            except Empty:
                return points, None

    def _fail(self, error: Exception) -> None:
        words = " ".join(str(error).split()) or "no message"
        self.failure = f"record.tracker failed ({type(error).__name__}: {words})"
        logger.warning("%s; the run goes on without it.", self.failure)
        self.on_failure()


def flatten_numbers(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Collect the numbers of nested mappings by dotted name.

    Args:
        values: Such as the content of a summary; texts, truths and None are left out.
        prefix: What each name begins with.
    """
    found: dict[str, float] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flatten_numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[f"{prefix}{key}"] = float(value)
    return found


def list_changes(config: RunConfig) -> dict[str, str]:
    """List the configuration keys that differ from the defaults, but for `record`.

    Args:
        config: The run.

    Returns:
        Values as text by full key, the seed always.
    """
    default = RunConfig()
    changes = {"seed": str(config.seed)}
    for group in fields(config):
        own = getattr(config, group.name)
        if not is_dataclass(own) or group.name == "record":
            continue
        for entry in fields(own):
            value = getattr(own, entry.name)
            if value != getattr(getattr(default, group.name), entry.name):
                changes[f"{group.name}.{entry.name}"] = str(value)
    return changes
