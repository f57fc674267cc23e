"""The real `CudaBackend` and the real kernels, on a host emulation of CUDA.

Shows that the bits are those of `cpu`; speed, races between threads and CuPy itself
are left to `tests/gpu`.
"""

import sys

import numpy as np
import pytest

from engine.backends.cpu import CpuBackend
from engine.backends.cuda import CudaBackend, import_cupy
from engine.backends.cuda_clock import SAMPLED_STEPS
from engine.backends.matching import Matching, SuccessLaw
from engine.backends.protocol import TABLEAUS
from engine.bridge import MatchingNetwork
from engine.config import BridgesConfig, LatticeConfig, TunnelConfig
from engine.crystal import CrystalLattice
from engine.errors import BackendUnavailableError, ConfigError, ResourceError
from engine.recording import digest_state
from engine.tunnel import TunnelSchedule
from engine.tunnel.statistics import NodeStatistics
from tests.host_cuda.emulated_cupy import (
    DEVICE_NAME,
    CompileException,
    CUDARuntimeError,
    EmulatedCupy,
    EmulatedEvent,
)
from tests.host_cuda.parity import (
    DT_S,
    CudaParity,
    build_bridges,
    build_case,
    build_period,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(scope="module")
def libraries():
    return {}


@pytest.fixture
def emulated_cupy(folder, libraries, monkeypatch):
    cupy = EmulatedCupy(folder, libraries)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


@pytest.fixture
def cuda_backend(emulated_cupy):
    return CudaBackend()


class TestHostEmulation(CudaParity):
    """Everything of `CudaParity`, on the host."""


def test_each_source_is_compiled_once(emulated_cupy):
    for _ in range(2):
        assert CudaBackend().device == DEVICE_NAME
    assert len(emulated_cupy.sources) == len(set(emulated_cupy.sources)) == 4


def test_unknown_device_is_a_config_error(emulated_cupy):
    with pytest.raises(ConfigError, match=r"backend\.device is 1; .* \[0, 0\]"):
        CudaBackend(1)


def test_missing_cupy_names_the_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(BackendUnavailableError, match=r'pip install "scribble-engine'):
        import_cupy()


def test_missing_driver_is_explained(emulated_cupy, monkeypatch):
    def fail():
        raise CUDARuntimeError("cudaErrorInsufficientDriver: too old")

    monkeypatch.setattr(emulated_cupy.cuda.runtime, "getDeviceCount", fail)
    with pytest.raises(BackendUnavailableError, match=r"InsufficientDriver.*doctor"):
        CudaBackend()


def test_compile_error_is_explained(emulated_cupy, monkeypatch):
    def fail(*_, **__):
        raise CompileException("no such architecture\nmore")

    monkeypatch.setattr(emulated_cupy.cuda.compiler, "compile_using_nvrtc", fail)
    with pytest.raises(BackendUnavailableError, match=r"\(no such architecture\)"):
        CudaBackend()


def test_memory_shortage_says_how_much_and_what_to_shrink(emulated_cupy):
    backend = CudaBackend()
    case = build_case("chain", (1000,), "periodic")
    emulated_cupy.limit_bytes = 10_000
    with pytest.raises(
        ResourceError, match=r"needs 12000 bytes.*Shrink lattice\.shape"
    ):
        backend.build_lattice(*case)
    emulated_cupy.limit_bytes, emulated_cupy.used_bytes = 2**20, 0
    lattice = backend.build_lattice(*case)
    emulated_cupy.limit_bytes = emulated_cupy.used_bytes + 5000
    period = build_period(3, 1, 1, "rk4")
    with pytest.raises(ResourceError, match=r"dynamics\.integrator needs 8000 bytes"):
        backend.step_lattice(lattice, period.tableau, period.dt_s)
    with pytest.raises(ResourceError, match=r"Lower bridges\.per_node"):
        backend.build_bridges(build_bridges(1000))
    with pytest.raises(ResourceError, match=r"20000 bytes.*Lower bridges\.per_node"):
        backend.build_matchings(Matching(1000, 2, 0, SuccessLaw(0.0, 1.0, 1.0)))


@pytest.mark.parametrize("steps", [1, SAMPLED_STEPS, 40, 200])
def test_events_are_few_whatever_the_period(cuda_backend, steps):
    case = build_case("chain", (32,), "periodic")
    lattice = cuda_backend.build_lattice(*case)
    bridges = cuda_backend.build_bridges(build_bridges(32))
    before = EmulatedEvent.recorded
    cuda_backend.advance(lattice, bridges, build_period(bridges.ids.size, 3, steps))
    recorded = EmulatedEvent.recorded - before
    most = 2 * steps + 2 if steps <= SAMPLED_STEPS else 3 * SAMPLED_STEPS + 1
    assert recorded <= most


def test_successes_are_counted_since_the_last_call(cuda_backend):
    case = build_case("chain", (64,), "periodic")
    lattice = cuda_backend.build_lattice(*case)
    bridges = cuda_backend.build_bridges(build_bridges(64))
    counts = []
    for turn in range(2):
        period = build_period(bridges.ids.size, 3, 4, first_tick=1 + 4 * turn)
        counts.append(cuda_backend.advance(lattice, bridges, period).successes)
    assert sum(counts) == int(np.sum(bridges.successes))
    assert cuda_backend.take_successes() == 0


def test_procedural_network_is_that_of_cpu(cuda_backend):
    """Digest, mean probability and views of a network that is built on the device."""
    seen = []
    for backend in (cuda_backend, CpuBackend()):
        lattice = CrystalLattice(LatticeConfig(shape=(30, 24)), backend, 3)
        tunnel = TunnelConfig(linewidth_hz=40.0)
        network = MatchingNetwork(
            BridgesConfig("procedural"), lattice.state, backend, tunnel, seed=3
        )
        schedule = TunnelSchedule(network, DT_S, seed=3, slice_steps=4)
        for _ in range(3):
            period, _ = schedule.plan_period(40, TABLEAUS["euler"])
            backend.advance(lattice.state, network.arrays, period)
        digest = digest_state([lattice.phases, *network.read_state()])
        bridge, node = network[1000], NodeStatistics(network, 720)[7]
        views = (bridge.source, bridge.probability, bridge.coherence, node)
        seen.append((digest, network.mean_probability(), *views))
    assert seen[0] == seen[1]
