"""The load on a GPU without one: pacing on fakes, calls as the libraries have them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pynvml
import pytest

from engine.config import GeneratorConfig
from engine.errors import BackendUnavailableError, ResourceError
from engine.load import gpu_device
from engine.load.gpu import GpuLoad
from engine.load.gpu_device import MEMORY_BLOCK_BYTES, CupyDevice, GpuReading
from engine.load.gpu_worker import SLICE_S, GpuPacer, run
from engine.load.guard import ParentLink
from tests.host_cuda.nvrtc import compile_ptx

IDLE_W, FULL_W = 60.0, 360.0
LAUNCH_S = 3e-5
"""Time that launching and waiting costs on top of a kernel."""


class PaperGpu:
    """A GPU on paper behind the interface of `CupyDevice`, with a neighbour."""

    def __init__(self, neighbour: float = 0.0) -> None:
        self.now_s = 0.0
        self.busy_s = 0.0
        self.neighbour = neighbour
        self._read = (0.0, 0.0)
        self.device: Any = mock.create_autospec(CupyDevice, instance=True)
        self.device.run.side_effect = self.run
        self.device.read.side_effect = self.read
        self.device.power_limit_w.return_value = 400.0

    def clock(self) -> float:
        return self.now_s

    def sleep(self, span_s: float) -> None:
        self.now_s += span_s

    def run(self, busy_s: float) -> float:
        # Kernels of two processes take turns, so that ours takes longer, and a kernel
        # overshoots by a round of its loop.
        ran_s = busy_s * 1.03
        self.now_s += ran_s / (1.0 - self.neighbour) + LAUNCH_S
        self.busy_s += ran_s
        return ran_s

    def read(self) -> GpuReading:
        then_s, busy_s = self._read
        self._read = (self.now_s, self.busy_s)
        span_s = self.now_s - then_s
        share = (self.busy_s - busy_s) / span_s if span_s else 0.0
        share = min(1.0, share + self.neighbour)
        # NVML gives whole percent.
        return GpuReading(round(share, 2), IDLE_W + (FULL_W - IDLE_W) * share, 50.0)


def pace(gpu: PaperGpu, target: str, asked: float, span_s: float) -> GpuPacer:
    pacer = GpuPacer(gpu.device, target, clock=gpu.clock, sleep=gpu.sleep)
    while gpu.now_s < span_s:
        pacer.turn(asked)
    return pacer


@pytest.mark.parametrize("asked", [0.05, 0.3, 0.75, 1.0])
def test_duty_is_held_whatever_a_launch_costs(asked: float) -> None:
    gpu = PaperGpu()
    pacer = pace(gpu, "duty", asked, 5.0)
    assert pacer.busy_s == pytest.approx(gpu.busy_s)
    assert pacer.busy_s / gpu.now_s == pytest.approx(asked, abs=0.03)
    assert pacer.asked_s / gpu.now_s == pytest.approx(asked, abs=0.01)
    # Short kernels: others get the device in between.
    assert max(call.args[0] for call in gpu.device.run.mock_calls) <= SLICE_S


def test_nothing_asked_launches_nothing() -> None:
    gpu = PaperGpu()
    pace(gpu, "duty", 0.0, 1.0)
    gpu.device.run.assert_not_called()


def test_utilisation_counts_a_neighbour_and_duty_does_not() -> None:
    gpu = PaperGpu(neighbour=0.2)
    pacer = pace(gpu, "utilisation", 0.6, 30.0)
    assert pacer.measured() == pytest.approx(0.6, abs=0.03)
    assert gpu.busy_s / gpu.now_s == pytest.approx(0.4, abs=0.05)
    alone = PaperGpu(neighbour=0.2)
    pace(alone, "duty", 0.6, 30.0)
    assert alone.busy_s / alone.now_s == pytest.approx(0.6, abs=0.03)


def test_power_settles_and_an_unreachable_power_does_not_wind_up() -> None:
    gpu = PaperGpu()
    pacer = GpuPacer(gpu.device, "power", clock=gpu.clock, sleep=gpu.sleep)
    for asked, reached, until_s in ((1000.0, FULL_W, 60.0), (200.0, 200.0, 80.0)):
        while gpu.now_s < until_s:
            pacer.turn(asked)
        assert pacer.measured() == pytest.approx(reached, abs=10.0)
    while gpu.now_s < 90.0:
        pacer.turn(0.0)
    assert pacer.measured() == IDLE_W


def test_device_that_tells_nothing_is_not_driven_blindly() -> None:
    gpu = PaperGpu()
    gpu.device.read.side_effect = lambda: GpuReading(None, None, None)
    pacer = pace(gpu, "utilisation", 0.6, 3.0)
    assert pacer.measured() is None
    gpu.device.run.assert_not_called()


def test_worker_holds_memory_beside_and_reports() -> None:
    gpu, link = PaperGpu(), mock.create_autospec(ParentLink, instance=True)
    gpu.device.held_bytes = 7
    link.is_up, link.command = True, "0.5"
    turns = iter(range(3))

    def wait(span_s: float) -> None:
        link.is_up = next(turns, None) is not None

    link.wait.side_effect = wait
    run(link, gpu.device, "duty", (0.3, 0.1))
    gpu.device.hold.assert_called_with(0.3, 0.1)
    gpu.device.release_memory_below.assert_called_with(0.1)
    assert len(link.report.mock_calls[-1].args) == 7
    assert 0.0 < gpu.device.run.mock_calls[0].args[0] <= SLICE_S


class PaperCupy(SimpleNamespace):
    """As much of CuPy as a load needs."""

    def __init__(self, free: int, total: int) -> None:
        self.free = free
        self.launches: list[Any] = []
        runtime = SimpleNamespace(
            getDeviceCount=lambda: 1,
            memGetInfo=lambda: (self.free, total),
            memset=mock.Mock(),
            deviceGetPCIBusId=lambda index: "0000:3B:00.0",
        )
        device = mock.Mock(
            return_value=mock.Mock(attributes={"MultiProcessorCount": 3})
        )
        cuda = SimpleNamespace(
            runtime=runtime,
            Device=device,
            Event=mock.Mock(),
            Memory=self.allocate,
            get_elapsed_time=lambda begin, end: 2.0,
        )
        super().__init__(
            cuda=cuda, int64=int, float32=float, zeros=mock.Mock(),
            RawKernel=lambda source, name: self.launch,
        )  # fmt: skip

    def launch(self, grid: Any, block: Any, arguments: Any) -> None:
        self.launches.append((grid, block, arguments[0]))

    def allocate(self, size: int) -> Any:
        self.free -= size
        block = mock.Mock(ptr=1)
        block.size = size
        return block


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> PaperCupy:
    fake = PaperCupy(free=9 * MEMORY_BLOCK_BYTES, total=10 * MEMORY_BLOCK_BYTES)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    answers = {
        "nvmlInit": None,
        "nvmlDeviceGetHandleByPciBusId": "handle",
        "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=37, memory=1),
        "nvmlDeviceGetPowerUsage": 251_000,
        "nvmlDeviceGetTemperature": 66,
        "nvmlDeviceGetEnforcedPowerLimit": 350_000,
    }
    for name, answer in answers.items():
        real = getattr(pynvml, name)
        monkeypatch.setattr(
            pynvml, name, mock.create_autospec(real, return_value=answer)
        )
    return fake


def test_device_learns_its_clock_and_reads_nvml(cupy: PaperCupy) -> None:
    device = CupyDevice(0)
    # A million cycles took 2 ms: 10 ms are five millions.
    assert device.run(0.01) == pytest.approx(0.002)
    grid, block, cycles = cupy.launches[-1]
    assert (grid, block, cycles) == ((12,), (256,), 5_000_000)
    assert device.read() == (0.37, 251.0, 66.0)
    assert device.power_limit_w() == 350.0


def test_device_memory_stays_out_of_the_headroom(cupy: PaperCupy) -> None:
    device = CupyDevice(0)
    device.hold(0.3, 0.2)
    assert device.held_bytes == 3 * MEMORY_BLOCK_BYTES
    device.hold(0.95, 0.2)
    assert device.held_bytes == 7 * MEMORY_BLOCK_BYTES
    assert cupy.free == 2 * MEMORY_BLOCK_BYTES


def test_device_without_nvml_still_burns(
    cupy: PaperCupy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_device, "load_library", lambda: None)
    device = CupyDevice(0)
    assert device.read() == (None, None, None)
    assert device.power_limit_w() is None


def test_absent_device_is_named(cupy: PaperCupy) -> None:
    with pytest.raises(
        BackendUnavailableError, match="gpu_device is 3, but CUDA shows"
    ):
        CupyDevice(3)


def test_absent_driver_is_named(cupy: PaperCupy) -> None:
    cupy.cuda.runtime.getDeviceCount = mock.Mock(
        side_effect=RuntimeError("cudaErrorNoDevice: no device\nmore")
    )
    with pytest.raises(BackendUnavailableError, match=r"no device\. Ask scribble"):
        CupyDevice(0)


def test_parent_tells_and_compares() -> None:
    child = mock.Mock(is_alive=True, failure=None)
    child.read.return_value = (0.0, 0.0, 0.0, 0.4, 200.0, 60.0, 0)
    config = GeneratorConfig(gpu=0.8, gpu_memory=0.3, headroom=0.2)
    load = GpuLoad(config, 60.0, start_child=mock.Mock(return_value=child))
    load.ask(0.5)
    load.ask(0.5)
    child.send.assert_called_once_with(0.4)
    child.read.return_value = (2.0, 0.7, 0.8, float("nan"), 210.0, 61.0, 99)
    sample = load.compare()
    assert (sample.asked, sample.achieved) == pytest.approx((0.4, 0.35))
    assert (sample.utilisation, sample.power_w, sample.held_bytes) == (None, 210.0, 99)
    child.is_alive = False
    assert load.failure == "the worker process of the GPU has ended"


def test_parent_compares_watts_where_watts_are_asked() -> None:
    child = mock.Mock(is_alive=True, failure=None)
    child.read.return_value = (0.0, 0.0, 0.0, 0.4, 200.0, 60.0, 0)
    start = mock.Mock(return_value=child)
    load = GpuLoad(GeneratorConfig(gpu_power_w=250.0), 60.0, start_child=start)
    assert start.mock_calls[0].args[3] == "power"
    load.ask(1.0)
    sample = load.compare()
    assert (sample.asked, sample.achieved) == (250.0, 200.0)


def test_reason_of_the_worker_is_the_reason_of_the_command() -> None:
    child = mock.Mock(failure="A load on a GPU needs CuPy")
    child.wait_ready.side_effect = ResourceError("x")
    with pytest.raises(BackendUnavailableError, match="needs CuPy"):
        GpuLoad(GeneratorConfig(gpu=1.0), 60.0, start_child=lambda *_: child)
    child.close.assert_called()


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100"])
def test_kernel_compiles_and_keeps_its_arithmetic(architecture: str) -> None:
    path = Path(gpu_device.__file__).with_name("burn.cu")
    ptx = compile_ptx(path.read_text(), "burn.cu", (f"-arch={architecture}",))
    assert ".visible .entry burn_cycles(" in ptx
    assert ptx.count("fma.rn.f32") >= 4 * 64
    assert "clock64" in ptx


@pytest.mark.gpu
def test_load_on_a_real_device(require_cuda: Any) -> None:
    require_cuda()
    device = CupyDevice(0)
    assert device.run(0.01) == pytest.approx(0.01, rel=0.5)
