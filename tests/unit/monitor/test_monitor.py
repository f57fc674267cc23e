"""ResourceMonitor: its attributes, its switches and its refusals."""

from __future__ import annotations

import subprocess
import sys

import pytest

from engine.config import LoadConfig, ResourcesConfig, TunnelConfig
from engine.errors import ConfigError
from engine.monitor import (
    CoreState,
    MemoryState,
    ResourceMonitor,
    SyntheticSource,
    TunnelStatistics,
)

TOP_HZ = 432.0 / 0.618033988749895


def build_source(level: float, profile: str = "constant") -> SyntheticSource:
    load = LoadConfig(kind="synthetic", level=level, profile=profile, start_s=1.0)
    return SyntheticSource(load)


def test_default_monitor_is_live_and_complete() -> None:
    with ResourceMonitor() as monitor:
        assert monitor.source.is_live
        assert isinstance(monitor.cores, CoreState)
        assert isinstance(monitor.memory, MemoryState)
        assert isinstance(monitor.gpus, tuple)
        assert dict(monitor.tunnel_stats) == {}
        assert monitor.resonance_frequency == 432.0
        assert monitor.metrics.availability > 0


@pytest.mark.parametrize("level", [0.0, 0.3, 0.8])
def test_frequency_is_availability_times_the_top(level: float) -> None:
    with ResourceMonitor(source=build_source(level)) as monitor:
        expected = pytest.approx((1.0 - level) * TOP_HZ)
        assert monitor.get_optimal_tunnel_frequency() == expected
        assert monitor.update().tunnel_frequency == expected


def test_full_load_leaves_the_minimum() -> None:
    with ResourceMonitor(source=build_source(1.0)) as monitor:
        assert monitor.metrics.availability == ResourcesConfig().minimum_availability
        assert monitor.metrics.limiting_resource == "cores"


def test_update_follows_simulated_time() -> None:
    with ResourceMonitor(source=build_source(0.8, "step")) as monitor:
        assert monitor.update(0.5).availability == 1.0
        assert monitor.update(1.0).availability == pytest.approx(0.2)
        assert monitor.update(0.5).availability == 1.0
        assert monitor.metrics.timestamp_s == 0.5
        assert not monitor.metrics.is_stale


def test_sources_can_be_switched_and_switched_back() -> None:
    with ResourceMonitor(ResourcesConfig(use_gpus=False)) as monitor:
        live = monitor.use_source(build_source(0.8))
        assert monitor.update().availability == pytest.approx(0.2)
        synthetic = monitor.use_source(live)
        assert not synthetic.is_live
        assert monitor.update().process.cores_used is not None


def test_watched_tunnels_are_a_view() -> None:
    statistics = {3: TunnelStatistics(10, 9, 432.0, 0.9)}
    with ResourceMonitor(source=build_source(0.0)) as monitor:
        monitor.watch_tunnels(statistics)
        statistics[5] = TunnelStatistics(1, 1, 267.0, 1.0)
        assert monitor.tunnel_stats[5].mean_frequency_hz == 267.0


def test_own_ladder_is_used() -> None:
    tunnel = TunnelConfig(base_frequency=100.0, phi_coefficient=0.5)
    with ResourceMonitor(tunnel=tunnel, source=build_source(0.5)) as monitor:
        assert monitor.get_optimal_tunnel_frequency() == pytest.approx(100.0)


def test_bad_values_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"resources\.optimal_core_count"):
        ResourceMonitor(ResourcesConfig(optimal_core_count=0))
    source = build_source(0.0)
    with pytest.raises(ConfigError, match="resonance_frequency is 0 Hz"):
        ResourceMonitor(source=source, resonance_frequency_hz=0.0)
    with ResourceMonitor(source=source) as monitor:
        monitor.resonance_frequency = 440.0
        assert monitor.resonance_frequency == 440.0
        with pytest.raises(ConfigError):
            monitor.resonance_frequency = float("nan")


def test_import_loads_no_nvml() -> None:
    code = "import sys, engine.monitor; sys.exit('pynvml' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
