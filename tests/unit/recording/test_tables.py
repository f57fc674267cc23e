"""Tables in parts: the same rows, whatever was closed in between or dropped after."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from pyarrow import parquet

from engine.errors import DamagedCheckpointError
from engine.recording.tables import TableWriter, check_parts, name_part

COLUMNS = {"step": "int64", "name": "string"}


def fill(writer: TableWriter, steps: Iterable[int]) -> None:
    for step in steps:
        writer.add({"step": step, "name": f"row {step}"})


def read_steps(path: Path) -> list[int]:
    steps: list[int] = parquet.read_table(path)["step"].to_pylist()
    return steps


@pytest.mark.parametrize("rows_per_write", [2, 1024])
def test_parts_become_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_per_write: int
) -> None:
    monkeypatch.setattr("engine.recording.tables.ROWS_PER_WRITE", rows_per_write)
    path, parts = tmp_path / "t.parquet", tmp_path / "parts"
    writer = TableWriter(path, COLUMNS, parts)
    fill(writer, range(3))
    assert [rows for rows, _ in writer.seal()] == [3]
    fill(writer, range(3, 8))
    assert [rows for rows, _ in writer.seal()] == [3, 5]
    assert [rows for rows, _ in writer.seal()] == [3, 5]  # nothing new, no new part
    fill(writer, range(8, 10))
    writer.close()
    assert read_steps(path) == list(range(10))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["parts", "t.parquet"]


def test_rows_after_the_marks_are_dropped(tmp_path: Path) -> None:
    path, parts = tmp_path / "t.parquet", tmp_path / "parts"
    writer = TableWriter(path, COLUMNS, parts)
    fill(writer, range(3))
    marks = [list(mark) for mark in writer.seal()]
    fill(writer, range(3, 6))
    writer.seal()
    fill(writer, range(6, 9))
    writer.close()  # a table that was put together counts for nothing
    again = TableWriter(path, COLUMNS, parts, marks)
    assert not name_part(parts, path, 2).exists()
    fill(again, range(3, 5))
    again.close()
    assert read_steps(path) == list(range(5))


def test_table_without_a_part_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    writer = TableWriter(path, COLUMNS, tmp_path / "parts")
    fill(writer, range(4))
    writer.close()
    assert read_steps(path) == [0, 1, 2, 3]
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.parquet"]


def test_lost_and_altered_parts_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    writer = TableWriter(path, COLUMNS, tmp_path)
    fill(writer, range(3))
    marks = writer.seal()
    part = name_part(tmp_path, path, 1)
    check_parts(tmp_path, path, marks)
    with pytest.raises(DamagedCheckpointError, match="cut off or exchanged"):
        check_parts(tmp_path, path, [[4, marks[0][1]]])
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(DamagedCheckpointError, match="cut off or exchanged"):
        check_parts(tmp_path, path, marks)
    part.unlink()
    with pytest.raises(DamagedCheckpointError, match="cannot be read"):
        check_parts(tmp_path, path, marks)
