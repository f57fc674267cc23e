"""Studies at the command line: from one line to ``study.json`` and a report."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.sweep.plan import read_plan
from tests.report_folders import make_grid, make_job

Capture = pytest.CaptureFixture[str]
SWEEP = ["run", "-q", "-m", "--in-process", "+experiment=load_study"]
# Small enough that all of it is the command line's own time.
SMALL = ["backend=reference", "lattice.shape=[8,8]", "dynamics.duration_s=0.2"]


def call(words: Sequence[str]) -> tuple[int, str]:
    """Run a command; return its exit code and what it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main(list(words))
    return code, printed.getvalue()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A load study of two levels that nobody may change, and what it printed."""
    sweep = tmp_path_factory.mktemp("study") / "runs" / "levels"
    words = ["load=synthetic", "load.level=0,0.9", f"hydra.sweep.dir={sweep}"]
    code, printed = call([*SWEEP, *SMALL, *words])
    assert code == 0
    return sweep, printed


@pytest.fixture
def sweep(
    made: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of it, as the only thing in ``runs`` of the current folder."""
    copy = tmp_path / "runs" / "levels"
    shutil.copytree(made[0], copy)
    monkeypatch.chdir(tmp_path)
    return copy


def test_a_sweep_of_an_experiment_ends_with_its_answer(made: tuple[Path, str]) -> None:
    folder, printed = made
    assert read_plan(folder).study == "load_study"
    study = json.loads((folder / "study.json").read_text("utf-8"))
    assert study["title"] == "Load study"
    assert [row[0] for row in study["tables"][0]["rows"]] == [0.0, 0.9]
    assert [verdict["answer"] for verdict in study["verdicts"][1:]] == ["yes", "yes"]
    for sentence in study["findings"]:
        assert f"{sentence}\n" in printed
    assert "From 0% to 90% of load the tunnel frequency went from 699 Hz" in printed


def test_the_newest_is_reported_with_pictures(sweep: Path, capsys: Capture) -> None:
    assert main(["report", "--pictures"]) == 0
    out = capsys.readouterr().out
    assert "From 0% to 90% of load the tunnel frequency went from 699 Hz" in out
    assert "Target load reached? yes" in out
    page = sweep / "report.html"
    assert f"report: {page.relative_to(Path.cwd())}" in out
    assert "Load study" in page.read_text("utf-8")
    light = sorted(sweep.glob("*-light.svg"))
    assert light and len(light) == len(list(sweep.glob("*-dark.svg")))
    assert "report-1-coherence-light.svg" in [path.name for path in light]


def test_answer_is_made_anew_from_the_jobs(sweep: Path, capsys: Capture) -> None:
    (sweep / "study.json").write_text('{"title": "stale"}', "utf-8")
    assert main(["report", str(sweep)]) == 0
    assert "Did it give way to the load? yes" in capsys.readouterr().out
    shutil.rmtree(sweep / "1")
    assert main(["sweep", str(sweep)]) == 0
    assert "Only 1 of 2 jobs is done" in capsys.readouterr().out
    study = json.loads((sweep / "study.json").read_text("utf-8"))
    assert study["findings"][0].startswith("Only 1 of 2 jobs is done")


def test_a_report_on_an_older_one_does_not_make_it_the_newest(
    sweep: Path, capsys: Capture
) -> None:
    job = make_job(sweep.parent / "newer", 0, ["seed=1"], coherence=0.9)
    job.rename(sweep.parent / "newest")
    marks = (sweep / "sweep.json", sweep.parent / "newest" / "config.yaml")
    for hour, path in enumerate(marks):
        os.utime(path, ns=(0, (hour + 1) * 3600 * 10**9))
    assert main(["report", str(sweep)]) == 0
    assert main(["sweep", str(sweep)]) == 0
    capsys.readouterr()
    assert main(["report"]) == 0
    assert "newest/report.html" in capsys.readouterr().out


def test_any_sweep_can_be_examined(tmp_path: Path, capsys: Capture) -> None:
    grid = make_grid(tmp_path / "grid")
    assert main(["report", str(grid), "--study", "load_study"]) == 0
    assert "9 jobs had no load of a known level" in (capsys.readouterr().out)
    assert not (grid / "study.json").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--study", "odd"], "'odd' is no study; choose one of: "),
        (["0", "--study", "load_study"], "holds a run, and --study is for sweeps"),
    ],
)
def test_bad_choices_are_one_sentence(
    sweep: Path, capsys: Capture, words: list[str], text: str
) -> None:
    job = [str(sweep / words[0])] if words[0] == "0" else []
    options = words[1:] if job else words
    assert main(["report", *job, *options]) == 2
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.err.count("\n") == 1
    assert list(sweep.rglob("report.html")) == []


def test_nothing_to_report_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report"]) == 2
    assert "There is no run, sweep or study in" in capsys.readouterr().err
    (tmp_path / "runs" / "notes").mkdir(parents=True)
    assert main(["report"]) == 2


def test_a_real_load_runs_beside_each_job(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    words = ["load.level=0,0.1", f"hydra.sweep.dir={folder}"]
    assert call([*SWEEP, *SMALL, *words])[0] == 0
    assert read_plan(folder).has_real_load
    for job in ("0", "1"):
        summary = json.loads((folder / job / "summary.json").read_text("utf-8"))
        assert (summary["status"], summary["load"]["ended_by"]) == ("done", "run")
    study = json.loads((folder / "study.json").read_text("utf-8"))
    assert len(study["tables"][0]["rows"]) == 2


def test_a_single_run_of_the_experiment_is_one_level(tmp_path: Path) -> None:
    words = ["run", "-q", "+experiment=load_study", "load=synthetic", *SMALL]
    assert call([*words, f"record.folder={tmp_path / 'run'}"])[0] == 0
    config = (tmp_path / "run" / "config.yaml").read_text("utf-8")
    assert "level: 0.6" in config


def test_jobs_of_a_real_load_are_not_put_side_by_side(
    tmp_path: Path, capsys: Capture
) -> None:
    pytest.importorskip("joblib")
    folder = tmp_path / "sweep"
    words = ["run", "-m", "+experiment=load_study", f"hydra.sweep.dir={folder}"]
    assert main([*words, "hydra/launcher=joblib"]) == 2
    captured = capsys.readouterr()
    assert "load=real may not run side by side" in captured.err
    assert captured.err.count("\n") == 1
    assert not folder.exists()


def test_nor_when_a_sweep_goes_on(
    tmp_path: Path, made: tuple[Path, str], capsys: Capture
) -> None:
    pytest.importorskip("joblib")
    plan = json.loads((made[0] / "sweep.json").read_text("utf-8"))
    plan |= {"has_real_load": True}
    (tmp_path / "sweep.json").write_text(json.dumps(plan), "utf-8")
    assert main(["run", "--resume", str(tmp_path), "hydra/launcher=joblib"]) == 2
    assert "load=real may not run side by side" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]
