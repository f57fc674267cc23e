"""SIGINT, SIGTERM and SIGUSR1 as a request to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

URGENT = (signal.SIGINT, signal.SIGTERM)
"""A second one of these acts as usual."""
WARNING = signal.SIGUSR1
"""Slurm's announcement that time runs out (`sbatch --signal=USR1@60`)."""


@contextmanager
def stop_on_signals(request_stop: Callable[[], None]) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM, and every SIGUSR1, into a stop request.

    After a warning the run stops too, with a checkpoint, instead of going on: whatever
    it did until it is killed would be lost, and the time is better spent on a summary
    and on being queued again. A second SIGINT or SIGTERM acts as usual.

    Does nothing outside the main thread, where Python allows no handlers.

    Args:
        request_stop: Called from the handler; must be quick.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {kind: signal.getsignal(kind) for kind in (*URGENT, WARNING)}

    def restore(*kinds: int) -> None:
        for kind in kinds:
            signal.signal(kind, before[signal.Signals(kind)])

    def stop(kind: int, frame: object) -> None:
        request_stop()
        if kind in URGENT:
            restore(*URGENT)

    for kind in before:
        signal.signal(kind, stop)
    try:
        yield
    finally:
        restore(*before)
