"""A Parquet table that can be read at any moment while it grows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from engine.disk import build_write_error, replace_whole

LEAST_ROWS: Final = 8
"""Rows after which a table is written anew, at least."""
REWRITE_SHARE: Final = 32
"""Later after one more row for so many: all writing together stays some 32 tables."""


class GrowingTable:
    """Rows in a Parquet file that is always whole: it is replaced, never continued.

    Whoever is killed leaves all rows but the last few; a file that is continued
    could not be read, for Parquet writes its index last.

    Args:
        path: The file; absent until the first row.
        columns: Name and Arrow type of each column, such as int64.
    """

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        fields = [(name, pa.type_for_alias(kind)) for name, kind in columns.items()]
        self._path = path
        self._table = pa.schema(fields).empty_table()
        self._rows: list[Mapping[str, Any]] = []
        self._due = 1

    def add(self, row: Mapping[str, Any]) -> None:
        """Append one row.

        Args:
            row: A value or None for every column.

        Raises:
            WriteError: The disk takes no more.
        """
        self._rows.append(row)
        if len(self._rows) >= self._due:
            self.write()
            self._due = max(LEAST_ROWS, self._table.num_rows // REWRITE_SHARE)

    def write(self) -> None:
        """Put every row so far on the disk.

        Raises:
            WriteError: The disk takes no more.
        """
        if not self._rows:
            return
        newest = pa.Table.from_pylist(self._rows, schema=self._table.schema)
        self._table = pa.concat_tables([self._table, newest]).combine_chunks()
        self._rows = []
        try:
            with replace_whole(self._path, is_shared=True) as draft:
                parquet.write_table(self._table, draft, compression="zstd")
        except OSError as error:
            raise build_write_error(self._path, error) from error
