"""The process that keeps one core busy for a share of time.

Measured by its own processor time, which the kernel counts exactly and which no
neighbour changes. Standard library and this room's laws only: it starts in 20 ms.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence

from engine.load.guard import ParentLink, tie_to_parent
from engine.load.pacing import DutyLaw

REPORT_PERIOD_S = 0.05
"""Time between two reports [s]."""
IDLE_WAIT_S = 0.1
"""Longest sleep while nothing is asked [s]."""
_SPINS = 256


class CpuWorker:
    """Spends processor time by a duty law and keeps count.

    Args:
        link: The parent.
    """

    def __init__(self, link: ParentLink) -> None:
        self._link = link
        self._law = DutyLaw()
        self._share = 0.0
        self._asked_s = 0.0
        self._wall_s = time.monotonic()
        self._used_s = time.process_time()
        self._reported_s = float("-inf")

    def turn(self) -> None:
        """Account for the last slice, burn the next one, sleep out its rest."""
        wall_s, used_s = time.monotonic(), time.process_time()
        elapsed_s, spent_s = wall_s - self._wall_s, used_s - self._used_s
        self._asked_s += self._share * elapsed_s
        self._wall_s, self._used_s = wall_s, used_s
        busy_s = self._law.next_busy_s(self._share, elapsed_s, spent_s)
        if wall_s - self._reported_s >= REPORT_PERIOD_S:
            self._reported_s = wall_s
            self._link.report(wall_s, used_s, self._asked_s)
        is_idle = self._share == 0 and busy_s == 0
        span_s = IDLE_WAIT_S if is_idle else self._law.period_s
        burn(busy_s, wall_s + span_s)
        self._link.wait(wall_s + span_s - time.monotonic())
        if self._link.command is not None:
            self._account_until_now()
            self._share = float(self._link.command)
            self._link.command = None

    def _account_until_now(self) -> None:
        """Close the account of the old share before the new one begins."""
        wall_s, used_s = time.monotonic(), time.process_time()
        elapsed_s, spent_s = wall_s - self._wall_s, used_s - self._used_s
        self._asked_s += self._share * elapsed_s
        self._law.next_busy_s(self._share, elapsed_s, spent_s)
        self._wall_s, self._used_s = wall_s, used_s


def burn(busy_s: float, until_s: float) -> None:
    """Spend processor time on integer arithmetic.

    Args:
        busy_s: Processor time to spend [s].
        until_s: Monotonic time at which to stop in any case [s].
    """
    end_s, word = time.process_time() + busy_s, 1
    while time.process_time() < end_s and time.monotonic() < until_s:
        for _ in range(_SPINS):
            word = (word * 1664525 + 1013904223) & 0xFFFFFFFF


def main(arguments: Sequence[str]) -> int:
    """Run the worker.

    Args:
        arguments: Parent's process number, deadline [s], processor (-1: any).

    Returns:
        Exit code.
    """
    link = tie_to_parent(int(arguments[0]), float(arguments[1]))
    processor = int(arguments[2])
    if processor >= 0 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {processor})
    worker = CpuWorker(link)
    while link.is_up:
        worker.turn()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
