"""Tunnel slices, the events of eight steps, by size and frequency."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from .cases import BACKENDS, require
from .stopwatch import measure_seconds

if TYPE_CHECKING:
    from .engine_calls import TunnelCase

PARITY_LOG2_NODES = 16
"""Largest size at which every event is compared with `reference`."""


@cache  # asv calls setup again before every sample
def build_case(backend: str, log2_nodes: int, frequency_hz: float) -> TunnelCase:
    """Build and check a case."""
    from .engine_calls import TunnelCase, build_backend
    from .validation import check_event_parity, check_events, check_same

    def build(name: str, threads: int | None = None) -> TunnelCase:
        return TunnelCase(build_backend(name, threads), log2_nodes, frequency_hz)

    def digest_first_slice(threads: int | None) -> str:
        case = build(backend, threads)
        case.run()
        return case.digest()

    case = build(backend)
    check_events(case)
    if log2_nodes <= PARITY_LOG2_NODES:
        check_event_parity(case, build("reference"))
    if backend == "cpu" and log2_nodes <= PARITY_LOG2_NODES:
        check_same("A tunnel slice", digest_first_slice)
    return case


class SliceBySizeAndFrequency:
    """Rungs of the ladder from the default policy, four bridges per node."""

    params = ([12, 16, 20, 24], [24.06, 101.98, 698.99], BACKENDS)
    param_names = ("log2_nodes", "frequency_hz", "backend")

    def setup(self, log2_nodes: int, frequency_hz: float, backend: str) -> None:
        require(backend, log2_nodes)
        self.case = build_case(backend, log2_nodes, frequency_hz)

    def time_slice(self, log2_nodes: int, frequency_hz: float, backend: str) -> None:
        self.case.run()


class EventsPerSecond:
    """The rate of events at the ladder's top."""

    params = ([12, 16, 20, 24], BACKENDS)
    param_names = ("log2_nodes", "backend")
    unit = "events/s"

    def setup(self, log2_nodes: int, backend: str) -> None:
        require(backend, log2_nodes)
        self.case = build_case(backend, log2_nodes, 698.99)

    def track_events(self, log2_nodes: int, backend: str) -> float:
        return self.case.event_count / measure_seconds(self.case.run)
