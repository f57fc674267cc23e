"""The run folder: what lies in it, and who may write there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.constants import LOCKING_FILE, NODES_FILE, SNAPSHOTS_FILE
from engine.disk import (
    DRAFT_SUFFIX,
    describe_failure,
    refuse_closed,
)
from engine.errors import RecordError
from engine.intake import read_json, read_text
from engine.recording.checkpoint import (
    CHECKPOINTS_FOLDER,
    list_inside,
    remove_checkpoints,
)
from engine.recording.endpoint import ENDPOINT_FILE
from engine.recording.lock import LOCK_FILE, FolderLock, refuse_taken
from engine.recording.mlflow_sink import MEMO_FILE
from engine.recording.trace import TRACE_FILE

TIMESERIES_FILE = "timeseries.parquet"
CONFIG_FILE, ENVIRONMENT_FILE = "config.yaml", "environment.json"
SUMMARY_FILE, STATUS_FILE = "summary.json", "status.json"
REPORT_FILE = "report.html"
RUN_FILES = frozenset(
    (
        *(CONFIG_FILE, ENVIRONMENT_FILE, TIMESERIES_FILE, TRACE_FILE, SUMMARY_FILE),
        *(STATUS_FILE, REPORT_FILE, SNAPSHOTS_FILE, NODES_FILE, LOCKING_FILE),
        *(ENDPOINT_FILE, LOCK_FILE, CHECKPOINTS_FOLDER, MEMO_FILE),
    )
)
"""All that a run folder may hold; a sweep adds its job's status, a report itself, a run
that goes on or was killed its port file, its lock and its checkpoints."""
JOB_FILES = frozenset((STATUS_FILE, "job.log"))
"""What a sweep writes beside a run while it goes on."""


def is_config_lost(folder: Path) -> bool:
    """Tell whether a loss of power has left nothing but the name of a configuration.

    Args:
        folder: Run folder.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no text.
    """
    path = folder / CONFIG_FILE
    return path.exists() and not read_text(path).strip("\0 \r\n")


def refuse_links(folder: Path) -> None:
    """Refuse to go on in a folder where a run would write through a link.

    Args:
        folder: Run folder.

    Raises:
        RecordError: A file that a run writes, or the folder of its checkpoints, is one.
    """
    inside = folder / CHECKPOINTS_FOLDER
    own = [folder / name for name in RUN_FILES]
    own += [folder / f"{name}{DRAFT_SUFFIX}" for name in RUN_FILES]
    own += inside.iterdir() if inside.is_dir() else ()
    link = next((path for path in own if path.is_symlink()), None)
    if link is not None:
        raise RecordError(
            f"{link} is a link, and a run writes into its own folder alone; replace it "
            "by what it leads to."
        )


def claim_folder(folder: Path, overwrite: bool) -> None:
    """Empty an old run folder, if that is allowed; a sweep's own files stay."""
    check_folder(folder, overwrite, is_held=True)
    found = {entry.name for entry in folder.iterdir()}
    if not found <= JOB_FILES | {LOCK_FILE}:
        clear_folder(folder, kept=frozenset((LOCK_FILE,)))


def tidy_folder(folder: Path) -> None:
    """Remove what a run that was killed after its summary had no time to remove.

    A checkpoint of a later step was written by hand, and stays.

    Args:
        folder: Folder of a run that is done.

    Raises:
        RecordError: Somebody writes there, or the folder cannot be written.
    """
    if not any((folder / name).exists() for name in (CHECKPOINTS_FOLDER, LOCK_FILE)):
        return
    try:
        lock = FolderLock(folder)
        try:
            remove_checkpoints(folder, _read_last_step(folder))
        finally:
            lock.release()
    except RecordError:
        raise
    except OSError as error:
        raise cannot_write(folder, error) from error


def _read_last_step(folder: Path) -> int:
    """Read how far a run that is done has gone; 0 where its summary does not say."""
    try:
        return int(read_json(folder / SUMMARY_FILE)["steps"])
    except (ValueError, TypeError, LookupError):
        return 0


