"""The table of a sweep, from the files of a sweep that is half done."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from pyarrow import parquet

from experiments.sweep import build_table, collect_rows, write_table
from experiments.sweep.plan import PlannedJob, SweepPlan, write_plan
from experiments.sweep.status import open_status, write_status
from experiments.views.sweep import SweepView, describe_progress, list_cells

SUMMARY = {"coherence": {"mean": 0.9}, "tunnels": {"attempted": 1200}, "notes": ["a"]}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Three jobs: done, running, never started."""
    words = [["load.level=0", "x=chain"], ["load.level=0.5", "x=1"], ["load.level=1"]]
    jobs = [PlannedJob(number, list(word)) for number, word in enumerate(words)]
    write_plan(tmp_path, SweepPlan("grid", [], [], ".", {}, jobs))
    status = open_status(0, words[0], 1)
    write_status(tmp_path / "0", replace(status, status="done", seconds=2.0))
    write_status(tmp_path / "1", replace(status, job=1, overrides=words[1]))
    (tmp_path / "0" / "summary.json").write_text(json.dumps(SUMMARY), "utf-8")
    return tmp_path


def test_row_per_job_with_overrides_and_flat_summary(sweep: Path) -> None:
    table = parquet.read_table(write_table(sweep)).to_pydict()
    assert table["job"] == [0, 1, 2]
    assert table["status"] == ["done", "running", "pending"]
    assert table["load.level"] == [0.0, 0.5, 1.0]
    assert table["x"] == ["chain", "1", None]
    assert table["summary.coherence.mean"] == [0.9, None, None]
    assert table["summary.tunnels.attempted"] == [1200, None, None]
    assert table["summary.notes"] == ['["a"]', None, None]
    assert sorted(path.name for path in sweep.iterdir()) == [
        *("0", "1", "sweep.json", "sweep.parquet")
    ]


def test_words_become_values_that_json_can_hold(tmp_path: Path) -> None:
    words = [["b=true", "n=null", "f=nan", "x=1e999"], ["b=false", "n=2", "f=nan"]]
    jobs = [PlannedJob(number, list(word)) for number, word in enumerate(words)]
    write_plan(tmp_path, SweepPlan("grid", [], [], ".", {}, jobs))
    table = parquet.read_table(write_table(tmp_path)).to_pydict()
    assert (table["b"], table["n"]) == ([True, False], [None, 2])
    assert (table["f"], table["x"]) == (["nan", "nan"], ["1e999", None])


def test_cells_show_what_varies(sweep: Path) -> None:
    heads, cells = list_cells(collect_rows(sweep))
    assert heads[:4] == ["job", "status", "load.level", "x"]
    assert cells[0][:6] == ["0", "done", "0", "chain", "0.900", "1,200"]
    assert cells[2][:5] == ["2", "pending", "1", "-", "-"]


def test_half_written_summary_hides_no_other_job(sweep: Path) -> None:
    (sweep / "0" / "summary.json").write_text("{", encoding="utf-8")
    rows = collect_rows(sweep)
    assert len(rows) == 3
    assert rows[0]["message"].startswith("summary.json cannot be read (Expecting")


def test_empty_sweep_is_an_empty_table() -> None:
    assert build_table([]).num_rows == 0


def test_progress_counts_and_estimates() -> None:
    status = open_status(0, [], 1)
    jobs = [
        replace(status, job=0, status="done"),
        replace(status, job=1, status="failed"),
        replace(status, job=2, status="done"),
        status,
        replace(status, job=4, status="waiting"),
    ]
    earlier = frozenset({(0, 1, "done")})
    # Two ended in 10 s since this command began, so three more take 15 s.
    assert describe_progress(jobs, 6, earlier, 10.0) == (
        "3 of 6 ended, 1 failed, 1 running, 1 waiting for a GPU, about 0:15 left"
    )
    assert describe_progress(jobs[:1], None, frozenset(), 1.0) == "1 ended"


def test_view_tells_each_end_once_and_not_what_ended_before() -> None:
    status = open_status(0, ["seed=1"], 1)
    jobs = [
        replace(status, status="done"),
        replace(status, job=1, overrides=["seed=2"], status="failed", message="why"),
    ]
    stream, now = io.StringIO(), [0.0]
    view = SweepView(lambda: list(jobs), 2, stream=stream, clock=lambda: now[0])
    view.look()
    assert stream.getvalue() == ""
    now[0] = 4.0
    jobs[1] = replace(jobs[1], attempt=2, seconds=3.0, message="why now")
    view.look()
    view.look()
    assert stream.getvalue() == (
        "[0:04] job 1 failed in 0:03: seed=2: why now | 2 of 2 ended, 1 failed\n"
    )
