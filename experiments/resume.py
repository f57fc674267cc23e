"""A run that was cut off, gone on with in its own folder."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config import RunConfig
from engine.errors import CheckpointError
from experiments import outcome
from experiments.run import execute_run, show_run

if TYPE_CHECKING:
    from engine.recording import RunSummary
    from engine.system import ScribbleSystem


def resume_run(
    folder: Path,
    *,
    backend: str | None = None,
    threads: int | None = None,
    metrics_port: int | None = None,
    is_quiet: bool = False,
) -> int:
    """Go on with a run from its newest whole checkpoint.

    Args:
        folder: Run folder.
        backend: Name of another back end.
        threads: Another number of threads, >= 1.
        metrics_port: Another port for the metrics, in [0, 65535].
        is_quiet: Show nothing but the closing line.

    Returns:
        Exit code; 0 also where nothing is left to do, so that a script may ask again.

    Raises:
        CheckpointError: There is nothing to go on from, or it does not fit.
        EngineError: The machine or the folder does not allow the run.
    """
    from engine.recording.folder import tidy_folder
    from engine.system.resumption import read_status

    if read_status(folder) == "done":
        tidy_folder(folder)
        sys.stdout.write(f"{folder} is finished; there is nothing to resume.\n")
        return outcome.DONE
    summary = execute_resumption(
        folder,
        backend=backend,
        threads=threads,
        metrics_port=metrics_port,
        is_quiet=is_quiet,
    )
    return outcome.code_of_status(summary.status)


def go_on_or_begin(config: RunConfig, *, is_quiet: bool = False) -> RunSummary:
    """Go on from a checkpoint of the same run, if its folder holds one; else begin.

    What an earlier attempt has left there is removed before a run begins.

    Args:
        config: Validated configuration.
        is_quiet: Show nothing but the closing line.

    Returns:
        What the run came to.

    Raises:
        EngineError: The machine or the folder does not allow the run.
    """
    from engine.recording.checkpoint import list_checkpoints
    from engine.recording.folder import JOB_FILES, clear_folder

    folder = Path(config.record.folder) if config.record.folder is not None else None
    if folder is None or not list_checkpoints(folder):
        return execute_run(config, is_quiet=is_quiet)
    if _is_same_run(config, folder):
        backend, threads = config.backend.name, config.backend.threads
        return execute_resumption(
            folder, backend=backend, threads=threads, is_quiet=is_quiet
        )
    clear_folder(folder, kept=JOB_FILES)
    return execute_run(config, is_quiet=is_quiet)


def _is_same_run(config: RunConfig, folder: Path) -> bool:
    """Tell whether a folder can be gone on with, and is of this configuration."""
    from engine.system.resumption import build_config, find_checkpoint

    try:
        own = build_config(find_checkpoint(folder), folder, config.backend)
    except CheckpointError:
        return False
    return replace(own, record=config.record) == config


def execute_resumption(
    folder: Path,
    *,
    backend: str | None = None,
    threads: int | None = None,
    metrics_port: int | None = None,
    is_quiet: bool = False,
) -> RunSummary:
    """Go on with a run in view and print the closing table.

    Args:
        folder: Run folder.
        backend: Name of another back end.
        threads: Another number of threads, >= 1.
        metrics_port: Another port for the metrics, in [0, 65535].
        is_quiet: Show nothing but the closing line.

    Returns:
        What the run came to.

    Raises:
        EngineError: The machine or the folder does not allow the run.
    """

    def build() -> ScribbleSystem:
        from engine.system import ScribbleSystem
        from engine.system.resumption import build_config, find_checkpoint

        found = find_checkpoint(folder)
        own = build_config(found, folder, None)
        name = own.backend.name if backend is None else backend
        count = own.backend.threads if threads is None else threads
        port = own.metrics.port if metrics_port is None else metrics_port
        config = replace(
            own,
            backend=replace(own.backend, name=name, threads=count),
            metrics=replace(own.metrics, port=port),
        )
        return ScribbleSystem(config, checkpoint=found)

    return show_run(build, is_quiet=is_quiet)
