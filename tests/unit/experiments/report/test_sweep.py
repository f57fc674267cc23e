"""The report on a sweep says what its jobs show."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.report.document import NO, HeatMap, Plot
from experiments.report.jobs import parse_overrides, read_sweep
from experiments.report.sweep import build_sweep_document, describe_sweep
from experiments.report.sweep_plots import find_frontier
from experiments.sweep.status import open_status, write_status
from tests.report_folders import make_grid, make_job

KEY = "lattice.coupling_rad_s"


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    return make_grid(tmp_path / "grid")


def test_jobs_come_in_order_with_their_keys(grid: Path) -> None:
    sweep = read_sweep(grid)
    assert [job.name for job in sweep.jobs] == [str(n) for n in range(10)]
    assert set(sweep.keys) == {KEY, "hz"}
    assert sweep.values(KEY) == (50, 216, 400)
    assert sweep.values("hz") == (24, 63, 165, "bad")


def test_findings_name_effect_and_cheapest(grid: Path) -> None:
    text = " ".join(describe_sweep(read_sweep(grid)))
    assert "9 of 10 jobs are done, 1 failed." in text
    # r = 0.8 + 0.0002 K + 0.0005 f, over f = 24, 63, 165 a mean of 0.842 + 0.0002 K
    assert f"Over {KEY}, r is 0.852 on average at 50 and 0.922 at 400." in text
    # At 24 Hz r is 0.892 with K = 400, above 0.87, and 0.855 with K = 216.
    assert f"({KEY}=400 hz=24)" in text
    assert "needed the lowest frequency, 24.0 Hz, at an r of 0.892" in text


def test_plots_hold_every_job_that_has_figures(grid: Path) -> None:
    document = build_sweep_document(read_sweep(grid))
    frontier = document.plots[0]
    assert isinstance(frontier, Plot)
    dots = [series for series in frontier.series if series.style == "dots"]
    assert sum(len(series.x) for series in dots) == 9
    assert all("job " in text for series in dots for text in series.hover)
    best = frontier.series[0]
    assert list(zip(best.x, best.y, strict=True)) == [
        (24.0, pytest.approx(0.892)),
        (63.0, pytest.approx(0.9115)),
        (165.0, pytest.approx(0.9625)),
    ]
    maps = [plot for plot in document.plots if isinstance(plot, HeatMap)]
    assert {plot.value_label for plot in maps} == {"r [-]", "frequency [Hz]"}
    rows = dict(zip(maps[0].y_values, maps[0].values, strict=True))
    corner = rows[400][maps[0].x_values.index(24)]
    assert corner == pytest.approx(0.892)
    assert "bad" not in maps[0].x_values  # no job with it was done


def test_failed_job_shows_its_reason_and_its_command(grid: Path) -> None:
    document = build_sweep_document(read_sweep(grid))
    (table,) = next(part for part in document.sections if part.title == "Jobs").tables
    reason = table.columns.index("reason")
    assert table.rows[-1][reason] == "hz is 'bad'; a number."
    assert document.verdicts[0].answer == NO
    commands = [line for part in document.sections for line in part.commands]
    assert commands == [f"scribble run {KEY}=400 hz=bad"]


def test_a_job_that_still_runs_is_counted_and_not_called_broken(grid: Path) -> None:
    folder = grid / "10"
    folder.mkdir()
    (folder / "config.yaml").write_text("seed: 1\n", "utf-8")
    sweep = read_sweep(grid)
    assert (sweep.jobs[-1].name, sweep.jobs[-1].status) == ("10", "unfinished")
    assert sweep.problems == ()


def test_planned_jobs_that_have_not_begun_are_pending(grid: Path) -> None:
    jobs = [{"job": number, "overrides": ["hz=24"]} for number in (3, 12)]
    (grid / "sweep.json").write_text(json.dumps({"jobs": jobs}), "utf-8")
    sweep = read_sweep(grid)
    assert len(sweep.jobs) == 11
    assert (sweep.jobs[-1].name, sweep.jobs[-1].status) == ("12", "pending")
    assert sweep.jobs[-1].overrides == {"hz": 24}


@pytest.mark.parametrize("status", ["waiting", "running"])
def test_a_sweep_that_goes_on_is_not_called_failed(tmp_path: Path, status: str) -> None:
    make_job(tmp_path, 0, ["seed=0"])
    path = make_job(tmp_path, 1, ["seed=1"], message="x") / "status.json"
    path.write_text(json.dumps({"overrides": ["seed=1"], "status": status}), "utf-8")
    document = build_sweep_document(read_sweep(tmp_path))
    assert document.verdicts[0].answer == "open"
    assert f"1 of 2 jobs are done, 1 {status}." in document.findings


@pytest.mark.parametrize("text", ["", "{", "[]", '{"status": 3, "overrides": 7}'])
def test_a_damaged_status_hides_no_other_job(grid: Path, text: str) -> None:
    (grid / "4" / "status.json").write_text(text, "utf-8")
    document = build_sweep_document(read_sweep(grid))
    (table,) = next(part for part in document.sections if part.title == "Jobs").tables
    assert len(table.rows) == 10


def test_one_job_alone_needs_no_plot(tmp_path: Path) -> None:
    make_job(tmp_path, 0, ["seed=1"])
    document = build_sweep_document(read_sweep(tmp_path))
    assert document.plots == ()
    assert "1 of 1 job is done." in document.findings


def test_equal_jobs_are_not_told_apart(tmp_path: Path) -> None:
    for number in range(2):
        make_job(tmp_path, number, [f"seed={number}"])
    text = " ".join(describe_sweep(read_sweep(tmp_path)))
    assert "seed changes r by less than 0.0005 on average." in text
    assert "All 2 jobs that held their floor needed 100 Hz." in text


def test_seeds_are_repetitions_and_get_no_map(tmp_path: Path) -> None:
    for number, (seed, hz) in enumerate([(1, 24), (1, 63), (2, 24), (2, 63)]):
        r = 0.9 + 0.001 * hz / 63 + 0.002 * seed
        words = [f"seed={seed}", f"hz={hz}"]
        make_job(tmp_path, number, words, coherence=r, frequency_hz=float(hz))
    document = build_sweep_document(read_sweep(tmp_path))
    assert [plot.title for plot in document.plots] == [
        "Frontier: coherence against cost"
    ]
    assert "Between seeds, r is 0.903 to 0.905 on average." in document.findings


def test_values_of_overrides_are_read_as_numbers_where_they_are() -> None:
    words = ["+experiment=demo", "seed=3", "x=1e-4", "y=nan", "z=a=b", "on=true"]
    assert parse_overrides([*words, "period=null"]) == {
        "experiment": "demo",
        "seed": 3,
        "x": 1e-4,
        "y": "nan",
        "z": "a=b",
        "on": True,
        "period": "null",
    }


def test_frontier_keeps_what_no_other_beats() -> None:
    points = [(2.0, 0.5), (1.0, 0.4), (3.0, 0.5), (1.0, 0.3), (4.0, 0.9)]
    assert find_frontier(points) == [(1.0, 0.4), (2.0, 0.5), (4.0, 0.9)]


def test_nested_jobs_are_found(tmp_path: Path) -> None:
    make_job(tmp_path / "a", 0, ["seed=1"])
    make_job(tmp_path / "b", 0, ["seed=2"])
    assert [job.name for job in read_sweep(tmp_path).jobs] == ["a/0", "b/0"]


def test_statuses_of_this_version_are_understood(tmp_path: Path) -> None:
    """The words of `experiments.sweep` itself, so that the two cannot drift apart."""
    from dataclasses import asdict

    from experiments.sweep import JobStatus

    status = JobStatus(3, ["seed=1"], "failed", 2, "because")
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "status.json").write_text(json.dumps(asdict(status)), "utf-8")
    (job,) = read_sweep(tmp_path).jobs
    assert (job.status, job.message) == ("failed", "because")
    assert job.overrides == {"seed": 1}


def test_job_whose_process_is_gone_is_lost(tmp_path: Path) -> None:
    status = replace(open_status(0, ["seed=1"], 1), pid_start_ticks=0)
    write_status(tmp_path / "0", status)
    job = read_sweep(tmp_path).jobs[0]
    assert job.status == "lost"
    assert "never finished" in job.message
