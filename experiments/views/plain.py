"""The view of a run where there is no terminal: one line of facts now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self, TextIO

from experiments.views.throttle import Throttle
from experiments.wording import (
    format_bytes,
    format_count,
    format_frequency,
    format_span,
)

if TYPE_CHECKING:
    from engine.monitor.metrics import ResourceMetrics
    from engine.system import Progress

LINE_PERIOD_S: Final = 2.0
"""Least wall time between two lines [s]."""


class RunView(Protocol):
    """What a run is shown on."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Show the last state and end."""

    def show(self, progress: Progress) -> None:
        """Take in one control period."""


class QuietView:
    """Shows nothing."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End."""

    def show(self, progress: Progress) -> None:
        """Take in one control period.

        Args:
            progress: State after the period.
        """


class PlainView:
    """Writes one line every two seconds, with the facts of the live view.

    Args:
        stream: Where lines go.
        description: What the system is made of, key by key.
        clock: Steady clock [s].
    """

    def __init__(
        self,
        stream: TextIO,
        description: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._stream = stream
        self._description = description
        self._throttle = Throttle(clock=clock, shortest_s=LINE_PERIOD_S)
        self._last: Progress | None = None
        self._written: Progress | None = None

    def __enter__(self) -> Self:
        """Write what the system is made of, one fact a line."""
        for key, value in self._description.items():
            self._stream.write(f"{key}: {value}\n")
        self._stream.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write the last state, unless it has been written."""
        if self._last is not None and self._last is not self._written:
            self._write()

    def show(self, progress: Progress) -> None:
        """Take in one control period; write only when it is time.

        Args:
            progress: State after the period.
        """
        self._last = progress
        if self._throttle.is_due():
            self._throttle.call(self._write)

    def _write(self) -> None:
        if self._last is not None:
            self._stream.write(f"{format_line(self._last)}\n")
            self._stream.flush()
        self._written = self._last


def format_line(progress: Progress) -> str:
    """Put the state of a run into one line.

    Args:
        progress: State after a control period.
    """
    share = progress.step / max(1, progress.step_count)
    facts = [
        f"[{format_span(progress.wall_s)}] {share:4.0%}",
        f"{progress.simulated_s:.2f}/{progress.duration_s:g} s",
        f"coherence {progress.coherence:.3f} (floor {progress.floor:.3f})",
        f"frequency {format_frequency(progress.frequency_hz)} "
        f"(offered {format_frequency(progress.offered_hz)}, "
        f"required {format_frequency(progress.required_hz)})",
        f"tunnels {format_count(progress.successful)} ok, "
        f"{format_count(progress.failed)} failed",
        *_list_resource_facts(progress.metrics),
        describe_state(progress),
    ]
    return " | ".join(facts)


def describe_state(progress: Progress) -> str:
    """Name the controller's state and, unless all is well, the reason.

    The reason is as old as the decision: its figures are those from before the period
    whose coherence stands beside it.

    Args:
        progress: State after a control period.
    """
    if progress.state == "nominal":
        return progress.state
    return f"{progress.state}, decided a period ago: {progress.reason}"


def _list_resource_facts(metrics: ResourceMetrics) -> list[str]:
    cores, facts = metrics.cores, []
    if cores.others_cores is not None:
        facts.append(
            f"cores {cores.others_cores:.1f}/{cores.allowed_cores:g} by others"
        )
    facts.append(f"memory {format_bytes(metrics.memory.available_bytes)} free")
    facts += [
        f"GPU {gpu.index} {gpu.utilisation:.0%} busy"
        for gpu in metrics.gpus
        if gpu.utilisation is not None
    ]
    return [*facts, f"available {metrics.availability:.0%}"]
