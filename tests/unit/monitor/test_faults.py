"""Sensors that fail: what is not believed, what is held, and for how long."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config import FaultConfig, LoadConfig, ResourcesConfig
from engine.errors import ConfigError
from engine.monitor import (
    FaultySource,
    GpuState,
    ReplaySource,
    ResourceMetrics,
    ResourceMonitor,
    ResourceSample,
    Source,
    SyntheticSource,
)
from engine.monitor.faults import distort
from engine.monitor.plausibility import find_flaw

# Half loaded up to 4 s, then idle: what is held is told from what is true.
LOAD = LoadConfig("synthetic", "step", level=0.0, base_level=0.5, start_s=4.0)
BEFORE, AFTER = 0.5, 1.0
GPU = GpuState(0, "GPU-1", utilisation=0.5, own_utilisation=0.0)


class Scripted:
    """A live source that shows whatever a test puts into it."""

    def __init__(self, is_live: bool = False) -> None:
        self.is_live = is_live
        self.sample: ResourceSample | Exception = SyntheticSource(LOAD).read(0.0)

    def start(self) -> None: ...

    def close(self) -> None: ...

    def read(self, simulated_s: float) -> ResourceSample:
        if isinstance(self.sample, Exception):
            raise self.sample
        return self.sample


def build_monitor(source: Source, kind: str = "none", **keys: Any) -> ResourceMonitor:
    keys = {"start_s": 3.0, "duration_s": 10.0} | keys
    resources = ResourcesConfig(stale_after_s=2.0)
    return ResourceMonitor(
        resources, source=FaultySource(source, FaultConfig(kind, **keys))
    )


def watch(kind: str, times_s: list[float], **keys: Any) -> list[ResourceMetrics]:
    with build_monitor(SyntheticSource(LOAD), kind, **keys) as monitor:
        return [monitor.update(time_s) for time_s in times_s]


def test_without_a_fault_nothing_changes() -> None:
    times_s = [0.0, 3.5, 4.0, 20.0]
    with ResourceMonitor(source=SyntheticSource(LOAD)) as monitor:
        assert watch("none", times_s) == [monitor.update(at) for at in times_s]


def test_frozen_sensor_ages_until_it_is_stale() -> None:
    seen = watch("freeze", [2.9, 3.0, 4.5, 5.0, 12.9, 13.0])
    assert [metrics.availability for metrics in seen] == [BEFORE] * 5 + [AFTER]
    ages_s = [metrics.age_s for metrics in seen]
    assert ages_s == pytest.approx([0.0, 0.1, 1.6, 2.1, 10.0, 0.0])
    stale = [metrics.is_stale for metrics in seen]
    assert stale == [False, False, False, True, True, False]
    assert not any(metrics.flaw for metrics in seen)


def test_late_sensor_shows_what_was() -> None:
    times_s = [0.5 * step for step in range(20)]
    seen = dict(zip(times_s, watch("lag", times_s, lag_s=1.0), strict=True))
    assert seen[2.5].age_s == 0.0
    assert [seen[at].age_s for at in (3.0, 4.5, 5.0)] == [1.0] * 3
    assert [seen[at].availability for at in (4.5, 5.0)] == [BEFORE, AFTER]
    assert not seen[9.5].is_stale


def test_very_late_sensor_is_stale() -> None:
    times_s = [0.5 * step for step in range(20)]
    last = watch("lag", times_s, lag_s=2.5)[-1]
    assert (last.age_s, last.is_stale) == (2.5, True)


@pytest.mark.parametrize("value", ["nan", "negative", "excess"])
def test_impossible_values_are_never_shown(value: str) -> None:
    seen = watch("lie", [2.9, 3.0, 9.0, 13.0], value=value)
    assert [metrics.availability for metrics in seen] == [BEFORE] * 3 + [AFTER]
    assert [metrics.is_stale for metrics in seen] == [False, True, True, False]
    assert [metrics.age_s for metrics in seen] == pytest.approx([0.0, 0.1, 6.1, 0.0])
    assert seen[1].flaw.startswith("cores.utilisation is ")
    assert seen[3].flaw == ""
    assert all(0.0 <= metrics.cores.idle_cores <= 8.0 for metrics in seen)


def test_vanished_sensor_is_survived() -> None:
    seen = watch("vanish", [2.9, 3.0, 13.0])
    assert seen[1].flaw == "no reading: the resource sensor is gone"
    assert [metrics.is_stale for metrics in seen] == [False, True, False]
    assert seen[1].tunnel_frequency == seen[0].tunnel_frequency


def test_flapping_sensor_is_lost_in_every_first_half() -> None:
    seen = watch("flap", [2.9, 3.0, 3.4, 3.5, 3.9, 4.0, 4.5], period_s=1.0)
    stale = [metrics.is_stale for metrics in seen]
    assert stale == [False, True, True, False, False, True, False]
    assert [m.availability for m in seen[-2:]] == [BEFORE, AFTER]


@pytest.mark.parametrize("kind", ["freeze", "lag", "lie", "vanish", "flap"])
def test_first_reading_is_sound(kind: str) -> None:
    seen = watch(kind, [0.0], start_s=0.0)
    assert seen[0].availability == BEFORE


def test_live_samples_age_by_the_clock() -> None:
    now_s = 100.0
    source = Scripted(is_live=True)
    source.sample = replace(SyntheticSource(LOAD).read(0.0), timestamp_s=now_s)
    monitor = ResourceMonitor(source=source, clock=lambda: now_s)
    monitor.update(0.0)
    source.sample = OSError("unplugged")
    now_s = 102.5
    seen = monitor.update(0.001)
    assert (seen.age_s, seen.is_stale) == (2.5, True)
    assert seen.flaw == "no reading: unplugged"


def test_recording_can_be_made_faulty() -> None:
    rows = [(float(at), watch("none", [float(at)])[0].to_dict()) for at in range(8)]
    with build_monitor(ReplaySource(rows), "freeze", duration_s=3.0) as monitor:
        seen = [monitor.update(float(at)) for at in range(8)]
    # The rows that held are given back as they were, to the last field.
    assert seen[:3] == watch("none", [0.0, 1.0, 2.0])
    assert [metrics.age_s for metrics in seen[3:]] == [1.0, 2.0, 3.0, 0.0, 0.0]
    assert [metrics.is_stale for metrics in seen[3:]] == [False, False, True] + [
        False
    ] * 2
    with build_monitor(ReplaySource(rows), "lie") as monitor:
        monitor.update(2.0)
        assert monitor.update(3.0).is_stale


def test_source_that_fails_at_once_is_refused() -> None:
    source = Scripted()
    source.sample = OSError("no such file")
    with pytest.raises(OSError, match="no such file"):
        ResourceMonitor(source=source)


def test_first_sample_that_cannot_be_is_not_acted_upon() -> None:
    source = Scripted()
    source.sample = distort(SyntheticSource(LOAD).read(0.0), math.nan)
    with ResourceMonitor(source=source) as monitor:
        seen = monitor.update(4.0)
        assert (seen.is_stale, seen.age_s) == (True, 4.0)
        assert seen.cores.idle_cores is None
        assert seen.availability == ResourcesConfig().minimum_availability
        source.sample = SyntheticSource(LOAD).read(0.0)
        assert monitor.update(5.0).availability == BEFORE


def test_resource_that_gets_lost_is_not_taken_for_a_free_one() -> None:
    source = Scripted()
    sound = replace(SyntheticSource(LOAD).read(4.0), gpus=(GPU,))
    source.sample = sound
    with ResourceMonitor(source=source, gpu_uuids=["GPU-1"]) as monitor:
        assert monitor.metrics.availability == 0.5
        source.sample = replace(sound, gpus=())
        seen = monitor.update(1.0)
        assert seen.flaw == "gpu:GPU-1:utilisation is not known any more"
        assert (seen.availability, seen.is_stale) == (0.5, True)
        monitor.watch_gpus([])
        assert not monitor.update(2.0).is_stale


def test_other_gpus_may_say_what_they_like() -> None:
    lying = replace(GPU, utilisation=4.0)
    sample = replace(SyntheticSource(LOAD).read(0.0), gpus=(lying,))
    assert find_flaw(sample) == ""
    assert find_flaw(sample, ["GPU-1"]) == "gpu.utilisation is 4"


@given(
    share=st.floats(allow_nan=True, allow_infinity=True),
    idle=st.floats(allow_nan=True, allow_infinity=True),
)
def test_no_number_reaches_the_law_unless_it_can_be(share: float, idle: float) -> None:
    source = Scripted()
    sound = SyntheticSource(LOAD).read(0.0)
    with ResourceMonitor(source=source) as monitor:
        source.sample = replace(
            sound,
            cores=replace(sound.cores, idle_cores=idle),
            memory=replace(sound.memory, available_share=share),
        )
        seen = monitor.update(1.0)
    is_possible = 0.0 <= share <= 1.01 and 0.0 <= idle <= 8.08
    assert seen.is_stale != is_possible
    assert is_possible or seen.availability == BEFORE


def test_fault_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"fault\.value is 'big'"):
        FaultySource(SyntheticSource(LOAD), FaultConfig("lie", value="big"))


def test_faulty_source_is_a_source() -> None:
    source = FaultySource(SyntheticSource(LOAD), FaultConfig())
    assert isinstance(source, Source)
    assert not source.is_live
