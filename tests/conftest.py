"""Shared fixtures: one back end after another, and runs that fit into a blink.

`SCRIBBLE_REQUIRE_GPU=1` turns "skipped, no GPU" into a failure.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

# Digests are compared between one and two threads, on machines of one core too.
os.environ.setdefault("NUMBA_NUM_THREADS", str(max(2, os.cpu_count() or 1)))

import pytest

from engine.backends import select_backend
from engine.backends.protocol import Backend
from engine.config import (
    BackendConfig,
    BridgesConfig,
    DynamicsConfig,
    LatticeConfig,
    LoadConfig,
    RunConfig,
)
from tests.faults.harness import Ledger

_LEDGER = pytest.StashKey[Ledger]()

SMALL_RUN = RunConfig(
    lattice=LatticeConfig(shape=(16, 16)),
    bridges=BridgesConfig(per_node=4),
    dynamics=DynamicsConfig(duration_s=0.05),
    backend=BackendConfig("cpu"),
    load=LoadConfig(kind="synthetic", level=0.0),
)


def pytest_configure() -> None:
    # A script's job in the background ignores Ctrl-C, and so would all that it starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Likewise under `nohup`: processes that are started hear that a terminal closes.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture(scope="session")
def ledger(request: pytest.FixtureRequest) -> Ledger:
    """What the session does to runs and readers, told at its end."""
    return request.config.stash.setdefault(_LEDGER, Ledger())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    kept = config.stash.get(_LEDGER, None)
    if kept is None:
        return
    terminalreporter.section("faults")
    for line in kept.describe():
        terminalreporter.write_line(line)
    is_whole = exitstatus == pytest.ExitCode.OK
    verdict = "nothing lost" if is_whole else "see the failures above"
    terminalreporter.write_line(verdict)


def require_cuda() -> None:
    """Skip without a usable GPU, or fail if one was promised."""
    from engine.backends.probe import probe_cuda

    probe = probe_cuda()
    if probe.is_usable:
        return
    message = f"CUDA is not usable: {probe.reason}"
    if os.environ.get("SCRIBBLE_REQUIRE_GPU") == "1":
        pytest.fail(f"SCRIBBLE_REQUIRE_GPU=1, but {message}")
    pytest.skip(message)


def build_backend(name: str) -> Backend:
    if name == "cuda":
        require_cuda()
    return select_backend(BackendConfig(name), 1).backend


@pytest.fixture(
    params=["reference", "cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every back end that runs here, the readable truth first."""
    return build_backend(request.param)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def binary_backend(request: pytest.FixtureRequest) -> Backend:
    """Every back end of binary angles."""
    return build_backend(request.param)


@pytest.fixture
def reference() -> Backend:
    return build_backend("reference")


@pytest.fixture(scope="session")
def build_config() -> Callable[..., RunConfig]:
    """Change a small run by group: build_config(lattice={"kind": "chain"}, seed=3)."""

    def build(seed: int = 0, **groups: dict[str, Any]) -> RunConfig:
        changed = {
            name: replace(getattr(SMALL_RUN, name), **values)
            for name, values in groups.items()
        }
        return replace(SMALL_RUN, seed=seed, **changed)

    return build


@pytest.fixture(name="require_cuda")
def hand_out_require_cuda() -> Callable[[], None]:
    """Skip (or fail) in a test that chooses its back end by configuration."""
    return require_cuda
