"""Tables that grow row by row, in parts that a checkpoint can rely on.

A Parquet file can be read only when it is closed. So a checkpoint closes the part that
is being written and moves it beside itself; the end of a run puts all parts together.
A run without a checkpoint writes one part, the table itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from engine.disk import TableFile, build_write_error, replace_whole
from engine.errors import DamagedCheckpointError

ROWS_PER_WRITE = 1024

Marks = list[list[int]]
"""Rows and bytes of every part that is closed, in order."""


class TableWriter:
    """Appends rows to a Parquet file in batches of `ROWS_PER_WRITE`."""

    def __init__(
        self,
        path: Path,
        columns: Mapping[str, str],
        parts_folder: Path | None = None,
        marks: Marks | None = None,
    ) -> None:
        """Open the file.

        Args:
            path: File to create.
            columns: Name and Arrow type of each column.
            parts_folder: Where closed parts go; beside the file by default.
            marks: Parts to go on after; later ones are removed.

        Raises:
            OSError: The folder cannot be written.
        """
        import pyarrow as pa

        types = {"string": pa.string(), "bool": pa.bool_(), "int64": pa.int64()}
        fields = [
            (name, types.get(kind, pa.float64())) for name, kind in columns.items()
        ]
        self._build = pa.Table.from_pylist
        self._schema = pa.schema(fields)
        self._path = path
        self._parts_folder = parts_folder or path.parent
        self._marks: Marks = [list(mark) for mark in marks or ()]
        self._rows: list[Mapping[str, Any]] = []
        self._row_count = 0
        if marks is not None:
            remove_parts(self._parts_folder, path, keep=len(marks))
        self._file = TableFile(path, self._schema)
        self.is_broken = False
        """Whether a part of it could not be written."""

    def add(self, row: Mapping[str, Any]) -> None:
        """Append one row.

        Raises:
            WriteError: The disk takes no more.
        """
        self._rows.append(row)
        if len(self._rows) >= ROWS_PER_WRITE:
            with self._writing():
                self._flush()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Write; a file that takes no more is broken from then on."""
        try:
            if self.is_broken:
                raise OSError("an earlier part of it could not be written")
            self.is_broken = True
            yield
            self.is_broken = False
        except OSError as error:
            raise build_write_error(self._path, error) from error

    def _flush(self) -> None:
        if self._rows:
            self._file.write(self._build(self._rows, schema=self._schema))
            self._row_count += len(self._rows)
            self._rows = []

    def seal(self) -> Marks:
        """Close what is written so far as a part that is safe on the disk.

        Returns:
            The marks of all parts.

        Raises:
            WriteError: The disk takes no more.
        """
        if not self._rows and not self._row_count:
            return self._marks
        with self._writing():
            self._flush()
            self._file.close()
            sync_file(self._path)
            self._parts_folder.mkdir(exist_ok=True)
            part = name_part(self._parts_folder, self._path, len(self._marks) + 1)
            self._path.replace(part)
            self._marks.append([self._row_count, part.stat().st_size])
            self._row_count = 0
            self._file = TableFile(self._path, self._schema)
        return self._marks

    def close(self) -> None:
        """Write what is left and the footer, and put all parts into the file.

        Raises:
            WriteError: The disk takes no more; parts that were closed stay whole.
        """
        with self._writing():
            self._flush()
            self._file.close()
        if self._marks:
            numbers = range(1, len(self._marks) + 1)
            parts = [name_part(self._parts_folder, self._path, n) for n in numbers]
            try:
                self._join([*parts, self._path])
            except OSError as error:
                raise build_write_error(self._path, error) from error

    def give_up(self) -> None:
        """Remove the part that is being written, to make room.

        Those that a checkpoint relies on stay.
        """
        self._file.give_up()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _join(self, parts: Sequence[Path]) -> None:
        """Put parts together beside the file, which they then replace."""
        with replace_whole(self._path) as draft:
            with TableFile(draft, self._schema) as file:
                for table in _gather_batches(parts, self._schema):
                    file.write(table)
            sync_file(draft)


def _gather_batches(parts: Sequence[Path], schema: Any) -> Iterator[Any]:
    """Read parts one after another, as tables of about `ROWS_PER_WRITE` rows."""
    import pyarrow as pa
    from pyarrow import parquet

    waiting: list[Any] = []
    for part in parts:
        with parquet.ParquetFile(part) as file:
            for batch in file.iter_batches(ROWS_PER_WRITE):
                waiting.append(batch)
                if sum(map(len, waiting)) >= ROWS_PER_WRITE:
                    yield pa.Table.from_batches(waiting, schema)
                    waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting, schema)


def name_part(folder: Path, table: Path, number: int) -> Path:
    """Return where a part of a table lies.

    Args:
        folder: Folder of the parts.
        table: The table that they belong to.
        number: Of the part, from 1 on.
    """
    return folder / f"{table.stem}-{number:06d}{table.suffix}"


def remove_parts(folder: Path, table: Path, keep: int = 0) -> None:
    """Remove the later parts of a table.

    Args:
        folder: Folder of the parts.
        table: The table that they belong to.
        keep: How many of the first ones stay.
    """
    kept = {name_part(folder, table, number) for number in range(1, keep + 1)}
    for path in folder.glob(f"{table.stem}-*{table.suffix}"):
        if path not in kept:
            path.unlink()


def check_parts(folder: Path, table: Path, marks: Marks) -> None:
    """Check that the parts that a checkpoint relies on are there and whole.

    Args:
        folder: Folder of the parts.
        table: The table that they belong to.
        marks: Their rows and bytes.

    Raises:
        DamagedCheckpointError: One is not.
    """
    from pyarrow import parquet

    for number, (row_count, size_bytes) in enumerate(marks, start=1):
        part = name_part(folder, table, number)
        try:
            is_whole = (
                part.stat().st_size == size_bytes
                and parquet.read_metadata(part).num_rows == row_count
            )
        except (OSError, ValueError) as error:
            raise DamagedCheckpointError(f"{part} cannot be read ({error}).") from error
        if not is_whole:
            raise DamagedCheckpointError(f"{part} was cut off or exchanged.")


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
