"""Traces: what a run recorded is what a replay reads, and nothing else passes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from engine.config import LoadConfig, RunConfig
from engine.errors import RecordError
from engine.monitor import ResourceMetrics, ResourceMonitor, SyntheticSource
from engine.recording import MetricsEncoder, Trace, read_trace
from engine.system import ScribbleSystem

BuildConfig = Callable[..., RunConfig]


@pytest.fixture
def folder(tmp_path: Path, build_config: BuildConfig) -> Path:
    config = build_config(
        load={"profile": "ramp", "level": 0.8, "period_s": 0.05},
        record={"folder": str(tmp_path / "run")},
    )
    with ScribbleSystem(config) as system:
        system.run()
    return tmp_path / "run"


def test_folder_and_file_give_the_same_trace(folder: Path) -> None:
    trace = read_trace(folder)
    assert trace == read_trace(folder / "trace.parquet")
    assert [at for at, _ in trace.rows] == pytest.approx([0.0, 0.01, 0.02, 0.03, 0.04])
    assert len(trace.costs) == 5


def test_rows_are_whole_metrics(folder: Path) -> None:
    loads = [1.0 - metrics.availability for _, metrics in read_trace(folder).rows]
    assert loads == pytest.approx([0.0, 0.16, 0.32, 0.48, 0.64])


def metrics_at(simulated_s: float) -> ResourceMetrics:
    load = LoadConfig(kind="synthetic", profile="ramp", level=1.0)
    with ResourceMonitor(source=SyntheticSource(load)) as monitor:
        return monitor.update(simulated_s)


def test_encoder_writes_every_new_sample() -> None:
    encoder = MetricsEncoder()
    for simulated_s in (0.0, 0.0, 1.0, 2.0, 1.0):
        metrics = metrics_at(simulated_s)
        decoded = json.loads(encoder.encode(metrics))
        assert ResourceMetrics.from_dict(decoded) == metrics


def test_stale_rows_replay_as_stale(folder: Path) -> None:
    table = parquet.read_table(folder / "trace.parquet").to_pydict()
    table["age_s"][3], table["is_stale"][3] = 4.5, True
    parquet.write_table(pa.table(table), folder / "trace.parquet")
    row = read_trace(folder).rows[3][1]
    assert (row.age_s, row.is_stale) == (4.5, True)


def write(path: Path, columns: dict[str, list]) -> None:
    parquet.write_table(pa.table(columns), path)


def test_bad_traces(tmp_path: Path, folder: Path) -> None:
    good = parquet.read_table(folder / "trace.parquet")
    faults: dict[str, Callable[[Path], object]] = {
        "absent": lambda path: None,
        "text": lambda path: path.write_text("no table", encoding="utf-8"),
        "columns": lambda path: write(path, {"simulated_s": [0.0]}),
        "json": lambda path: parquet.write_table(
            good.set_column(
                good.column_names.index("metrics"), "metrics", [["{"] * len(good)]
            ),
            path,
        ),
        "empty": lambda path: parquet.write_table(good.slice(0, 0), path),
    }
    for name, build in faults.items():
        path = tmp_path / f"{name}.parquet"
        build(path)
        with pytest.raises(RecordError, match=rf"{name}\.parquet"):
            read_trace(path)


def test_text_of_many_rows_is_kept_once(tmp_path: Path, folder: Path) -> None:
    """Rows share what a sample tells: 200 of a text of 1 MiB are a small file."""
    table = parquet.read_table(folder / "trace.parquet").slice(0, 1).to_pydict()
    sample = json.loads(table["metrics"][0])
    sample["limiting_resource"] = "x" * 2**20
    table["metrics"][0] = json.dumps(sample)
    path = tmp_path / "long.parquet"
    write(path, {name: values * 200 for name, values in table.items()})
    rows = read_trace(path).rows
    assert len(rows) == 200
    assert len({id(metrics.limiting_resource) for _, metrics in rows}) == 1


def test_sample_without_an_age_is_refused(folder: Path) -> None:
    table = parquet.read_table(folder / "trace.parquet").to_pydict()
    table["age_s"][3] = -1.0
    write(folder / "trace.parquet", table)
    with pytest.raises(RecordError, match="has no age"):
        read_trace(folder)


def test_empty_folder_is_no_trace(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be read as a trace"):
        read_trace(tmp_path)


def test_bad_trace_is_refused_before_a_folder_exists(
    tmp_path: Path, build_config: BuildConfig
) -> None:
    config = build_config(
        load={"kind": "replay", "trace": str(tmp_path / "absent")},
        record={"folder": str(tmp_path / "run")},
    )
    with pytest.raises(RecordError, match="absent cannot be read as a trace"):
        ScribbleSystem(config)
    assert not (tmp_path / "run").exists()


def test_trace_whose_rows_lack_a_field(folder: Path, build_config: BuildConfig) -> None:
    table = parquet.read_table(folder / "trace.parquet").to_pydict()
    for index, text in enumerate(table["metrics"]):
        row = json.loads(text)
        del row["memory"]
        table["metrics"][index] = json.dumps(row)
    write(folder / "trace.parquet", table)
    with pytest.raises(RecordError, match="lacks memory"):
        ScribbleSystem(build_config(load={"kind": "replay", "trace": str(folder)}))


def test_costs_are_those_of_the_last_decision() -> None:
    metrics = metrics_at(0.0)
    rows = tuple((time_s, metrics) for time_s in (0.0, 0.5, 1.0))
    trace = Trace(rows, ((1.0, None), (2.0, 3.0), (4.0, 5.0)))
    times_s = (-1.0, 0.0, 0.49, 0.5, 1.0, 99.0)
    assert [trace.costs_at(time_s)[0] for time_s in times_s] == [1, 1, 1, 2, 4, 4]
