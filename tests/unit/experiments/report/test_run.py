"""The report on a run: what it says, what repeats it, what becomes of damage."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from engine.config import RecordConfig
from experiments.overrides import compose_run_config
from experiments.report.charts import list_shares
from experiments.report.document import Plot
from experiments.report.records import read_run
from experiments.report.resources import read_resources
from experiments.report.run import build_run_document, format_override
from experiments.report.thinning import ROWS_KEPT
from experiments.schema import run_config_from_dict


@pytest.fixture
def copy(run_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_folder, tmp_path / "copy"))


def test_sections_and_plots_of_a_real_run(run_folder: Path) -> None:
    document = build_run_document(read_run(run_folder))
    titles = [plot.title for plot in document.plots]
    assert titles[:3] == ["Coherence", "Coherence once settled", "Tunnel frequency"]
    assert "Utilisation" in titles
    assert "Power" not in titles  # no GPU, no figure: nothing is shown as zero
    text = " ".join(document.findings)
    assert "0.2 simulated seconds of 256 nodes and 512 bridges" in text
    assert document.problems == ()


def test_plotted_coherence_is_the_recorded_one(run_folder: Path) -> None:
    record = read_run(run_folder)
    plot = build_run_document(record).plots[0]
    assert isinstance(plot, Plot)
    line = plot.series[0]
    assert line.x == pytest.approx(record.series["simulated_s"], rel=1e-5)
    assert line.y == pytest.approx(record.series["coherence"], rel=1e-5)
    assert [rule.y for rule in plot.rules] == [0.87]


def test_command_composes_the_same_configuration(run_folder: Path) -> None:
    record = read_run(run_folder)
    command = build_run_document(record).sections[-1].commands[0]
    program, name, *words = shlex.split(command)
    assert (program, name) == ("scribble", "run")
    composed = replace(compose_run_config(words), record=RecordConfig())
    wanted = replace(run_config_from_dict(record.config), record=RecordConfig())
    assert composed == wanted


@pytest.mark.parametrize("text", ["edges.csv", "a b.csv", "it's", "1e5", "x,y", "null"])
def test_texts_survive_the_grammar_of_overrides(text: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    word = f"bridges.path={format_override(text)}"
    (parsed,) = OverridesParser.create().parse_overrides([word])
    # Hydra itself reads a bare null as no value; quoted it stays a text.
    assert parsed.value() == text or (text == "null" and parsed.value() is None)
    assert not parsed.is_sweep_override()


@pytest.mark.parametrize(
    "name",
    ["summary.json", "config.yaml", "environment.json", "timeseries.parquet",
     "trace.parquet"],
)  # fmt: skip
@pytest.mark.parametrize("kept_bytes", [0, 40, 400])
def test_a_file_cut_short_is_told_and_the_rest_is_shown(
    copy: Path, name: str, kept_bytes: int
) -> None:
    path = copy / name
    path.write_bytes(path.read_bytes()[:kept_bytes])
    document = build_run_document(read_run(copy))
    # 400 bytes of YAML and JSON may still be whole values of a part.
    assert len(document.problems) <= 1
    if path.suffix != ".yaml" or kept_bytes == 0:
        assert name in document.problems[0]
    assert document.sections


@pytest.mark.parametrize(
    "name", ["timeseries.parquet", "trace.parquet", "environment.json", "config.yaml"]
)
def test_a_missing_file_is_told_or_not_needed(copy: Path, name: str) -> None:
    (copy / name).unlink()
    document = build_run_document(read_run(copy))
    told = [problem for problem in document.problems if problem.startswith(name)]
    assert len(told) == (name != "environment.json")


def test_a_run_without_summary_is_unfinished(copy: Path) -> None:
    (copy / "summary.json").unlink()
    document = build_run_document(read_run(copy))
    assert "it was killed" in document.problems[0]
    assert document.verdicts[0].answer == "open"
    assert document.plots


@pytest.mark.parametrize(
    "summary",
    [
        {"coherence": "abc", "tunnels": [], "notes": 3, "forecast": 7},
        {"coherence": {"final": "x", "floor": None}, "stage_seconds": "none"},
        {"status": ["done"], "wall_seconds": 1e999, "nodes": True, "new": {"a": [1]}},
    ],
)
def test_values_of_other_kinds_break_nothing(copy: Path, summary: object) -> None:
    (copy / "summary.json").write_text(json.dumps(summary), "utf-8")
    assert build_run_document(read_run(copy)).sections


def test_columns_of_other_kinds_break_nothing(copy: Path) -> None:
    table = pa.table({"simulated_s": [0.1, None], "coherence": [None, 0.5]})
    parquet.write_table(table, copy / "timeseries.parquet")
    parquet.write_table(pa.table({"metrics": ["{", None]}), copy / "trace.parquet")
    assert build_run_document(read_run(copy)).plots


def test_a_long_run_stays_short_on_the_page(copy: Path) -> None:
    count = 200_000
    times = np.linspace(0.01, 100.0, count)
    coherence = np.random.default_rng(0).uniform(0.8, 1.0, count)
    coherence[123_456] = 0.1
    table = pa.table({"simulated_s": times, "coherence": coherence})
    parquet.write_table(table, copy / "timeseries.parquet")
    plot = build_run_document(read_run(copy)).plots[0]
    assert isinstance(plot, Plot)
    assert len(plot.series[0].x) <= ROWS_KEPT
    assert 0.1 in plot.series[0].y


def test_a_real_load_is_drawn_where_it_was_compared(copy: Path) -> None:
    path = copy / "timeseries.parquet"
    table = parquet.ParquetFile(path).read()
    shares = [None, *[0.5] * (table.num_rows - 1)]
    for name in ("load_asked", "load_achieved"):
        if name in table.column_names:
            table = table.drop_columns([name])
        table = table.append_column(name, pa.array(shares, pa.float64()))
    parquet.write_table(table, path)
    plots = {plot.title: plot for plot in build_run_document(read_run(copy)).plots}
    plot = plots["Load on the cores"]
    assert isinstance(plot, Plot)
    assert plot.series[1].y == tuple(shares)


def test_entries_of_later_versions_become_a_table(copy: Path) -> None:
    summary = json.loads((copy / "summary.json").read_text("utf-8"))
    summary["extra"] = {"stage": "beta", "share": 0.5}
    (copy / "summary.json").write_text(json.dumps(summary), "utf-8")
    tables = [t for s in build_run_document(read_run(copy)).sections for t in s.tables]
    (extra,) = [table for table in tables if table.title == "Besides"]
    assert ("extra.stage", "beta") in extra.rows


def test_gpus_of_the_trace_get_columns_and_absent_values_stay_absent() -> None:
    samples = [
        {"gpus": [{"index": 0, "power_w": 100.0, "utilisation": None}]},
        {"gpus": [{"index": 0, "power_w": None, "utilisation": 0.5}]},
        {"gpus": None},
    ]
    texts = np.array([json.dumps(sample) for sample in samples], dtype=object)
    found = read_resources({"metrics": texts})
    assert set(found) == {"GPU 0: power", "GPU 0: utilisation"}
    np.testing.assert_array_equal(found["GPU 0: power"], [100.0, np.nan, np.nan])


def test_shares_of_states_weigh_time() -> None:
    shares = list_shares(["a", "b", "a"], np.array([1.0, 2.0, 4.0]))
    assert shares == [("a", 0.75), ("b", 0.25)]
