"""TunnelMetrics: the names of the contract, on a registry of their own, over HTTP."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import prometheus_client
import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.config import MetricsConfig, RunConfig
from engine.errors import ConfigError
from engine.system import Progress, ScribbleSystem
from engine.tunnel import TunnelMetrics

BuildConfig = Callable[..., RunConfig]


@pytest.fixture
def metrics() -> Iterator[TunnelMetrics]:
    metrics = TunnelMetrics()
    yield metrics
    metrics.close()


def read_samples(metrics: TunnelMetrics) -> dict[str, float]:
    text = prometheus_client.generate_latest(metrics.registry).decode()
    return parse(text)


def parse(text: str) -> dict[str, float]:
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.labels
    }


def fetch(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        return parse(page.read().decode())


def test_everything_starts_at_zero(metrics: TunnelMetrics) -> None:
    samples = read_samples(metrics)
    assert samples["scribble_successful_tunnels_total"] == 0.0
    assert samples["scribble_failed_tunnels_total"] == 0.0
    assert samples["scribble_average_frequency_hertz"] == 0.0
    assert samples["scribble_resource_utilization_ratio_count"] == 0.0


def test_registry_is_its_own(metrics: TunnelMetrics) -> None:
    metrics.successful_tunnels.inc(3)
    other = TunnelMetrics()  # a second one in the process is no error
    assert read_samples(other)["scribble_successful_tunnels_total"] == 0.0
    default = prometheus_client.generate_latest(prometheus_client.REGISTRY)
    assert b"scribble" not in default


def test_counters_equal_the_summary(build_config: BuildConfig) -> None:
    config = build_config(
        tunnel={"max_probability": 0.6},
        load={"level": 0.5},
        controller={"period_steps": 30},
    )
    with ScribbleSystem(config) as system:
        summary = system.run()
        samples = read_samples(system.metrics)
    assert samples["scribble_successful_tunnels_total"] == summary.tunnels["successful"]
    assert samples["scribble_failed_tunnels_total"] == summary.tunnels["failed"]
    assert summary.tunnels["failed"] > 0
    assert samples["scribble_average_frequency_hertz"] == pytest.approx(
        summary.average_frequency_hz
    )
    assert samples["scribble_coherence_ratio"] == summary.coherence["final"]
    assert samples["scribble_availability_ratio"] == pytest.approx(0.5)
    # 200 steps in periods of 30: seven looks, each at half of the resources.
    assert samples["scribble_resource_utilization_ratio_count"] == 7.0
    assert samples["scribble_resource_utilization_ratio_sum"] == pytest.approx(3.5)
    assert samples["scribble_step_seconds"] > 0.0


def test_served_on_loopback_and_gone_after_close(metrics: TunnelMetrics) -> None:
    port = metrics.serve(MetricsConfig(http=True))
    assert 0 < port < 65536
    metrics.failed_tunnels.inc(5)
    assert fetch(port)["scribble_failed_tunnels_total"] == 5.0
    metrics.close()
    metrics.close()
    with pytest.raises(urllib.error.URLError):
        fetch(port)


def test_run_is_served_while_it_goes_on(build_config: BuildConfig) -> None:
    with ScribbleSystem(build_config(metrics={"http": True})) as system:
        seen: list[tuple[int, float]] = []

        def on_progress(progress: Progress) -> None:
            assert system.metrics._endpoint is not None
            port = system.metrics._endpoint.port
            found = fetch(port)["scribble_successful_tunnels_total"]
            seen.append((progress.successful, found))

        system.run(on_progress)
    assert len(seen) == 5
    assert all(told == found for told, found in seen)


def test_taken_port_is_a_configuration_error(metrics: TunnelMetrics) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            metrics.serve(MetricsConfig(http=True, port=port))
    assert f"metrics.port {port} on 127.0.0.1 cannot be bound" in str(caught.value)


def test_foreign_address_is_a_configuration_error(metrics: TunnelMetrics) -> None:
    # 192.0.2.0/24 is reserved for documentation: no machine has it.
    with pytest.raises(ConfigError, match=r"on 192\.0\.2\.1 cannot be bound"):
        metrics.serve(MetricsConfig(http=True, address="192.0.2.1"))


def test_taken_port_leaves_no_folder(
    build_config: BuildConfig, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("runs") / "run"
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        config = build_config(
            metrics={"http": True, "port": holder.getsockname()[1]},
            record={"folder": str(folder)},
        )
        with pytest.raises(ConfigError, match="Address already in use"):
            ScribbleSystem(config)
    assert not folder.exists()
