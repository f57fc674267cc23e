"""What `--resume` makes of a job that an earlier attempt has begun, or ended.

Small runs, but real; what a job cannot judge is kept for a program that can.
"""

from __future__ import annotations

import errno
import hashlib
import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.recording import checkpoint
from engine.recording.checkpoint import list_checkpoints
from engine.recording.folder import JOB_FILES, to_yaml
from engine.system import ScribbleSystem
from experiments import outcome
from experiments.cli import main
from experiments.sweep import JobStatus
from experiments.sweep import status as sweep_status

SWEEP = [
    *("run", "-q", "-m", "--in-process", "hydra.sweep.dir=sweep", "seed=1"),
    *("lattice.shape=[16,16]", "backend=reference", "dynamics.duration_s=0.05"),
    *("load=synthetic", "record.forecast=false"),
]


@pytest.fixture
def cut_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sweep of one job that was warned after its first control period."""
    monkeypatch.chdir(tmp_path)
    advance = ScribbleSystem._advance_period

    def advance_warned(*arguments: Any) -> Any:
        monkeypatch.setattr(ScribbleSystem, "_advance_period", advance)
        signal.raise_signal(signal.SIGUSR1)
        return advance(*arguments)

    monkeypatch.setattr(ScribbleSystem, "_advance_period", advance_warned)
    assert main(SWEEP) == outcome.INTERRUPTED
    return tmp_path / "sweep" / "0"


def read_summary(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text("utf-8"))
    return summary


def resume_job(folder: Path) -> JobStatus:
    main(["run", "-q", "--resume", str(folder.parent)])
    status = sweep_status.read_status(folder)
    assert status is not None
    return status


def list_content(folder: Path) -> dict[str, bytes]:
    """What a run has written, without what its sweep says of it."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in found
        if path.name not in JOB_FILES
    }


def make_newer(path: Path) -> None:
    """Change the format version of a checkpoint, as a newer program writes it."""
    data = path.read_bytes()
    length, _, magic = checkpoint.TAIL.unpack(data[-checkpoint.TAIL.size :])
    head = checkpoint.HEAD.pack(checkpoint.MAGIC, checkpoint.FORMAT_VERSION + 1, 0)
    body = data[len(head) : -checkpoint.TAIL.size]
    digest = hashlib.sha256(head + body[len(body) - length :]).digest()
    path.write_bytes(head + body + checkpoint.TAIL.pack(length, digest, magic))


def test_job_with_checkpoints_of_a_newer_program_keeps_them(cut_sweep: Path) -> None:
    for path in list_checkpoints(cut_sweep):
        make_newer(path)
    before = list_content(cut_sweep)
    status = resume_job(cut_sweep)
    assert status.status == "failed"
    known = checkpoint.FORMAT_VERSION
    text = f"has the format version {known + 1}; this program reads up to {known}"
    assert text in status.message
    assert f"remove {cut_sweep}, and the job begins anew" in status.message
    assert list_content(cut_sweep) == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\xff", "config.yaml cannot be read"),
        (b"colour: red\n", "is of another configuration than"),
    ],
)
def test_job_whose_configuration_cannot_be_read_keeps_its_checkpoints(
    content: bytes, reason: str, cut_sweep: Path
) -> None:
    (cut_sweep / "config.yaml").write_bytes(content)
    before = list_content(cut_sweep)
    status = resume_job(cut_sweep)
    assert status.status == "failed"
    assert reason in status.message
    assert list_content(cut_sweep) == before


def test_job_with_a_setting_of_a_newer_program_keeps_its_checkpoints(
    cut_sweep: Path,
) -> None:
    for path in list_checkpoints(cut_sweep):
        found = checkpoint.read_checkpoint(path)
        config = {**found.card.config, "colour": "red"}
        card = replace(found.card, config=config)
        path.unlink()
        checkpoint.write_checkpoint(path, card, None)
        (cut_sweep / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    before = list_content(cut_sweep)
    status = resume_job(cut_sweep)
    assert status.status == "failed"
    assert "colour is not a configuration key" in status.message
    assert list_content(cut_sweep) == before


def test_checkpoints_that_the_disk_does_not_give_are_not_damaged(
    cut_sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> Any:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(checkpoint, "open_file", refuse)
    before = list_content(cut_sweep)
    status = resume_job(cut_sweep)
    assert status.status == "failed"
    assert "Input/output error" in status.message
    assert list_content(cut_sweep) == before


def test_job_without_a_whole_checkpoint_begins_anew_and_says_so(
    cut_sweep: Path,
) -> None:
    for path in list_checkpoints(cut_sweep):
        path.write_bytes(path.read_bytes()[:-1])
    status = resume_job(cut_sweep)
    assert status.status == "done"
    assert status.message == "all its checkpoints were damaged, so it began anew"
    assert read_summary(cut_sweep)["resumed"] is None


def test_job_of_another_configuration_begins_anew_and_says_so(cut_sweep: Path) -> None:
    plan = cut_sweep.parent / "sweep.json"
    text = plan.read_text("utf-8").replace("duration_s=0.05", "duration_s=0.06")
    plan.write_text(text, encoding="utf-8")
    status = resume_job(cut_sweep)
    assert status.status == "done"
    assert status.message == "its configuration has changed since, so it began anew"
    assert read_summary(cut_sweep)["resumed"] is None
    assert read_summary(cut_sweep)["steps"] == 240


@pytest.fixture
def untold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A job that is done, whose sweep was killed before it wrote that down."""
    monkeypatch.chdir(tmp_path)
    assert main(SWEEP) == outcome.DONE
    folder = tmp_path / "sweep" / "0"
    status = sweep_status.read_status(folder)
    assert status is not None
    gone = replace(status, status="running", exit_code=None, pid_start_ticks=1)
    sweep_status.write_status(folder, gone)
    (folder / "run.lock").touch()
    return folder


def test_job_that_was_done_is_taken_over(
    untold: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list_content(untold)
    monkeypatch.setattr(ScribbleSystem, "__init__", refuse_to_build)
    status = resume_job(untold)
    assert (status.status, status.exit_code, status.attempt) == ("done", 0, 2)
    del before["run.lock"]
    assert list_content(untold) == before


def refuse_to_build(*_: Any, **__: Any) -> None:
    raise AssertionError("it was run again")


def test_job_that_was_done_with_another_configuration_runs_again(untold: Path) -> None:
    path = untold / "config.yaml"
    text = path.read_text("utf-8").replace("seed: 1\n", "seed: 2\n", 1)
    path.write_text(text, encoding="utf-8")
    status = resume_job(untold)
    assert (status.status, status.attempt) == ("done", 2)
    assert status.message == "its configuration has changed since, so it began anew"
    assert read_summary(untold)["seed"] == 1


def test_job_that_was_done_by_a_newer_program_is_kept(untold: Path) -> None:
    (untold / "config.yaml").write_text("colour: red\n", encoding="utf-8")
    before = list_content(untold)
    status = resume_job(untold)
    assert status.status == "failed"
    assert "colour is not a configuration key" in status.message
    assert list_content(untold) == before


def test_half_a_status_of_a_killed_sweep_stands_in_nobodys_way(untold: Path) -> None:
    for path in untold.iterdir():
        path.unlink()
    (untold / ".status.json.4242").write_text('{"job": 0', encoding="utf-8")
    assert resume_job(untold).status == "done"
    assert not (untold / ".status.json.4242").exists()
