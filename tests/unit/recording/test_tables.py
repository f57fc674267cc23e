"""Tables in parts: the same rows, whatever was closed in between or dropped after."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from pyarrow import parquet

from engine.errors import DamagedCheckpointError
from engine.recording.parts import FAN, Marks, check_parts, name_part
from engine.recording.tables import TableWriter

COLUMNS = {"step": "int64", "name": "string"}


def fill(writer: TableWriter, steps: Iterable[int]) -> None:
    for step in steps:
        writer.add({"step": step, "name": f"row {step}"})


def read_steps(path: Path) -> list[int]:
    steps: list[int] = parquet.read_table(path)["step"].to_pylist()
    return steps


def seal_interrupted(writer: TableWriter, line: int) -> bool:
    """Seal, and raise what a signal does before a line of the merging.

    Returns:
        Whether it has as many lines.
    """
    left = line

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        if frame.f_code is TableWriter._merge.__code__ and event == "line":
            left -= 1
            if not left:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        writer.seal()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def count_rows(marks: Marks) -> list[int]:
    return [rows for _, rows, _, _ in marks]


@pytest.mark.parametrize("rows_per_write", [2, 1024])
def test_parts_become_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_per_write: int
) -> None:
    for room in ("tables", "parts"):
        name = f"engine.recording.{room}.ROWS_PER_WRITE"
        monkeypatch.setattr(name, rows_per_write)
    path, parts = tmp_path / "t.parquet", tmp_path / "parts"
    writer = TableWriter(path, COLUMNS, parts)
    fill(writer, range(3))
    assert count_rows(writer.seal()) == [3]
    fill(writer, range(3, 8))
    assert count_rows(writer.seal()) == [3, 5]
    assert count_rows(writer.seal()) == [3, 5]  # nothing new, no new part
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
        check_parts(tmp_path, path, [[1, 4, marks[0][2], 0]])
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(DamagedCheckpointError, match="cut off or exchanged"):
        check_parts(tmp_path, path, marks)
    part.unlink()
    with pytest.raises(DamagedCheckpointError, match="cannot be read"):
        check_parts(tmp_path, path, marks)


def test_marks_without_numbers_are_those_of_older_programs(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    writer = TableWriter(path, COLUMNS, tmp_path)
    fill(writer, range(3))
    writer.seal()
    fill(writer, range(3, 5))
    older = [[rows, size] for _, rows, size, _ in writer.seal()]
    check_parts(tmp_path, path, older)
    again = TableWriter(path, COLUMNS, tmp_path, older)
    fill(again, range(5, 7))
    again.close()
    assert read_steps(path) == list(range(7))


def test_parts_stay_few(tmp_path: Path) -> None:
    path, parts = tmp_path / "t.parquet", tmp_path / "parts"
    writer = TableWriter(path, COLUMNS, parts)
    seals = FAN**2 + 3 * FAN + 5
    for step in range(seals):
        fill(writer, [step])
        marks = writer.seal()
        writer.drop_parts([])
        assert len(marks) <= 3 * (FAN - 1)
        assert len(list(parts.iterdir())) == len(marks)
    # In octal digits: one of 64 rows, three of 8, five of one.
    assert count_rows(marks) == [FAN**2] + [FAN] * 3 + [1] * 5
    check_parts(parts, path, marks)
    writer.close()
    assert read_steps(path) == list(range(seals))


def test_parts_that_a_checkpoint_relies_on_outlive_their_merging(
    tmp_path: Path,
) -> None:
    path, parts = tmp_path / "t.parquet", tmp_path / "parts"
    writer = TableWriter(path, COLUMNS, parts)
    before: Marks = []
    for step in range(FAN):
        fill(writer, [step])
        if step == FAN - 2:
            before = writer.seal()
        writer.seal()
    writer.drop_parts([before])
    check_parts(parts, path, before)
    again = TableWriter(path, COLUMNS, parts, before)
    assert {entry.name for entry in parts.iterdir()} == {
        name_part(parts, path, number).name for number in range(1, FAN)
    }
    fill(again, [FAN - 1, FAN])
    again.close()
    assert read_steps(path) == list(range(FAN + 1))


def test_merging_that_fails_leaves_the_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(*_: object) -> None:
        raise OSError("No space left on device")

    path = tmp_path / "t.parquet"
    writer = TableWriter(path, COLUMNS, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("engine.recording.tables.join_parts", fill_up)
        for step in range(FAN + 1):
            fill(writer, [step])
            marks = writer.seal()
    assert count_rows(marks) == [1] * (FAN + 1)
    check_parts(tmp_path, path, marks)
    fill(writer, [FAN + 1])
    assert count_rows(writer.seal()) == [1, 1, FAN]  # once there is room again
    writer.close()
    assert read_steps(path) == list(range(FAN + 2))


def test_merging_that_a_signal_ends_leaves_every_row_once(tmp_path: Path) -> None:
    line = 0
    while True:
        line += 1
        parts = tmp_path / str(line)
        parts.mkdir()
        path = parts / "t.parquet"
        writer = TableWriter(path, COLUMNS, parts)
        for step in range(FAN - 1):
            fill(writer, [step])
            writer.seal()
        fill(writer, [FAN - 1])
        is_interrupted = seal_interrupted(writer, line)
        # What the checkpoint of the last step relies on.
        marks = writer.seal()
        check_parts(parts, path, marks)
        again = TableWriter(path, COLUMNS, parts, marks)
        fill(again, [FAN])
        again.close()
        assert read_steps(path) == list(range(FAN + 1))
        if not is_interrupted:
            break
    assert line > 8


def test_giving_up_a_closed_table_leaves_it(tmp_path: Path) -> None:
    closed = TableWriter(tmp_path / "closed.parquet", COLUMNS)
    fill(closed, range(3))
    closed.close()
    closed.give_up()
    assert read_steps(tmp_path / "closed.parquet") == [0, 1, 2]
    left = TableWriter(tmp_path / "left.parquet", COLUMNS)
    fill(left, range(3))
    left.give_up()
    assert not (tmp_path / "left.parquet").exists()
