"""Plans: axes, pairs, and the words that set jobs apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError, RecordError
from experiments.sweep.plan import (
    PLAN_FILE,
    PlannedJob,
    SweepPlan,
    drop_common,
    expand_jobs,
    join_words,
    read_plan,
    span_axes,
    write_plan,
)


def expand(words: list[str], *pairs: list[str]) -> list[str]:
    jobs = expand_jobs(span_axes(words, pairs))
    assert [job.job for job in jobs] == list(range(len(jobs)))
    return [" ".join(job.overrides) for job in jobs]


def test_product_with_the_last_word_fastest() -> None:
    assert expand(["seed=1,2", "backend=cpu", "lattice=chain,fcc"]) == [
        "seed=1 backend=cpu lattice=chain",
        "seed=1 backend=cpu lattice=fcc",
        "seed=2 backend=cpu lattice=chain",
        "seed=2 backend=cpu lattice=fcc",
    ]


def test_pairs_move_together_and_multiply_with_the_rest() -> None:
    pair = ["lattice.shape=[8,8],[4,4]", "bridges.per_node=2,4"]
    assert expand(["seed=1,2"], pair) == [
        "seed=1 lattice.shape=[8,8] bridges.per_node=2",
        "seed=1 lattice.shape=[4,4] bridges.per_node=4",
        "seed=2 lattice.shape=[8,8] bridges.per_node=2",
        "seed=2 lattice.shape=[4,4] bridges.per_node=4",
    ]


def test_later_word_replaces_an_earlier_one() -> None:
    assert expand(["seed=1,2,3", "seed=7"]) == ["seed=7"]


@pytest.mark.parametrize(
    ("words", "pair", "text"),
    [
        ([], ["seed=1,2", "bridges.per_node=2,4,6"], "seed has 2, bridges.per_node"),
        ([], ["seed=1,2"], "two or more keys"),
        ([], ["seed=1,2", "seed=3,4"], "two or more keys"),
        (["seed=1"], ["seed=1,2", "bridges.per_node=2,4"], "both in a pair and on"),
        (["seed=interval(1,2)"], [], "only hydra/sweeper=optuna"),
        (["seed=[1,"], [], "cannot be read"),
    ],
)
def test_what_does_not_fit_is_refused(
    words: list[str], pair: list[str], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        expand(words, *([pair] if pair else []))


def test_words_that_set_jobs_apart() -> None:
    words = {0: ["seed=1", "backend=cpu"], 1: ["seed=2", "backend=cpu"]}
    assert drop_common(words) == {0: ["seed=1"], 1: ["seed=2"]}
    assert drop_common({4: ["seed=1"]}) == {4: ["seed=1"]}
    alike = {0: ["seed=1"], 1: ["seed=1"]}  # a search may ask for the same twice
    assert drop_common(alike) == alike
    assert drop_common({}) == {}


def test_last_of_several_words_counts() -> None:
    earlier = ["hydra/launcher=ray", "hydra.launcher.workers=2"]
    joined = join_words(earlier, ["hydra/launcher=basic"])
    assert joined == ["hydra/launcher=basic", "hydra.launcher.workers=2"]


def test_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    jobs = [PlannedJob(0, ["seed=1"]), PlannedJob(1, ["seed=2"])]
    options = {"is_recorded": True}
    plan = SweepPlan("grid", [], ["hydra/launcher=ray"], "/work", options, jobs)
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan


def test_folder_without_a_plan_or_with_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds no sweep"):
        read_plan(tmp_path)
    (tmp_path / "sweep.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RecordError, match="cannot be read as the plan"):
        read_plan(tmp_path)
    (tmp_path / "sweep.json").write_text('"text"', "utf-8")
    with pytest.raises(RecordError, match="cannot be read as the plan"):
        read_plan(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"jobs": [{"job": 0, "overrides": ["hydra.sweep.dir=/precious"]}]},
        {"jobs": [{"job": 0, "overrides": ["hydra.sweep.subdir=../../precious"]}]},
        {"jobs": [{"job": -1, "overrides": []}]},
        {"jobs": [{"job": 0, "overrides": []}] * 2},
        {"words": ["+hydra.callbacks.a={_target_: os.system}"]},
        {"hydra": ["+hydra.callbacks.a._target_=os.system"]},
        {"hydra": ["hydra.sweep.subdir=../../precious"]},
        {"options": {"working_folder": "/precious"}},
        {"options": {"memory_bytes": "all"}},
    ],
)
def test_stored_plan_leads_nowhere_else(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    plan = {
        "sweeper": "grid", "words": ["seed=1"], "hydra": ["hydra.sweep.dir=a"],
        "working_folder": "/", "options": {"is_recorded": True, "memory_bytes": None},
        "jobs": [{"job": 0, "overrides": ["seed=1"]}],
    }  # fmt: skip
    (tmp_path / PLAN_FILE).write_text(json.dumps(plan), "utf-8")
    assert len(read_plan(tmp_path).jobs) == 1
    (tmp_path / PLAN_FILE).write_text(json.dumps(plan | changes), "utf-8")
    with pytest.raises(RecordError, match="cannot be read as the plan"):
        read_plan(tmp_path)
