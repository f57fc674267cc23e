"""`scribble report` and `scribble compare` at the command line."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest

from experiments.cli import main
from tests.report_folders import HOSTILE, make_grid, make_job, make_study

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a summary and a configuration, and no tables."""
    return make_job(tmp_path / "sweep", 0, ["seed=1"], coherence=0.9)


def test_report_lies_in_the_folder_and_says_what_was_found(
    run: Path, capsys: Capture
) -> None:
    assert main(["report", str(run)]) == 0
    out = capsys.readouterr().out
    assert "Floor held? yes: r never fell below 0.87" in out
    assert "not read: timeseries.parquet is missing" in out
    assert out.endswith(f"report: {run / 'report.html'}\n")
    page = (run / "report.html").read_text("utf-8")
    assert "timeseries.parquet is missing" in page


def test_a_second_report_replaces_the_first_with_the_same_bytes(run: Path) -> None:
    assert main(["report", str(run)]) == 0
    first = (run / "report.html").read_bytes()
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").read_bytes() == first


def test_sweep_and_study(tmp_path: Path, capsys: Capture) -> None:
    grid, page = make_grid(tmp_path / "grid"), tmp_path / "out.html"
    assert main(["report", str(grid), "--to", str(page)]) == 0
    assert "9 of 10 jobs are done, 1 failed." in capsys.readouterr().out
    make_study(grid)
    assert main(["report", str(grid), "--to", str(page)]) == 0
    assert "Load study &lt;b&gt;" in page.read_text("utf-8")


def test_hostile_folder_is_harmless(tmp_path: Path) -> None:
    folder = tmp_path / HOSTILE.replace("/", "")
    make_job(folder, 0, ["seed=<script>alert(1)</script>"])
    assert main(["report", str(folder)]) == 0
    page = (folder / "report.html").read_text("utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "is no folder; name the folder of a run"),
        (lambda path: path.mkdir(), "holds no run, no sweep and no study"),
        (lambda path: path.write_text("x"), "is no folder"),
    ],
)
def test_what_is_no_run_is_refused_in_a_sentence(
    tmp_path: Path, capsys: Capture, make: Any, words: str
) -> None:
    path = tmp_path / "it"
    make(path)
    assert main(["report", str(path)]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_job_that_left_no_run_gives_its_reason(
    tmp_path: Path, capsys: Capture
) -> None:
    job = make_job(tmp_path, 0, ["seed=x"], message="seed is 'x'; a whole number.")
    assert main(["report", str(job)]) == 2
    assert "left no run: seed is 'x'; a whole number." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("away/x.html", "there is no folder"),
        ("folder", "is a folder; name a file in it"),
        ("notes.txt", "is no report of Scribble's"),
    ],
)
def test_a_target_that_cannot_be_is_refused(
    run: Path, tmp_path: Path, capsys: Capture, target: str, words: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("mine", "utf-8")
    before = sorted(tmp_path.rglob("*"))
    assert main(["report", str(run), "--to", str(tmp_path / target)]) == 2
    assert words in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_without_jinja_the_extra_is_named(
    run: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **more: Any) -> Any:
        if name.partition(".")[0] in ("jinja2", "markupsafe"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert main(["report", str(run)]) == 1
    assert 'pip install "scribble-engine[report]"' in capsys.readouterr().err
    assert not (run / "report.html").exists()
    # On the terminal alone a comparison needs no template.
    assert main(["compare", str(run), str(run)]) == 0


def test_comparison_on_the_terminal_and_in_a_file(
    run: Path, tmp_path: Path, capsys: Capture
) -> None:
    other = make_job(tmp_path / "b", 0, ["seed=2"], coherence=0.93, digest="cd" * 32)
    page = tmp_path / "comparison.html"
    assert main(["compare", str(run), str(other), "--to", str(page)]) == 0
    out = capsys.readouterr().out
    assert "r was 0.900 on average in A and 0.930 in B" in out
    assert "The state digests differ" in out
    assert "The state digests differ" in page.read_text("utf-8")


def test_only_like_is_compared_with_like(
    run: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["compare", str(run), str(run.parent)]) == 2
    assert "holds a run and" in capsys.readouterr().err


def test_a_report_does_not_keep_a_run_folder_from_being_replaced(run: Path) -> None:
    from engine.recording import check_folder

    (run / "environment.json").write_text(json.dumps({}), "utf-8")
    assert main(["report", str(run)]) == 0
    check_folder(run, overwrite=True)
