"""`scribble run -m`: no job stops or hides another."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine.errors import NumericalError
from experiments import run
from experiments.cli import main
from experiments.sweep import read_statuses

if TYPE_CHECKING:
    from conftest import Stage

Capture = pytest.CaptureFixture[str]
SWEEP = ["run", "-q", "-m", "--in-process", "hydra.sweep.dir=sweep"]


def test_every_combination_runs_in_its_own_folder(stage: Stage, folder: Path) -> None:
    assert main([*SWEEP, "seed=1,2", "tunnel=default,production"]) == 0
    made = [(config.seed, config.tunnel.linewidth_hz) for config in stage.configs]
    assert made == [(1, 432.0), (1, 1728.0), (2, 432.0), (2, 1728.0)]
    folders = [Path(str(config.record.folder)) for config in stage.configs]
    assert folders == [folder / "sweep" / str(job) for job in range(4)]
    assert [job.status for job in read_statuses(folder / "sweep")] == ["done"] * 4


def test_default_folder_lies_beside_those_of_single_runs(
    stage: Stage, folder: Path
) -> None:
    assert main(["run", "-q", "-m", "--in-process", "seed=1,2"]) == 0
    assert len(list((folder / "runs").iterdir())) == 1


def test_failing_job_neither_stops_nor_hides_the_others(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    stage.endings = {1: NumericalError("A phase is not finite."), 2: KeyError("x")}
    assert main([*SWEEP, "seed=1,2,3,4"]) == 1
    jobs = read_statuses(folder / "sweep")
    assert [job.status for job in jobs] == ["done", "failed", "failed", "done"]
    assert jobs[1].message == "A phase is not finite."
    assert jobs[1].overrides == ["seed=2"]
    captured = capsys.readouterr()
    assert "2 of 4 jobs done" in captured.out
    assert "2 of 4 jobs did not finish (1, 2)" in captured.err
    assert "Traceback" not in captured.err


def test_impossible_job_is_reported_like_a_failing_one(
    stage: Stage, folder: Path
) -> None:
    assert main([*SWEEP, "lattice.shape=[8,8],[9,9]", "seed=1,2"]) == 1
    jobs = read_statuses(folder / "sweep")
    assert [job.exit_code for job in jobs] == [0, 0, 2, 2]
    assert "an odd number" in jobs[2].message


def test_interrupt_ends_the_sweep(stage: Stage, folder: Path, capsys: Capture) -> None:
    stage.endings = {1: "interrupted"}
    assert main([*SWEEP, "seed=1,2,3", "tunnel=default,production"]) == 130
    assert [job.status for job in read_statuses(folder / "sweep")] == [
        "done",
        "interrupted",
    ]
    captured = capsys.readouterr()
    assert "1 of 6 jobs done" in captured.out
    assert captured.err == (
        "scribble: error: 4 of 6 jobs were not started; 1 of 6 jobs did not finish "
        "(1); the first one: interrupted\n"
    )


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_signal_while_a_job_is_built_ends_the_sweep(
    kind: signal.Signals, folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "build_system", lambda config: signal.raise_signal(kind))
    assert main([*SWEEP, "seed=range(0,3)"]) == 130
    assert "0 of 3 jobs done" in capsys.readouterr().out
    jobs = read_statuses(folder / "sweep")
    assert [(job.status, job.exit_code) for job in jobs] == [("interrupted", 130)]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(
    "words",
    [
        ["record.folder=same", "record.overwrite=true"],
        ["+record.folder=one,two"],
        ["record.folder=job_${seed}"],
    ],
)
def test_one_folder_for_all_jobs_is_refused(
    words: list[str], stage: Stage, folder: Path, capsys: Capture
) -> None:
    assert main(["run", "-m", "seed=1,2", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "every job of a sweep is recorded in a folder of its own" in captured.err
    assert stage.configs == []
    assert list(folder.iterdir()) == []


def test_no_folder_may_be_said_in_a_sweep(stage: Stage, folder: Path) -> None:
    assert main([*SWEEP, "seed=1,2", "record.folder=null"]) == 0


def test_folder_of_another_sweep_is_refused(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    assert main([*SWEEP, "seed=1,2"]) == 0
    assert main([*SWEEP, "seed=1,2"]) == 2
    assert "holds another sweep" in capsys.readouterr().err
    assert len(stage.configs) == 2


def test_folder_with_signs_of_hydras_grammar(stage: Stage, folder: Path) -> None:
    words = [
        "run",
        "-q",
        "-m",
        "--in-process",
        "hydra.sweep.dir='it\\'s a=b, c'",
        "seed=1,2",
    ]
    assert main(words) == 0
    assert len(read_statuses(folder / "it's a=b, c")) == 2


def test_folder_that_cannot_be_made(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    (folder / "sweep").write_text("a file", encoding="utf-8")
    assert main([*SWEEP, "seed=1,2"]) == 2
    assert "cannot be made" in capsys.readouterr().err


def test_experiments_can_be_swept(stage: Stage, folder: Path) -> None:
    assert main([*SWEEP, "+experiment=demo,frugal"]) == 0
    assert [config.load.kind for config in stage.configs] == ["synthetic", "none"]
