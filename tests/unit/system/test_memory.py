"""Memory that a run would take is refused in one sentence, before it is taken."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.backends.protocol import TABLEAUS
from engine.bridge import BridgeNetwork
from engine.config import (
    BridgesConfig,
    ControllerConfig,
    DynamicsConfig,
    LatticeConfig,
    MeshConfig,
    RolloutConfig,
    RunConfig,
)
from engine.errors import ConfigError, ResourceError
from engine.forecast import check_memory, check_period
from engine.forecast.memory import estimate_period
from engine.monitor import host
from engine.monitor.metrics import CgroupState
from engine.system import ScribbleSystem, parts

ROOT = Path(__file__).parents[3]
GIB = 2**30
SMALL = LatticeConfig(shape=(64, 64))
LONG = DynamicsConfig(dt_s=1e-6, duration_s=2000.0)


@pytest.mark.parametrize(
    ("config", "cure"),
    [
        (RunConfig(lattice=LatticeConfig(shape=(40_000, 40_000))), "lattice.shape"),
        (
            RunConfig(
                lattice=SMALL,
                bridges=BridgesConfig(per_node=64),
                controller=ControllerConfig(period_steps=100_000),
                mesh=MeshConfig(rule="plastic", shares=32),
            ),
            "controller.period_steps",
        ),
        (
            RunConfig(
                lattice=SMALL,
                bridges=BridgesConfig(kind="small_world", per_node=64),
                controller=ControllerConfig(period_steps=100_000),
                mesh=MeshConfig(rule="plastic", shares=32),
            ),
            "controller.period_steps",
        ),
        (
            RunConfig(
                lattice=SMALL,
                dynamics=replace(LONG, duration_s=100.0),
                controller=ControllerConfig(
                    period_steps=1, error_windows=1, error_window_s=1000.0
                ),
            ),
            "controller.error_window_s",
        ),
        (
            RunConfig(
                lattice=SMALL,
                dynamics=LONG,
                controller=ControllerConfig(period_steps=1),
                mesh=MeshConfig(rule="none"),
                rollout=RolloutConfig(
                    target="alpha", objective="floor", window_s=900.0
                ),
            ),
            "rollout.window_s",
        ),
    ],
)
def test_absurd_but_valid(
    config: RunConfig, cure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.validate()

    def build(*_: Any) -> None:
        raise AssertionError("memory was taken before it was asked for")

    monkeypatch.setattr(parts, "measure_free_bytes", lambda: 16 * GIB)
    monkeypatch.setattr(parts, "_build_lattice", build)
    with pytest.raises(ResourceError) as caught:
        ScribbleSystem(config)
    message = str(caught.value)
    assert cure in message
    assert f"{16 * GIB} bytes (16.0 GiB) are free" in message
    assert message.count(". ") == 0 and message.endswith(".")


def test_more_nodes_than_there_are_ids() -> None:
    with pytest.raises(ConfigError, match=r"lattice\.shape asks for 10000000000 nodes"):
        RunConfig(lattice=LatticeConfig(shape=(100_000, 100_000))).validate()


def test_layers_that_only_a_file_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    config = RunConfig(lattice=SMALL, controller=ControllerConfig(period_steps=100_000))
    seen: list[int] = []

    def note(_: RunConfig, layers: int, free: int) -> None:
        seen.append(layers)
        check_period(config, 10_000, free)

    monkeypatch.setattr(parts, "check_period", note)
    monkeypatch.setattr(parts, "measure_free_bytes", lambda: 16 * GIB)
    with pytest.raises(ResourceError, match="over 10000 layers of bridges"):
        ScribbleSystem(config)
    assert seen == [config.bridges.per_node]


def test_estimate_of_a_plan_is_what_a_plan_takes() -> None:
    config = RunConfig(
        lattice=LatticeConfig(shape=(16, 16)),
        bridges=BridgesConfig(per_node=32),
        controller=ControllerConfig(period_steps=2000),
        mesh=MeshConfig(rule="none"),
    )
    with ScribbleSystem(config) as system:
        assert isinstance(system.network, BridgeNetwork)
        tracemalloc.start()
        system.schedule.plan_period(2000, TABLEAUS["euler"])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    # On average; how many slots are due at once differs from network to network.
    assert 0.5 * peak <= estimate_period(config, 32) <= 2.0 * peak


def test_control_group_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's limit counts, however much the machine has left."""
    group = CgroupState(
        version=2,
        cpu_quota_cores=None,
        cpu_used_cores=None,
        throttled_share=None,
        memory_limit_bytes=2**28,
        memory_used_bytes=2**27,
        memory_available_bytes=2**27,
    )
    monkeypatch.setattr(host.CgroupReader, "read", lambda *_: group)
    found = host.measure_free_bytes()
    assert found <= 2**27
    config = RunConfig(lattice=LatticeConfig(shape=(2048, 2048)))
    with pytest.raises(ResourceError, match="are free; shrink"):
        check_memory(config, "cpu", found, None)


def test_limit_of_the_process_is_respected(tmp_path: Path) -> None:
    # A real limit (ulimit -v), of 4 GiB: what Python and the compiler map fits, 2^28
    # nodes do not. Without the check a MemoryError would come out of the middle.
    program = (
        "import resource, sys\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({4 * GIB}, {4 * GIB}))\n"
        "from experiments.cli import main\n"
        "sys.exit(main(['run', '-q', 'backend=cpu', 'lattice.shape=[16384,16384]', "
        f"'record.folder={tmp_path / 'run'}']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "of host memory" in done.stderr and "are free" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
