"""Recorded metrics come back as they were."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engine.errors import RecordError
from engine.monitor.metrics import (
    CgroupState,
    CoreState,
    GpuState,
    MemoryState,
    ProcessState,
    ResourceMetrics,
)

BARE = ResourceMetrics(
    timestamp_s=0.1 + 0.2,
    cores=CoreState(8, None, 8.0, None, None, None),
    memory=MemoryState(2**34, 2**33, 3**20, 1 / 3),
    process=ProcessState(),
    cgroup=None,
    gpus=(),
    availability=1 / 7,
    availability_by_resource={"memory": 1 / 7, "cores": 0.5},
    limiting_resource="memory",
    tunnel_frequency=699.0 / 7,
)
FULL = replace(
    BARE,
    process=ProcessState(1.25, 2**28, 9),
    cgroup=CgroupState(2, 1.5, 0.5, 0.0, 2**33, 2**30, 2**32),
    gpus=(
        GpuState(0, "GPU-a", clock_event_reasons=("gpu_idle", "sw_power_cap")),
        GpuState(1, "GPU-b", clock_event_reasons=(), power_w=0.1, sm_clock_mhz=1980),
        GpuState(2, "GPU-c", status="lost: GPU is lost"),
    ),
    availability_by_resource={"gpu:GPU-a:memory": 0.1, "cores": 0.9, "memory": 0.3},
    is_stale=True,
    age_s=4.5,
)


def through_parquet(path: Path, rows: list[ResourceMetrics]) -> list[ResourceMetrics]:
    table = pa.Table.from_pylist([{"resources": row.to_dict()} for row in rows])
    pq.write_table(table, path)
    read = pq.read_table(path).to_pylist()
    return [ResourceMetrics.from_dict(row["resources"]) for row in read]


@pytest.mark.parametrize("rows", [[BARE], [FULL], [BARE, FULL, BARE], [FULL, BARE]])
def test_parquet_round_trip(tmp_path: Path, rows: list[ResourceMetrics]) -> None:
    back = through_parquet(tmp_path / "trace.parquet", rows)
    assert back == rows
    for got, wanted in zip(back, rows, strict=True):
        order = list(wanted.availability_by_resource)
        assert list(got.availability_by_resource) == order


@pytest.mark.parametrize("metrics", [BARE, FULL])
def test_json_and_pickle_round_trips(metrics: ResourceMetrics) -> None:
    text = json.dumps(metrics.to_dict(), allow_nan=False)
    assert ResourceMetrics.from_dict(json.loads(text)) == metrics
    assert pickle.loads(pickle.dumps(metrics)) == metrics
    assert copy.deepcopy(metrics) == metrics


def test_metrics_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        BARE.availability = 0.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        BARE.availability_by_resource["cores"] = 0.0  # type: ignore[index]


def test_incomplete_row_names_what_it_lacks() -> None:
    row = BARE.to_dict()
    del row["limiting_resource"]
    with pytest.raises(RecordError, match="limiting_resource"):
        ResourceMetrics.from_dict(row)
    row = BARE.to_dict()
    del row["cores"]["idle_cores"]
    with pytest.raises(RecordError, match="CoreState lacks idle_cores"):
        ResourceMetrics.from_dict(row)
