"""Files whole or not at all, and the sentences of disks that take no more."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from engine import disk
from engine.disk import (
    TableFile,
    build_write_error,
    describe_failure,
    find_number,
    format_size,
    refuse_closed,
    replace_whole,
    write_text,
)
from engine.errors import RecordError, WriteError


def test_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")
    with replace_whole(path) as draft:
        draft.write_text("new", encoding="utf-8")
        assert path.read_text("utf-8") == "old"
    assert path.read_text("utf-8") == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_nothing_half_is_left(
    kind: type[BaseException], is_shared: bool, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")
    with (
        pytest.raises(kind),
        replace_whole(path, is_shared=is_shared) as draft,
    ):
        draft.write_text("ne", encoding="utf-8")
        raise kind
    assert path.read_text("utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_processes_that_share_a_file_have_drafts_of_their_own(tmp_path: Path) -> None:
    with replace_whole(tmp_path / "a", is_shared=True) as draft:
        assert str(os.getpid()) in draft.name
        draft.touch()


def test_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(WriteError, match=r"No such file .*; see to it that its folder"):
        write_text(tmp_path / "gone" / "file", "text")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, ("No space left on device: ", " are free); free some space.")),
        (errno.EDQUOT, ("Disk quota exceeded: ", "; free some of the quota.")),
        (errno.EFBIG, ("File too large: ", "(ulimit -f).")),
        (errno.EROFS, ("(Read-only file system); make the folder writable.",)),
        (errno.EACCES, ("(Permission denied); make the folder writable.",)),
        (errno.EIO, ("(Input/output error); see to the disk.",)),
    ],
)
def test_sentence(number: int, words: tuple[str, ...], tmp_path: Path) -> None:
    text = str(build_write_error(tmp_path / "file", OSError(number, "as PyArrow")))
    assert text.startswith(f"{tmp_path / 'file'} cannot be written (")
    assert all(word in text for word in words), text


def test_number_of_an_error_of_pyarrow() -> None:
    text = "Error writing bytes to file. Detail: [errno 28] No space left on device"
    assert find_number(OSError(text)) == errno.ENOSPC
    assert find_number(OSError("something else")) is None
    assert describe_failure(OSError("something\nelse"), Path()) == "something else"


def test_sentence_is_made_once(tmp_path: Path) -> None:
    first = build_write_error(tmp_path / "first", OSError(errno.EIO, ""))
    assert build_write_error(tmp_path / "second", first) is first


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**32, "4 GiB"),
     (2**42, "4 TiB")],
)  # fmt: skip
def test_size(size: float, text: str) -> None:
    assert format_size(size) == text


def test_folder_to_be_made_in_an_open_one(tmp_path: Path) -> None:
    refuse_closed(tmp_path / "a" / "b", "the folder", "name another")
    refuse_closed(tmp_path, "the folder", "name another")


def test_folder_of_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Permissions do not stop root, so the answer is played; tests/faults has real ones.
    monkeypatch.setattr(disk.os, "access", lambda *_: False)
    with pytest.raises(RecordError, match=rf"Permission denied at {tmp_path}\); name"):
        refuse_closed(tmp_path / "a", "the folder", "name another")


def test_table_that_is_given_up_is_let_go_of(tmp_path: Path) -> None:
    import pyarrow as pa

    schema = pa.schema([("a", pa.int64())])
    table: Any = pa.table({"a": [1]}, schema=schema)
    with pytest.raises(ZeroDivisionError), TableFile(tmp_path / "t", schema) as file:
        file.write(table)
        raise ZeroDivisionError
    size = (tmp_path / "t").stat().st_size
    file.give_up()
    del file
    assert (tmp_path / "t").stat().st_size == size
