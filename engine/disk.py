"""Disk: files written whole or not at all, and what to say where one takes no more.

What takes its place here is on the disk before, so that a loss of power leaves the old
file or the new one.

Imports only `engine.errors`.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from engine.errors import RecordError, WriteError

DRAFT_SUFFIX: Final = ".part"
"""Ends the name of a file that is not whole yet."""
FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk, a quota or a limit that leaves no room."""
CLOSED: Final = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of a place that may not be written."""
_CURES: Final = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of the quota",
    errno.ENOENT: "see to it that its folder is there",
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f)",
    **dict.fromkeys(CLOSED, "make the folder writable"),
}
_NO_SYNC: Final = (errno.EINVAL, errno.ENOTSUP)
"""Errors of a file system that cannot be told to write a folder down."""
_NUMBER: Final = re.compile(r"\[errno (\d+)\]", re.IGNORECASE)
"""How PyArrow tells the number of an error."""


@contextmanager
def replace_whole(path: Path, *, is_shared: bool = False) -> Iterator[Path]:
    """Let a file be written beside its place, which it takes when it is whole.

    Both the file and its name are on the disk at the end.

    Args:
        path: File to make or replace.
        is_shared: Whether other processes may write it at the same time.

    Yields:
        Where to write; removed if that fails.

    Raises:
        OSError: The draft cannot take its place.
    """
    own = f".{path.name}.{os.getpid()}" if is_shared else f"{path.name}{DRAFT_SUFFIX}"
    draft = path.with_name(own)
    try:
        yield draft
        sync_file(draft)
        draft.replace(path)
        sync_file(path.parent)
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def sync_file(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk.

    Args:
        path: File or folder.

    Raises:
        OSError: The disk takes no more.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, and wait until their names are on the disk.

    Args:
        folder: Folder to make; it may be there.

    Raises:
        OSError: It cannot be made.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        sync_file(place.parent)


def write_text(path: Path, text: str, *, is_shared: bool = False) -> None:
    """Write a text whole or not at all.

    Args:
        path: File to make or replace.
        text: Its content.
        is_shared: Whether other processes may write it at the same time.

    Raises:
        WriteError: The disk takes no more; no part of it is left.
    """
    try:
        with replace_whole(path, is_shared=is_shared) as draft:
            draft.write_text(text, encoding="utf-8")
    except OSError as error:
        raise build_write_error(path, error) from error


class TableFile:
    """A Parquet file that is being written, and can be given up without its footer."""

    def __init__(self, path: Path, schema: Any) -> None:
        """Open the file.

        Args:
            path: File to create.
            schema: Arrow schema of its rows.

        Raises:
            OSError: It cannot be written.
        """
        import pyarrow as pa
        from pyarrow import parquet

        self._sink = pa.OSFile(str(path), "wb")
        try:
            self._writer = parquet.ParquetWriter(self._sink, schema, compression="zstd")
        except OSError:
            self._sink.close()
            raise

    def write(self, table: Any) -> None:
        """Append rows as a group of their own.

        Args:
            table: Arrow table of the schema.

        Raises:
            OSError: The disk takes no more.
        """
        self._writer.write_table(table)

    def close(self) -> None:
        """Write the footer.

        Raises:
            OSError: The disk takes no more.
        """
        self._writer.close()
        self._sink.close()

    def give_up(self) -> None:
        """Close the file as it is; harmless once it is closed."""
        # Or the writer would add the footer when it is collected.
        self._writer.is_open = False
        with suppress(OSError):
            self._sink.close()

    def __enter__(self) -> Self:
        """Enter a block at whose end the file is whole."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file, or give it up if the block was left by an error."""
        try:
            if error is None:
                self.close()
        finally:
            self.give_up()


def find_number(error: OSError) -> int | None:
    """Find the number of an error of the system, which PyArrow hides in its text.

    Args:
        error: What writing raised.
    """
    found = _NUMBER.search(str(error))
    return error.errno or (int(found[1]) if found else None)


def describe_failure(error: OSError, path: Path) -> str:
    """Say why something cannot be written, and how much room is left if that is why.

    Args:
        error: What writing raised.
        path: What was to be written.
    """
    number = find_number(error)
    text = os.strerror(number) if number else " ".join(str(error).split())
    return f"{text}: {describe_room(path)}" if number in FULL else text


def describe_room(path: Path) -> str:
    """Say how much room a disk has left, such as ``3.1 MiB of 64 MiB are free``.

    Args:
        path: A file or folder on it, there or not.
    """
    place = path
    while not place.exists() and place != place.parent:
        place = place.parent
    found = os.statvfs(place)
    free, whole = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    return f"{format_size(free)} of {format_size(whole)} are free"


def format_size(size_bytes: float) -> str:
    """Write an amount of bytes in binary units.

    Args:
        size_bytes: Amount [byte], >= 0.
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.4g} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.4g} TiB"


def build_write_error(path: Path, error: OSError, otherwise: str = "") -> WriteError:
    """Build the error for a file that could not be written.

    Args:
        path: The file.
        error: What writing raised.
        otherwise: What helps beside making room, such as ``choose another file``.

    Returns:
        The error, not raised; one that tells all of this already is returned as it is.
    """
    if isinstance(error, WriteError):
        return error
    cure = _CURES.get(find_number(error) or 0, "see to the disk")
    cure = f"{cure}, or {otherwise}" if otherwise else cure
    why = describe_failure(error, path)
    return WriteError(f"{path} cannot be written ({why}); {cure}.")


def refuse_closed(folder: Path, what: str, cure: str) -> None:
    """Refuse a folder in which nothing can be made, without touching it.

    Args:
        folder: Folder to write into; if it is not there, the nearest one above it.
        what: What it is, for the sentence, such as ``record.folder runs/a``.
        cure: What to do, such as ``choose another folder``.

    Raises:
        RecordError: It is read-only, or belongs to somebody else.
        OSError: It cannot be looked at.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if place.is_dir() and not os.access(place, os.W_OK | os.X_OK):
        is_read_only = bool(os.statvfs(place).f_flag & os.ST_RDONLY)
        number = errno.EROFS if is_read_only else errno.EACCES
        where = "" if place == folder.absolute() else f" at {place}"
        raise RecordError(
            f"{what} cannot be written ({os.strerror(number)}{where}); {cure}."
        )
