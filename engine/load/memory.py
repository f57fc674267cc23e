"""The load on memory: one worker that holds what it may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from engine.load.children import Child

WORKER: Final = "engine.load.memory_worker"


class MemoryLoad:
    """Memory held by a worker.

    Args:
        asked_bytes: Memory to hold in the end [byte].
        limit_s: Time after which the worker ends in any case [s].
        start_child: Starts a worker.

    Raises:
        ResourceError: The worker does not start.
    """

    def __init__(
        self,
        asked_bytes: int,
        limit_s: float,
        *,
        start_child: Callable[..., Child] = Child,
    ) -> None:
        self.asked_bytes = asked_bytes
        self._told: int | None = None
        self._is_closed = False
        self._child = start_child(WORKER, limit_s)
        try:
            self._child.wait_ready()
        except BaseException:
            self._child.close()
            raise

    @property
    def pid(self) -> int:
        """Process number of the worker."""
        return self._child.pid

    @property
    def held_bytes(self) -> int:
        """Memory held, by the worker's last report [byte]."""
        if self._is_closed:
            return 0
        return int(self._child.read()[1])

    @property
    def failure(self) -> str | None:
        """Why the load is no longer whole; None while it is."""
        if self._is_closed or self._child.is_alive:
            return None
        return self._child.failure or "the worker process that holds memory has ended"

    def hold(self, byte_count: int) -> None:
        """Set how much to hold.

        Args:
            byte_count: Memory [byte]; the worker rounds down to its blocks.
        """
        if byte_count != self._told:
            self._child.send(byte_count)
            self._told = byte_count

    def close(self) -> None:
        """End the worker; harmless to repeat."""
        self._is_closed = True
        self._child.close()
