"""Parts of a table: closed Parquet files that checkpoints rely on.

Each checkpoint closes a part. Eight parts of one level become one of the next, so that
however many checkpoints a run writes, their parts stay few: at most seven of a level,
and as many levels as the number of checkpoints has octal digits.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

from engine.disk import TableFile, find_number, sync_file
from engine.errors import DamagedCheckpointError, RecordError
from engine.intake import describe, open_file

ROWS_PER_WRITE: Final = 1024
FAN: Final = 8
"""Parts of one level that become one of the next."""
PART_NAME: Final = re.compile(r".+-[0-9]{6,}\.parquet")
"""What the names of parts look like."""

PIECE_BYTES: Final = 2**20
"""Read at a time for a checksum."""
UNKNOWN: Final = -1
"""Checksum of a part whose mark has none."""

Marks = list[list[int]]
"""Of every part in order: number of its file, rows, bytes, level, checksum."""


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
    checksum: int = UNKNOWN
    """CRC-32 of its file; older programs kept none."""


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
    """Return marks as a checkpoint keeps them; unknown checksums are left out."""
    numbers = [list(astuple(mark)) for mark in marks]
    return [entry[:-1] if entry[-1] == UNKNOWN else entry for entry in numbers]


def add_checksums(folder: Path, table: Path, found: Marks, earlier: Marks) -> Marks:
    """Add the checksums of parts that have just been closed.

    Args:
        folder: Folder of the parts.
        table: The table that they belong to.
        found: Their marks.
        earlier: Marks with checksums, some of the same parts among them.

    Returns:
        The marks, each with a checksum.

    Raises:
        OSError: A part cannot be read.
    """
    marks = take_marks(found)
    known = {mark.number: mark.checksum for mark in take_marks(earlier)}
    for place, mark in enumerate(marks):
        if mark.checksum == UNKNOWN:
            checksum = known.get(mark.number, UNKNOWN)
            if checksum == UNKNOWN:
                with name_part(folder, table, mark.number).open("rb") as file:
                    checksum = _sum_up(file)
            marks[place] = replace(mark, checksum=checksum)
    return to_plain(marks)


def _sum_up(file: IO[bytes]) -> int:
    """Return the CRC-32 of a file that stands at its start."""
    checksum = 0
    while piece := file.read(PIECE_BYTES):
        checksum = zlib.crc32(piece, checksum)
    return checksum


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
        RecordError: One cannot be read at present.
    """
    for mark in take_marks(found):
        part = name_part(folder, table, mark.number)
        try:
            is_whole = _is_whole(part, mark)
        except (OSError, ValueError) as error:
            if is_passing(error):
                raise build_read_error(part, error) from error
            raise DamagedCheckpointError(
                f"{part} cannot be read ({describe(error)})."
            ) from error
        if not is_whole:
            raise DamagedCheckpointError(f"{part} was altered, cut off or exchanged.")


def _is_whole(part: Path, mark: Mark) -> bool:
    """Hold a part against its mark; a larger one is not read."""
    from pyarrow import parquet

    if part.stat().st_size != mark.size_bytes:
        return False
    with open_file(part) as file:
        if mark.checksum not in (UNKNOWN, _sum_up(file)):
            return False
        file.seek(0)
        return int(parquet.read_metadata(file).num_rows) == mark.row_count


def is_passing(error: BaseException) -> bool:
    """Tell whether a file may be whole although it could not be read just now.

    Args:
        error: What reading it raised; PyArrow raises OSError for damage, too, but
            without a number of the system.
    """
    is_absent = isinstance(error, FileNotFoundError)
    return isinstance(error, OSError) and not is_absent and bool(find_number(error))


def build_read_error(path: Path, error: BaseException) -> RecordError:
    """Build the error for a file that may be whole but cannot be read just now.

    Args:
        path: The file.
        error: What reading it raised.
    """
    return RecordError(
        f"{path} cannot be read ({describe(error)}). Try again; where that does not "
        "help, move it away to go on from an earlier checkpoint."
    )


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
