"""Endpoint: read-only, bounded, and no answer is cut short by the end of a run."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics_core import GaugeMetricFamily

from engine.tunnel.endpoint import MAX_SCRAPES, Endpoint

LOOPBACK = "127.0.0.1"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def endpoint(registry: CollectorRegistry) -> Iterator[Endpoint]:
    endpoint = Endpoint(registry, LOOPBACK, 0)
    yield endpoint
    endpoint.close()


def ask(port: int, path: str = "/metrics", method: str = "GET") -> tuple[int, str]:
    url = f"http://{LOOPBACK}:{port}{path}"
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as page:
            return page.status, page.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


def test_only_one_path_can_be_read(endpoint: Endpoint) -> None:
    assert ask(endpoint.port)[0] == 200
    assert ask(endpoint.port, "/metrics?name[]=none")[0] == 200
    assert ask(endpoint.port, "/")[0] == 404
    assert ask(endpoint.port, "/metrics/../etc/passwd")[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(endpoint: Endpoint, method: str) -> None:
    assert ask(endpoint.port, method=method)[0] == 501


def test_too_many_clients_are_refused(endpoint: Endpoint) -> None:
    # Connections are taken in the order they come in, so the slots are full when
    # the last one is looked at.
    idle = [
        socket.create_connection((LOOPBACK, endpoint.port), timeout=10)
        for _ in range(MAX_SCRAPES)
    ]
    with socket.create_connection((LOOPBACK, endpoint.port), timeout=10) as extra:
        assert extra.recv(1024).startswith(b"HTTP/1.0 503 ")
    assert endpoint.refused_count == 1
    for client in idle:
        client.close()


def test_endpoints_share_no_port(registry: CollectorRegistry) -> None:
    endpoints = [Endpoint(registry, LOOPBACK, 0) for _ in range(3)]
    assert len({endpoint.port for endpoint in endpoints}) == 3
    for endpoint in endpoints:
        endpoint.close()
    with pytest.raises(urllib.error.URLError):
        ask(endpoints[0].port)


def test_scrape_under_way_outlives_the_end(
    registry: CollectorRegistry,
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_asked, is_closed = threading.Event(), threading.Event()

    class SlowCollector:
        def describe(self) -> Iterable[Metric]:
            return ()

        def collect(self) -> Iterable[Metric]:
            is_asked.set()
            assert is_closed.wait(10)
            return [GaugeMetricFamily("late", "Told after the end", value=42)]

    def close_and_tell() -> None:
        close()
        is_closed.set()

    close = endpoint._server.server_close
    monkeypatch.setattr(endpoint._server, "server_close", close_and_tell)
    registry.register(SlowCollector())
    answers: list[tuple[int, str]] = []
    scrape = threading.Thread(target=lambda: answers.append(ask(endpoint.port)))
    scrape.start()
    assert is_asked.wait(10)
    endpoint.close()  # the collector answers only once the port is closed
    scrape.join(10)
    assert [status for status, _ in answers] == [200]
    assert "\nlate 42.0\n" in answers[0][1]
