"""The file of a checkpoint: whole, or refused with the reason; never half believed."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import CheckpointError, DamagedCheckpointError, RecordError
from engine.recording import checkpoint
from engine.recording.checkpoint import (
    END_MAGIC,
    FORMAT_VERSION,
    HEAD,
    MAGIC,
    TAIL,
    CheckpointCard,
    describe_resumption,
    list_checkpoints,
    name_checkpoint,
    prune_checkpoints,
    read_checkpoint,
    remove_checkpoints,
    remove_drafts,
    write_checkpoint,
)
from engine.state import StateArray, keep_array
from tests.file_limits import no_more_files

CARD = CheckpointCard(8, 0.002, "0.1.0", "cpu", {"seed": 1, "lattice": {"shape": [2]}})
FIELDS = np.arange(5, dtype=np.float64)


def build_state() -> dict[str, Any]:
    return {
        "lattice": {
            "phases": keep_array(
                np.arange(7, dtype=np.uint32), ("node",), "2^-32 turn"
            ),
            "velocities": None,
        },
        "law": {"height": 0.1 + 0.2, "count": 2**40, "name": "ä", "is_on": True},
        "late": [1.5, {"sums": keep_array(FIELDS.reshape(5, 1), ("a", "b"), "1")}],
        "empty": keep_array(np.zeros((0, 4), np.int64), ("group", "x"), "1"),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = name_checkpoint(tmp_path, 8)
    write_checkpoint(path, CARD, build_state())
    return path


def test_everything_comes_back(path: Path) -> None:
    found = read_checkpoint(path)
    state = found.state
    assert found.card == CARD
    assert state is not None
    assert state["law"] == build_state()["law"]
    phases = state["lattice"]["phases"]
    assert (phases.dims, phases.units) == (("node",), "2^-32 turn")
    assert phases.load("phases", np.uint32, (7,)).tolist() == list(range(7))
    sums = state["late"][1]["sums"].load("sums", np.float64, (5, 1))
    assert sums.ravel().tolist() == FIELDS.tolist()
    assert state["empty"].load("empty", np.int64, (0, 4)).size == 0
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_start_holds_no_state(tmp_path: Path) -> None:
    path = name_checkpoint(tmp_path, 0)
    write_checkpoint(path, CARD, None)
    assert read_checkpoint(path).state is None
    assert path.stat().st_size < 1024


def test_arrays_are_little_endian_and_come_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "PIECE_BYTES", 16)
    values = np.arange(11, dtype=">u4")
    pieces = [values[:4], values[4:]]
    array = StateArray(values.dtype, (11,), ("node",), "1", lambda: iter(pieces))
    path = tmp_path / "a.ckpt"
    write_checkpoint(path, CARD, {"a": array})
    assert np.arange(11, dtype="<u4").tobytes() in path.read_bytes()
    state = read_checkpoint(path).state
    assert state is not None
    assert state["a"].load("a", np.uint32, (11,)).tolist() == list(range(11))


def choose_places(size: int) -> list[int]:
    """Choose every byte of head and tail, and every seventh between them."""
    inside = range(HEAD.size, size - TAIL.size, 7)
    return [*range(HEAD.size), *inside, *range(size - TAIL.size, size)]


def test_cuts_are_seen(path: Path) -> None:
    whole = path.read_bytes()
    for size in choose_places(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedCheckpointError, match=path.name):
            read_checkpoint(path)


def test_flipped_bits_are_seen_but_in_padding(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    length = TAIL.unpack(whole[-TAIL.size :])[0]
    end = len(whole) - TAIL.size - length
    entries = json.loads(whole[end : end + length])["arrays"]
    used = np.ones(len(whole), bool)
    used[HEAD.size : end] = False
    for entry in entries:
        size = int(np.prod(entry["shape"])) * np.dtype(entry["dtype"]).itemsize
        used[entry["offset"] : entry["offset"] + size] = True
    for place in filter(used.__getitem__, choose_places(len(whole))):
        whole[place] ^= 1 << (place % 8)
        path.write_bytes(whole)
        with pytest.raises(DamagedCheckpointError):
            read_checkpoint(path)
        whole[place] ^= 1 << (place % 8)


def forge(path: Path, change: Callable[[dict[str, Any]], object], version: int) -> None:
    """Write another index with the right checksum, as a malicious author would."""
    whole = path.read_bytes()
    length = TAIL.unpack(whole[-TAIL.size :])[0]
    end = len(whole) - TAIL.size - length
    index = json.loads(whole[end : end + length])
    change(index)
    head, text = HEAD.pack(MAGIC, version, 0), json.dumps(index).encode()
    digest = hashlib.sha256(head + text).digest()
    tail = TAIL.pack(len(text), digest, END_MAGIC)
    path.write_bytes(head + whole[HEAD.size : end] + text + tail)


def test_newer_version_is_refused_and_not_called_damaged(path: Path) -> None:
    forge(path, lambda index: index.clear(), FORMAT_VERSION + 1)
    with pytest.raises(
        CheckpointError, match=f"format version {FORMAT_VERSION + 1}"
    ) as caught:
        read_checkpoint(path)
    assert not isinstance(caught.value, DamagedCheckpointError)


@pytest.mark.parametrize(
    "entry",
    [
        {"shape": [2**40]},
        {"shape": [2**62, 2**62]},
        {"shape": [-1]},
        {"shape": [1.5]},
        {"shape": [True]},
        {"shape": 3},
        {"offset": 2**70},
        {"offset": -8},
        {"dtype": "<O8"},
        {"dtype": "V1000000000"},
        {"dtype": ["<f8"]},
        {"sha256": None},
        {"dims": 3},
    ],
)
def test_forged_arrays_take_no_memory(path: Path, entry: dict[str, Any]) -> None:
    forge(path, lambda index: index["arrays"][0].update(entry), 1)
    tracemalloc.start()
    with pytest.raises(DamagedCheckpointError):
        read_checkpoint(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2**20


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index.pop("card"),
        lambda index: index.update(card=[]),
        lambda index: index["card"].update(more=1),
        lambda index: index.update(arrays=[3]),
        lambda index: index.update(state={"a": {"$array": 99}}),
        lambda index: index.update(state={"a": {"$array": "x"}}),
        lambda index: index.clear(),
    ],
)
def test_forged_indices_are_refused(path: Path, change: Callable[..., Any]) -> None:
    forge(path, change, 1)
    with pytest.raises(DamagedCheckpointError):
        read_checkpoint(path)


def test_deep_index_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    head, text = whole[: HEAD.size], b"[" * 200_000
    digest = hashlib.sha256(head + text).digest()
    path.write_bytes(head + text + TAIL.pack(len(text), digest, END_MAGIC))
    with pytest.raises(DamagedCheckpointError):
        read_checkpoint(path)


def test_full_disk_leaves_the_one_before(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(checkpoint.os, "fsync", refuse)
    with pytest.raises(RecordError, match="No space left"):
        write_checkpoint(path, CARD, build_state())
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_oldest_go_and_the_start_stays(tmp_path: Path) -> None:
    for step in (0, 40, 80, 120):
        write_checkpoint(name_checkpoint(tmp_path, step), CARD, None)
    prune_checkpoints(tmp_path, 2)
    assert [int(path.stem) for path in list_checkpoints(tmp_path)] == [120, 80, 0]


def test_files_with_other_names_are_left_alone(tmp_path: Path) -> None:
    for step in (0, 40, 80):
        write_checkpoint(name_checkpoint(tmp_path, step), CARD, None)
    inside = name_checkpoint(tmp_path, 0).parent
    others = [inside / name for name in ("keep.ckpt", "0000.ckpt", "keep.ckpt.part")]
    for path in others:
        path.write_bytes(b"mine")
    steps = [int(path.stem) for path in list_checkpoints(tmp_path)]
    assert steps == [80, 40, 0]
    assert sorted(prune_checkpoints(tmp_path, 1)) == [0, 80]
    assert describe_resumption(tmp_path) == ("scribble resume goes on from step 80",)
    remove_drafts(tmp_path)
    remove_checkpoints(tmp_path)
    assert sorted(inside.iterdir()) == sorted(others)


def test_long_index_is_read_back(tmp_path: Path) -> None:
    """What the writer wrote the reader reads: there is one bound, the file itself."""
    path, text = name_checkpoint(tmp_path, 8), "x" * (2**25 + 1)
    write_checkpoint(path, CARD, {"sensor": {"samples": [text]}})
    state = read_checkpoint(path).state
    assert state is not None
    assert state["sensor"]["samples"][0] == text


def test_file_that_cannot_be_opened_is_not_called_damaged(path: Path) -> None:
    with (
        no_more_files(),
        pytest.raises(RecordError, match=r"Too many open files.*Try again"),
    ):
        read_checkpoint(path)
    assert read_checkpoint(path).card == CARD


def test_removal_leaves_what_others_put_there(tmp_path: Path) -> None:
    path = name_checkpoint(tmp_path, 0)
    write_checkpoint(path, CARD, None)
    (path.parent / "mine.txt").touch()
    remove_checkpoints(tmp_path)
    assert [entry.name for entry in path.parent.iterdir()] == ["mine.txt"]
    (path.parent / "mine.txt").unlink()
    remove_checkpoints(tmp_path)
    assert not path.parent.exists()
