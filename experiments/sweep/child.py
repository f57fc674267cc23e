"""One job in a process of its own: read a configuration, run it, say how it went.

Its parent (`process.py`) passes a JSON object on standard input and reads the last
word from a pipe. Imports no Hydra, for nothing is left to compose.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.errors import EngineError
from experiments import outcome
from experiments.resume import go_on_or_begin
from experiments.schema import run_config_from_dict

_SET_PARENT_DEATH_SIGNAL: Final = 1
"""PR_SET_PDEATHSIG of prctl(2)."""
_OOM_SCORE_ADJUSTMENT: Final = "500"
"""Makes the kernel, short of memory, choose the job before whoever watches it."""


def main() -> int:
    """Run the job that standard input describes.

    Returns:
        Exit code, that of a single run.
    """
    order = json.load(sys.stdin)
    end_with_parent(order["parent"])
    volunteer_for_memory()
    if order["memory_bytes"] is not None:
        take_work_buffers()
        limit_memory(order["memory_bytes"])
    report = {**run_order(order), "peak_memory_bytes": read_peak_memory()}
    with os.fdopen(order["report_fd"], "w", encoding="utf-8") as stream:
        json.dump(report, stream)
    return int(report["exit_code"])


def run_order(order: Mapping[str, Any]) -> dict[str, Any]:
    """Run a configuration; whatever happens becomes part of the answer.

    Args:
        order: ``config``, a run configuration as plain values.

    Returns:
        ``status``, ``exit_code`` and ``message`` of the job.
    """
    try:
        config = run_config_from_dict(order["config"])
        config.validate()
        with outcome.interrupt_on_signals():
            is_quiet = bool(order.get("is_quiet"))
            status = go_on_or_begin(config, is_quiet=is_quiet).status
    except BaseException as error:  # noqa: BLE001 - the parent must hear of it
        return describe_failure(error)
    return {
        "status": status,
        "exit_code": outcome.code_of_status(status),
        "message": "",
    }


def describe_failure(error: BaseException) -> dict[str, Any]:
    """Put what a job raised into its status.

    Args:
        error: The exception.

    Returns:
        ``status``, ``exit_code`` and ``message`` of the job.
    """
    if isinstance(error, KeyboardInterrupt):
        code = outcome.INTERRUPTED
        return {"status": "interrupted", "exit_code": code, "message": ""}
    code = outcome.report_error(error)
    message = outcome.describe_error(error)
    if isinstance(error, MemoryError) and not isinstance(error, EngineError):
        code = outcome.FAILED
        text = " ".join(str(error).split()).rstrip(".")
        message = (
            f"ran out of memory{f' ({text})' if text else ''}; give the job more (by "
            "--job-memory, where that is given), or shrink lattice.shape or "
            "bridges.per_node"
        )
    return {"status": "failed", "exit_code": code, "message": message}


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


if __name__ == "__main__":
    sys.exit(main())
