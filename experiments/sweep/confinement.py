"""What a process of a sweep asks of the kernel, so that it harms nobody else."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from experiments import outcome

_SET_PARENT_DEATH_SIGNAL: Final = 1
"""PR_SET_PDEATHSIG of prctl(2)."""
_OOM_SCORE_ADJUSTMENT: Final = "500"
"""Makes the kernel, short of memory, choose the job before whoever watches it."""


def read_peak_memory() -> int | None:
    """Read how much memory this process has held at most [byte].

    Returns:
        The peak; None where the kernel does not tell.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            name, _, text = line.partition(":")
            if name == "VmHWM":
                return int(text.split()[0]) * 1024
    return None


def take_work_buffers() -> None:
    """Have OpenBLAS take its buffers, some 32 MiB each, before memory is limited.

    NumPy and SciPy bring a copy each. It asks when it is loaded and at its first
    product, and asks again for ever where it is refused: a job with too little memory
    would never end.
    """
    from scipy.linalg.blas import dgemm

    square = np.ones((64, 64))
    square @ square
    dgemm(1.0, square, square)


def limit_memory(limit_bytes: int) -> None:
    """Let allocations fail beyond a limit, in this process and its children.

    Args:
        limit_bytes: Most private memory, reserved or used [byte].
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    is_free = hard == resource.RLIM_INFINITY
    limit = limit_bytes if is_free else min(limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def end_with_parent(parent: int) -> None:
    """Have the kernel end this process with its parent.

    Args:
        parent: Its process id.

    Raises:
        SystemExit: The parent is gone already.
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None, use_errno=True)
        library.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(outcome.INTERRUPTED)


def volunteer_for_memory() -> None:
    """Have the kernel end this process before its parent if memory lacks."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE_ADJUSTMENT, "utf-8")
