"""The contract of a study: whole studies are shown, broken entries are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from experiments.report.command import build_document
from experiments.report.document import HeatMap, Plot
from experiments.report.study import read_study
from tests.report_folders import make_grid, make_study

SERIES = {"name": "a", "x": [1, 2], "y": [1, 2]}
PLOT = {"title": "p", "x": {"label": "x"}, "y": {"label": "y"}, "series": [SERIES]}
HEAT = {
    "kind": "heat", "title": "h", "x": {"label": "x"}, "y": {"label": "y"},
    "x_values": [1, 2], "y_values": [1], "value_label": "r", "values": [[1, 2]],
}  # fmt: skip


def test_every_part_is_read(tmp_path: Path) -> None:
    document = read_study(make_study(tmp_path))
    assert document is not None
    assert document.problems == ()
    assert (document.title, document.findings) == (
        "Load study <b>",
        ("It does little.",),
    )
    line, heat = document.plots
    assert isinstance(line, Plot)
    assert isinstance(heat, HeatMap)
    assert (line.series[0].y, heat.values) == ((0.96, None), ((0.9, 0.8),))
    assert document.sections[0].tables[0].rows == ((0.2, 1),)


def test_without_its_file_there_is_no_study(tmp_path: Path) -> None:
    assert read_study(tmp_path) is None


@pytest.mark.parametrize(
    ("key", "entry", "words"),
    [
        ("plots", {"title": "p"}, "x must be a table"),
        ("plots", PLOT | {"kind": "pie"}, "kind is 'pie'; choose one of: series, heat"),
        ("plots", PLOT | {"x": {"label": "x", "scale": "odd"}}, "choose one of"),
        ("plots", PLOT | {"series": []}, "series is empty"),
        ("plots", PLOT | {"series": [SERIES | {"x": [1]}]}, "differ in length"),
        ("plots", PLOT | {"series": [SERIES | {"x": ["a", "b"]}]}, "category"),
        ("plots", PLOT | {"rules": [{"y": "high", "label": "l"}]}, "must be a number"),
        ("plots", PLOT | {"rules": 5}, "rules must be a list"),
        ("plots", HEAT | {"values": [[1]]}, "1 rows of 2 numbers"),
        ("tables", {"title": "t", "columns": ["a"], "rows": [[1, 2]]}, "1 values"),
        ("tables", {"title": "t", "columns": ["a"], "rows": [3]}, "must be a list"),
        ("tables", {"title": "t", "file": "../away.parquet"}, "no file"),
        ("tables", {"title": "t", "file": "bad.parquet"}, "cannot be read"),
        (
            "tables",
            {"title": "t", "file": "t.parquet", "columns": ["b"]},
            "no column b",
        ),
        ("tables", {"title": "t", "file": "t.parquet", "columns": 5}, "a list"),
        ("pictures", {"title": "t", "file": "t.parquet"}, "ends in none of"),
        ("verdicts", {"question": "?", "answer": "maybe", "text": ""}, "choose one of"),
        ("findings", 5, "it is no text"),
    ],
)
def test_an_entry_that_cannot_be_used_is_named(
    tmp_path: Path, key: str, entry: Any, words: str
) -> None:
    folder = make_study(tmp_path, {key: [entry]})
    (folder / "bad.parquet").write_bytes(b"PAR1")
    parquet.write_table(pa.table({"a": [1]}), folder / "t.parquet")
    document = read_study(folder)
    assert document is not None
    (problem,) = document.problems
    assert problem.startswith(f"study.json: {key}[0] is left out")
    assert words in problem


@pytest.mark.parametrize("text", ["", "[]", '{"plots": 3}', "[" * 100_000])
def test_a_damaged_study_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "study.json").write_text(text, "utf-8")
    document = read_study(tmp_path)
    assert document is not None
    assert len(document.problems) == 1


def test_a_table_of_a_file_is_read_and_cut(tmp_path: Path) -> None:
    parquet.write_table(
        pa.table({"a": [float("nan"), *range(600)], "b": ["x"] * 601}),
        tmp_path / "t.parquet",
    )
    entry = {"title": "t", "file": "t.parquet", "columns": ["b", "a"]}
    document = read_study(make_study(tmp_path, {"tables": [entry]}))
    assert document is not None
    (table,) = document.sections[0].tables
    assert table.columns == ("b", "a")
    assert table.rows[:2] == (("x", None), ("x", 0.0))
    assert len(table.rows) == 500
    assert "500 of 601" in table.caption


def test_long_series_are_thinned_and_a_log_axis_takes_no_zero(tmp_path: Path) -> None:
    values = [0.0, *range(1, 5000)]
    series = {"name": "a", "x": list(range(5000)), "y": values}
    plot = PLOT | {"y": {"label": "y", "scale": "log"}, "series": [series]}
    document = read_study(make_study(tmp_path, {"plots": [plot]}))
    assert document is not None
    shown = document.plots[0].series[0]  # type: ignore[union-attr]
    assert len(shown.x) < 2000
    assert shown.y[0] is None
    assert shown.y[-1] == 4999


def test_a_study_stands_before_its_sweep(tmp_path: Path) -> None:
    document = build_document(make_study(make_grid(tmp_path / "grid")))
    assert document.kind == "study"
    assert document.findings[0] == "It does little."
    assert document.findings == ("It does little.",)
    assert any("9 of 10" in verdict.text for verdict in document.verdicts)
    assert "Floor held?" not in [verdict.question for verdict in document.verdicts[1:]]
    assert next(part.title for part in document.sections) == "The study"
    assert "Jobs" in [part.title for part in document.sections]
