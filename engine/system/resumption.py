"""Finding what a run can be resumed from, and with which configuration."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.config import BackendConfig, RunConfig
from engine.config.plain import run_config_from_dict
from engine.constants import SNAPSHOTS_FILE
from engine.errors import (
    CheckpointError,
    ConfigError,
    DamagedCheckpointError,
    RecordError,
    quote,
)
from engine.intake import read_json, read_text
from engine.observation import open_snapshots
from engine.recording.checkpoint import Checkpoint, list_checkpoints, read_checkpoint
from engine.recording.folder import (
    CONFIG_FILE,
    SUMMARY_FILE,
    TIMESERIES_FILE,
    is_config_lost,
    to_yaml,
)
from engine.recording.lock import refuse_taken
from engine.recording.parts import build_read_error, is_passing, take_marks, to_plain
from engine.recording.recorder import check_marks
from engine.recording.trace import TRACE_FILE

logger = logging.getLogger(__name__)


def find_checkpoint(folder: Path) -> Checkpoint:
    """Find the newest checkpoint of a folder that is whole; say which are not.

    Args:
        folder: Run folder.

    Raises:
        RecordError: Another run writes there, or a file cannot be read at present.
        CheckpointError: There is none, the newest is of a newer version or another
            configuration, or all are damaged.
    """
    refuse_taken(folder)
    try:
        found = list_checkpoints(folder)
    except OSError as error:
        raise build_read_error(folder, error) from error
    if not found:
        raise _explain_absence(folder)
    damage = ""
    for path in found:
        try:
            checkpoint = read_checkpoint(path)
            check_marks(folder, _find_marks(checkpoint))
            _check_snapshots(folder, checkpoint)
        except DamagedCheckpointError as error:
            logger.warning("%s Going on from the one before.", error)
            damage = damage or str(error)
            continue
        _check_config(folder, checkpoint)
        return checkpoint
    raise CheckpointError(
        f"{folder} holds no whole checkpoint ({damage}); start the run again."
    )


def _explain_absence(folder: Path) -> CheckpointError:
    if not folder.is_dir():
        return CheckpointError(f"{folder} is no run folder; name one.")
    if read_status(folder) == "done":
        return CheckpointError(f"{folder} is finished; there is nothing to resume.")
    return CheckpointError(
        f"{folder} holds no checkpoint: it is no run folder, the run ended before its "
        "first step, or record.checkpoints_kept was 0. Start the run again."
    )


def read_status(folder: Path) -> str | None:
    """Read how the run of a folder has ended.

    Args:
        folder: Run folder.

    Returns:
        done, interrupted or failed; None where it has not, or nobody knows.
    """
    try:
        summary = read_json(folder / SUMMARY_FILE)
        return str(summary["status"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _find_marks(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Return the parts of tables that a checkpoint relies on."""
    try:
        journal = checkpoint.state["journal"] if checkpoint.state else {}
        found = journal.get("marks") or {}
        return {
            name: to_plain(take_marks(found[name]))
            for name in (TIMESERIES_FILE, TRACE_FILE)
            if found
        }
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DamagedCheckpointError(
            f"{checkpoint.path} does not say which rows it relies on."
        ) from error


def _check_snapshots(folder: Path, checkpoint: Checkpoint) -> None:
    """Check that the snapshots that a checkpoint counts are there.

    Raises:
        DamagedCheckpointError: They are not.
        RecordError: They cannot be read at present.
    """
    if checkpoint.state is None or not _find_marks(checkpoint):
        return
    count = checkpoint.state.get("observer", {}).get("snapshot_count", 0)
    try:
        if count and len(open_snapshots(folder)) < count:
            raise DamagedCheckpointError(
                f"{checkpoint.path} counts {count} snapshots, but {SNAPSHOTS_FILE} "
                "holds fewer."
            )
    except (RecordError, TypeError) as error:
        cause = error.__cause__
        if cause is not None and is_passing(cause):
            raise build_read_error(folder / SNAPSHOTS_FILE, cause) from error
        raise DamagedCheckpointError(str(error)) from error


def _check_config(folder: Path, checkpoint: Checkpoint) -> None:
    """Hold the configuration of a checkpoint against that of its folder.

    A file that a loss of power has emptied is written anew when the run goes on.

    Raises:
        CheckpointError: They differ.
        RecordError: That of the folder cannot be read at present.
    """
    try:
        if is_config_lost(folder):
            logger.warning(
                "%s is empty; it is written anew from %s.",
                folder / CONFIG_FILE,
                checkpoint.path,
            )
            return
        stored = read_text(folder / CONFIG_FILE).splitlines()
    except FileNotFoundError:
        return  # a checkpoint that was written by hand
    except OSError as error:
        raise build_read_error(folder / CONFIG_FILE, error) from error
    except ValueError as error:
        raise CheckpointError(f"{folder / CONFIG_FILE} cannot be read.") from error
    own = to_yaml(checkpoint.card.config).splitlines()
    for ours, theirs in itertools.zip_longest(own, stored, fillvalue=""):
        if ours != theirs:
            raise CheckpointError(
                f"{checkpoint.path} is of another configuration than "
                f"{folder / CONFIG_FILE}: {quote(ours.strip())} against "
                f"{quote(theirs.strip())}. Restore the file, or start another run."
            )


def build_config(
    checkpoint: Checkpoint, folder: Path, backend: BackendConfig | None
) -> RunConfig:
    """Build the configuration with which a run goes on.

    Args:
        checkpoint: Where it goes on.
        folder: Where it lies now.
        backend: What to compute on instead.

    Returns:
        The configuration; it records nothing if the run that was kept did not.

    Raises:
        CheckpointError: It is not one of this version of the program.
    """
    try:
        config = run_config_from_dict(checkpoint.card.config)
    except (ConfigError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{checkpoint.path} holds a configuration that this version of the program "
            f"does not know ({error})."
        ) from error
    is_recorded = checkpoint.state is None or bool(_find_marks(checkpoint))
    record = replace(config.record, folder=str(folder) if is_recorded else None)
    return replace(config, record=record, backend=backend or config.backend)
