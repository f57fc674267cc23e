"""The recorder of a run: it writes configuration, tables and summary."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from engine.config import RunConfig
from engine.constants import SNAPSHOTS_FILE
from engine.disk import (
    build_write_error,
    make_folder,
    sync_file,
    write_text,
)
from engine.errors import CheckpointError, EngineError, RecordError, WriteError
from engine.recording.checkpoint import (
    CHECKPOINTS_FOLDER,
    describe_resumption,
    list_checkpoints,
    read_checkpoint,
    remove_checkpoints,
    remove_drafts,
)
from engine.recording.endpoint import ENDPOINT_FILE, EndpointRecord
from engine.recording.folder import (
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    JOB_FILES,
    SUMMARY_FILE,
    TIMESERIES_FILE,
    cannot_write,
    check_folder,
    claim_folder,
    clear_folder,
    is_config_lost,
    refuse_links,
    to_yaml,
)
from engine.recording.lock import LOCK_FILE, FolderLock
from engine.recording.parts import Marks, add_checksums, check_parts
from engine.recording.summary import RunSummary
from engine.recording.tables import TableWriter
from engine.recording.trace import TRACE_FILE

logger = logging.getLogger(__name__)

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
    "mesh_shares": "string",
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


@dataclass(frozen=True)
class Resumed:
    """Where a run goes on in its folder."""

    checkpoint: Path
    """The file that it goes on from."""
    marks: Mapping[str, Marks]
    """Parts of both tables that this relies on."""


class RunRecorder:
    """Writes one run folder; created only when the run is about to start."""

    def __init__(
        self,
        config: RunConfig,
        folder: str | Path,
        environment: Mapping[str, Any],
        resumed: Resumed | None = None,
    ) -> None:
        """Create the folder with configuration and environment, or go on in it.

        Args:
            config: What is about to run.
            folder: Folder to create.
            environment: What it runs on.
            resumed: Where to go on, if the run has been there before.

        Raises:
            RecordError: The folder holds something, is in use, or cannot be written; of
                a run that begins nothing is left there.
            CheckpointError: Another process has gone on from there meanwhile.
        """
        self.folder = Path(folder)
        self._lock: FolderLock | None = None
        self._sealed: dict[int, dict[str, Marks]] = {}
        self._tables: list[TableWriter] = []
        self._marks: dict[str, Marks] = {}
        is_here, is_claimed = self.folder.is_dir(), False
        try:
            if resumed is None:
                check_folder(self.folder, config.record.overwrite)
                make_folder(self.folder)
            self._lock = FolderLock(self.folder)
            if resumed is None:
                claim_folder(self.folder, config.record.overwrite)
                is_claimed = True
                write_text(self.folder / CONFIG_FILE, to_yaml(asdict(config)))
                write_text(self.folder / ENVIRONMENT_FILE, _to_json(environment))
            else:
                _find_again(resumed, self.folder)
            marks = resumed.marks if resumed else None
            self.timeseries = self._open(TIMESERIES_FILE, TIMESERIES_COLUMNS, marks)
            self.trace = self._open(TRACE_FILE, TRACE_COLUMNS, marks)
            if resumed is not None:
                _return_to(resumed, self.folder)
        except BaseException as error:
            self._give_up_tables()
            if is_claimed:
                self._withdraw()
            self.release()
            if is_claimed and not is_here:
                with suppress(OSError):
                    self.folder.rmdir()
            if isinstance(error, WriteError):  # nothing has begun yet
                raise RecordError(str(error)) from error
            if isinstance(error, EngineError) or not isinstance(error, OSError):
                raise
            raise cannot_write(folder, error) from error

    def _open(
        self, name: str, columns: Mapping[str, str], marks: Mapping[str, Marks] | None
    ) -> TableWriter:
        path, parts = self.folder / name, self.folder / CHECKPOINTS_FOLDER
        table = TableWriter(path, columns, parts, marks[name] if marks else None)
        self._tables.append(table)
        return table

    def _withdraw(self) -> None:
        """Remove what a run that cannot begin has written, but for its lock."""
        with suppress(OSError):
            clear_folder(self.folder, kept=JOB_FILES | {LOCK_FILE})

    def seal(self, step: int) -> dict[str, Marks]:
        """Close what both tables hold so far, for a checkpoint to rely on.

        Args:
            step: Lattice steps done; names the checkpoint.

        Returns:
            The marks of both.

        Raises:
            WriteError: The disk takes no more.
        """
        marks = {
            TIMESERIES_FILE: self._sum_up(TIMESERIES_FILE, self.timeseries.seal()),
            TRACE_FILE: self._sum_up(TRACE_FILE, self.trace.seal()),
        }
        self._sealed[step] = marks
        return marks

    def _sum_up(self, name: str, marks: Marks) -> Marks:
        """Add the checksums of new parts to the marks of a table."""
        table, parts = self.folder / name, self.folder / CHECKPOINTS_FOLDER
        try:
            marks = add_checksums(parts, table, marks, self._marks.get(name, []))
        except OSError as error:
            raise build_write_error(parts, error) from error
        self._marks[name] = marks
        return marks

    def drop_parts(self, kept: Collection[int]) -> None:
        """Remove the parts of tables that no checkpoint relies on any more.

        Nothing is removed while one is kept that an earlier process has written.

        Args:
            kept: Steps of the checkpoints that are kept.
        """
        for step in [step for step in self._sealed if step not in kept]:
            del self._sealed[step]
        if not set(kept) - {0} <= self._sealed.keys():
            return
        for name, table in (
            (TIMESERIES_FILE, self.timeseries),
            (TRACE_FILE, self.trace),
        ):
            table.drop_parts([marks[name] for marks in self._sealed.values()])

    def release(self) -> None:
        """Let other runs have the folder; harmless to repeat.

        A table that was not closed is removed, for nobody could read it.
        """
        self._give_up_tables()
        if self._lock is not None:
            self._lock.release()

    def announce(self, endpoint: EndpointRecord) -> None:
        """Say where the run can be scraped, until it has ended.

        Raises:
            WriteError: The disk takes no more.
        """
        endpoint.write(self.folder)

    def amend(self, summary: RunSummary) -> None:
        """Write the summary of a run again, or of one that `finish` could not end.

        Raises:
            WriteError: The disk takes no more.
        """
        self._write_summary(summary)

    def finish(self, summary: RunSummary) -> None:
        """Close the tables and write the summary, whatever happened to the tables.

        The folder stays taken until `release`.

        A run that is done, tables and all, needs no checkpoint any more; they are
        removed. One whose tables cannot be put together has failed, and can be resumed.

        Args:
            summary: How the run ended.

        Raises:
            WriteError: The disk takes no more. Of a run that has failed before this is
                only logged, for its first error is on the way to the user.
        """
        is_told = summary.status == "failed"
        failure = self._close_tables()
        if failure is not None:
            summary = to_failed(summary, failure, self.folder)
        try:
            self._write_summary(summary)
        except WriteError as error:
            failure = failure or error
        if failure is None:
            return
        if not is_told:
            raise failure
        logger.info("%s", failure)

    def _give_up_tables(self) -> None:
        for table in self._tables:
            table.give_up()

    def _close_tables(self) -> WriteError | None:
        """Close both tables; say what the disk did not take, broken files removed."""
        failure: WriteError | None = None
        broken = [table for table in self._tables if table.is_broken]
        for table in broken:
            table.give_up()
        for table in self._tables:
            try:
                if table not in broken:
                    table.close()
            except WriteError as error:
                failure = failure or error
                if table.is_broken:
                    table.give_up()
        return failure

    def _write_summary(self, summary: RunSummary) -> None:
        if summary.status == "done":
            self._sync()
        write_text(self.folder / SUMMARY_FILE, _to_json(summary.to_dict()))
        try:
            (self.folder / ENDPOINT_FILE).unlink(missing_ok=True)
            if summary.status == "done":
                remove_checkpoints(self.folder)
        except OSError as error:
            raise build_write_error(self.folder, error) from error

    def _sync(self) -> None:
        """Wait for what grew by pieces: nothing will tell it again.

        Raises:
            WriteError: The disk takes no more.
        """
        for name in (TIMESERIES_FILE, TRACE_FILE, SNAPSHOTS_FILE):
            path = self.folder / name
            try:
                if path.exists():
                    sync_file(path)
            except OSError as error:
                raise build_write_error(path, error) from error


def to_failed(summary: RunSummary, error: Exception, folder: Path | None) -> RunSummary:
    """Return the summary of a run that ends with an error.

    Args:
        summary: As it would have been.
        error: Why it failed.
        folder: Run folder.
    """
    notes = (*summary.notes, f"{type(error).__name__}: {error}")
    if summary.status == "done" and folder is not None:
        notes += describe_resumption(folder)
    return replace(summary, status="failed", notes=notes)


def check_marks(folder: Path, marks: Mapping[str, Marks]) -> None:
    """Check that the rows that a checkpoint relies on are there.

    Args:
        folder: Run folder.
        marks: Parts of both tables.

    Raises:
        DamagedCheckpointError: They are not.
    """
    for name, found in marks.items():
        check_parts(folder / CHECKPOINTS_FOLDER, folder / name, found)


def _find_again(resumed: Resumed, folder: Path) -> None:
    """Make sure that a checkpoint is there still.

    Raises:
        CheckpointError: It is not there any more.
        RecordError: A file of the run is a link.
    """
    refuse_links(folder)
    if not resumed.checkpoint.exists():
        raise CheckpointError(
            f"{resumed.checkpoint} has been removed meanwhile, because another process "
            f"has gone on with {folder}; look at its summary.json."
        )


def _return_to(resumed: Resumed, folder: Path) -> None:
    """Drop what lies after a checkpoint: a summary, later checkpoints, and drafts."""
    if is_config_lost(folder):
        config = read_checkpoint(resumed.checkpoint).card.config
        write_text(folder / CONFIG_FILE, to_yaml(config))
    (folder / SUMMARY_FILE).unlink(missing_ok=True)
    remove_drafts(folder)
    for path in list_checkpoints(folder):
        if path.name > resumed.checkpoint.name:
            path.unlink()


def _to_json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
