"""SIGINT and SIGTERM as a request to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stop_on_signals(request_stop: Callable[[], None]) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into a stop request; the next acts as usual.

    Does nothing outside the main thread, where Python allows no handlers.

    Args:
        request_stop: Called from the handler; must be quick.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.getsignal(kind) for kind in kinds}

    def restore() -> None:
        for kind, handler in before.items():
            signal.signal(kind, handler)

    def stop(kind: int, frame: object) -> None:
        request_stop()
        restore()

    for kind in kinds:
        signal.signal(kind, stop)
    try:
        yield
    finally:
        restore()
