"""TunnelMetrics: counters and gauges for Prometheus, on a registry of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from engine.config import MetricsConfig
from engine.errors import ConfigError
from engine.tunnel.series import ReadingCollector, Readings

if TYPE_CHECKING:
    from engine.tunnel.endpoint import Endpoint


@contextmanager
def _binding(config: MetricsConfig) -> Iterator[None]:
    """Turn the failure to bind a port into a sentence."""
    try:
        yield
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no such address"
        raise ConfigError(
            f"metrics.port {config.port} on {config.address} cannot be bound ({why}); "
            "choose another port, 0 for a free one, or another metrics.address."
        ) from error


def check_endpoint(config: MetricsConfig) -> None:
    """Refuse an address or a port that cannot be served on, before anything is built.

    Args:
        config: Address and port; nothing is checked where nothing shall be served.

    Raises:
        ConfigError: They cannot be bound; another process may have the port.
    """
    if config.http:
        from engine.tunnel.endpoint import try_port

        with _binding(config):
            try_port(config.address, config.port)


class TunnelMetrics:
    """What a run tells a Prometheus server.

    Nothing is served unless `serve` is called; by default only on loopback.
    """

    def __init__(self) -> None:
        """Register all series at zero."""
        from prometheus_client import (
            CollectorRegistry,
            Counter,
            Gauge,
            Histogram,
        )

        registry = CollectorRegistry()
        self.registry = registry
        self.successful_tunnels = Counter(
            "scribble_successful_tunnels", "Successful tunnel events", registry=registry
        )
        self.failed_tunnels = Counter(
            "scribble_failed_tunnels", "Failed tunnel attempts", registry=registry
        )
        self.average_frequency = Gauge(
            "scribble_average_frequency_hertz",
            "Mean tunnel frequency of the run so far [Hz]",
            registry=registry,
        )
        self.resource_utilization = Histogram(
            "scribble_resource_utilization_ratio",
            "1 - availability, at each control period",
            buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
            registry=registry,
        )
        self.coherence = Gauge(
            "scribble_coherence_ratio", "Order parameter r", registry=registry
        )
        self.availability = Gauge(
            "scribble_availability_ratio", "Share of resources free", registry=registry
        )
        self.step_time = Gauge(
            "scribble_step_seconds", "Wall time per lattice step [s]", registry=registry
        )
        self._endpoint: Endpoint | None = None

    @property
    def refused_scrapes(self) -> int:
        """Scrapes refused since serving began [-]; 0 if nothing is served."""
        return self._endpoint.refused_count if self._endpoint is not None else 0

    def read_from(self, read: Callable[[], Readings]) -> None:
        """Add the series of `SERIES` to every later scrape.

        Args:
            read: Gives their values; called from other threads.
        """
        self.registry.register(ReadingCollector(read))

    def serve(self, config: MetricsConfig) -> int:
        """Serve the metrics over HTTP until `close`.

        Args:
            config: Address and port; port 0 takes a free one.

        Returns:
            The port that was bound.

        Raises:
            ConfigError: The address or port cannot be bound.
        """
        from engine.tunnel.endpoint import Endpoint

        with _binding(config):
            self._endpoint = Endpoint(self.registry, config.address, config.port)
        return self._endpoint.port

    def close(self) -> None:
        """Stop serving; harmless if nothing is served."""
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            endpoint.close()
