"""A worker's tie to its parent: commands come in, reports go out, nothing outlives it.

A worker ends when its parent closes the pipe or dies, however that happens: the kernel
sends a signal where it can (Linux), the pipe says so at once everywhere, the parent's
number changes, and there is a deadline for all else. Standard library only.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_MOST_WORTHY_OF_DEATH = "1000"


class ParentLink:
    """Commands from the parent on standard input, reports on standard output.

    Args:
        parent_pid: Process that started this one.
        limit_s: Time after which the worker ends in any case [s].
    """

    def __init__(self, parent_pid: int, limit_s: float) -> None:
        self._parent_pid = parent_pid
        self._deadline_s = time.monotonic() + limit_s
        self._rest = b""
        self.command: str | None = None
        """Newest command; None before the first."""
        self.is_up = True
        """Whether the parent still wants this worker."""

    def wait(self, span_s: float) -> None:
        """Sleep, but return at once on a command or on the parent's end.

        Args:
            span_s: Longest time to wait [s], >= 0.
        """
        ready, _, _ = select.select([0], [], [], max(0.0, span_s))
        if ready:
            self._take(os.read(0, 4096))
        if os.getppid() != self._parent_pid or time.monotonic() > self._deadline_s:
            self.is_up = False

    def report(self, *figures: object) -> None:
        """Write one line; a parent that does not read loses lines, never stops us.

        Args:
            figures: What the line holds, in order.
        """
        line = " ".join(map(str, figures)) + "\n"
        try:
            os.write(1, line.encode())
        except BlockingIOError:
            return
        except BrokenPipeError:
            self.is_up = False

    def _take(self, chunk: bytes) -> None:
        if not chunk:
            self.is_up = False
            return
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if lines:
            self.command = lines[-1].decode()


def tie_to_parent(parent_pid: int, limit_s: float) -> ParentLink:
    """Make this process one that cannot outlive its parent.

    Ctrl-C, and the closing of a terminal, reach every process of it; it is the parent
    that answers them.

    Args:
        parent_pid: Process that started this one.
        limit_s: Time after which the worker ends in any case [s].

    Returns:
        The link for commands and reports.
    """
    for kind in (signal.SIGINT, signal.SIGHUP):
        signal.signal(kind, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.set_blocking(1, False)
    _offer_to_the_oom_killer()
    link = ParentLink(parent_pid, limit_s)
    # The parent may have died before the signal was asked for.
    link.wait(0.0)
    return link


def _offer_to_the_oom_killer() -> None:
    """Should memory run out after all, this process shall go first."""
    try:
        Path("/proc/self/oom_score_adj").write_text(_MOST_WORTHY_OF_DEATH, "ascii")
    except OSError:
        return  # no Linux, or not allowed: the parent's headroom is what protects
