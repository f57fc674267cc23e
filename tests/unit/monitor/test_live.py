"""The sampling thread: it starts ready, survives its sensors, and ends."""

from __future__ import annotations

import threading
from unittest import mock

import pytest

from engine.config import ResourcesConfig
from engine.monitor.gpu import GpuSampler
from engine.monitor.host import HostSample, HostSampler
from engine.monitor.live import LiveSource
from engine.monitor.monitor import ResourceMonitor

FAST = ResourcesConfig(sample_period_s=0.05, use_gpus=False)
PATIENCE_S = 5.0


class FlakyHost(HostSampler):
    """Fails when told to, and tells when it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.is_broken = False
        self.asked = threading.Event()
        self.failed = threading.Event()

    def sample(self) -> HostSample:
        if self.is_broken:
            self.failed.set()
            raise OSError("the sensor fell off")
        self.asked.set()
        return super().sample()


def test_first_sample_is_there_at_once_and_meaningful() -> None:
    source = LiveSource(FAST)
    source.start()
    try:
        sample = source.read(0.0)
        assert sample.cores.utilisation is not None
        assert sample.cores.idle_cores is not None
        assert sample.process.cores_used is not None
    finally:
        source.close()


def count_samplers() -> int:
    names = [thread.name for thread in threading.enumerate()]
    return names.count("resource-sampler")


def test_start_and_close_may_be_repeated() -> None:
    source = LiveSource(FAST)
    others = count_samplers()
    for _ in range(2):
        source.start()
        source.start()
        assert count_samplers() == others + 1
        source.close()
        source.close()
        assert count_samplers() == others


def test_thread_survives_a_failing_sensor() -> None:
    host = FlakyHost()
    source = LiveSource(FAST, host=host)
    source.start()
    try:
        host.is_broken = True
        assert host.failed.wait(PATIENCE_S)
        held = source.read(0.0)
        host.asked.clear()
        host.is_broken = False
        assert host.asked.wait(PATIENCE_S)
    finally:
        source.close()  # joins, so the last sample is published after this
    assert source.error_count >= 1
    assert source.error is None
    assert source.read(0.0).timestamp_s > held.timestamp_s


def test_failing_first_sample_is_raised_and_starts_no_thread() -> None:
    host = FlakyHost()
    host.is_broken = True
    others = count_samplers()
    with pytest.raises(OSError, match="fell off"):
        LiveSource(FAST, host=host).start()
    assert count_samplers() == others


def test_gpus_are_opened_and_closed_with_the_source() -> None:
    gpus = mock.create_autospec(GpuSampler, instance=True)
    gpus.sample.return_value = ()
    source = LiveSource(FAST, gpus=gpus)
    source.start()
    source.close()
    gpus.start.assert_called_once_with()
    gpus.close.assert_called_once_with()


def test_switched_off_gpus_are_not_asked() -> None:
    source = LiveSource(FAST)
    assert source.probe.message == "NVML: switched off."


def test_age_grows_and_the_monitor_reports_stale() -> None:
    now = [100.0]
    config = ResourcesConfig(
        sample_period_s=10.0,
        slow_period_s=10.0,
        process_period_s=10.0,
        stale_after_s=12.0,
        use_gpus=False,
    )
    with ResourceMonitor(config, clock=lambda: now[0]) as monitor:
        fresh = monitor.update()
        assert (fresh.age_s, fresh.is_stale) == (0.0, False)
        now[0] += 12.0
        assert not monitor.update().is_stale
        now[0] += 0.5
        old = monitor.update()
        assert (old.age_s, old.is_stale) == (12.5, True)
        assert old.availability == fresh.availability
        source = monitor.source
        assert isinstance(source, LiveSource)
        source.sample()
        assert not monitor.update().is_stale
