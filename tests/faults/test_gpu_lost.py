"""NVML is lost in mid-run and comes back: the real `pynvml` over a stand-in library.

No GPU is needed. `tests/host_nvml/fake_nvml.cpp` answers as libnvidia-ml does; what is
above it, the binding and its exceptions included, is what runs on a machine with a GPU.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pynvml
import pytest
from pyarrow import parquet

from engine.backends.cpu import CpuBackend
from engine.config import (
    BackendConfig,
    ControllerConfig,
    DynamicsConfig,
    LatticeConfig,
    LoadConfig,
    RecordConfig,
    ResourcesConfig,
    RunConfig,
)
from engine.monitor import ResourceMonitor, ResourceSample, SyntheticSource
from engine.monitor import live as live_room
from engine.monitor.device import SILENT_REFRESHES
from engine.monitor.gpu import GpuSampler
from engine.monitor.live import LiveSource
from engine.monitor.roster import FIRST_WAIT_S, LONGEST_WAIT_S
from engine.system import ScribbleSystem
from tests.faults.harness import Ledger, build_environment
from tests.host_nvml.library import (
    PCI_ADDRESS,
    UUID,
    FakeNvml,
    build_fake_nvml,
    leave,
)

GIVE_UP_S = 120.0
BUSY_PERCENT = 40
FROM_S, TO_S = 0.3, 0.8
"""The outage of a whole run [s of simulated time]."""
LOSSES = {
    "GpuIsLost": pynvml.NVML_ERROR_GPU_IS_LOST,
    "Uninitialized": pynvml.NVML_ERROR_UNINITIALIZED,
    "DriverNotLoaded": pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
    "ResetRequired": pynvml.NVML_ERROR_RESET_REQUIRED,
}
SILENCES = {
    "Unknown": pynvml.NVML_ERROR_UNKNOWN,
    "Timeout": pynvml.NVML_ERROR_TIMEOUT,
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_fake_nvml(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def nvml(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeNvml]:
    fake = FakeNvml(library, tmp_path)
    fake.load(monkeypatch)
    yield fake
    leave()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + GIVE_UP_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


@dataclass
class SteppedSource:
    """A machine whose GPU is read by NVML at simulated times, and nothing else."""

    nvml: FakeNvml
    begin: dict[str, int] = field(default_factory=dict)
    end: dict[str, int] = field(default_factory=dict)
    is_live = False

    def __post_init__(self) -> None:
        self.gpus = GpuSampler(ResourcesConfig(), library=pynvml)
        self.host = SyntheticSource(LoadConfig("synthetic", level=0.0))

    def start(self) -> None:
        self.nvml.set(busy_percent=BUSY_PERCENT)
        self.gpus.start()

    def close(self) -> None:
        self.gpus.close()

    def read(self, simulated_s: float) -> ResourceSample:
        if simulated_s >= FROM_S:
            self.nvml.set(**(self.begin if simulated_s < TO_S else self.end))
        sample = self.host.read(simulated_s)
        # A simulated second is ten of the sampler's, so that waits fit into the run.
        return replace(sample, gpus=self.gpus.sample(10.0 * simulated_s))


def build_config(folder: Path) -> RunConfig:
    return RunConfig(
        lattice=LatticeConfig(shape=(16, 16)),
        dynamics=DynamicsConfig(duration_s=1.5),
        backend=BackendConfig("cpu", threads=1),
        controller=ControllerConfig(hold_stale_s=0.2),
        record=RecordConfig(folder=str(folder), forecast=False),
    )


def run(
    folder: Path, source: SteppedSource, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, np.ndarray], ScribbleSystem]:
    """Run on the CPU, which is said to be that GPU; return the trace."""
    monkeypatch.setattr(CpuBackend, "gpu_identifiers", (PCI_ADDRESS,))
    monitor = ResourceMonitor(source=source)
    with monitor, ScribbleSystem(build_config(folder), monitor=monitor) as system:
        assert system.run().status == "done"
    table = parquet.read_table(folder / "trace.parquet")
    columns = {
        name: table.column(name).to_numpy(zero_copy_only=False)
        for name in table.column_names
    }
    return columns, system


OUTAGES = {
    **{name: ({"fault": code}, {"fault": 0}) for name, code in LOSSES.items()},
    **{name: ({"fault": code}, {"fault": 0}) for name, code in SILENCES.items()},
    "reload": (
        {"fault": pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "init_fault": 9, "era": 1},
        {"fault": 0, "init_fault": 0, "boots": 1},
    ),
    "vanished": ({"gpus": 0}, {"gpus": 1}),
    "MIG": ({"instances": 2, "era": 1}, {"instances": 0, "era": 2}),
}
"""What begins an outage, and what ends it."""


@pytest.mark.parametrize("name", OUTAGES)
def test_a_run_outlives_the_loss_of_its_gpu(
    name: str,
    nvml: FakeNvml,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    ledger: Ledger,
) -> None:
    caplog.set_level(logging.INFO, "engine.monitor")
    source = SteppedSource(nvml, *OUTAGES[name])
    trace, system = run(tmp_path / "run", source, monkeypatch)
    times_s, offered = trace["simulated_s"], trace["offered_hz"]
    is_stale = trace["is_stale"].astype(bool)
    # Whatever the code, the first reading without an answer is not acted upon.
    assert is_stale[(times_s >= FROM_S) & (times_s < TO_S)].all()
    assert not is_stale[times_s < FROM_S].any()
    assert set(trace["state"][is_stale]) == {"stale"}
    top_hz = system.config.tunnel.maximum_frequency_hz
    calm_hz = (1.0 - BUSY_PERCENT / 100.0) * top_hz
    is_held = is_stale & (trace["age_s"] <= 0.2)
    assert is_held.any()
    assert offered[is_held] == pytest.approx(calm_hz)
    assert offered[is_stale & ~is_held] == pytest.approx(top_hz)
    assert offered[~is_stale] == pytest.approx(calm_hz)
    # It is found again, after a wait that tries before it have made longer.
    back_s = times_s[is_stale][-1]
    assert TO_S - 0.05 < back_s < times_s[-1]
    assert not is_stale[times_s > back_s].any()
    flaws = set(trace["sensor_flaw"][is_stale])
    assert all(UUID in flaw for flaw in flaws)
    sensor = system.summarise().sensor
    assert sensor is not None
    assert set(sensor["flaws"]) == flaws
    if name != "MIG":  # the GPU itself goes on, but is cut into pieces
        lost = [text for text in caplog.messages if "NVML has lost a GPU" in text]
        assert len(lost) == 1
        assert caplog.messages.count(f"NVML sees GPU {UUID} again.") == 1
    ledger.gpu_faults += 1


def test_waits_grow_to_a_bound_and_are_short_after_a_calm(
    nvml: FakeNvml, ledger: Ledger
) -> None:
    sampler = GpuSampler(ResourcesConfig(), library=pynvml)
    sampler.start()
    nvml.set(fault=pynvml.NVML_ERROR_GPU_IS_LOST, init_fault=pynvml.NVML_ERROR_UNKNOWN)
    assert tries_between(sampler, nvml, 0, 300) == [1, 3, 7, 15, 31, 63, 123, 183, 243]
    assert LONGEST_WAIT_S == 60.0
    nvml.set(fault=0, init_fault=0)
    assert tries_between(sampler, nvml, 300, 400) == [303]
    nvml.set(fault=pynvml.NVML_ERROR_GPU_IS_LOST)
    after_calm = tries_between(sampler, nvml, 400, 410)
    assert after_calm == [400 + FIRST_WAIT_S, 400 + 3 * FIRST_WAIT_S, 407]
    ledger.gpu_faults += 2


def tries_between(
    sampler: GpuSampler, nvml: FakeNvml, first_s: int, end_s: int
) -> list[int]:
    """Sample once a second; return when NVML was opened anew [s]."""
    tries = []
    for now_s in range(first_s, end_s):
        before = nvml.init_count
        sampler.sample(float(now_s))
        tries += [now_s] * (nvml.init_count - before)
    return tries


def test_a_device_that_comes_and_goes_is_met_with_patience(nvml: FakeNvml) -> None:
    sampler = GpuSampler(ResourcesConfig(), library=pynvml)
    sampler.start()
    before = nvml.init_count
    for now_s in range(300):
        nvml.set(fault=pynvml.NVML_ERROR_GPU_IS_LOST if now_s % 2 else 0)
        sampler.sample(float(now_s))
    # Waits of 1, 2, 4 ... 60 s fit ten times into 300 s; without patience, 150 times.
    assert nvml.init_count - before <= 10
    nvml.set(fault=0)
    sampler.sample(400.0)
    assert sampler.sample(401.0)[0].status == "ok"


def test_one_device_of_two_is_lost(nvml: FakeNvml, ledger: Ledger) -> None:
    nvml.set(gpus=2, busy_percent=BUSY_PERCENT)
    sampler = GpuSampler(ResourcesConfig(), library=pynvml)
    sampler.start()
    nvml.set(gpus=1)
    first, second = sampler.sample(0.0)
    assert (first.status, first.utilisation) == ("ok", BUSY_PERCENT / 100)
    assert second.is_lost
    assert second.utilisation is None
    for now_s in range(1, 100):
        assert sampler.sample(float(now_s))[0].status == "ok"
    nvml.set(gpus=2)
    states = [sampler.sample(float(now_s)) for now_s in range(100, 200)]
    assert all(state.status == "ok" for state in states[-1])
    assert states[-1][1].own_memory_bytes == 10 * 2**30
    ledger.gpu_faults += 1


def test_a_device_without_answers_is_lost_after_some(nvml: FakeNvml) -> None:
    sampler = GpuSampler(ResourcesConfig(slow_period_s=100.0), library=pynvml)
    sampler.start()
    sampler.sample(0.0)
    nvml.set(fault=pynvml.NVML_ERROR_TIMEOUT)
    states = [sampler.sample(0.25 * n)[0] for n in range(1, SILENT_REFRESHES + 1)]
    assert [state.is_lost for state in states] == [False] * 7 + [True]
    assert states[-1].status == "lost: Timeout, again and again"
    assert all(state.utilisation is None for state in states)


def test_a_driver_older_than_the_binding_lacks_a_field(nvml: FakeNvml) -> None:
    """Then `pynvml` raises what is no `NVMLError`, for functions of two versions."""
    sampler = GpuSampler(ResourcesConfig(), library=pynvml)
    with pytest.raises(pynvml.NVMLLibraryMismatchError):
        pynvml.nvmlDeviceGetGraphicsRunningProcesses(None)
    assert "graphics processes" in sampler.start().message
    assert sampler.sample(0.0)[0].own_memory_bytes == 10 * 2**30


def test_a_driver_that_hangs_in_mid_run_is_not_waited_for(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    monkeypatch.setattr(live_room, "_JOIN_TIMEOUT_S", 0.1)
    late_s = [0.0]
    config = ResourcesConfig(sample_period_s=0.05)

    def clock() -> float:
        return time.monotonic() + late_s[0]

    with ResourceMonitor(config, clock=clock, gpu_uuids=[UUID]) as monitor:
        assert not monitor.update().is_stale
        nvml.set(hangs=1)
        wait_for(lambda: nvml.hanging_count > 0)
        late_s[0] = 100.0
        held = monitor.update()
        assert held.is_stale
        assert held.gpus[0].memory_total_bytes == 80 * 2**30
        nvml.set(hangs=0)
        wait_for(lambda: not monitor.update().is_stale)
        nvml.set(hangs=1)
        wait_for(lambda: nvml.hanging_count > 1)
    nvml.set(hangs=0)
    ledger.gpu_faults += 2


def test_a_driver_that_hangs_at_the_start_is_left_out(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    monkeypatch.setattr(live_room, "_START_PATIENCE_S", 0.1)
    nvml.set(hangs=1)
    source = LiveSource(ResourcesConfig(sample_period_s=0.05))
    source.start()
    try:
        assert source.read(0.0).gpus == ()
        assert source.probe.message.startswith("NVML: no answer within 0.1 s")
        nvml.set(hangs=0)
        wait_for(lambda: len(source.read(0.0).gpus) == 1)
        assert source.probe.is_present
    finally:
        source.close()
    ledger.gpu_faults += 1


def test_a_run_from_the_command_line_tells_it_once(
    nvml: FakeNvml, tmp_path: Path, ledger: Ledger
) -> None:
    """Live telemetry in a process of its own; the run itself is on the CPU."""
    words = ("run", "record.folder=cut", "dynamics.duration_s=1000")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "experiments", *words, "backend=reference"),
            *("lattice.shape=[16,16]", "resources.sample_period_s=0.05"),
            *("record.forecast=false", "record.checkpoints_kept=1"),
        ],
        cwd=tmp_path,
        env={**build_environment(), **nvml.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )

    def is_going_on(count: int) -> bool:
        assert process.poll() is None, process.communicate()
        return nvml.reading_count > count

    try:
        wait_for(lambda: is_going_on(20))
        nvml.set(fault=pynvml.NVML_ERROR_GPU_IS_LOST)
        first = nvml.init_count
        wait_for(lambda: is_going_on(0) and nvml.init_count > first)
        nvml.set(fault=0)
        before = nvml.reading_count
        wait_for(lambda: is_going_on(before + 20))
        process.send_signal(signal.SIGINT)
        output, trouble = process.communicate(timeout=GIVE_UP_S)
    finally:
        process.kill()
    assert (process.returncode, trouble) == (130, "")
    told = " ".join(output.split())
    assert told.count("NVML has lost a GPU: GPU is lost") == 1
    assert told.count(f"NVML sees GPU {UUID} again.") == 1
    rows = parquet.read_table(tmp_path / "cut" / "trace.parquet")["metrics"]
    ways = [json.loads(text)["gpus"][0]["status"] for text in rows.to_pylist()]
    changes = [now for now, was in zip(ways, ["", *ways], strict=False) if now != was]
    assert changes == ["ok", "lost: GPU is lost", "ok"]
    # A GPU on which nothing is computed does not count.
    stale = parquet.read_table(tmp_path / "cut" / "trace.parquet")["is_stale"]
    assert not any(stale.to_pylist())
    ledger.gpu_faults += 1
