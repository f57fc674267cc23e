"""The promise of the product: more resources, higher tunnel frequency, within range."""

from __future__ import annotations

from itertools import pairwise

from engine.config import LoadConfig, ResourcesConfig
from engine.monitor import ResourceMonitor, SyntheticSource

TOP_HZ = 432.0 * 1.618033988749895


def measure_frequency(config: ResourcesConfig, *, cores: float, level: float) -> float:
    source = SyntheticSource(LoadConfig(kind="synthetic", level=level), cores=cores)
    with ResourceMonitor(config, source=source) as monitor:
        return monitor.get_optimal_tunnel_frequency()


def is_strictly_falling(frequencies: list[float]) -> bool:
    return all(left > right for left, right in pairwise(frequencies))


def test_resource_scaling() -> None:
    default = ResourcesConfig()
    by_load = [
        measure_frequency(default, cores=8, level=level)
        for level in (0.0, 0.2, 0.4, 0.6, 0.8, 0.95)
    ]
    # Wanting more idle cores than are left lowers the frequency ...
    by_core_count = [
        measure_frequency(
            ResourcesConfig(optimal_core_count=count, min_memory_threshold=0.0),
            cores=32,
            level=0.75,
        )
        for count in (16, 20, 24, 32)
    ]
    # ... and so does wanting more memory free: development, default, production.
    by_threshold = [
        measure_frequency(
            ResourcesConfig(optimal_core_count=1, min_memory_threshold=threshold),
            cores=32,
            level=0.8,
        )
        for threshold in (0.1, 0.2, 0.3)
    ]
    for frequencies in (by_load, by_core_count, by_threshold):
        assert is_strictly_falling(frequencies)
        assert all(0 < frequency <= TOP_HZ for frequency in frequencies)


def test_tunnel_frequency_calculation() -> None:
    with ResourceMonitor() as monitor:
        metrics = monitor.update()
        assert 0 < metrics.tunnel_frequency <= TOP_HZ
        assert monitor.get_optimal_tunnel_frequency() == metrics.tunnel_frequency
