"""One job in a process of its own: read a configuration, run it, say how it went.

Its parent (`process.py`) passes a JSON object on standard input and reads the last
word from a pipe. Imports no Hydra, for nothing is left to compose.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

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


if __name__ == "__main__":
    sys.exit(main())
