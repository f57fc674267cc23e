"""Tables that grow row by row, in parts that a checkpoint can rely on.

A Parquet file can be read only when it is closed. So a checkpoint closes the part that
is being written and moves it beside itself; the end of a run puts all parts together.
A run without a checkpoint writes one part, the table itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from engine.disk import TableFile, build_write_error, replace_whole, sync_file
from engine.recording.parts import (
    FAN,
    ROWS_PER_WRITE,
    Mark,
    Marks,
    find_mergeable,
    join_parts,
    name_part,
    release_memory,
    remove_parts,
    take_marks,
    to_plain,
)


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
        self._marks: list[Mark] = take_marks(marks or ())
        self._rows: list[Mapping[str, Any]] = []
        self._row_count = 0
        if marks is not None:
            remove_parts(self._parts_folder, path, (), above=self._last_number)
        self._file = TableFile(path, self._schema)
        self._is_closed = False
        self.is_broken = False
        """Whether a part of it could not be written."""

    @property
    def _last_number(self) -> int:
        return self._marks[-1].number if self._marks else 0

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
            release_memory()

    def seal(self) -> Marks:
        """Close what is written so far as a part that is safe on the disk.

        Returns:
            The marks of all parts.

        Raises:
            WriteError: The disk takes no more.
        """
        if not self._rows and not self._row_count:
            return to_plain(self._marks)
        with self._writing():
            self._flush()
            self._file.close()
            sync_file(self._path)
            self._parts_folder.mkdir(exist_ok=True)
            self._path.replace(self._name(self._last_number + 1))
            self._marks = [*self._marks, self._measure(self._row_count, 0)]
            self._row_count = 0
            self._file = TableFile(self._path, self._schema)
        while find_mergeable(self._marks) and self._merge():
            pass
        release_memory()
        return to_plain(self._marks)

    def _name(self, number: int) -> Path:
        return name_part(self._parts_folder, self._path, number)

    def _measure(self, row_count: int, level: int) -> Mark:
        """Return the mark of the part that has just been closed."""
        number = self._last_number + 1
        size_bytes = self._name(number).stat().st_size
        return Mark(number, row_count, size_bytes, level)

    def _merge(self) -> bool:
        """Put the last parts together, if the disk has the room for it.

        The old ones stay until `drop_parts`, for earlier checkpoints rely on them.
        """
        merged = self._marks[-FAN:]
        path = self._name(self._last_number + 1)
        try:
            join_parts([self._name(mark.number) for mark in merged], self._schema, path)
        except (OSError, ValueError):  # the parts do as well
            path.unlink(missing_ok=True)
            return False
        row_count = sum(mark.row_count for mark in merged)
        mark = self._measure(row_count, merged[0].level + 1)
        # At one stroke: a signal in between must find the rows once.
        self._marks = [*self._marks[:-FAN], mark]
        return True

    def drop_parts(self, relied_on: Iterable[Marks]) -> None:
        """Remove the parts that neither the table nor a checkpoint needs any more.

        Args:
            relied_on: Marks of every checkpoint that is kept.
        """
        kept = {mark.number for marks in relied_on for mark in take_marks(marks)}
        kept |= {mark.number for mark in self._marks}
        with suppress(OSError):  # they do no harm
            remove_parts(self._parts_folder, self._path, kept)

    def close(self) -> None:
        """Write what is left and the footer, and put all parts into the file.

        Raises:
            WriteError: The disk takes no more; parts that were closed stay whole.
        """
        with self._writing():
            self._flush()
            self._file.close()
        self._is_closed = True
        if self._marks:
            parts = [self._name(mark.number) for mark in self._marks]
            try:
                self._join([*parts, self._path])
            except OSError as error:
                raise build_write_error(self._path, error) from error

    def give_up(self) -> None:
        """Remove the part that is being written, to make room; harmless once closed.

        Those that a checkpoint relies on stay.
        """
        if self._is_closed:
            return
        self._is_closed = True
        self._file.give_up()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _join(self, parts: Sequence[Path]) -> None:
        """Put parts together beside the file, which they then replace."""
        with replace_whole(self._path) as draft:
            join_parts(parts, self._schema, draft)
