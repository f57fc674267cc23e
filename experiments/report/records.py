"""A run folder as it was found, whole or damaged; each gap becomes a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.intake import read_json as read_json_file
from engine.intake import read_table
from engine.recording.folder import (
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    STATUS_FILE,
    SUMMARY_FILE,
    TIMESERIES_FILE,
)
from engine.recording.trace import TRACE_FILE
from experiments.report.document import to_number
from experiments.stored_yaml import read_yaml

Columns = Mapping[str, npt.NDArray[Any]]
"""A table by column; absent numbers are NaN."""

RUN_MARKS: Final = (SUMMARY_FILE, CONFIG_FILE)
"""Either of these makes a folder a run folder."""
UNFINISHED: Final = "unfinished"
"""Status of a run without a summary: it still runs, or it was killed."""


@dataclass(frozen=True)
class RunRecord:
    """What a run folder holds."""

    folder: Path
    """Where it lies."""
    summary: Mapping[str, Any]
    """Content of ``summary.json``; empty where it cannot be read."""
    config: Mapping[str, Any]
    """Content of ``config.yaml``, nested; empty where it cannot be read."""
    environment: Mapping[str, Any]
    """Content of ``environment.json``; empty where it cannot be read."""
    series: Columns = field(default_factory=dict)
    """Columns of ``timeseries.parquet``."""
    trace: Columns = field(default_factory=dict)
    """Columns of ``trace.parquet``."""
    problems: tuple[str, ...] = ()
    """What could not be read, a sentence each."""

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def status(self) -> str:
        """done, interrupted, failed or `UNFINISHED`."""
        return str(self.summary.get("status", UNFINISHED))

    def number(self, *path: str) -> float | None:
        """Return a number of the summary, or None where it is absent.

        Args:
            *path: Keys from the outside in.
        """
        return to_number(dig(self.summary, *path))

    def setting(self, *path: str) -> Any:
        """Return a value of the configuration, or None where it is absent.

        Args:
            *path: Keys from the outside in.
        """
        return dig(self.config, *path)


def dig(values: Any, *path: str) -> Any:
    """Follow keys into nested mappings, None where they lead nowhere.

    Args:
        values: Nested mappings.
        *path: Keys from the outside in.
    """
    for key in path:
        if not isinstance(values, Mapping):
            return None
        values = values.get(key)
    return values


def is_run_folder(folder: Path) -> bool:
    """Tell whether a run has written into a folder.

    Args:
        folder: Any folder.
    """
    return any((folder / name).is_file() for name in RUN_MARKS)


def read_run(folder: Path, *, has_tables: bool = True) -> RunRecord:
    """Read a run folder as far as it can be read.

    Args:
        folder: A run folder.
        has_tables: Whether the Parquet tables are wanted too.
    """
    problems: list[str] = []
    summary = read_json(folder / SUMMARY_FILE, problems)
    config = _read_yaml(folder / CONFIG_FILE, problems)
    environment = read_json(folder / ENVIRONMENT_FILE, problems)
    series: Columns = {}
    trace: Columns = {}
    if has_tables:
        series = read_columns(folder / TIMESERIES_FILE, problems)
        trace = read_columns(folder / TRACE_FILE, problems)
    if not (folder / SUMMARY_FILE).exists():
        problems.insert(
            0, f"There is no {SUMMARY_FILE}: the run still goes on, or it was killed."
        )
    told = tuple(problems)
    return RunRecord(folder, summary, config, environment, series, trace, told)


def read_json(path: Path, problems: list[str]) -> dict[str, Any]:
    """Read a JSON object; {} where there is none.

    Args:
        path: The file; its absence is no problem here.
        problems: Takes a sentence where the file is damaged.
    """
    if not path.exists():
        return {}
    try:
        content: Any = read_json_file(path)
    except (OSError, ValueError) as error:
        problems.append(describe_damage(path, error))
        return {}
    if not isinstance(content, dict):
        problems.append(
            f"{path.name} holds no table of names and values; it is left out."
        )
        return {}
    return content


def _read_yaml(path: Path, problems: list[str]) -> dict[str, Any]:
    """Read a YAML mapping; {} where there is none."""
    try:
        return read_yaml(path)
    except (OSError, ValueError) as error:
        problems.append(describe_damage(path, error))
        return {}


def read_columns(path: Path, problems: list[str]) -> Columns:
    """Read a Parquet table by column; {} where there is none.

    Args:
        path: The file.
        problems: Takes a sentence where the file is absent or damaged.
    """
    try:
        table = read_table(path)
    except Exception as error:  # noqa: BLE001 - PyArrow has many
        problems.append(describe_damage(path, error))
        return {}
    return {
        name: column.astype(np.float64 if column.dtype.kind in "iuf" else object)
        for name, column in table.items()
    }


def describe_damage(path: Path, error: BaseException) -> str:
    """Say in a sentence that a file cannot be read, and why.

    Args:
        path: The file.
        error: What reading it raised.
    """
    if isinstance(error, FileNotFoundError):
        return f"{path.name} is missing; what it would show is left out."
    reason = " ".join(str(error).split()).replace(str(path), path.name)
    return (
        f"{path.name} cannot be read, so what it would show is left out "
        f"({reason[:160].rstrip('. ')})."
    )


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested mappings into one of full keys, such as ``lattice.shape``.

    Args:
        values: Nested mappings of plain values.
        prefix: Key of the place, with its dot.
    """
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def read_status(folder: Path, problems: list[str]) -> dict[str, Any]:
    """Read how a job of a sweep ended; {} where it has not.

    Args:
        folder: Folder of the job.
        problems: Takes a sentence where the file is damaged.
    """
    return read_json(folder / STATUS_FILE, problems)
