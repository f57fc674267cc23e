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
SEARCH = [
    *("run", "-q", "-m", "--in-process", "hydra/sweeper=optuna"),
    *("hydra.sweep.dir=sweep", "hydra.sweeper.trials=5", "hydra.sweeper.batch=2"),
]


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
    ],
)
def test_bad_words_of_searches(
    words: list[str], text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SEARCH, *words]) == 2
    assert text in capsys.readouterr().err
    assert list(folder.iterdir()) == []
