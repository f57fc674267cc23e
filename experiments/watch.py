"""Runs that go on, as targets for Prometheus, and the dashboard beside them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Final

from engine.disk import write_text
from engine.errors import RecordError
from engine.recording.endpoint import ENDPOINT_FILE, read_endpoint
from experiments import outcome
from experiments.overrides import CONF_PACKAGE, refuse_foreign_conf

SHIPPED_FILES: Final = ("prometheus.yml", "scribble.json")
"""What is copied from `conf/grafana`; Prometheus reads `TARGETS_FILE` beside it."""
TARGETS_FILE: Final = "targets.json"
LOOK_PERIOD_S: Final = 2.0
"""Wall time between two looks for new and ended runs [s]."""


def watch_runs(
    folder: Path,
    target: Path,
    *,
    is_once: bool = False,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Write the folder that Prometheus reads and keep its targets fresh.

    Args:
        folder: Where run folders are, at any depth.
        target: Folder to write; what is there of the same name is replaced.
        is_once: One look, then stop.
        wait: Waits for a span [s].

    Returns:
        Exit code; ending the watch with Ctrl-C is how it ends, so 0.

    Raises:
        RecordError: The target cannot be written, or there is no such folder.
        ConfigError: Another package hides the shipped one.
    """
    if is_once:
        _check_runs(folder)
    outcome.make_folder(target, "--to")
    try:
        _copy_shipped(target)
        shown: list[dict[str, Any]] | None = None
        while True:
            targets = list_targets(folder)
            if targets != shown:
                _replace(target / TARGETS_FILE, to_text(targets))
                sys.stdout.write(_describe(targets))
                sys.stdout.flush()
                shown = targets
            if is_once:
                return outcome.DONE
            wait(LOOK_PERIOD_S)
    except KeyboardInterrupt:
        _replace(target / TARGETS_FILE, to_text([]))
        return outcome.DONE
    except OSError as error:
        raise RecordError(
            f"--to {target} cannot be written ({error.strerror or error}); name "
            "another folder."
        ) from error


def print_targets(folder: Path) -> int:
    """Print the targets as JSON.

    Args:
        folder: Where run folders are, at any depth.

    Returns:
        Exit code.

    Raises:
        RecordError: There is no such folder.
    """
    _check_runs(folder)
    sys.stdout.write(to_text(list_targets(folder)))
    return outcome.DONE


def list_targets(folder: Path) -> list[dict[str, Any]]:
    """List the runs that can be scraped, as Prometheus' file_sd wants them.

    A run that was killed leaves its port file; it is not listed once its process has
    gone.

    Args:
        folder: Where run folders are, at any depth; it may not exist yet.

    Returns:
        A target group per run, sorted by path.
    """
    found = []
    for path in sorted(folder.rglob(ENDPOINT_FILE)):
        record = read_endpoint(path)
        if record is not None and record.is_alive:
            name = path.parent.relative_to(folder).as_posix()
            run = path.parent.resolve().name if name == "." else name
            found.append({"targets": [record.target], "labels": {"run": run}})
    return found


def to_text(targets: list[dict[str, Any]]) -> str:
    """Write targets as the text of a file_sd file."""
    return f"{json.dumps(targets, indent=2)}\n"


def _check_runs(folder: Path) -> None:
    if not folder.is_dir():
        raise RecordError(f"{folder} is not a folder; name the one that holds runs.")


def _copy_shipped(target: Path) -> None:
    refuse_foreign_conf()
    source = resources.files(CONF_PACKAGE) / "grafana"
    for name in SHIPPED_FILES:
        _replace(target / name, (source / name).read_text("utf-8"))


def _replace(path: Path, text: str) -> None:
    """Write a file in one piece, so that Prometheus never reads half of it."""
    write_text(path, text)


def _describe(targets: list[dict[str, Any]]) -> str:
    """Say which runs are on, a line each."""
    lines = [f"  {group['targets'][0]}  {group['labels']['run']}" for group in targets]
    count = len(targets)
    head = f"{count} {'run' if count == 1 else 'runs'} to watch"
    return "\n".join([head + (":" if lines else ""), *lines]) + "\n"
