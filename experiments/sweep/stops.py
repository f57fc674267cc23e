"""Requests to stop, heard by a process that watches others: noted, never raised.

An exception out of a handler would strike anywhere, also between two lines that keep
account of a job. A handler here sets plain values and takes no lock, for a second
signal may come while the first one is being handled.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from experiments import outcome


class Stops:
    """What signals have asked of this process so far.

    A signal to the whole tree of processes comes twice, once from whoever sent it and
    once more from the parent: that is one request. Who wants more than to ask has
    SIGKILL, or Ctrl-C once more.
    """

    def __init__(self) -> None:
        """Open the pipe that wakes whoever waits."""
        self.is_asked = False
        """Whether work is to end, its results written."""
        self.is_urgent = False
        """Whether somebody has pressed Ctrl-C again."""
        self.interrupt_count = 0
        """How often somebody has pressed Ctrl-C."""
        self._wake, self._sender = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._sender, False)

    def __call__(self, kind: int, frame: FrameType | None) -> None:
        """Note a signal."""
        self.is_asked = True
        self.interrupt_count += kind == signal.SIGINT
        self.is_urgent = self.interrupt_count > 1

    def wait(self, timeout_s: float, *descriptors: int) -> list[int]:
        """Wait for something to be read, a signal, or the end of the time.

        Args:
            timeout_s: Longest time [s].
            descriptors: Open files to wait for.

        Returns:
            Those of them that can be read.
        """
        ready, _, _ = select.select([self._wake, *descriptors], [], [], timeout_s)
        if self._wake in ready:
            os.read(self._wake, 4096)
        return [descriptor for descriptor in ready if descriptor != self._wake]

    def listen(self) -> None:
        """Hear the signals that nobody else has taken, from now on."""
        for kind in outcome.list_own_signals():
            signal.signal(kind, self)
        # The interpreter itself writes there, whatever Python code is just running.
        signal.set_wakeup_fd(self._sender, warn_on_full_buffer=False)

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._wake)
        os.close(self._sender)


@contextmanager
def collect_stops() -> Iterator[Stops]:
    """Note requests to stop instead of raising `KeyboardInterrupt`.

    Outside the main thread, where no signal is handled, none is ever noted. Inside
    another such block, or where a worker listens all the time, it is the same account.

    Yields:
        The account.
    """
    known = signal.getsignal(signal.SIGTERM)
    if isinstance(known, Stops):
        yield known
        return
    stops = Stops()
    try:
        with keep_handlers(outcome.list_own_signals()):
            if threading.current_thread() is threading.main_thread():
                stops.listen()
            yield stops
    finally:
        stops.close()


@contextmanager
def keep_handlers(kinds: Iterable[signal.Signals]) -> Iterator[None]:
    """Put back, at the end, what signals did before, and what they woke.

    Does nothing outside the main thread, where Python allows no handlers.

    Args:
        kinds: The signals; Python must know their handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {kind: signal.getsignal(kind) for kind in kinds}
    wake = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wake)
    try:
        yield
    finally:
        signal.set_wakeup_fd(wake)
        for kind, handler in before.items():
            signal.signal(kind, handler)


@contextmanager
def spare_children_the_warning() -> Iterator[None]:
    """Let threads and processes that begin inside never hear SIGUSR1.

    Slurm warns every process there is, of the machinery of a launcher too, which would
    die of it. One that comes meanwhile is heard by this thread at the end. Jobs hear it
    again by `hear_the_warning`.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def hear_the_warning() -> None:
    """Hear SIGUSR1 where a launcher was spared it; one that waits comes at once."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
