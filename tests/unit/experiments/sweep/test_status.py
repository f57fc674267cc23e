"""Status files, above all of jobs that nobody watches any more."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from engine.errors import RecordError
from experiments.sweep.status import (
    SILENCE_S,
    judge_status,
    open_status,
    read_disk_clock,
    read_start_ticks,
    read_status,
    read_statuses,
    write_status,
)

OWN = open_status(3, ["seed=1"], 1)
NOW = 1e9
FAR = replace(OWN, host=f"not-{socket.gethostname()}", pid=1)


def read_now() -> float:
    return NOW


def test_job_of_a_living_process_runs_however_silent() -> None:
    assert judge_status(OWN, 0.0, read_now) is OWN


def test_job_of_a_process_that_is_gone_is_lost(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_status(tmp_path, replace(OWN, pid=ended.pid))
    status = read_status(tmp_path)
    assert status is not None
    assert status.status == "lost"
    assert "never finished" in status.message
    assert f"process {ended.pid} is gone" in status.message
    assert '"running"' in (tmp_path / "status.json").read_text("utf-8")


def test_another_process_with_the_same_number_does_not_count() -> None:
    assert OWN.pid_start_ticks is not None
    older = replace(OWN, pid_start_ticks=OWN.pid_start_ticks - 1)
    assert judge_status(older, NOW, read_now).status == "lost"


def test_start_of_a_process_is_read_behind_any_name(tmp_path: Path) -> None:
    """The name stands in brackets before the figures, and may hold brackets itself."""
    odd = tmp_path / "a) 1 2 (b"
    odd.symlink_to(sys.executable)
    with subprocess.Popen(
        [odd, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        ticks = read_start_ticks(process.pid)
        # psutil counts from 1970, and rounds to a tick; the clock stands still here.
        began_s = psutil.Process(process.pid).create_time() - psutil.boot_time()
        process.kill()
    assert ticks is not None
    assert ticks / os.sysconf("SC_CLK_TCK") == pytest.approx(began_s, abs=1.0)
    assert read_start_ticks(process.pid) is None


def test_job_of_another_machine_is_lost_when_it_falls_silent() -> None:
    assert judge_status(FAR, NOW - SILENCE_S + 1.0, read_now) is FAR
    lost = judge_status(FAR, NOW - SILENCE_S - 1.0, read_now)
    assert lost.status == "lost"
    assert "no sign of life for 61 s" in lost.message


@pytest.mark.parametrize("ahead_s", [-86400.0, 0.0, 120.0])
def test_signs_of_life_are_held_against_the_clock_of_the_disk(
    ahead_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the clock of the machine says that reads them."""
    own = time.time()
    monkeypatch.setattr(time, "time", lambda: own + ahead_s)
    for name, silence_s in (("0", 0.0), ("1", 2.0 * SILENCE_S)):
        write_status(tmp_path / name, replace(FAR, job=int(name)))
        beaten_at = own - silence_s
        os.utime(tmp_path / name / "status.json", (beaten_at, beaten_at))
    ends = [status.status for status in read_statuses(tmp_path)]
    assert ends == ["running", "lost"]
    alone = read_status(tmp_path / "0")
    assert alone is not None
    assert alone.status == "running"
    assert {path.name for path in tmp_path.iterdir()} == {"0", "1"}


def test_a_disk_that_takes_nothing_leaves_the_clock_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    assert read_disk_clock(tmp_path / "absent") == NOW


def test_a_process_that_ended_and_was_never_asked_for_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
        ticks = read_start_ticks(ended.pid)
        assert ticks is not None
        status = replace(OWN, pid=ended.pid, pid_start_ticks=ticks)
        assert judge_status(status, NOW, read_now).status == "lost"


def test_ended_job_stays_as_it_is() -> None:
    done = replace(OWN, status="done", pid=None)
    assert judge_status(done, 0.0, read_now) is done


def test_statuses_come_by_number_and_only_from_job_folders(tmp_path: Path) -> None:
    for job in (10, 2):
        write_status(tmp_path / str(job), replace(OWN, job=job))
    write_status(tmp_path / "1" / "deeper", replace(OWN, job=1))
    assert [status.job for status in read_statuses(tmp_path)] == [2, 10]


def test_status_of_an_older_release_or_a_newer_one_is_read(tmp_path: Path) -> None:
    text = '{"job": 1, "overrides": [], "status": "done", "exit_code": 0, "new": 1,'
    (tmp_path / "status.json").write_text(text + '"message": ""}', encoding="utf-8")
    status = read_status(tmp_path)
    assert status is not None
    assert (status.status, status.attempt) == ("done", 1)


@pytest.mark.parametrize("text", ["{", "[]", "1"])
def test_damaged_status_says_what_to_do(text: str, tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match="remove it"):
        read_status(tmp_path)
