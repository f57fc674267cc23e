"""`hydra/sweeper=optuna`: a search whose memory is the job folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from experiments.cli import main
from experiments.sweep import collect_rows
from experiments.sweep.search import find_best, read_search, recall_study

if TYPE_CHECKING:
    from conftest import Stage

pytestmark = pytest.mark.sweeps

SETTINGS = {
    "objective": "tunnels.attempted",
    "direction": "minimize",
    "constraints": ["coherence.final>=coherence.floor", "wall_seconds<=9"],
    "trials": 5,
    "batch": 2,
    "seed": 0,
}
WORDS = ["seed=1,2", "dynamics.dt_s=tag(log,interval(1e-5,1e-4))", "lattice=chain"]
PLACE = [
    *("run", "-q", "-m", "--in-process", "hydra/sweeper=optuna"),
    "hydra.sweep.dir=sweep",
]
SEARCH = [*PLACE, "hydra.sweeper.trials=5", "hydra.sweeper.batch=2"]


def build_row(job: int, attempted: int, final: float) -> dict[str, Any]:
    return {
        "job": job,
        "status": "done",
        "seed": 1,
        "dynamics.dt_s": 2e-5,
        "summary.tunnels.attempted": attempted,
        "summary.coherence.final": final,
        "summary.coherence.floor": 0.87,
        "summary.wall_seconds": 3.0,
    }


def test_best_job_holds_every_constraint() -> None:
    search = read_search(SETTINGS, WORDS)
    rows = [build_row(0, 100, 0.5), build_row(1, 300, 0.9), build_row(2, 200, 0.88)]
    best = find_best(search, [*rows, {**rows[2], "job": 3, "status": "failed"}])
    assert best is not None
    assert best["job"] == 2
    assert find_best(search, rows[:1]) is None


def test_study_is_made_of_what_has_ended() -> None:
    search = read_search(SETTINGS, WORDS)
    rows = [build_row(0, 100, 0.5), {**build_row(1, 3, 0.9), "status": "running"}]
    trials = recall_study(search, rows).trials
    assert [trial.value for trial in trials] == [100.0]
    assert trials[0].params == {"seed": "1", "dynamics.dt_s": 2e-5}
    excess = trials[0].constraints["coherence.final>=coherence.floor"]
    assert excess == pytest.approx(0.37)


def test_search_goes_on_from_its_folders(stage: Stage, folder: Path) -> None:
    assert main([*SEARCH, *WORDS]) == 0
    assert len(stage.configs) == 5
    assert {config.lattice.kind for config in stage.configs} == {"chain"}
    assert all(1e-5 <= c.dynamics.dt_s <= 1e-4 for c in stage.configs)
    assert len({config.dynamics.dt_s for config in stage.configs}) == 5
    best = json.loads((folder / "sweep" / "best.json").read_text("utf-8"))
    assert not list((folder / "sweep").glob(".best.json*"))
    assert best["value"] == 12
    shutil.rmtree(folder / "sweep" / "3")
    assert main(["run", "-q", "--resume", "sweep"]) == 0
    assert stage.configs[5].dynamics.dt_s == stage.configs[3].dynamics.dt_s
    assert len(collect_rows(folder / "sweep")) == 5


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["seed=1"], "nothing to search"),
        (["seed=1,2", "hydra.sweeper.direction=up"], "choose one of: min"),
        (["seed=1,2", "hydra.sweeper.batch=0"], "must be 1 or more"),
        (["seed=1,2", "hydra.sweeper.constraints=[abc]"], "write KEY<=VALUE"),
        (["seed=interval(2,1)"], "is empty"),
        (["seed=interval(1,4)"], "write int(interval(low,high))"),
        (["dynamics.dt_s=interval(1,inf)"], "has no end"),
        (["dynamics.dt_s=tag(log,interval(0,1))"], "must begin above 0"),
        (["seed=range(5,5)"], "gives no values"),
        (["seed=1,2", "hydra.sweeper.trials=${nope}"], "'nope' not found"),
        (["seed=1,2", "hydra.sweeper.objective=nope"], "choose one of: nodes,"),
        (["seed=1,2", "hydra.sweeper.objective=status"], "choose one of: steps,"),
        (["seed=1,2", "hydra.sweeper.constraints=['nope<=1']"], "choose one of:"),
    ],
)
def test_bad_words_of_searches(
    words: list[str], text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*PLACE, *words]) == 2
    assert text in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_figure_that_no_job_has_ends_the_search_after_the_first(
    stage: Stage, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["seed=1,2", "hydra.sweeper.objective=coherence.fnal"]
    assert main([*PLACE, *words]) == 2
    assert len(stage.configs) == 1
    told = capsys.readouterr().err
    assert "is 'coherence.fnal'; choose one of: coherence.final," in told


def test_whole_numbers_are_searched(stage: Stage, folder: Path) -> None:
    assert main([*SEARCH, "seed=int(interval(1,3))"]) == 0
    assert {config.seed for config in stage.configs} <= {1, 2, 3}


def test_quoted_names_are_found_again(folder: Path) -> None:
    words = ["load.trace='b=1','b=2'", "dynamics.dt_s=1e-5,1.50e-5"]
    search = read_search(SETTINGS, words)
    row = {**build_row(0, 1, 0.9), "load.trace": "b=2", "dynamics.dt_s": 1.5e-5}
    params = recall_study(search, [row]).trials[0].params
    assert params == {"load.trace": "'b=2'", "dynamics.dt_s": "1.5e-05"}
