"""SIGINT, SIGTERM, SIGHUP and SIGUSR1 as a request to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

URGENT: Final = (signal.SIGINT, signal.SIGTERM)
"""A second one of these acts as usual."""
WARNINGS: Final = (signal.SIGHUP, signal.SIGUSR1)
"""A terminal that closes, which may say so twice (its shell, then the kernel), and
Slurm's announcement that time runs out (`sbatch --signal=USR1@60`)."""


@contextmanager
def stop_on_signals(request_stop: Callable[[], None]) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM, and every warning, into a stop request.

    After a warning the run stops too, with a checkpoint, instead of going on: whatever
    it did until it is killed would be lost, and the time is better spent on a summary
    and on being queued again. A second SIGINT or SIGTERM acts as usual.

    What is ignored stays so (`nohup`, a script's job in the background), and so does a
    handler of a C library, which Python could not put back. Does nothing outside the
    main thread, where Python allows no handlers.

    Args:
        request_stop: Called from the handler; must be quick and take no lock, since a
            second signal may interrupt it where it holds the lock.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {kind: signal.getsignal(kind) for kind in (*URGENT, *WARNINGS)}
    left_alone = (signal.SIG_IGN, None)
    before = {kind: old for kind, old in found.items() if old not in left_alone}
    urgent = [kind for kind in URGENT if kind in before]

    def stop(kind: int, frame: object) -> None:
        request_stop()
        if kind in urgent:
            for each in urgent:
                signal.signal(each, before[each])

    for kind in before:
        signal.signal(kind, stop)
    try:
        yield
    finally:
        for kind, old in before.items():
            signal.signal(kind, old)
