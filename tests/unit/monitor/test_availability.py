"""Availability: the formula, its range, and its direction."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import ResourcesConfig
from engine.monitor.availability import (
    UNLIMITED,
    core_availability,
    judge_availability,
    memory_availability,
)
from engine.monitor.metrics import (
    CoreState,
    GpuState,
    MemoryState,
    ProcessState,
    ResourceSample,
)

CONFIG = ResourcesConfig()
SHARE = st.floats(0.0, 1.0)


def build_sample(
    idle: float | None = 8.0,
    share: float = 1.0,
    allowed: float = 8.0,
    gpus: tuple[GpuState, ...] = (),
) -> ResourceSample:
    return ResourceSample(
        timestamp_s=0.0,
        cores=CoreState(8, None, allowed, None, None, idle),
        memory=MemoryState(100, 100, int(100 * share), share),
        process=ProcessState(),
        gpus=gpus,
    )


def build_gpu(**changes: object) -> GpuState:
    gpu = GpuState(
        index=0,
        uuid="GPU-aa-bb",
        pci_bus_id="00000000:3B:00.0",
        utilisation=0.9,
        own_utilisation=0.5,
        memory_total_bytes=100,
        memory_used_bytes=60,
        memory_free_bytes=40,
        own_memory_bytes=50,
    )
    return replace(gpu, **changes)  # type: ignore[arg-type]


def test_idle_machine_is_fully_available() -> None:
    verdict = judge_availability(build_sample(), CONFIG)
    assert verdict.value == 1.0
    assert verdict.limiting_resource == UNLIMITED
    assert set(verdict.by_resource) == {"cores", "memory"}


def test_cores_compare_with_what_the_run_can_use() -> None:
    cores = build_sample(idle=4.0).cores
    assert core_availability(cores, 8) == 0.5
    assert core_availability(cores, 4) == 1.0
    assert core_availability(replace(cores, allowed_cores=4.0), 8) == 1.0
    assert core_availability(replace(cores, idle_cores=None), 8) is None


def test_memory_counts_above_the_threshold() -> None:
    assert memory_availability(0.6, 0.2) == pytest.approx(0.5)
    assert memory_availability(0.1, 0.2) == 0.0


def test_scarcest_resource_is_named_and_floored() -> None:
    verdict = judge_availability(build_sample(idle=4.0, share=0.1), CONFIG)
    assert verdict.limiting_resource == "memory"
    assert verdict.by_resource["memory"] == 0.0
    assert verdict.value == CONFIG.minimum_availability


def test_gpu_of_others_does_not_matter() -> None:
    busy = build_gpu(own_utilisation=0.0)
    assert judge_availability(build_sample(gpus=(busy,)), CONFIG).value == 1.0


@pytest.mark.parametrize("name", ["GPU-AA-BB", "aa-bb", "0000:3b:00.0", "3B:00.0"])
def test_own_use_of_a_gpu_is_subtracted(name: str) -> None:
    verdict = judge_availability(build_sample(gpus=(build_gpu(),)), CONFIG, [name])
    assert verdict.by_resource["gpu:GPU-aa-bb:utilisation"] == pytest.approx(0.6)
    memory = verdict.by_resource["gpu:GPU-aa-bb:memory"]
    assert memory == pytest.approx((0.9 - 0.2) / 0.8)
    assert verdict.limiting_resource == "gpu:GPU-aa-bb:utilisation"


def test_unknown_gpu_fields_are_left_out() -> None:
    gpu = build_gpu(own_utilisation=None, own_memory_bytes=None)
    verdict = judge_availability(build_sample(gpus=(gpu,)), CONFIG, [gpu.uuid])
    assert set(verdict.by_resource) == {"cores", "memory"}


def test_other_devices_are_not_named() -> None:
    gpu = build_gpu()
    assert not gpu.is_named("GPU-aa-cc")
    assert not gpu.is_named("0000:3c:00.0")
    assert not replace(gpu, pci_bus_id=None).is_named("0000:3b:00.0")


@given(idle=st.none() | st.floats(0.0, 64.0), share=SHARE, threshold=st.floats(0, 0.99))
def test_value_lies_above_zero_and_at_most_one(
    idle: float | None, share: float, threshold: float
) -> None:
    config = ResourcesConfig(min_memory_threshold=threshold)
    verdict = judge_availability(build_sample(idle, share), config)
    assert 0 < verdict.value <= 1
    assert all(0 <= value <= 1 for value in verdict.by_resource.values())


@given(first=st.floats(0.0, 8.0), second=st.floats(0.0, 8.0), share=SHARE)
def test_more_idle_cores_never_lower_it(
    first: float, second: float, share: float
) -> None:
    low, high = sorted((first, second))
    assert (
        judge_availability(build_sample(low, share), CONFIG).value
        <= judge_availability(build_sample(high, share), CONFIG).value
    )


@given(first=SHARE, second=SHARE, own=SHARE)
def test_own_load_never_lowers_it(first: float, second: float, own: float) -> None:
    others = min(first, second)
    idle = build_gpu(utilisation=others, own_utilisation=0.0)
    ours = build_gpu(utilisation=others + own, own_utilisation=own)
    free = judge_availability(build_sample(gpus=(idle,)), CONFIG, [idle.uuid])
    busy = judge_availability(build_sample(gpus=(ours,)), CONFIG, [idle.uuid])
    assert busy.value == pytest.approx(free.value, abs=1e-12)
