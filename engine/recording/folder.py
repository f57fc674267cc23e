"""The run folder: configuration, environment, time series, trace and summary."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.config import RunConfig
from engine.constants import LOCKING_FILE, NODES_FILE, SNAPSHOTS_FILE
from engine.errors import RecordError
from engine.recording.endpoint import ENDPOINT_FILE, EndpointRecord
from engine.recording.summary import RunSummary
from engine.recording.trace import TRACE_FILE

ROWS_PER_WRITE = 1024
TIMESERIES_FILE = "timeseries.parquet"
CONFIG_FILE, ENVIRONMENT_FILE = "config.yaml", "environment.json"
SUMMARY_FILE, STATUS_FILE = "summary.json", "status.json"
REPORT_FILE = "report.html"
RUN_FILES = frozenset(
    (CONFIG_FILE, ENVIRONMENT_FILE, TIMESERIES_FILE, TRACE_FILE, SUMMARY_FILE)
) | {STATUS_FILE, REPORT_FILE, SNAPSHOTS_FILE, NODES_FILE, LOCKING_FILE, ENDPOINT_FILE}
"""All that a run folder may hold; a sweep adds its job's status, a report itself, a run
that goes on or was killed its port file."""
JOB_FILES = frozenset((STATUS_FILE, "job.log"))
"""What a sweep writes beside a run while it goes on."""

TIMESERIES_COLUMNS = {
    "step": "int64",
    "simulated_s": "float64",
    "wall_s": "float64",
    "coherence": "float64",
    "mean_phase_rad": "float64",
    "local_coherence": "float64",
    "vortex_count": "int64",
    "winding_turns": "float64",
    "frequency_hz": "float64",
    "required_hz": "float64",
    "offered_hz": "float64",
    "state": "string",
    "attempts": "int64",
    "successes": "int64",
    "lattice_s": "float64",
    "tunnel_s": "float64",
    "availability": "float64",
    "load_asked": "float64",
    "load_achieved": "float64",
}
"""One row per recorded control period.

attempts and successes count from the start; lattice_s, tunnel_s and frequency_hz are
those of the period itself; local_coherence, vortex_count and winding_turns are measured
every 16 periods and held in between; load_asked and load_achieved are the newest
comparison of a real load, null without one.
"""

TRACE_COLUMNS = {
    "simulated_s": "float64",
    "coherence": "float64",
    "availability": "float64",
    "limiting_resource": "string",
    "tunnel_frequency_hz": "float64",
    "age_s": "float64",
    "is_stale": "bool",
    "sensor_flaw": "string",
    "node_step_s": "float64",
    "event_s": "float64",
    "frequency_hz": "float64",
    "offered_hz": "float64",
    "required_hz": "float64",
    "margin": "float64",
    "state": "string",
    "metrics": "string",
    "rollout_stage": "string",
    "rollout_share": "float64",
    "rollout_frequency_hz": "float64",
    "mesh_looks": "int64",
    "mesh_moved": "float64",
    "mesh_gap": "float64",
    "mesh_shares": "list",
}
"""One row per decision; `metrics` is the whole resource sample as JSON.

sensor_flaw says why the newest reading was not believed, the sample being held; null
where it was believed.

The columns of a rollout are null in a run without one; rollout_frequency_hz is what
the new policy decided, rollout_stage is null while no bridge follows it. The decision
in the other columns is the old policy's until the new one has all bridges.

The columns of a mesh are null in a run without one, and hold what its last look led to:
the share of the bridges that moved, the mean of 1 - cos d that attempts found and
that lasts, and the share of the bridges on each rung of the budget, the highest first.
"""


class TableWriter:
    """Appends rows to a Parquet file in batches of `ROWS_PER_WRITE`."""

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        """Open the file.

        Args:
            path: File to create.
            columns: Name and Arrow type of each column.
        """
        import pyarrow as pa
        from pyarrow import parquet

        types = {"string": pa.string(), "bool": pa.bool_(), "int64": pa.int64()}
        types["list"] = pa.list_(pa.float64())
        fields = [
            (name, types.get(kind, pa.float64())) for name, kind in columns.items()
        ]
        self._build = pa.Table.from_pylist
        self._schema = pa.schema(fields)
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._path = path
        self._rows: list[Mapping[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """Append one row.

        Raises:
            RecordError: The disk takes no more.
        """
        self._rows.append(row)
        if len(self._rows) >= ROWS_PER_WRITE:
            try:
                self._flush()
            except OSError as error:
                raise _cannot_write(self._path, error) from error

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._build(self._rows, schema=self._schema))
            self._rows = []

    def close(self) -> None:
        """Write what is left and the file's footer."""
        self._flush()
        self._writer.close()


