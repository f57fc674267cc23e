"""One state of a run, and one look at a machine, to be drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.monitor.metrics import (
    CgroupState,
    CoreState,
    GpuState,
    MemoryState,
    ProcessState,
    ResourceMetrics,
)
from engine.system import Progress

GIB = 2**30
METRICS = ResourceMetrics(
    timestamp_s=1.0,
    cores=CoreState(8, 4, 4.0, 0.5, 1.5, 2.5),
    memory=MemoryState(64 * GIB, 32 * GIB, 12 * GIB, 0.4),
    process=ProcessState(1.2, GIB, 9),
    cgroup=CgroupState(2, cpu_quota_cores=4.0, memory_limit_bytes=32 * GIB),
    gpus=(),
    availability=0.625,
    availability_by_resource={"cores": 0.625},
    limiting_resource="cores",
    tunnel_frequency=436.9,
)
GPU = GpuState(
    0,
    "GPU-1",
    name="NVIDIA H100",
    utilisation=0.93,
    memory_free_bytes=70 * GIB,
    power_w=412.0,
    temperature_c=61.0,
)
PROGRESS = Progress(
    step=2000,
    step_count=8000,
    simulated_s=0.5,
    duration_s=2.0,
    wall_s=10.0,
    coherence=0.934,
    floor=0.87,
    frequency_hz=432.0,
    offered_hz=436.9,
    required_hz=39.1,
    maximum_hz=698.99,
    state="nominal",
    reason="Tunnelling as the headroom objective asks.",
    successful=1_234_567,
    failed=890,
    metrics=METRICS,
)


@pytest.fixture
def metrics() -> ResourceMetrics:
    return METRICS


@pytest.fixture
def gpu_metrics() -> ResourceMetrics:
    lost = GpuState(1, "GPU-2", status="lost: GPU is lost")
    return replace(METRICS, gpus=(GPU, lost))


@pytest.fixture
def build_progress() -> Callable[..., Progress]:
    def build(**changes: object) -> Progress:
        return replace(PROGRESS, **changes)  # type: ignore[arg-type]

    return build
