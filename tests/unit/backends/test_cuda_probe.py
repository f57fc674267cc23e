"""The probe says what is wrong with CUDA and what helps, and never raises."""

import sys
from types import SimpleNamespace

import pytest

from engine.backends import probe
from engine.backends.probe import probe_cuda
from tests.host_cuda.emulated_cupy import DEVICE_NAME, CUDARuntimeError, EmulatedCupy


class BrokenModule:
    """Raises on any use, as a half-installed package does."""

    def __getattr__(self, name):
        raise OSError(f"libcuda is broken at {name}")


@pytest.fixture(scope="module")
def libraries():
    return {}


@pytest.fixture
def machine(tmp_path, libraries, monkeypatch):
    """A machine with one emulated device; tests break parts of it."""
    cupy = EmulatedCupy(tmp_path, libraries)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    set_driver(monkeypatch, 12080)
    monkeypatch.setattr(probe, "_is_installed", lambda name: name == "cupy-cuda12x")
    probe_cuda.cache_clear()
    yield cupy
    probe_cuda.cache_clear()


def set_driver(monkeypatch, version):
    """Let NVML report the newest CUDA of the driver, or be absent."""
    pynvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlSystemGetCudaDriverVersion_v2=lambda: version,
    )
    monkeypatch.setitem(sys.modules, "pynvml", pynvml if version else None)


def test_usable_device(machine):
    found = probe_cuda()
    assert found.is_usable
    assert found.device == DEVICE_NAME
    assert (found.reason, found.cure) == (f"{DEVICE_NAME} is usable.", "")
    assert probe_cuda() is found


@pytest.mark.parametrize(
    ("version", "cure"),
    [
        (None, "Install the NVIDIA driver, then run: pip install"),
        (11040, "The driver ends at CUDA 11.4: update it"),
        (12040, 'Run: pip install "scribble-engine[cuda12]".'),
        (13000, 'Run: pip install "scribble-engine[cuda13]".'),
    ],
)
def test_missing_cupy(machine, monkeypatch, version, cure):
    monkeypatch.setitem(sys.modules, "cupy", None)
    set_driver(monkeypatch, version)
    found = probe_cuda()
    assert not found.is_usable
    assert found.reason == "CuPy is not installed."
    assert found.cure.startswith(cure)


def test_two_cupy_packages(machine, monkeypatch):
    monkeypatch.setattr(probe, "_is_installed", lambda name: name != "cupy")
    found = probe_cuda()
    assert not found.is_usable
    assert "installed together" in found.reason
    assert "pip uninstall cupy-cuda11x cupy-cuda12x cupy-cuda13x" in found.cure


def test_broken_cupy(machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", BrokenModule())
    found = probe_cuda()
    assert not found.is_usable
    assert "libcuda is broken" in found.reason


@pytest.mark.parametrize(
    ("version", "text", "reason", "cure"),
    [
        (None, "cudaErrorInsufficientDriver", "No NVIDIA driver", "Install the NVIDIA"),
        (12080, "cudaErrorInsufficientDriver", "CUDA 12.8", "uninstall cupy-cuda12x"),
        (12080, "cudaErrorNoDevice: none", "no device", "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_no_device_answers(machine, monkeypatch, version, text, reason, cure):
    def fail():
        raise CUDARuntimeError(text)

    monkeypatch.setattr(machine.cuda.runtime, "getDeviceCount", fail)
    set_driver(monkeypatch, version)
    found = probe_cuda()
    assert not found.is_usable
    assert reason in found.reason
    assert cure in found.cure
    assert found.device is None


def test_no_devices(machine):
    machine.device_count = 0
    assert "no device" in probe_cuda().reason


@pytest.mark.parametrize("error", [RuntimeError("no binary"), MemoryError(), OSError()])
def test_kernels_that_fail(machine, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(machine.cuda.compiler, "compile_using_nvrtc", fail)
    found = probe_cuda()
    assert not found.is_usable
    assert found.device == DEVICE_NAME
    assert found.reason.endswith(".")
    assert found.cure


def test_wrong_result(machine, monkeypatch):
    monkeypatch.setattr(
        "engine.backends.cuda.CudaBackend.local_coherence", lambda *_: 0.5
    )
    found = probe_cuda()
    assert not found.is_usable
    assert "test step" in found.reason
