"""Words that cannot be meant: one sentence that says the cure, and nothing written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from experiments.cli import main
from experiments.sweep import read_statuses

if TYPE_CHECKING:
    from conftest import Stage

Capture = pytest.CaptureFixture[str]
RUN = ["run", "-q"]
SWEEP = [*RUN, "-m", "--in-process"]
PAIR = ["--pair", "bridges.per_node=1,2", "tunnel.rungs=8,9"]
JOBLIB = "hydra/launcher=joblib"


def refuse(words: list[str], capsys: Capture) -> str:
    """Run words that are bad input; return the one sentence."""
    capsys.readouterr()
    before = sorted(Path().rglob("*"))
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "unexpected" not in told
    assert sorted(Path().rglob("*")) == before
    return told


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([*RUN, "seed=1", "seed=2"], "seed is given twice; give it once."),
        ([*RUN, "seed=1", "+seed=2"], "seed is given twice"),
        ([*RUN, "rollout.policy=default", "rollout.policy=production"], "policy is"),
        (["forecast", "lattice=chain", "lattice=square"], "lattice is given twice"),
        ([*SWEEP, "seed=1,2", "seed=3"], "seed is given twice"),
        ([*SWEEP, "seed=3", *PAIR, "seed=1"], "seed is given twice"),
        ([*RUN, "LATTICE=chain"], "the nearest are: lattice.kind,"),
        ([*RUN, "nothing=ä"], "nothing is not a configuration key"),
        ([*RUN, "lattice.shape=[8,(]"], "and text twice, as in 'lattice.shape=\"..."),
        ([*SWEEP, "seed=range(5,5)"], "gives no values that can be listed"),
        ([*SWEEP, "seed=range(0,1,0)"], "gives no values that can be listed"),
        ([*SWEEP, "seed=range(1,nan)"], "gives no values that can be listed"),
        ([*SWEEP, "seed=glob(*)"], "gives no values that can be listed"),
        ([*SWEEP, "lattice=glob(*)"], "or lattice=chain,square."),
        ([*SWEEP, "bridges.path=choice()"], "cannot be read"),
        ([*SWEEP, "hydra.sweep.dir=", "seed=1,2"], "hydra.sweep.dir is empty"),
        ([*SWEEP, "hydra.sweep.dir=${nope}"], "key 'nope' not found"),
        ([*SWEEP, "hydra.sweep.dir=${oc.env:W,''}"], "hydra.sweep.dir names no folder"),
        ([*RUN, "record.folder="], "record.folder is empty"),
    ],
)
def test_words_that_cannot_be_meant(
    words: list[str], expected: str, stage: Stage, folder: Path, capsys: Capture
) -> None:
    assert expected in refuse(words, capsys)
    assert stage.configs == []


def test_sweep_is_not_mixed_with_anything(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    assert main([*RUN, "record.folder=run"]) == 0
    assert main([*SWEEP, "hydra.sweep.dir=sweep", "seed=1,2"]) == 0
    (folder / "own" / "0").mkdir(parents=True)
    (folder / "own" / "0" / "notes.txt").write_text("mine", "utf-8")
    for place, expected in (
        ("run", "holds config.yaml of a run"),
        ("sweep", "holds another sweep"),
        ("sweep/0", "lies in the sweep"),
        ("own", "own/0, where a job is to be recorded"),
    ):
        words = [*SWEEP, f"hydra.sweep.dir={place}", "seed=1,2"]
        assert expected in refuse(words, capsys)
    assert len(stage.configs) == 3


@pytest.mark.sweeps
def test_launcher_of_a_resumed_sweep_is_checked(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    assert main([*SWEEP, "hydra.sweep.dir=sweep", "seed=1,2"]) == 0
    words = [JOBLIB, "hydra.launcher.n_jobs=0"]
    assert "n_jobs is 0" in refuse(["run", "--resume", "sweep", *words], capsys)


@pytest.mark.sweeps
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([JOBLIB, "hydra.launcher.n_jobs=0"], "hydra.launcher.n_jobs is 0"),
        ([JOBLIB, "hydra.launcher.n_jobs=${nope}"], "key 'nope' not found"),
        (
            ["seed=1,2", "hydra/launcher=ray", "hydra.launcher.workers=-1"],
            "hydra.launcher.workers is -1",
        ),
    ],
)
def test_settings_of_a_launcher_that_cannot_be_meant(
    words: list[str], expected: str, stage: Stage, folder: Path, capsys: Capture
) -> None:
    assert expected in refuse([*SWEEP, *words], capsys)


@pytest.mark.parametrize("name", ["2026_11_23", "rüns=ä", "[x]"])
def test_names_of_folders_stay_as_typed(
    name: str, stage: Stage, folder: Path, capsys: Capture
) -> None:
    assert main([*RUN, f"record.folder={name}"]) == 0
    assert main([*SWEEP, f"hydra.sweep.dir=s/{name}", f"load.trace={name},b"]) == 0
    assert {path.name for path in folder.iterdir()} == {name, "s"}
    assert len(read_statuses(folder / "s" / name)) == 2
    assert [config.load.trace for config in stage.configs[1:]] == [name, "b"]
    assert main(["sweep", f"s/{name}"]) == 0
    assert f" {name} " in capsys.readouterr().out


def test_run_and_sweep_are_told_apart(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    assert main([*RUN, "record.folder=run"]) == 0
    assert main([*SWEEP, "hydra.sweep.dir=sweep", "seed=1,2"]) == 0
    assert "scribble run --resume sweep." in refuse(["resume", "sweep"], capsys)
    told = refuse(["run", "--resume", "run"], capsys)
    assert f"scribble resume {folder / 'run'}." in told
    for words in (["sweep"], ["run", "--resume"]):
        told = refuse([*words, "run/config.yaml"], capsys)
        assert "config.yaml is a file; name the folder of a sweep." in told


def test_replay_says_what_is_missing(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    assert main([*RUN, "record.folder=run"]) == 0
    told = refuse(["replay", "run", "seed=1,2"], capsys)
    assert "'seed=1,2' names several values" in told
    (folder / "run" / "summary.json").unlink()
    assert "by scribble resume run, then replay" in refuse(["replay", "run"], capsys)


def test_replay_of_a_run_that_goes_on(
    stage: Stage, folder: Path, capsys: Capture
) -> None:
    from engine.recording.lock import FolderLock

    assert main([*RUN, "record.folder=run"]) == 0
    (folder / "run" / "summary.json").unlink()
    lock = FolderLock(folder / "run")
    told = refuse(["replay", "run"], capsys)
    lock.release()
    assert "is still going on (process " in told


@pytest.mark.parametrize(
    "words", [["run"], ["forecast"], ["replay", "x"], ["report"], ["doctor"]]
)
def test_current_folder_that_is_gone(
    words: list[str], folder: Path, capsys: Capture
) -> None:
    (folder / "gone").mkdir()
    os.chdir(folder / "gone")
    (folder / "gone").rmdir()
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told == (
        "scribble: error: The current folder is gone (removed or renamed); cd "
        "elsewhere.\n"
    )
