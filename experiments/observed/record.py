"""The observations of a run folder, for the commands that show or pass them on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.constants import SNAPSHOTS_FILE
from engine.errors import RecordError
from engine.observation import (
    Locking,
    NodeTable,
    Snapshots,
    open_locking,
    open_nodes,
    open_snapshots,
)
from engine.recording.folder import CONFIG_FILE, JOB_FILES, RUN_FILES

MARK: Final = "drawn by scribble render"
"""Written into every picture and animation, so that it is known again."""


@dataclass(frozen=True)
class ObservedRun:
    """What a run folder holds of single nodes."""

    folder: Path
    """The run folder."""
    snapshots: Snapshots
    """Phase fields, at least one."""
    nodes: NodeTable | None
    """Frequencies of the nodes; None where the run did not end."""
    locking: Locking | None
    """Phase-locking matrix; None where the run has observed none."""

    def arrange(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Lay values of all nodes out on the lattice, shape of a snapshot."""
        return values.reshape(self.snapshots.shape)


def open_observed(folder: Path) -> ObservedRun:
    """Open what a run has observed.

    Args:
        folder: Run folder.

    Raises:
        RecordError: It is no run folder, or holds no snapshots.
    """
    if not (folder / CONFIG_FILE).is_file():
        raise RecordError(
            f"{folder} is not a run folder: {CONFIG_FILE} is missing; name the folder "
            "of a recorded run."
        )
    if not (folder / SNAPSHOTS_FILE).is_file():
        raise RecordError(
            f"{folder} holds no snapshots; set observe.snapshot_every_s and run again, "
            "or take all that can be observed: scribble run observe=nodes."
        )
    snapshots = open_snapshots(folder)
    if not len(snapshots):
        raise RecordError(
            f"{folder} holds a run that ended before its first snapshot; name a run "
            "that has started."
        )
    return ObservedRun(folder, snapshots, open_nodes(folder), open_locking(folder))


def check_target(
    target: Path, *, may_replace: bool, is_own: Callable[[Path], bool]
) -> None:
    """Check that a file or store may be written, without touching it.

    Args:
        target: What a command is about to write.
        may_replace: Whether what an earlier call wrote may be replaced.
        is_own: Tells whether an earlier call wrote a file or folder.

    Raises:
        RecordError: It exists and must stay, or belongs to a run.
    """
    is_in_run = (target.parent / CONFIG_FILE).is_file()
    if is_in_run and target.name in RUN_FILES | JOB_FILES:
        raise RecordError(
            f"{target} is a file that the run itself writes; name another place with "
            "--to."
        )
    if not target.exists():
        return
    if not may_replace:
        raise RecordError(
            f"{target} exists; name another place with --to, or replace it with "
            "--overwrite."
        )
    if not is_own(target):
        raise RecordError(
            f"{target} is nothing that an earlier call wrote, so --overwrite does not "
            "apply; name another place with --to."
        )


@contextmanager
def open_target(target: Path) -> Iterator[Path]:
    """Hand out a path to write to, which takes its final name only when all is done.

    Args:
        target: Where the result goes, checked before.

    Yields:
        A path beside it, with the same suffix.

    Raises:
        RecordError: The place cannot be written.
    """
    part = target.with_name(f".part-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove(part)
        try:
            yield part
            _remove(target)
            part.replace(target)
        finally:
            _remove(part)
    except RecordError:
        raise
    except OSError as error:
        raise RecordError(
            f"{target} cannot be written ({error.strerror or error}); name another "
            "place with --to."
        ) from error


def _remove(path: Path) -> None:
    if path.is_dir():
        rmtree(path)
    else:
        path.unlink(missing_ok=True)


def find_positions(snapshots: Snapshots) -> npt.NDArray[np.float64]:
    """Return where the sites lie [nearest-neighbour distance], shape (*shape, d)."""
    sites = np.moveaxis(np.indices(snapshots.shape), 0, -1)
    return np.asarray(sites @ snapshots.primitive_vectors)
