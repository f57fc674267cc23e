"""The table of a sweep, one row per job, made from its files alone.

So it can be made at any time, of a sweep that runs, was killed or is complete.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from engine.disk import build_write_error, replace_whole
from engine.intake import read_json, take_mapping
from engine.recording.folder import SUMMARY_FILE
from experiments.sweep.plan import key_of_word, parse_value, read_plan
from experiments.sweep.status import JobStatus, read_statuses

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_FILE: Final = "sweep.parquet"
"""The table, in the folder of the sweep."""
SUMMARY_PREFIX: Final = "summary."
"""Begins the columns that come from summary.json."""
STATUS_COLUMNS: Final = (
    "job",
    "status",
    "message",
    "exit_code",
    "attempt",
    "seconds",
    "peak_memory_bytes",
    "host",
    "gpu",
)
"""Columns that come from the status; overrides follow under their own keys."""
PENDING: Final = "pending"
"""Status of a job that was never started."""


def collect_rows(folder: Path) -> list[dict[str, Any]]:
    """Collect what is known of every job.

    Args:
        folder: Folder of the sweep.

    Returns:
        One row per job, by number: its status, its overrides by key, and its summary,
        flattened to keys such as ``summary.coherence.mean``.

    Raises:
        RecordError: The folder holds no sweep, or a file in it is damaged.
    """
    plan = read_plan(folder)
    statuses = {status.job: status for status in read_statuses(folder)}
    overrides = {status.job: status.overrides for status in statuses.values()}
    overrides |= {job.job: job.overrides for job in plan.jobs}
    return [
        _build_row(folder, number, overrides[number], statuses.get(number))
        for number in sorted(overrides)
    ]


def _build_row(
    folder: Path, number: int, overrides: Sequence[str], status: JobStatus | None
) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(STATUS_COLUMNS)
    row |= {"job": number, "status": PENDING, "message": ""}
    if status is not None:
        row |= {name: getattr(status, name) for name in STATUS_COLUMNS}
    pairs = (word.partition("=") for word in overrides)
    row |= {key_of_word(key): parse_value(text) for key, _, text in pairs}
    try:
        return row | _read_summary(folder / str(number) / SUMMARY_FILE)
    except (OSError, ValueError) as error:
        # A job that was killed, or a full disk, leaves half a file behind.
        text = f"{SUMMARY_FILE} cannot be read ({error})"
        return row | {"message": "; ".join(filter(None, (row["message"], text)))}


def _read_summary(path: Path) -> dict[str, Any]:
    """Read a summary, flattened; empty where there is none yet."""
    try:
        summary = take_mapping(read_json(path))
    except FileNotFoundError:
        return {}
    return dict(flatten_summary(summary, SUMMARY_PREFIX))


def flatten_summary(
    values: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Flatten nested figures to dotted keys; lists become JSON text.

    Args:
        values: Such as the content of ``summary.json``.
        prefix: Begins every key.
    """
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten_summary(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}", json.dumps(value)
        else:
            yield f"{prefix}{key}", value


def build_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Build the table.

    Args:
        rows: From `collect_rows`.

    Returns:
        A column per key that any row has, each of one type: text where they differ.
    """
    import pyarrow as pa

    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    return pa.table({name: _unify(values) for name, values in columns.items()})


def _unify(values: list[Any]) -> list[Any]:
    """Give the values of a column one type."""
    kinds = {type(value) for value in values} - {type(None)}
    if len(kinds) < 2:
        return values
    convert: type[float] | type[str] = float if kinds == {int, float} else str
    return [None if value is None else convert(value) for value in values]


def write_table(folder: Path, rows: Sequence[Mapping[str, Any]] | None = None) -> Path:
    """Write the table of a sweep, whole or not at all.

    Args:
        folder: Folder of the sweep.
        rows: From `collect_rows`; collected by default.

    Returns:
        The file.

    Raises:
        RecordError: The folder holds no sweep.
        WriteError: It cannot be written.
    """
    from pyarrow import parquet

    table = build_table(collect_rows(folder) if rows is None else rows)
    path = folder / TABLE_FILE
    try:
        with replace_whole(path, is_shared=True) as draft:
            parquet.write_table(table, draft, compression="zstd")
    except OSError as error:
        raise build_write_error(path, error, "copy the sweep") from error
    return path
