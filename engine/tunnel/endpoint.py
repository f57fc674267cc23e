"""Endpoint: one registry as Prometheus text over HTTP; read-only and bounded.

Imported only when a run is served, since it needs prometheus_client.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, MetricsHandler

logger = logging.getLogger(__name__)

PATH = "/metrics"
MAX_SCRAPES = 8
"""Requests answered at the same time; more are refused with status 503."""
SILENCE_S = 5.0
"""Wait for a client that neither sends nor reads [s]."""
MAX_ANSWER_S = 20.0
"""Longest time of a connection, however busily its client sends or reads [s]."""
POLL_S = 0.1
"""Period in which the server looks whether it is to stop [s]."""
LAST_SCRAPE_S = 2.0
"""Wait at the end for answers under way [s]."""
_REFUSAL = b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\n\r\n"


class _Handler(MetricsHandler):
    """Answers GET on `PATH`; every other path is unknown, every other verb refused."""

    timeout = SILENCE_S

    def do_GET(self) -> None:  # noqa: N802 - the name is that of http.server
        """Send the metrics, in the format that the client prefers."""
        if urlsplit(self.path).path == PATH:
            super().do_GET()
        else:
            self.send_error(HTTPStatus.NOT_FOUND, f"The metrics are at {PATH}")


class _Server(ThreadingHTTPServer):
    """A thread per request, `MAX_SCRAPES` of them at most."""

    daemon_threads = True
    request_queue_size = 2 * MAX_SCRAPES  # so that the refusals come at once too

    def __init__(self, family: int, *arguments: Any) -> None:
        """Bind and listen.

        Args:
            family: Address family, such as `socket.AF_INET6`.
            *arguments: Address and handler, as `TCPServer` takes them.
        """
        self.address_family = family
        self.slots = threading.BoundedSemaphore(MAX_SCRAPES)
        self.refused_count = 0
        super().__init__(*arguments)

    def server_bind(self) -> None:
        """Bind without asking who the address belongs to, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own if one is free."""
        if not self.slots.acquire(blocking=False):
            self.refused_count += 1
            self._refuse(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # the system gives no more threads
            self.slots.release()
            self.refused_count += 1
            self._refuse(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and free the slot whatever happens."""
        # A client that sends a byte now and then is never silent.
        clock = threading.Timer(MAX_ANSWER_S, _cut_off, (request,))
        clock.daemon = True
        clock.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            clock.cancel()
            self.slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep a client that went away to the log of details."""
        logger.debug("a scrape from %s broke off", client_address, exc_info=True)

    def _refuse(self, request: socket.socket) -> None:
        try:
            request.sendall(_REFUSAL)
        except OSError:
            logger.debug("a refused client was gone already")
        self.shutdown_request(request)


def _cut_off(request: socket.socket) -> None:
    """End a connection under the hands of the thread that serves it."""
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


def _find_place(address: str, port: int) -> tuple[int, Any]:
    """Find the family and the socket address of a host name and port."""
    found = socket.getaddrinfo(
        address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    return found[0][0], found[0][4]


def try_port(address: str, port: int) -> None:
    """Bind a port and let go of it, to learn whether it is free.

    Args:
        address: Host name or address to bind.
        port: Port to bind; 0 takes a free one.

    Raises:
        OSError: They cannot be bound.
        UnicodeError: The address is no host name.
    """
    _Server(*_find_place(address, port), _Handler).server_close()


class Endpoint:
    """Serves a registry from a thread of its own until `close`."""

    def __init__(self, registry: CollectorRegistry, address: str, port: int) -> None:
        """Bind and start.

        Args:
            registry: What is served.
            address: Host name or address to bind.
            port: Port to bind; 0 takes a free one.

        Raises:
            OSError: They cannot be bound.
            UnicodeError: The address is no host name.
        """
        family, place = _find_place(address, port)
        self._server = _Server(family, place, _Handler.factory(registry))
        self.port = int(self._server.server_port)
        """The port that was bound."""
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(POLL_S,),
            name="scribble-metrics",
            daemon=True,
        )
        self._thread.start()

    @property
    def refused_count(self) -> int:
        """Requests refused because too many were under way [-]."""
        return self._server.refused_count

    def close(self) -> None:
        """Take no more requests; answers under way get `LAST_SCRAPE_S` to end.

        Harmless to repeat.
        """
        if not self._thread.is_alive():
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        end_s = time.monotonic() + LAST_SCRAPE_S
        for _ in range(MAX_SCRAPES):
            left_s = max(end_s - time.monotonic(), 0.0)
            if not self._server.slots.acquire(timeout=left_s):
                break
