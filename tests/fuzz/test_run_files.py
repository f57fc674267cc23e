"""What a run or a sweep has left, damaged in every way: read, or one sentence."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from engine.config import (
    GeneratorConfig,
    LatticeConfig,
    LoadConfig,
)
from engine.crystal import draw_detunings
from engine.load.profile import build_weight
from engine.monitor import ReplaySource, ResourceMonitor, SyntheticSource
from engine.observation import open_locking, open_nodes, open_snapshots
from engine.recording import read_trace
from engine.recording.endpoint import EndpointRecord, read_endpoint
from experiments.report.study import STUDY_FILE, read_study
from experiments.sweep.plan import (
    PLAN_FILE,
    PlannedJob,
    SweepPlan,
    read_plan,
    write_plan,
)
from experiments.sweep.status import open_status, read_status, write_status
from tests.faults.harness import Ledger
from tests.fuzz.mutations import bent, damage, explore, json_values
from tests.report_folders import make_study

HOW_MANY = pytest.mark.parametrize(
    "examples", [50, pytest.param(4_000, marks=pytest.mark.faults)]
)


def replay_trace(path: Path) -> None:
    """Take a trace as far as the decisions that it leads to."""
    rows = read_trace(path).rows
    for judges_anew in (False, True):
        source = ReplaySource(rows, judges_anew=judges_anew)
        with ResourceMonitor(source=source) as monitor:
            for at in (rows[0][0], 0.01):
                metrics = monitor.update(at)
                assert 0.0 <= metrics.availability <= 1.0
                assert monitor.get_optimal_tunnel_frequency() >= 0.0


def repeat_load(path: Path) -> None:
    weight = build_weight(GeneratorConfig(profile="trace", trace=str(path)))
    assert all(0.0 <= weight(time_s) <= 1.0 for time_s in (-1.0, 0.0, 0.5, 1e9))


def take_snapshots(path: Path) -> None:
    snapshots = open_snapshots(path)
    for index in range(len(snapshots)):
        assert snapshots[index].shape == snapshots.shape


def take_nodes(path: Path) -> None:
    table = open_nodes(path.parent)
    assert table is not None
    assert table.phases.dtype == np.uint32


def take_locking(path: Path) -> None:
    locking = open_locking(path.parent)
    assert locking is not None
    assert locking.mean is not None or len(locking.nodes) < 2


def take_frequencies(path: Path) -> None:
    config = LatticeConfig(
        kind="chain", shape=(16,), distribution="given", frequencies_path=str(path)
    )
    assert np.isfinite(draw_detunings(config, 0)).all()


def take_endpoint(path: Path) -> None:
    record = read_endpoint(path)
    if record is not None:
        assert isinstance(record.is_alive, bool)
        assert record.target


def to_npy(*arrays: np.ndarray) -> tuple[bytes, ...]:
    contents = []
    for array in arrays:
        sink = io.BytesIO()
        np.save(sink, array)
        contents.append(sink.getvalue())
    return tuple(contents)


BINARY: dict[str, Callable[[Path], None]] = {
    "trace.parquet": replay_trace,
    "load.parquet": repeat_load,
    "snapshots.arrow": take_snapshots,
    "nodes.parquet": take_nodes,
    "locking.npz": take_locking,
    "frequencies.npy": take_frequencies,
    "metrics.json": take_endpoint,
}


def list_seeds(run: Path, name: str) -> tuple[bytes, ...]:
    """Return valid files of a kind."""
    if name == "load.parquet":
        sink = io.BytesIO()
        table = pa.table({"time_s": [0.0, 1.0, 2.0], "utilisation": [0.1, 0.9, 0.4]})
        parquet.write_table(table, sink)
        return sink.getvalue(), (run / "trace.parquet").read_bytes()
    if name == "frequencies.npy":
        return to_npy(np.linspace(400, 460, 16), np.arange(16), np.ones((4, 4), "f4"))
    if name == "metrics.json":
        values = vars(EndpointRecord.of_this_process("127.0.0.1", 9100))
        return (json.dumps(values).encode(),)
    return ((run / name).read_bytes(),)


@HOW_MANY
@pytest.mark.parametrize("name", BINARY)
def test_damaged_files(
    name: str, examples: int, run: Path, tmp_path: Path, ledger: Ledger
) -> None:
    seeds, path = list_seeds(run, name), tmp_path / name
    inputs, read = ledger.inputs[name], BINARY[name]
    path.write_bytes(seeds[0])
    read(path)

    @explore(examples)
    @given(damage(*seeds))
    def check(content: bytes) -> None:
        path.unlink(missing_ok=True)  # a file that is mapped must not shrink
        path.write_bytes(content)
        inputs.attempt(lambda: read(path))

    check()


def build_samples() -> list[dict[str, Any]]:
    load = LoadConfig(kind="synthetic", level=0.4)
    with ResourceMonitor(source=SyntheticSource(load)) as monitor:
        return [monitor.update(0.01 * index).to_dict() for index in range(3)]


@HOW_MANY
def test_bent_samples_of_a_trace(examples: int, tmp_path: Path, ledger: Ledger) -> None:
    path, samples = tmp_path / "trace.parquet", build_samples()
    numbers = st.one_of(st.none(), st.floats(), st.sampled_from((0.0, 1e-9, -1.0)))
    rows = st.tuples(numbers, numbers, st.booleans() | st.none(), numbers, numbers)

    @explore(examples)
    @given(bent(samples), st.lists(rows, min_size=3, max_size=3))
    def check(texts: Any, others: list[tuple[Any, ...]]) -> None:
        texts = texts if isinstance(texts, list) else [texts]
        parts = list(zip(*others[: len(texts)], strict=True))
        names = ("simulated_s", "age_s", "is_stale", "node_step_s", "event_s")
        columns = {
            name: part[: len(texts)] for name, part in zip(names, parts, strict=False)
        }
        columns["metrics"] = [json.dumps(text) for text in texts][:3]
        try:
            table = pa.table(columns)
        except (pa.ArrowInvalid, UnicodeEncodeError):
            return
        parquet.write_table(table, path)
        ledger.inputs[path.name].attempt(lambda: replay_trace(path))

    check()


@HOW_MANY
def test_status_of_a_job(examples: int, tmp_path: Path, ledger: Ledger) -> None:
    write_status(tmp_path, open_status(0, ["seed=1"], 1))
    path = tmp_path / "status.json"
    whole = json.loads(path.read_text("utf-8"))
    assert read_status(tmp_path) is not None

    @explore(examples)
    @given(bent(whole) | json_values)
    def check(content: Any) -> None:
        path.write_text(json.dumps(content), "utf-8")
        ledger.inputs[path.name].attempt(lambda: read_status(tmp_path))

    check()


def build_plan() -> SweepPlan:
    jobs = [PlannedJob(number, [f"seed={number}"]) for number in range(2)]
    return SweepPlan("grid", ["seed=0,1"], [], "/", {"is_recorded": True}, jobs)


@HOW_MANY
def test_plan_of_a_sweep(examples: int, tmp_path: Path, ledger: Ledger) -> None:
    write_plan(tmp_path, build_plan())
    path = tmp_path / PLAN_FILE
    whole = json.loads(path.read_text("utf-8"))
    assert len(read_plan(tmp_path).jobs) == 2

    @explore(examples)
    @given(bent(whole) | json_values)
    def check(content: Any) -> None:
        path.write_text(json.dumps(content), "utf-8")
        ledger.inputs[path.name].attempt(lambda: read_plan(tmp_path))

    check()


@HOW_MANY
def test_study(examples: int, tmp_path: Path, ledger: Ledger) -> None:
    folder = make_study(tmp_path / "study")
    whole = json.loads((folder / STUDY_FILE).read_text("utf-8"))

    @explore(examples)
    @given(bent(whole) | json_values)
    def check(content: Any) -> None:
        (folder / STUDY_FILE).write_text(json.dumps(content), "utf-8")
        ledger.inputs[STUDY_FILE].attempt(lambda: read_study(folder))

    check()
