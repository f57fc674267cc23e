"""`scribble run -m`: no job stops or hides another."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine.errors import NumericalError
from experiments import run
from experiments.cli import main
from experiments.sweep import read_statuses
from experiments.sweep.slots import try_lock

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
    words = ["bridges=small_world,matchings", "lattice.shape=[8,8],[9,9]"]
    assert main([*SWEEP, *words]) == 1
    jobs = read_statuses(folder / "sweep")
    assert [job.exit_code for job in jobs] == [0, 0, 0, 2]
    assert "an odd number" in jobs[3].message


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


def test_pairs_vary_together(stage: Stage, folder: Path) -> None:
    words = ["--pair", "lattice.shape=[8,8],[4,4]", "bridges.per_node=2,4", "seed=7"]
    assert main([*SWEEP, "tunnel=default,production", *words]) == 0
    made = [(c.lattice.shape, c.bridges.per_node, c.seed) for c in stage.configs]
    assert made == [((8, 8), 2, 7), ((4, 4), 4, 7)] * 2


def test_sweep_in_yaml(stage: Stage, folder: Path) -> None:
    conf = folder / "mine" / "experiment"
    conf.mkdir(parents=True)
    (conf / "study.yaml").write_text(
        "# @package _global_\n"
        "tunnel: {rungs: 9}\n"
        "hydra:\n  sweeper:\n    params:\n      tunnel.min_coherence: 0.8,0.9\n"
        "    pairs:\n      - {seed: [1, 2], bridges.per_node: '2,4'}\n",
        encoding="utf-8",
    )
    search = f"hydra.searchpath=[file://{folder / 'mine'}]"
    assert main([*SWEEP, search, "+experiment=study", "tunnel.min_coherence=0.5"]) == 0
    made = [(c.seed, c.bridges.per_node, c.tunnel.rungs) for c in stage.configs]
    assert made == [(1, 2, 9), (2, 4, 9)]
    assert {config.tunnel.min_coherence for config in stage.configs} == {0.5}


def test_resume_runs_what_has_not_ended_well(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    stage.endings = {1: KeyError("x"), 3: "interrupted"}
    assert main([*SWEEP, "seed=range(0,6)"]) == 130
    stage.configs.clear()
    stage.endings = {}
    assert main(["run", "-q", "--retry-failed", "sweep"]) == 1
    assert [config.seed for config in stage.configs] == [1]
    assert "3 of 6 jobs done" in capsys.readouterr().out
    stage.configs.clear()
    assert main(["run", "-q", "--resume", "sweep"]) == 0
    assert [config.seed for config in stage.configs] == [3, 4, 5]
    jobs = read_statuses(folder / "sweep")
    assert [job.attempt for job in jobs] == [1, 2, 1, 2, 1, 1]
    assert main(["run", "-q", "--resume", "sweep"]) == 0
    assert len(stage.configs) == 3


def test_dry_run_forecasts_and_writes_nothing(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    axes = ["lattice.shape=[16,16],[9,9]", "bridges=matchings,none"]
    words = ["run", "-m", "--dry-run", "seed=1", *axes]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    first = ["0", "lattice.shape=[16,16]", "bridges=matchings", "0.972"]
    assert lines[1].split()[:4] == first
    assert "cannot run: lattice.shape gives 81 nodes, an odd number" in lines[3]
    assert lines[5].startswith("4 jobs, ")
    assert main([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert 0.9 < rows[0]["coherence"] < 1.0
    assert rows[0]["memory_bytes"] > 2**28  # the process itself
    assert stage.configs == []
    assert list(folder.iterdir()) == []


def test_table_of_a_sweep_on_request(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    stage.endings = {1: KeyError("x")}
    assert main([*SWEEP, "seed=1,2"]) == 1
    (folder / "sweep" / "sweep.parquet").unlink()
    capsys.readouterr()
    assert main(["sweep", "sweep"]) == 0
    out = capsys.readouterr().out
    assert "1 done, 1 failed: sweep/sweep.parquet" in out
    assert "unexpected KeyError" in out
    assert (folder / "sweep" / "sweep.parquet").exists()
    assert main(["sweep", "sweep", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["summary.seed"] for row in rows if row["status"] == "done"] == [1]


def test_sweep_that_is_being_run_is_left_alone(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    assert main([*SWEEP, "seed=1,2"]) == 0
    descriptor = try_lock(folder / "sweep" / "sweep.lock")
    assert descriptor is not None
    assert main(["run", "--resume", "sweep"]) == 2
    assert "is being run by another process" in capsys.readouterr().err
    os.close(descriptor)


def test_sweep_that_cannot_be_locked_says_so(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    assert main([*SWEEP, "seed=1,2"]) == 0
    lock = folder / "sweep" / "sweep.lock"
    # A link is never followed, so it cannot be opened, by root neither.
    lock.unlink()
    lock.symlink_to("elsewhere")
    assert main(["run", "--resume", "sweep"]) == 2
    err = capsys.readouterr().err
    assert "sweep.lock cannot be written" in err and "unexpected" not in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--resume", "absent"], "holds no sweep"),
        (["--resume", "absent", "--pair", "a=1", "b=2"], "planned already"),
        (["--pair", "seed=1,2", "bridges.per_node=1,2"], "--pair is for sweeps"),
        (["--in-process"], "--in-process is for sweeps; add -m"),
        (["--job-memory", "1GiB"], "--job-memory is for sweeps"),
        (["-m", "--job-memory", "lots"], "write a number and a unit"),
        (["-m", "--json"], "--json belongs to --dry-run"),
        (["-m", "hydra.sweep.subdir=x"], "set by the sweep itself"),
        (["-m", "hydra/launcher=basic,joblib"], "names several values"),
        (["-m", "--pair", "seed=1,2", "bridges.per_node=1,2,3"], "equally many"),
        (["-m", "hydra/launcher=basc"], "choose one of: basic"),
        (["-m", "load.level=0.2,1.5", "seed=1,2"], "load.level is 1.5; it must"),
        (["-m", "load.level=1.5", "seed=1,2"], "load.level is 1.5; it must"),
        (["-m", "lattice.shape=[9,9],[8,8]", "seed=1,2"], "an odd number"),
        (["-m", "--dry-run", "dynamics.dt_s=-1,1e-4"], "dynamics.dt_s is -1"),
    ],
)
def test_bad_words_of_sweeps(
    words: list[str], text: str, stage: Stage, folder: Path, capsys: Capture
) -> None:
    assert main(["run", *words]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert text in captured.err
    assert list(folder.iterdir()) == []


def test_words_given_with_resume_are_for_hydra(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    assert main([*SWEEP, "seed=1,2"]) == 0
    assert main(["run", "--resume", "sweep", "seed=3"]) == 2
    assert "only the launcher may change" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "extra"),
    [
        ("hydra/launcher=ray", "ray"),
        ("hydra/launcher=joblib", "joblib"),
        ("hydra/launcher=submitit_slurm", "slurm"),
        ("hydra/sweeper=optuna", "optuna"),
    ],
)
def test_missing_extra_is_named(
    word: str,
    extra: str,
    folder: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("experiments.sweep.prepare.find_spec", lambda module: None)
    assert main(["run", "-m", word, "seed=1,2"]) == 1
    assert f"pip install 'scribble-engine[{extra}]'" in capsys.readouterr().err
    assert list(folder.iterdir()) == []
