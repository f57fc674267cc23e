"""Worker processes seen from their parent: started, told, read, ended.

Imports only `engine.errors` and the standard library.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.errors import ResourceError

START_TIMEOUT_S: Final = 30.0
"""Longest time until a worker's first report: an interpreter on a busy machine [s]."""
END_TIMEOUT_S: Final = 2.0
"""Time that a worker has to end by itself [s]."""
FAILURE: Final = "error"
"""First word of a report that is a sentence about a failure."""

_ROOT: Final = str(Path(__file__).resolve().parents[2])
_BOOT: Final = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); "
    "from importlib import import_module; "
    "sys.exit(import_module(sys.argv.pop(1)).main(sys.argv[1:]))"
)


class Child:
    """One worker process.

    The kernel ties it to the thread that calls this: start workers from a thread that
    lives as long as they shall.

    Args:
        module: Full name of the module whose `main` is called.
        limit_s: Time after which it ends in any case [s].
        arguments: Further words for `main`.
    """

    def __init__(self, module: str, limit_s: float, *arguments: object) -> None:
        words = [str(os.getpid()), repr(limit_s), *map(str, arguments)]
        # -P: a file of the user's that is called random.py must not be imported.
        command = [sys.executable, "-P", "-c", _BOOT, _ROOT, module, *words]
        self._name = module.rpartition(".")[2]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        os.set_blocking(self._in.fileno(), False)
        os.set_blocking(self._out.fileno(), False)
        self._rest = b""
        self._last: tuple[float, ...] = ()
        self.failure: str | None = None
        """What the worker said it failed with."""

    @property
    def pid(self) -> int:
        """Process number."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def send(self, command: object) -> None:
        """Tell the worker what to do; a worker that is gone or stopped hears nothing.

        Args:
            command: One word.
        """
        with suppress(BlockingIOError, BrokenPipeError):
            self._in.write(f"{command}\n".encode())

    def read(self) -> tuple[float, ...]:
        """Read what has come.

        Returns:
            The figures of the newest report; empty before the first.
        """
        chunk = self._out.read(1 << 16)
        if chunk:
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                self._understand(line.decode())
        return self._last

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait for the first report.

        Args:
            timeout_s: Longest time to wait [s].

        Raises:
            ResourceError: The worker did not start.
        """
        deadline_s = time.monotonic() + timeout_s
        while not self.read() and self.failure is None:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not self.is_alive:
                break
            select.select([self._out], [], [], min(left_s, 0.1))
        if not self._last:
            reason = self.failure or "it gave no sign of life"
            raise ResourceError(
                f"The load's {self._name} did not start: {reason}. Ask for less load, "
                "or see whether processes may be started here."
            )

    def close(self) -> None:
        """End the worker; harmless to repeat."""
        with suppress(OSError):
            self._in.close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()

    def _understand(self, line: str) -> None:
        word, _, sentence = line.partition(" ")
        if word == FAILURE:
            self.failure = sentence.rstrip(".")
            return
        self._last = tuple(float(figure) for figure in line.split())


def close_all(children: Sequence[Child]) -> None:
    """End workers, all at once first, so that none waits for another.

    Args:
        children: The workers.
    """
    for child in children:
        with suppress(OSError):
            child._in.close()
    for child in children:
        child.close()
