"""The lock of a run folder: one holder, in this process or another, dead or alive."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import RecordError
from engine.recording.lock import (
    LOCK_FILE,
    MAX_TRIES,
    FolderLock,
    find_holder,
    refuse_taken,
)

ROOT = Path(__file__).parents[3]
HOLD = (
    "import sys; from pathlib import Path;"
    "from engine.recording.lock import FolderLock;"
    "lock = FolderLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
)


def test_second_holder_is_refused_and_told_who(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(RecordError, match=f"in use by process {os.getpid()} on"):
        FolderLock(tmp_path)
    with pytest.raises(RecordError, match="in use"):
        refuse_taken(tmp_path)
    lock.release()
    lock.release()
    assert list(tmp_path.iterdir()) == []
    refuse_taken(tmp_path)
    FolderLock(tmp_path).release()


def test_those_who_look_do_not_see_each_other(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text("process 1 of a killed run\n", "utf-8")
    with (tmp_path / LOCK_FILE).open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)  # as `find_holder` does for a moment
        assert find_holder(tmp_path) is None
        refuse_taken(tmp_path)


@pytest.mark.parametrize("is_gone", [True, False])
def test_those_who_look_are_waited_for(
    is_gone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = (tmp_path / LOCK_FILE).open("w")
    fcntl.flock(other, fcntl.LOCK_SH)
    pauses: list[float] = []

    def pause(span_s: float) -> None:
        pauses.append(span_s)
        if is_gone:
            fcntl.flock(other, fcntl.LOCK_UN)

    monkeypatch.setattr("engine.recording.lock.time.sleep", pause)
    with other:
        if is_gone:
            FolderLock(tmp_path).release()
            assert len(pauses) == 1
        else:  # stopped, perhaps
            with pytest.raises(RecordError, match="in use by another process"):
                FolderLock(tmp_path)
            assert len(pauses) == MAX_TRIES


def test_lock_that_another_run_has_made_is_left_alone(tmp_path: Path) -> None:
    first = FolderLock(tmp_path)
    (tmp_path / LOCK_FILE).unlink()
    second = FolderLock(tmp_path)
    first.release()
    with pytest.raises(RecordError, match="in use"):
        FolderLock(tmp_path)
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_asking_makes_nothing(tmp_path: Path) -> None:
    assert find_holder(tmp_path) is None
    assert find_holder(tmp_path / "absent") is None
    assert list(tmp_path.iterdir()) == []


def test_killed_holder_leaves_the_folder_free(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    assert str(holder.pid) in (find_holder(tmp_path) or "")
    with pytest.raises(RecordError, match=str(holder.pid)):
        FolderLock(tmp_path)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    assert (tmp_path / LOCK_FILE).exists()
    assert find_holder(tmp_path) is None
    FolderLock(tmp_path).release()
