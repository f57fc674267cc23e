"""Wall time of a control period on a CUDA device, split over its two stages.

Imports nothing but the protocol. An event costs about as much to record as a small
kernel to launch, and a period may have 100 000 steps, so only a sample is timed. A
period that runs from a graph is timed as a whole and split in the ratio that the last
sampled period had per lattice step and per tunnel event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from engine.backends.protocol import PeriodResult

SAMPLED_STEPS: Final = 8
"""Most steps of a period between whose stages events are recorded [-]."""


class StageShares:
    """Remembers what a lattice step and a tunnel event cost when last sampled."""

    def __init__(self) -> None:
        """Start without knowledge: all time is the lattice's."""
        self._step_s = 1.0
        self._event_s = 0.0

    def learn(self, sampled: PeriodResult, steps: int, events: int) -> None:
        """Take over the costs of a sampled period.

        Args:
            sampled: Its times [s].
            steps: Its lattice steps, >= 1.
            events: Its tunnel events.
        """
        if sampled.lattice_s > 0.0:
            self._step_s = sampled.lattice_s / steps
        if events:
            self._event_s = sampled.tunnel_s / events

    def split(self, whole_s: float, steps: int, events: int) -> tuple[float, float]:
        """Split the time of a period.

        Args:
            whole_s: Wall time [s].
            steps: Lattice steps, >= 1.
            events: Tunnel events.

        Returns:
            Times in lattice steps and in tunnel events [s], which add up.
        """
        tunnel = self._event_s * events
        tunnel_s = whole_s * tunnel / (tunnel + self._step_s * steps)
        return whole_s - tunnel_s, tunnel_s


class EventClock:
    """Times a whole period exactly and its stages by a sample of the steps.

    Every k-th step is timed, k being the smallest stride that leaves at most
    `SAMPLED_STEPS`. The stages' sums are scaled to all steps and then, together, to
    the time between the first and the last event. With k = 1 nothing is estimated.

    Marks are numbered: 0 opens the period, 2 i + 1 follows the lattice step i,
    2 i + 2 the tunnel step i, and 2 n + 1 the closing half step.
    """

    def __init__(
        self, create_event: Callable[[], Any], elapsed_ms: Callable[[Any, Any], float]
    ) -> None:
        """Take the two calls that this clock needs of CuPy.

        Args:
            create_event: Makes an event with a `record()` method.
            elapsed_ms: Returns the time between two recorded events [ms].
        """
        self._create_event = create_event
        self._elapsed_ms = elapsed_ms
        self._pool: list[Any] = []
        self.start(1)

    def start(self, step_count: int) -> None:
        """Begin a period.

        Args:
            step_count: Tunnel slices of the period in which bridges are due, >= 0.
        """
        self._step_count = step_count
        self._stride = max(1, -(-step_count // SAMPLED_STEPS))
        self._next_mark = 0
        self._events: dict[int, Any] = {}

    def _is_sampled(self, span: int) -> bool:
        """Tell whether the span from mark `span` to the next one is timed."""
        step = span // 2
        if step == self._step_count:
            return self._stride == 1
        return span >= 0 and step % self._stride == 0

    def mark(self) -> int:
        """Record an event if this mark is needed.

        Returns:
            Number of the mark in its period.
        """
        mark = self._next_mark
        self._next_mark += 1
        is_end = mark in (0, 2 * self._step_count + 1)
        if is_end or self._is_sampled(mark) or self._is_sampled(mark - 1):
            if len(self._events) == len(self._pool):
                self._pool.append(self._create_event())
            event = self._pool[len(self._events)]
            event.record()
            self._events[mark] = event
        return mark

    def measure(self, first: int, second: int) -> float:
        """Return the time between two marks; the device is idle by then.

        Args:
            first: A mark.
            second: The mark after it.

        Returns:
            Time [s], 0 if the span is not in the sample.
        """
        if not self._is_sampled(first):
            return 0.0
        return 1e-3 * float(self._elapsed_ms(self._events[first], self._events[second]))

    def complete(self, sampled: PeriodResult) -> PeriodResult:
        """Scale the sampled times to the whole period.

        Args:
            sampled: Sums over the spans in the sample [s].

        Returns:
            Times that add up to the period's whole time [s].
        """
        steps, last = self._step_count, 2 * self._step_count + 1
        whole_s = 1e-3 * float(self._elapsed_ms(self._events[0], self._events[last]))
        tunnel_spans = -(-steps // self._stride)
        lattice_spans = tunnel_spans + self._is_sampled(last - 1)
        lattice_s = sampled.lattice_s * (steps + 1) / lattice_spans
        if not steps:
            return PeriodResult(whole_s, 0.0, sampled.successes)
        tunnel_s = sampled.tunnel_s * steps / tunnel_spans
        both_s = lattice_s + tunnel_s
        share = tunnel_s / both_s if both_s > 0.0 else 0.0
        tunnel_s = share * whole_s
        return PeriodResult(whole_s - tunnel_s, tunnel_s, sampled.successes)
