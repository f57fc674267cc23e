"""The report on a load that ran by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from engine.errors import RecordError
from experiments.report.command import build_comparison, build_document
from experiments.report.document import Plot


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cpu = {"asked": 0.5, "achieved": 0.49, "mean_deviation": 0.012}
    summary = {"status": "done", "reason": "4 s are over", "cpu": cpu, "gpu": None}
    (tmp_path / "summary.json").write_text(json.dumps(summary), "utf-8")
    (tmp_path / "config.yaml").write_text("cpu: [0.5]\n", "utf-8")
    columns = {
        "time_s": [0.5, 1.0],
        "cpu_asked": [0.5, 0.5],
        "cpu_achieved": [0.48, 0.5],
        "gpu_power_w": pa.array([None, None], pa.float64()),
    }
    parquet.write_table(pa.table(columns), tmp_path / "load.parquet")
    return tmp_path


def test_asked_stands_against_achieved(folder: Path) -> None:
    document = build_document(folder)
    assert document.kind == "load"
    assert document.findings[0] == "The load was done: 4 s are over."
    assert document.verdicts[0].answer == "yes"
    assert "50.0% of the cores were asked for and 49.0%" in document.verdicts[0].text
    (plot,) = document.plots  # no GPU, so no power is drawn
    assert isinstance(plot, Plot)
    assert plot.series[1].y == (0.48, 0.5)
    assert document.problems == ()


def test_a_damaged_table_is_told(folder: Path) -> None:
    (folder / "load.parquet").write_bytes(b"PAR1")
    document = build_document(folder)
    (problem,) = document.problems
    assert problem.startswith("load.parquet cannot be read")


def test_loads_are_not_compared(folder: Path) -> None:
    with pytest.raises(RecordError, match="name two runs or two sweeps"):
        build_comparison(folder, folder)
