"""A Prometheus port that another process has: refused before anything is written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.recording.checkpoint import list_checkpoints
from engine.system import ScribbleSystem
from experiments.cli import main
from experiments.overrides import compose_run_config
from tests.faults.harness import SETTINGS, Ledger, read_summary

SMALL = ("lattice.shape=[8,8]", "backend=reference", "dynamics.duration_s=0.06")
_LISTEN = """\
import socket, sys
taken = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print(taken.getsockname()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def take_port(port: int = 0) -> Iterator[int]:
    """Have another process listen on a port."""
    with subprocess.Popen(
        [sys.executable, "-c", _LISTEN, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


@pytest.fixture(scope="module")
def taken() -> Iterator[int]:
    with take_port() as port:
        yield port


def assert_refused(words: list[str], port: int, trouble: str) -> None:
    assert trouble == (
        f"scribble: error: metrics.port {port} on 127.0.0.1 cannot be bound (Address "
        "already in use); choose another port, 0 for a free one, or another "
        "metrics.address.\n"
    ), words


@pytest.mark.parametrize(
    "words",
    [
        ["run", "-q", "record.folder={}/run"],
        ["run", "-q", "--no-record"],
        ["run", "-m", "seed=1,2,3", "hydra.sweep.dir={}/sweep"],
        ["run", "-m", "--in-process", "seed=1,2", "hydra.sweep.dir={}/sweep"],
        ["run", "-m", "metrics.http=true,false", "hydra.sweep.dir={}/sweep"],
    ],
    ids=["run", "unrecorded", "sweep", "in-process", "some-jobs"],
)
def test_taken_port(
    words: list[str],
    taken: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    ledger: Ledger,
) -> None:
    words = [word.format(tmp_path) for word in words]
    served = [] if "metrics.http=true,false" in words else ["metrics.http=true"]
    words += [*served, f"metrics.port={taken}", *SMALL, *SETTINGS]
    assert main(words) == 2
    assert_refused(words, taken, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []
    ledger.ports += 1


def read_all(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_resumed_run_finds_its_port_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ledger: Ledger
) -> None:
    folder = tmp_path / "cut"
    config = compose_run_config([*SMALL, *SETTINGS, f"record.folder={folder}"])
    unrecorded = replace(config, record=replace(config.record, folder=None))
    with ScribbleSystem(unrecorded) as system:
        digest = system.run().state_digest
    with take_port() as port:
        pass
    served = replace(config, metrics=replace(config.metrics, http=True, port=port))
    with ScribbleSystem(served) as system:
        system.run(lambda _: system.request_stop())
    assert list_checkpoints(folder)
    before = read_all(folder)
    with take_port(port):
        words = ["resume", "-q", str(folder)]
        assert main(words) == 2
        assert_refused(words, port, capsys.readouterr().err)
        assert read_all(folder) == before
        ledger.ports += 1
        # Another port, with the taken one still in the configuration.
        assert main([*words, "metrics.port=0"]) == 0
    assert read_summary(folder)["state_digest"] == digest


def test_port_that_is_lost_between_check_and_run(tmp_path: Path) -> None:
    with take_port() as port:
        pass
    words = [*SMALL, *SETTINGS, "metrics.http=true", f"metrics.port={port}"]
    config = compose_run_config([*words, f"record.folder={tmp_path / 'run'}"])
    refused = pytest.raises(ConfigError, match="cannot be bound")
    with ScribbleSystem(config) as system, take_port(port), refused:
        system.run()
    assert list(tmp_path.iterdir()) == []
