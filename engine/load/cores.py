"""The load on the cores: one pinned worker each, told and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from engine.load.children import Child, close_all
from engine.load.pacing import FillLaw
from engine.load.sample import CoreSample, CoresSample, mean_of

WORKER: Final = "engine.load.cpu_worker"


class CoreLoad:
    """Workers on every allowed core.

    Args:
        cpus: Processors, one worker each.
        limit_s: Time after which workers end in any case [s].
        fills_machine: Whether the target is the total of each core, not our own part.
        start_child: Starts a worker.

    Raises:
        ResourceError: A worker does not start.
    """

    def __init__(
        self,
        cpus: Sequence[int],
        limit_s: float,
        *,
        fills_machine: bool = False,
        start_child: Callable[..., Child] = Child,
    ) -> None:
        self._cpus = list(cpus)
        self._children: list[Child] = []
        try:
            for cpu in self._cpus:
                self._children.append(start_child(WORKER, limit_s, cpu))
            for child in self._children:
                child.wait_ready()
        except BaseException:
            close_all(self._children)
            raise
        self._laws = [FillLaw() for _ in self._cpus] if fills_machine else []
        self._told: list[float | None] = [None] * len(self._cpus)
        self._targets = [0.0] * len(self._cpus)
        self._asked_sum, self._asked_count = 0.0, 0
        self._before = [child.read() for child in self._children]
        self._is_closed = False

    @property
    def pids(self) -> list[int]:
        """Process numbers of the workers."""
        return [child.pid for child in self._children]

    @property
    def failure(self) -> str | None:
        """Why the load is no longer whole; None while it is."""
        if self._is_closed or all(child.is_alive for child in self._children):
            return None
        return "a worker process on a core has ended"

    def ask(self, shares: Sequence[float]) -> None:
        """Set the target of each core.

        Args:
            shares: Share of time, our own or everybody's [-].
        """
        self._targets = list(shares)
        self._asked_sum += sum(shares) / len(shares)
        self._asked_count += 1
        if not self._laws:
            self._tell(shares)

    def compare(self, totals: Sequence[float | None]) -> CoresSample:
        """Compare asked and achieved since the last call.

        Args:
            totals: Busy share of each core for anyone [-]; None where unknown.

        Returns:
            Means of asked, achieved and their distance, and each core.
        """
        cores = tuple(
            self._compare_core(index, total) for index, total in enumerate(totals)
        )
        asked = mean_of([core.asked for core in cores])
        achieved = mean_of([core.generated for core in cores])
        gap = mean_of([abs(core.generated - core.asked) for core in cores])
        if self._laws:
            asked = self._asked_sum / max(1, self._asked_count)
            achieved = mean_of(totals)
            gap = None if achieved is None else abs(achieved - asked)
            self._fill(totals)
        self._asked_sum, self._asked_count = 0.0, 0
        return CoresSample(asked, achieved, gap, cores)

    def close(self) -> None:
        """End the workers; harmless to repeat."""
        if not self._is_closed:
            self._is_closed = True
            close_all(self._children)

    def _tell(self, shares: Sequence[float]) -> None:
        for index, share in enumerate(shares):
            rounded = round(share, 4)
            if rounded != self._told[index]:
                self._children[index].send(rounded)
                self._told[index] = rounded

    def _fill(self, totals: Sequence[float | None]) -> None:
        rows = zip(self._laws, self._targets, totals, strict=True)
        self._tell([law.update(target, total) for law, target, total in rows])

    def _compare_core(self, index: int, total: float | None) -> CoreSample:
        """Compare over the very window that the worker's own stamps span."""
        before, after = self._before[index], self._children[index].read()
        self._before[index] = after
        wall_s, used_s, asked_s = (
            later - earlier for later, earlier in zip(after, before, strict=True)
        )
        window_s = max(wall_s, 1e-9)
        # A worker that had no chance to report has used nothing.
        asked = asked_s / window_s if wall_s > 0 else self._targets[index]
        return CoreSample(self._cpus[index], asked, used_s / window_s, total)