class RunRecorder:
    """Writes one run folder; created only when the run is about to start."""

    def __init__(
        self, config: RunConfig, folder: str | Path, environment: Mapping[str, Any]
    ) -> None:
        """Create the folder with configuration and environment.

        Args:
            config: What is about to run.
            folder: Folder to create.
            environment: What it runs on.

        Raises:
            RecordError: The folder holds something, or cannot be written.
        """
        self.folder = Path(folder)
        try:
            _claim_folder(self.folder, config.record.overwrite)
            self._write_text(CONFIG_FILE, to_yaml(asdict(config)))
            self._write_text(ENVIRONMENT_FILE, _to_json(environment))
            series, trace = self.folder / TIMESERIES_FILE, self.folder / TRACE_FILE
            self.timeseries = TableWriter(series, TIMESERIES_COLUMNS)
            self.trace = TableWriter(trace, TRACE_COLUMNS)
        except RecordError:
            raise
        except OSError as error:
            raise _cannot_write(folder, error) from error

    def announce(self, endpoint: EndpointRecord) -> None:
        """Say where the run can be scraped, until it has ended.

        Raises:
            RecordError: The disk takes no more.
        """
        try:
            endpoint.write(self.folder)
        except OSError as error:
            raise _cannot_write(self.folder, error) from error

    def amend(self, summary: RunSummary) -> None:
        """Write the summary of a finished run again.

        Raises:
            RecordError: The disk takes no more.
        """
        try:
            self._write_text(SUMMARY_FILE, _to_json(summary.to_dict()))
        except OSError as error:
            raise _cannot_write(self.folder, error) from error

    def finish(self, summary: RunSummary) -> None:
        """Close the tables and write the summary, whatever happened to the tables.

        Raises:
            RecordError: The disk takes no more.
        """
        try:
            self.timeseries.close()
            self.trace.close()
        except OSError as error:
            raise _cannot_write(self.folder, error) from error
        finally:
            self._write_text(SUMMARY_FILE, _to_json(summary.to_dict()))
            (self.folder / ENDPOINT_FILE).unlink(missing_ok=True)

    def _write_text(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")


def _claim_folder(folder: Path, overwrite: bool) -> None:
    """Make an empty folder, or empty an old run folder if that is allowed."""
    check_folder(folder, overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    entries = list(folder.iterdir())
    if {entry.name for entry in entries} <= JOB_FILES:
        return  # a sweep has begun the job that this is
    for entry in entries:
        entry.unlink()


def check_folder(folder: Path, overwrite: bool) -> None:
    """Check that a run folder may be written, without touching it.

    Args:
        folder: Folder of the coming run.
        overwrite: Whether an earlier run's folder may be replaced.

    Raises:
        RecordError: The folder holds something that must not be replaced.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise RecordError(
                f"record.folder {folder} is a file; choose another folder."
            )
        found = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
    except RecordError:
        raise
    except OSError as error:
        raise _cannot_write(folder, error) from error
    if found <= JOB_FILES:
        return
    if not overwrite:
        raise RecordError(
            f"record.folder {folder} exists and is not empty; choose another, or set "
            "record.overwrite=true."
        )
    foreign = sorted(found - RUN_FILES)
    if foreign or not {CONFIG_FILE, ENVIRONMENT_FILE} <= found:
        named = f" such as {foreign[0]}" if foreign else ""
        raise RecordError(
            f"record.folder {folder} holds what no run has written{named}, so "
            "record.overwrite does not apply; choose another folder."
        )


def _cannot_write(folder: str | Path, error: OSError) -> RecordError:
    return RecordError(
        f"record.folder {folder} cannot be written ({error.strerror or error}); choose "
        "another folder."
    )


def _to_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


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
    if isinstance(item, (list, tuple)):
        return "[" + ", ".join(_to_scalar(entry) for entry in item) + "]"
    if isinstance(item, float) and math.isfinite(item):
        text = repr(item)
        return text if "." in text or "e" not in text else text.replace("e", ".0e")
    return json.dumps(item, ensure_ascii=False)