def clear_folder(folder: Path, kept: frozenset[str] = frozenset()) -> None:
    """Remove all that runs write into a folder, and nothing else.

    Args:
        folder: Run folder, or what has been left of one.
        kept: Names to leave there.
    """
    remove_checkpoints(folder)
    names = (RUN_FILES | JOB_FILES) - {CHECKPOINTS_FOLDER} - kept
    for name in names:
        (folder / name).unlink(missing_ok=True)
        (folder / f"{name}{DRAFT_SUFFIX}").unlink(missing_ok=True)


def check_folder(folder: Path, overwrite: bool, *, is_held: bool = False) -> None:
    """Check that a run folder may be written, without touching it.

    Args:
        folder: Folder of the coming run.
        overwrite: Whether an earlier run's folder may be replaced.
        is_held: Whether its lock is held by whoever asks.

    Raises:
        RecordError: The folder is in use, or holds something that must not be replaced.
    """
    if not is_held:
        refuse_taken(folder)
    try:
        if folder.exists() and not folder.is_dir():
            raise RecordError(
                f"record.folder {folder} is a file; choose another folder."
            )
        found = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
    except RecordError:
        raise
    except OSError as error:
        raise cannot_write(folder, error) from error
    refuse_closed(folder, f"record.folder {folder}", "choose another folder")
    if found <= JOB_FILES | ({LOCK_FILE} if is_held else set()):
        return
    if not overwrite:
        raise RecordError(
            f"record.folder {folder} exists and is not empty; choose another, or set "
            "record.overwrite=true."
        )
    known = RUN_FILES | {f"{name}{DRAFT_SUFFIX}" for name in RUN_FILES}
    foreign = sorted(found - known) or _list_foreign(folder)
    # A run that was killed at once has left its lock and little else.
    is_run = LOCK_FILE in found or {CONFIG_FILE, ENVIRONMENT_FILE} <= found
    if foreign or not is_run:
        named = f" such as {foreign[0]}" if foreign else ""
        raise RecordError(
            f"record.folder {folder} holds what no run has written{named}, so "
            "record.overwrite does not apply; choose another folder."
        )


def _list_foreign(folder: Path) -> list[str]:
    """List what lies among the checkpoints of a run without being one of them."""
    inside = folder / CHECKPOINTS_FOLDER
    entries = set(inside.iterdir()) if inside.is_dir() else set()
    strange = sorted(entries - set(list_inside(folder)))
    return [str(path.relative_to(folder)) for path in strange]


def cannot_write(folder: str | Path, error: OSError) -> RecordError:
    """Build the error of a folder in which a run cannot write.

    Args:
        folder: Run folder.
        error: What the system answered.
    """
    why = describe_failure(error, Path(folder))
    return RecordError(
        f"record.folder {folder} cannot be written ({why}); choose another folder."
    )


def to_yaml(value: Mapping[str, Any], indent: int = 0) -> str:
    """Write nested mappings of plain values as YAML (the engine needs no YAML library).

    Args:
        value: Strings, numbers, booleans, None, sequences of these, and mappings.
        indent: Spaces before each key.

    Returns:
        The text, one key a line.
    """
    lines = []
    for key, item in value.items():
        pad = " " * indent
        if isinstance(item, Mapping):
            lines.append(f"{pad}{key}:\n{to_yaml(item, indent + 2)}")
        else:
            lines.append(f"{pad}{key}: {_to_scalar(item)}\n")
    return "".join(lines)


def _to_scalar(item: Any) -> str:
    """Write a plain value so that YAML 1.1 and 1.2 readers agree on its type."""
    if isinstance(item, np.generic):
        item = item.item()
    if isinstance(item, (list, tuple)):
        return "[" + ", ".join(_to_scalar(entry) for entry in item) + "]"
    if isinstance(item, float) and math.isfinite(item):
        text = repr(item)
        return text if "." in text or "e" not in text else text.replace("e", ".0e")
    return json.dumps(item, ensure_ascii=False)
