"""Parts of tables: any change of their bytes is seen, a passing fault is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import DamagedCheckpointError, RecordError
from engine.recording.parts import Marks, add_checksums, check_parts, name_part
from engine.recording.tables import TableWriter
from tests.file_limits import no_more_files


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "t.parquet"


@pytest.fixture
def marks(table: Path) -> Marks:
    """Of two parts, without checksums."""
    writer = TableWriter(table, {"x": "float64"}, table.parent)
    for _ in range(2):
        for row in range(9):
            writer.add({"x": row / 7})
        found = writer.seal()
    writer.give_up()
    return found


def test_every_flipped_bit_is_seen(table: Path, marks: Marks) -> None:
    folder = table.parent
    marks = add_checksums(folder, table, marks, [])
    check_parts(folder, table, marks)
    part = name_part(folder, table, 2)
    whole = bytearray(part.read_bytes())
    for place in range(len(whole)):
        whole[place] ^= 1 << (place % 8)
        part.write_bytes(whole)
        with pytest.raises(DamagedCheckpointError, match=part.name):
            check_parts(folder, table, marks)
        whole[place] ^= 1 << (place % 8)


def test_each_part_is_read_once(table: Path, marks: Marks) -> None:
    folder = table.parent
    first = add_checksums(folder, table, marks[:1], [])
    name_part(folder, table, 1).unlink()
    both = add_checksums(folder, table, marks, first)
    assert both[0] == first[0]
    assert add_checksums(folder, table, both, []) == both


def test_marks_of_older_programs_have_no_checksum(table: Path, marks: Marks) -> None:
    assert [len(mark) for mark in marks] == [4, 4]
    check_parts(table.parent, table, marks)


def test_part_that_cannot_be_opened_is_not_called_damaged(
    table: Path, marks: Marks
) -> None:
    check_parts(table.parent, table, marks)  # loads what it needs
    with no_more_files(), pytest.raises(RecordError, match="Too many open files"):
        check_parts(table.parent, table, marks)
