"""Parts of a table: closed Parquet files that checkpoints rely on.

Each checkpoint closes a part. Eight parts of one level become one of the next, so that
however many checkpoints a run writes, their parts stay few: at most seven of a level,
and as many levels as the number of checkpoints has octal digits.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

from engine.disk import TableFile
from engine.errors import DamagedCheckpointError

ROWS_PER_WRITE: Final = 1024
FAN: Final = 8
"""Parts of one level that become one of the next."""
PART_NAME: Final = re.compile(r".+-[0-9]{6,}\.parquet")
"""What the names of parts look like."""

Marks = list[list[int]]
"""Of every part in order: number of its file, rows, bytes, level."""


@dataclass(frozen=True)
class Mark:
    """A part that rows rely on."""

    number: int
    """Of its file; later files have higher ones."""
    row_count: int
    """Rows in it [-]."""
    size_bytes: int
    """Size of its file [byte]."""
    level: int = 0
    """0 as a checkpoint closed it, else one more than what it was put together from."""


def take_marks(found: Sequence[Sequence[Any]]) -> list[Mark]:
    """Take the marks of a checkpoint over.

    Args:
        found: Marks; older programs wrote rows and bytes alone.

    Raises:
        TypeError: They are no marks.
        ValueError: Likewise.
    """
    marks = []
    for place, entry in enumerate(found, start=1):
        numbers = [int(value) for value in entry]
        if len(numbers) == 2:
            numbers = [place, *numbers]
        marks.append(Mark(*numbers))
    return marks


def to_plain(marks: Sequence[Mark]) -> Marks:
    """Return marks as a checkpoint keeps them."""
    return [list(astuple(mark)) for mark in marks]


def name_part(folder: Path, table: Path, number: int) -> Path:
    """Return where a part of a table lies.

    Args:
        folder: Folder of the parts.
        table: The table that they belong to.
        number: Of the part, from 1 on.
    """
    return folder / f"{table.stem}-{number:06d}{table.suffix}"


def find_mergeable(marks: Sequence[Mark]) -> int:
    """Return how many of the last parts have come to be one of the next level; or 0."""
    last = marks[-FAN:]
    is_full = len(last) == FAN and len({mark.level for mark in last}) == 1
    return FAN if is_full else 0


def remove_parts(
    folder: Path, table: Path, kept: Collection[int], above: int = 0
) -> None:
    """Remove parts of a table.

    Args:
        folder: Folder of the parts.
        table: The table that they belong to.
        kept: Numbers of those that stay.
        above: Parts with higher numbers alone are removed.
    """
    stay = {name_part(folder, table, number) for number in kept}
    for path in folder.glob(f"{table.stem}-*{table.suffix}"):
        is_part = PART_NAME.fullmatch(path.name) is not None
        if is_part and path not in stay and int(path.stem.split("-")[-1]) > above:
            path.unlink(missing_ok=True)


def check_parts(folder: Path, table: Path, found: Sequence[Sequence[int]]) -> None:
    """Check that the parts that a checkpoint relies on are there and whole.

    Args:
        folder: Folder of the parts.
        table: The table that they belong to.
        found: Their marks.

    Raises:
        DamagedCheckpointError: One is not.
    """
    from pyarrow import parquet

    for mark in take_marks(found):
        part = name_part(folder, table, mark.number)
        try:
            is_whole = (
                part.stat().st_size == mark.size_bytes
                and parquet.read_metadata(part).num_rows == mark.row_count
            )
        except (OSError, ValueError) as error:
            raise DamagedCheckpointError(f"{part} cannot be read ({error}).") from error
        if not is_whole:
            raise DamagedCheckpointError(f"{part} was cut off or exchanged.")


def join_parts(parts: Sequence[Path], schema: Any, path: Path) -> None:
    """Put parts together into one file that is safe on the disk.

    Args:
        parts: The files, in order.
        schema: Arrow schema of all of them.
        path: File to create.

    Raises:
        OSError: The disk takes no more.
    """
    with TableFile(path, schema) as file:
        for table in _gather_batches(parts, schema):
            file.write(table)
            release_memory()
    sync_file(path)


def release_memory() -> None:
    """Give back what Arrow keeps for later; a long run would seem to grow by it."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def _gather_batches(parts: Sequence[Path], schema: Any) -> Iterator[Any]:
    """Read parts one after another, as tables of about `ROWS_PER_WRITE` rows."""
    import pyarrow as pa
    from pyarrow import parquet

    waiting: list[Any] = []
    for part in parts:
        with parquet.ParquetFile(part, pre_buffer=False) as file:
            for batch in file.iter_batches(ROWS_PER_WRITE, use_threads=False):
                waiting.append(batch)
                if sum(map(len, waiting)) >= ROWS_PER_WRITE:
                    yield pa.Table.from_batches(waiting, schema)
                    waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting, schema)


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
    finally:
        os.close(descriptor)
