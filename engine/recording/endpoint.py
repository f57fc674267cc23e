"""The port file: where a run that goes on can be scraped, and by whom it is served."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from engine.disk import write_text
from engine.intake import read_json

ENDPOINT_FILE = "metrics.json"
"""Lies in the run folder from when the port is bound until the run has ended."""
MAX_PID = 2**22
"""Largest process number that Linux gives."""
_ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}


@dataclass(frozen=True)
class EndpointRecord:
    """Where the metrics of a run are served."""

    address: str
    """Address that was bound."""
    port: int
    """Port that was bound, in [1, 65535]."""
    pid: int
    """Process that serves it."""
    host: str
    """Name of its machine."""

    @classmethod
    def of_this_process(cls, address: str, port: int) -> Self:
        """Record an endpoint of this process.

        Args:
            address: Address that was bound.
            port: Port that was bound.
        """
        return cls(address, port, os.getpid(), platform.node())

    @property
    def target(self) -> str:
        """Address and port to ask from the same machine."""
        address = _ANY_ADDRESS.get(self.address, self.address)
        if ":" in address and not address.startswith("["):
            address = f"[{address}]"
        return f"{address}:{self.port}"

    @property
    def is_alive(self) -> bool:
        """Whether its process may still run; one of another machine is believed."""
        if self.host != platform.node():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # someone else's process
            return True
        return True

    def write(self, folder: Path) -> None:
        """Write the port file in one piece, so that no reader sees half of it.

        Args:
            folder: Run folder.

        Raises:
            WriteError: The folder takes no more.
        """
        text = f"{json.dumps(asdict(self), indent=2)}\n"
        write_text(folder / ENDPOINT_FILE, text)


def read_endpoint(path: Path) -> EndpointRecord | None:
    """Read a port file.

    Args:
        path: The file.

    Returns:
        What it says; None if it has gone meanwhile or is no port file.
    """
    try:
        values = read_json(path)
        record = EndpointRecord(
            str(values["address"]),
            int(values["port"]),
            int(values["pid"]),
            str(values["host"]),
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    is_possible = 0 < record.port < 65536 and 0 < record.pid <= MAX_PID
    return record if is_possible else None
