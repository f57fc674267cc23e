"""A new sweep is laid over nothing of anybody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import ConfigError
from experiments.sweep.place import refuse_place
from experiments.sweep.plan import PlannedJob, SweepPlan, write_plan

TWO_JOBS = SweepPlan("grid", [], [], "/", jobs=[PlannedJob(n, []) for n in range(2)])


def fill(folder: Path, name: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine", "utf-8")


@pytest.mark.parametrize(
    "names", [[], ["notes.txt"], ["2/notes.txt"], ["2026/x"], ["01/x"], ["empty/x"]]
)
def test_folder_where_no_job_is_in_the_way(names: list[str], tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    for name in names:
        fill(tmp_path, name)
    refuse_place(tmp_path, TWO_JOBS)
    refuse_place(tmp_path / "absent", TWO_JOBS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1/notes.txt", "1, where a job is to be recorded, exists"),
        ("1", "1, where a job is to be recorded, exists"),
        ("config.yaml", "holds config.yaml of a run"),
        ("sweep.json", "holds another sweep"),
    ],
)
def test_folder_with_something_in_the_way(
    name: str, expected: str, tmp_path: Path
) -> None:
    fill(tmp_path, name)
    with pytest.raises(ConfigError, match=expected):
        refuse_place(tmp_path, TWO_JOBS)


def test_link_where_a_job_is_to_be_recorded(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "0").symlink_to("elsewhere")
    with pytest.raises(ConfigError, match="0, where a job is to be recorded"):
        refuse_place(tmp_path, TWO_JOBS)


def test_search_may_have_jobs_of_every_number(tmp_path: Path) -> None:
    fill(tmp_path, "2026/x")
    with pytest.raises(ConfigError, match="2026, where a job"):
        refuse_place(tmp_path, SweepPlan("optuna", [], [], "/"))


def test_folder_in_another_sweep(tmp_path: Path) -> None:
    write_plan(tmp_path, TWO_JOBS)
    (tmp_path / "0").mkdir()
    (tmp_path / "link").symlink_to("0")
    for place in ("0", "3", "0/deep/er", "link/deep"):
        with pytest.raises(ConfigError, match=f"lies in the sweep {tmp_path}"):
            refuse_place(tmp_path / place, TWO_JOBS)
