"""The lock of a run folder: one run at a time, freed by the kernel when it dies."""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.errors import RecordError

MAX_TRIES: Final = 1000
"""Times that a lock is tried while others merely look at it."""
TRY_AGAIN_S: Final = 0.001
"""Wait in between [s]."""

logger = logging.getLogger(__name__)

LOCK_FILE = "run.lock"
"""Lies in the run folder while a run writes there, or was killed there."""


class FolderLock:
    """Holds a folder until `release`, or until this process ends.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as name:
        ...     lock = FolderLock(Path(name))
        ...     is_taken = find_holder(Path(name)) is not None
        ...     lock.release()
        >>> is_taken
        True
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Args:
            folder: An existing folder.

        Raises:
            RecordError: Another run holds it.
            OSError: The folder cannot be written.
        """
        self._path = folder / LOCK_FILE
        self._descriptor: int | None = self._take()
        text = f"process {os.getpid()} on {platform.node()}\n"
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode(), 0)
        except OSError:
            self.release()
            raise

    def _take(self) -> int:
        for _ in range(MAX_TRIES):
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._path, flags, 0o644)
            if not _try_lock(descriptor):
                os.close(descriptor)
                refuse_taken(self._path.parent)
                time.sleep(TRY_AGAIN_S)  # somebody looks at it, and is about to go
            elif _is_file_of(descriptor, self._path):
                return descriptor
            else:  # whoever held it has just removed it
                os.close(descriptor)
        raise _build_refusal(self._path.parent, "another process")

    def release(self) -> None:
        """Remove the lock; harmless to repeat.

        In a folder that has become read-only the file stays and locks nothing. A lock
        that another run has made meanwhile is left alone.
        """
        if self._descriptor is not None:
            with suppress(OSError):
                if _is_file_of(self._descriptor, self._path):
                    self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None


def _try_lock(descriptor: int) -> bool:
    """Lock a file without waiting; True also where the file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        logger.warning(
            "this file system cannot lock a run folder (%s); see to it that no two "
            "runs share one",
            error.strerror,
        )
    return True


def _is_file_of(descriptor: int, path: Path) -> bool:
    """Tell whether a path still names the file that a descriptor has open."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def find_holder(folder: Path) -> str | None:
    """Find out who writes in a folder, without touching it.

    Those who look share the lock, so that they do not see each other.

    Args:
        folder: A run folder, or none.

    Returns:
        Its process and machine; None if nobody holds the lock.
    """
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 256, 0).decode(errors="replace").strip()
    except OSError:
        return None
    finally:
        with suppress(OSError):
            os.close(descriptor)
    return None


def refuse_taken(folder: Path) -> None:
    """Refuse a folder that another run writes in.

    Raises:
        RecordError: One does.
    """
    holder = find_holder(folder)
    if holder is not None:
        raise _build_refusal(folder, holder or "another process")


def _build_refusal(folder: Path, holder: str) -> RecordError:
    return RecordError(
        f"record.folder {folder} is in use by {holder}; wait for its end, or choose "
        "another folder."
    )
