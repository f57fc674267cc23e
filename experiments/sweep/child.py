"""One job in a process of its own: read a configuration, run it, say how it went.

Its parent (`process.py`) passes a JSON object on standard input and reads the last
word from a pipe. Imports no Hydra, for nothing is left to compose.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError
from experiments import outcome
from experiments.resume import go_on_or_begin
from experiments.schema import run_config_from_dict
from experiments.sweep.confinement import (
    end_with_parent,
    limit_memory,
    read_peak_memory,
    take_work_buffers,
    volunteer_for_memory,
)
from experiments.sweep.stops import hear_the_warning

if TYPE_CHECKING:
    from engine.system import ScribbleSystem


class JobInterrupt(outcome.Interrupt):
    """Ends a job that is being built, and asks one that runs, however often.

    The parent passes on what the whole tree of processes has heard already, and has
    SIGKILL for what asking does not end.
    """

    def __init__(self) -> None:
        """Begin with nothing that could be asked."""
        super().__init__()
        self._request: Callable[[], None] | None = None

    def ask(self, system: ScribbleSystem) -> None:
        """Pass requests on from now on.

        Args:
            system: What is about to run.
        """
        self._request = system.request_stop

    def __call__(self, kind: int, frame: FrameType | None) -> None:
        """Raise once at most, and only while nothing runs.

        Raises:
            KeyboardInterrupt: Nothing ran yet.
        """
        if self._request is not None:
            self._request()
        elif not self.is_heard:
            super().__call__(kind, frame)


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
    stop = JobInterrupt()
    with outcome.interrupt_on_signals(stop):
        report = {**run_order(order, stop), "peak_memory_bytes": read_peak_memory()}
        # A signal changes nothing any more, until all of it is said.
        with os.fdopen(order["report_fd"], "w", encoding="utf-8") as stream:
            json.dump(report, stream)
    return int(report["exit_code"])


def run_order(order: Mapping[str, Any], stop: JobInterrupt) -> dict[str, Any]:
    """Run a configuration; whatever happens becomes part of the answer.

    Args:
        order: ``config``, a run configuration as plain values.
        stop: What is called by signals.

    Returns:
        ``status``, ``exit_code`` and ``message`` of the job.
    """
    try:
        hear_the_warning()
        config = run_config_from_dict(order["config"])
        config.validate()
        is_quiet = bool(order.get("is_quiet"))
        status, message = go_on_or_begin(config, is_quiet=is_quiet, on_built=stop.ask)
    except BaseException as error:  # noqa: BLE001 - the parent must hear of it
        is_lost = stop.is_heard and not isinstance(error, EngineError | OSError)
        return describe_failure(KeyboardInterrupt() if is_lost else error)
    exit_code = outcome.code_of_status(status)
    return {"status": status, "exit_code": exit_code, "message": message}


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


if __name__ == "__main__":
    sys.exit(main())
