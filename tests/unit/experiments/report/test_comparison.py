"""Two runs or sweeps side by side."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from experiments.report.comparison import compare_runs, compare_sweeps, list_differences
from experiments.report.document import NO, OPEN, YES, Document
from experiments.report.jobs import read_sweep
from experiments.report.records import read_run
from tests.report_folders import make_job, make_run


def find_rows(document: Document, title: str) -> dict[object, tuple[object, ...]]:
    (section,) = [part for part in document.sections if part.title == title]
    return {row[0]: row[1:] for row in section.tables[0].rows}


def test_a_run_equals_its_copy(run_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run_folder, tmp_path / "copy")
    document = compare_runs(read_run(run_folder), read_run(copy))
    assert "A and B were asked for the same." in document.findings
    assert document.verdicts[0].answer == YES
    figures = find_rows(document, "Figures")
    assert all(row[2] == 0.0 for row in figures.values())


def test_another_seed_and_load_are_named_and_give_other_bits(
    run_folder: Path, tmp_path: Path
) -> None:
    other = make_run(tmp_path / "other", seed=1, level=0.2)
    document = compare_runs(read_run(run_folder), read_run(other))
    assert find_rows(document, "Configuration") == {
        "seed": ("0", "1"),
        "load.level": ("0.9", "0.2"),
    }
    assert document.verdicts[0].answer == NO
    before, after, gap = find_rows(document, "Figures")["r at the end [-]"]
    assert gap == after - before  # type: ignore[operator]
    assert gap != 0.0
    verdicts = find_rows(document, "Verdicts")["Target load reached?"]
    assert str(verdicts[0]).startswith("yes: 90.0%")
    assert str(verdicts[1]).startswith("yes: 20.0%")
    coherence = document.plots[0]
    assert [series.name for series in coherence.series] == ["A", "B"]  # type: ignore[union-attr]


def test_where_runs_were_recorded_is_no_difference() -> None:
    first = {"seed": 1, "record": {"folder": "a"}}
    second = {"seed": 1, "record": {"folder": "b"}, "load": {"kind": "none"}}
    assert list_differences(first, second) == {"load.kind": (None, "none")}


def test_a_damaged_side_is_told(run_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run_folder, tmp_path / "copy"))
    (copy / "summary.json").write_text("{", "utf-8")
    document = compare_runs(read_run(run_folder), read_run(copy))
    (problem,) = document.problems
    assert problem.startswith("B: summary.json cannot be read")
    assert document.verdicts[0].answer == OPEN


@pytest.fixture
def sweeps(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "a", tmp_path / "b"
    for seed in range(3):
        make_job(first, seed, [f"seed={seed}"], seed=seed, coherence=0.9)
        # The other one numbers its jobs the other way round.
        words = [f"seed={seed}"]
        digest = "ab" * 32 if seed else "cd" * 32
        make_job(second, 2 - seed, words, seed=seed, coherence=0.92, digest=digest)
    make_job(second, 3, ["seed=9"])
    return first, second


def test_jobs_are_matched_by_what_was_set(sweeps: tuple[Path, Path]) -> None:
    document = compare_sweeps(*map(read_sweep, sweeps))
    rows = find_rows(document, "Jobs")
    assert set(rows) == {0, 1, 2}
    assert rows[0][:2] == ("0: done", "2: done")
    assert rows[0][4] == pytest.approx(0.02)
    assert [rows[seed][-1] for seed in range(3)] == [False, True, True]
    assert "2 of 3 pairs of jobs ended in the same bits." in document.findings
    assert "r in B differs by +0.020 on average" in " ".join(document.findings)
    assert find_rows(document, "Configuration") == {"none differs": ("", "")}


def test_a_setting_of_the_whole_sweep_is_named(sweeps: tuple[Path, Path]) -> None:
    for path in sweeps[1].glob("*/config.yaml"):
        text = path.read_text("utf-8").replace("dt_s: 0.00025", "dt_s: 0.0005")
        path.write_text(text, "utf-8")
    document = compare_sweeps(*map(read_sweep, sweeps))
    assert find_rows(document, "Configuration") == {
        "dynamics.dt_s": ("0.00025", "0.0005")
    }


def test_sweeps_without_common_jobs_are_not_called_equal(tmp_path: Path) -> None:
    make_job(tmp_path / "a", 0, ["seed=1"])
    make_job(tmp_path / "b", 0, ["seed=2"])
    document = compare_sweeps(read_sweep(tmp_path / "a"), read_sweep(tmp_path / "b"))
    assert document.verdicts[0].answer == OPEN
    assert json.dumps(document.findings).count("0 have a counterpart") == 1
