"""The real `CudaBackend` and the real kernels, on a host emulation of CUDA.

Shows that the bits are those of `cpu`; speed, races between threads and CuPy itself
are left to `tests/gpu`.
"""

import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest

from engine.backends import _BUILDERS
from engine.backends.cpu import CpuBackend
from engine.backends.cuda import CudaBackend
from engine.backends.cuda_clock import SAMPLED_STEPS
from engine.backends.cuda_device import import_cupy
from engine.backends.cuda_stepping import CudaStepping
from engine.backends.cuda_tiles import MOST_STEPS, plan_tiles, split_steps
from engine.backends.kernels import read_source
from engine.backends.matching import Matching, SuccessLaw
from engine.backends.protocol import TABLEAUS, Motion
from engine.bridge import BridgeNetwork, MatchingNetwork, build_matchings
from engine.config import (
    BackendConfig,
    BridgesConfig,
    LatticeConfig,
    LoadConfig,
    MeshConfig,
    TunnelConfig,
)
from engine.crystal import CrystalLattice
from engine.errors import BackendUnavailableError, ConfigError, ResourceError
from engine.monitor import ResourceMonitor, SyntheticSource
from engine.recording import digest_state
from engine.rollout import Cohort
from engine.system import ScribbleSystem
from engine.tunnel import TunnelSchedule
from engine.tunnel.statistics import NodeStatistics
from engine.wanda import AdvancedNeuralMesh
from tests.host_cuda.emulated_cupy import (
    DEVICE_NAME,
    CompileException,
    CUDARuntimeError,
    EmulatedCupy,
    EmulatedDevice,
    EmulatedEvent,
    EmulatedGraph,
    EmulatedStream,
)
from tests.host_cuda.motion_parity import UNSTEADY, MotionParity, build_moving_case
from tests.host_cuda.parity import (
    BOUNDARIES,
    DT_S,
    SHAPES,
    CudaParity,
    assert_same_periods,
    assert_same_steps,
    build_bridges,
    build_case,
    build_period,
    run_periods,
)

FIRST_LINES = {
    name: read_source(name).splitlines()[0]
    for name in ("lattice.cu", "period.cu", "mean.cu", "motion.cu")
}
"""What tells a source by its text."""


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


class TestHostEmulation(CudaParity, MotionParity):
    """Everything of `CudaParity` and `MotionParity`, on the host."""


@pytest.fixture
def tiny_backend(emulated_cupy, monkeypatch):
    """A device whose tiles are small, so that lattices have many of them."""
    attributes = EmulatedDevice.attributes | {
        "MaxSharedMemoryPerBlockOptin": 24 * 1024,
        "MaxSharedMemoryPerMultiprocessor": 50 * 1024,
        "MultiProcessorCount": 7,
    }
    monkeypatch.setattr(EmulatedDevice, "attributes", attributes)
    return CudaBackend()


@pytest.mark.parametrize("tableau", TABLEAUS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("kind", SHAPES)
def test_many_tiles(tiny_backend, kind, boundary, tableau):
    case = build_case(kind, SHAPES[kind], boundary)
    assert_same_steps(
        tiny_backend, case, tableau, (1, 3) if tableau == "euler" else (1,)
    )


@pytest.mark.parametrize("kind", ["chain", "fcc"])
def test_many_lagged_tiles(tiny_backend, kind):
    case = build_moving_case(Motion(lag_rad=0.7), kind)
    assert_same_steps(tiny_backend, case, "euler", (1, 3))
    assert_same_steps(tiny_backend, case, "rk2", (1,))


@pytest.mark.parametrize("steps", range(1, MOST_STEPS + 1))
def test_steps_per_launch(tiny_backend, monkeypatch, steps):
    """Whatever the plan would choose, each number of steps gives the same bits."""

    def plan(shape, count, limits):
        parts = split_steps(count, steps)
        return tuple(plan_tiles(shape, part, limits) for part in parts)

    monkeypatch.setattr("engine.backends.cuda_motion.plan_steps", plan)
    for shape in ((40, 52), (37, 41)):
        case = build_case("square", shape, "mixed")
        assert_same_steps(tiny_backend, case, "euler", (steps, 2 * steps + 1))
    case = build_case("chain", (999,), "open")
    assert_same_steps(tiny_backend, case, "rk2", (steps, steps + 1))


def test_each_source_is_compiled_once(emulated_cupy):
    for _ in range(2):
        backend = CudaBackend()
        assert backend.device == DEVICE_NAME
        backend.build_lattice(*build_case("square", (4, 4), "open"))
    assert len(emulated_cupy.sources) == len(set(emulated_cupy.sources)) == 5


@pytest.mark.parametrize(
    ("motion", "sources"),
    [
        (Motion(), {"lattice.cu", "period.cu"}),
        (Motion(lag_rad=0.1), {"lattice.cu", "period.cu"}),
        (Motion(is_global=True), {"mean.cu"}),
        (Motion(inertia_s=1.0), {"lattice.cu", "period.cu", "motion.cu"}),
        (Motion(0.1, True, 0.0, 1.0), {"mean.cu", "motion.cu"}),
    ],
)
def test_a_lattice_loads_what_it_needs(emulated_cupy, motion, sources):
    backend = CudaBackend()
    before = len(emulated_cupy.sources)
    backend.build_lattice(*build_case("square", (4, 4), "open"), motion)
    loaded = emulated_cupy.sources[before:]
    assert {name for name in FIRST_LINES if FIRST_LINES[name] in "".join(loaded)} == (
        sources
    )
    lagged = [text for text in loaded if text.count("#define SCRIBBLE_LAGGED\n")]
    assert len(lagged) == (2 if motion.lag_rad and not motion.is_global else 0)


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
    backend.step_lattice(lattice, TABLEAUS["rk4"], 1e-3)
    emulated_cupy.limit_bytes = emulated_cupy.used_bytes + 5000
    with pytest.raises(ResourceError, match=r"Lower bridges\.per_node"):
        backend.build_bridges(build_bridges(1000))
    with pytest.raises(ResourceError, match=r"20000 bytes.*Lower bridges\.per_node"):
        backend.build_matchings(Matching(1000, 2, 0, SuccessLaw(0.0, 1.0, 1.0)))


def test_shortage_for_stages_names_a_cheaper_integrator(emulated_cupy):
    backend = CudaBackend()
    case = build_moving_case(Motion(is_global=True), shape=(10, 100))
    lattice = backend.build_lattice(*case)
    emulated_cupy.limit_bytes = emulated_cupy.used_bytes + 3000
    with pytest.raises(ResourceError, match=r"4000 bytes.*integrator=euler"):
        backend.step_lattice(lattice, TABLEAUS["rk4"], 1e-3)
    backend.step_lattice(lattice, TABLEAUS["euler"], 1e-3)


@pytest.mark.parametrize("steps", [1, SAMPLED_STEPS, 40, 200])
def test_events_are_few_whatever_the_period(cuda_backend, steps):
    case = build_case("chain", (32,), "periodic")
    lattice = cuda_backend.build_lattice(*case)
    bridges = cuda_backend.build_bridges(build_bridges(32))
    before = EmulatedEvent.recorded
    cuda_backend.advance(lattice, bridges, build_period(bridges.ids.size, 3, steps))
    recorded = EmulatedEvent.recorded - before
    most = 1 + (2 * steps + 2 if steps <= SAMPLED_STEPS else 3 * SAMPLED_STEPS + 1)
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


@pytest.mark.parametrize("kind", ["chain", "square", "fcc"])
def test_one_block_and_many_tiles_agree(cuda_backend, emulated_cupy, kind, monkeypatch):
    case = build_case(
        kind, {"chain": (300,), "square": (16, 24)}.get(kind, (5, 6, 8)), "mixed"
    )
    whole = run_periods(cuda_backend, case, "rk4", 3)
    monkeypatch.setattr(
        "engine.backends.cuda_stepping.find_whole_bytes", lambda *_: None
    )
    tiled = run_periods(CudaBackend(), case, "rk4", 3)
    for ours, theirs in zip(whole, tiled, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def graph_backend(emulated_cupy, monkeypatch):
    """Never takes the one-block kernel, so that periods are captured."""
    monkeypatch.setattr(
        "engine.backends.cuda_stepping.find_whole_bytes", lambda *_: None
    )
    return CudaBackend()


@pytest.mark.parametrize("tableau", TABLEAUS)
@pytest.mark.parametrize("slice_steps", [1, 2, 5])
def test_graphs_give_the_same_bits(graph_backend, tableau, slice_steps):
    """Ticks, windows and their widths change from period to period."""
    before = EmulatedGraph.launched
    case = build_case("square", (20, 28), "mixed")
    assert_same_periods(graph_backend, case, tableau, slice_steps, turns=7)
    assert EmulatedGraph.launched - before >= 4


@pytest.mark.parametrize("name", ["cuda_backend", "graph_backend"])
def test_cohort_moves_on_the_device_as_on_cpu(name, request):
    """Columns are laid out anew between periods: no launch may hold the old ones."""
    seen = []
    for backend in (request.getfixturevalue(name), CpuBackend()):
        lattice = CrystalLattice(LatticeConfig(shape=(20, 28)), backend, 3)
        edges = build_matchings(560, BridgesConfig(per_node=2), 3)
        network = BridgeNetwork(edges, np.full(len(edges), 0.5), backend)
        cohort = Cohort(network, np.full(len(edges), 0.9), seed=3)
        schedule = TunnelSchedule(network, DT_S, seed=3, slice_steps=4)
        network.follow_cohort(100.0)
        outcomes = []
        for share in (0.0, 0.1, 0.5, 1.0, 0.0):
            cohort.assign(share)
            period, _ = schedule.plan_period(40, TABLEAUS["euler"])
            backend.advance(lattice.state, network.arrays, period)
            outcomes.append(cohort.count_outcomes())
        seen.append((digest_state([lattice.phases, *network.read_state()]), outcomes))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("name", ["cuda_backend", "graph_backend"])
def test_mesh_shares_on_the_device_as_on_cpu(name, request):
    """Traces, shares and all that follows; natural frequencies change on the way."""
    seen = []
    monitor = ResourceMonitor(source=SyntheticSource(LoadConfig("synthetic")))
    for backend in (request.getfixturevalue(name), CpuBackend()):
        lattice = CrystalLattice(LatticeConfig(shape=(20, 28)), backend, 3)
        bridges = BridgesConfig(per_node=2, repulsive_share=0.2)
        edges = build_matchings(560, bridges, 3)
        network = BridgeNetwork(edges, np.full(len(edges), 0.9), backend)
        mesh = AdvancedNeuralMesh(network, lattice, MeshConfig("learned"))
        schedule = TunnelSchedule(network, DT_S, seed=3, slice_steps=4)
        metrics, ranks = monitor.update(), []
        for turn in range(6):
            mesh.adjust_tunnel_frequencies(metrics, 200.0 - 20.0 * turn)
            if turn == 3:
                lattice.adjust_detunings(np.roll(lattice.detunings_hz, 1))
            period, _ = schedule.plan_period(40, TABLEAUS["euler"])
            backend.advance(lattice.state, network.arrays, period)
            ranks.append(network.ranks.tolist())
        seen.append((digest_state([lattice.phases, *network.read_state()]), ranks))
    assert seen[0] == seen[1]
    assert seen[0][1][0] != seen[0][1][-1]


@pytest.mark.parametrize("slice_steps", [1, 3])
def test_lagged_lattices_are_captured(graph_backend, slice_steps):
    before = EmulatedGraph.launched
    case = build_moving_case(Motion(lag_rad=-2.1), shape=(20, 28))
    assert_same_periods(graph_backend, case, "rk2", slice_steps, turns=5)
    assert EmulatedGraph.launched - before >= 3


def test_a_graph_is_not_repeated_for_another_lag(graph_backend):
    case = build_moving_case(Motion(lag_rad=0.7), shape=(8, 8))
    found = []
    for backend in (graph_backend, CpuBackend()):
        lattice, bridges = backend.build_lattice(*case), build_bridges(64)
        bridges = backend.build_bridges(bridges)
        period = build_period(bridges.ids.size, 3, 4)
        for lag in (0.7, 0.7, 0.7, 0.7, -0.7, -0.7, -0.7):
            lattice.motion = Motion(lag_rad=lag)
            backend.advance(lattice, bridges, period)
        found.append(backend.read_phases(lattice))
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("fixture", ["cuda_backend", "graph_backend"])
@pytest.mark.parametrize("name", UNSTEADY)
def test_unsteady_lattices_take_plain_launches(request, fixture, name):
    """Never a graph, whose kicks would repeat; still, the host waits once."""
    backend = request.getfixturevalue(fixture)
    launched = EmulatedGraph.launched
    lattice = backend.build_lattice(*build_moving_case(UNSTEADY[name], shape=(8, 8)))
    bridges = backend.build_bridges(build_bridges(64))
    for turn in range(3):
        before = EmulatedStream.waits
        backend.advance(
            lattice, bridges, build_period(bridges.ids.size, 3, 8, turn=turn)
        )
        assert EmulatedStream.waits == before + 1
    assert EmulatedGraph.launched == launched


@pytest.mark.parametrize("fixture", ["cuda_backend", "graph_backend"])
def test_living_networks_change_as_on_the_cpu(request, fixture):
    """A graph holds the coupling that it was captured with: another needs another."""
    case = build_case("square", (16, 16), "mixed")
    edges = build_matchings(256, BridgesConfig(per_node=3), seed=4)
    digests = []
    for backend in (request.getfixturevalue(fixture), CpuBackend()):
        lattice = backend.build_lattice(*case)
        network = BridgeNetwork(edges, np.full(len(edges), 0.8), backend)
        schedule = TunnelSchedule(network, DT_S, seed=3)
        network.follow(0.2 / DT_S)
        for factor in (1.0, 2.0, 0.5):
            lattice.coupling_turns = factor * case[3] / (2.0 * np.pi)
            network.scale_strengths(factor)
            for _ in range(4):
                period, _ = schedule.plan_period(8, TABLEAUS["euler"])
                backend.advance(lattice, network.arrays, period)
        state = [backend.read_phases(lattice), *network.read_state()]
        digests.append(digest_state(state))
    assert digests[0] == digests[1]


MOVING_RUNS = {
    "plain": {},
    "noisy": {"dynamics": {"diffusion_rad2_s": 2.0}},
    "inertial": {
        "dynamics": {"integrator": "leapfrog", "inertia_s": 0.005},
        "observe": {"frequency_window_s": 0.03, "probe_count": 4},
    },
    "procedural": {"bridges": {"kind": "procedural"}},
}


@pytest.mark.parametrize("changes", MOVING_RUNS.values(), ids=MOVING_RUNS)
def test_runs_are_resumed_across_back_ends(
    emulated_cupy, build_config, changes, tmp_path, monkeypatch
):
    """Cut on one back end and gone on with on the other: no digest tells."""
    monkeypatch.setitem(_BUILDERS, "emulated", lambda config: CudaBackend())
    span = {"duration_s": 0.05, **changes.get("dynamics", {})}
    config = build_config(**changes | {"dynamics": span, "record": {"forecast": False}})
    with ScribbleSystem(config) as system:
        wanted = system.run()
    for first, second in (("cpu", "emulated"), ("emulated", "cpu")):
        record = replace(config.record, folder=str(tmp_path / first))
        chosen = replace(config, record=record, backend=BackendConfig(first))
        with ScribbleSystem(chosen) as system:
            system.run(lambda _, stop=system.request_stop: stop())
        backend = BackendConfig(second)
        with ScribbleSystem.resume(tmp_path / first, backend=backend) as system:
            found = system.run()
        assert (found.status, found.backend) == ("done", system.backend.name)
        assert found.state_digest == wanted.state_digest
        assert found.observation == wanted.observation


def test_a_baked_tick_would_be_seen(graph_backend, monkeypatch):
    """The comparison of graphs has teeth: a plan that is not renewed fails it."""
    case = build_case("square", (20, 28), "mixed")
    upload = CudaStepping._upload_plan
    plans = []

    def upload_first(backend, plan):
        plans.append(plan)
        upload(backend, plans[min(len(plans) - 1, 1)])

    monkeypatch.setattr(CudaStepping, "_upload_plan", upload_first)
    with pytest.raises(AssertionError):
        assert_same_periods(graph_backend, case, "euler", 2, turns=7)


def test_graphs_let_go_of_old_bridges(graph_backend):
    case = build_case("square", (8, 8), "periodic")
    lattice = graph_backend.build_lattice(*case)
    for _ in range(3):
        bridges = graph_backend.build_bridges(build_bridges(64))
        gone = weakref.ref(bridges.ids)
        period = build_period(bridges.ids.size, 3, 4)
        for _ in range(4):
            graph_backend.advance(lattice, bridges, period)
    bridges = graph_backend.build_bridges(build_bridges(64))
    graph_backend.advance(lattice, bridges, period)
    assert gone() is None


@pytest.mark.parametrize("fixture", ["cuda_backend", "graph_backend"])
def test_the_host_waits_once_per_period(request, fixture):
    backend = request.getfixturevalue(fixture)
    case = build_case("square", (12, 12), "periodic")
    lattice = backend.build_lattice(*case)
    bridges = backend.build_bridges(build_bridges(144))
    for turn in range(4):
        before = EmulatedStream.waits
        period = build_period(bridges.ids.size, 3, 8, turn=turn)
        backend.advance(lattice, bridges, period)
        assert EmulatedStream.waits == before + 1


def test_a_driver_that_cannot_capture_is_worked_around(
    graph_backend, monkeypatch, caplog
):
    def fail(_):
        EmulatedStream.captured = None
        raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: no")

    monkeypatch.setattr(EmulatedStream, "end_capture", fail)
    before = EmulatedGraph.launched
    case = build_case("square", (8, 8), "periodic")
    assert_same_periods(graph_backend, case, "euler", turns=5)
    assert EmulatedGraph.launched == before
    assert "CUDA graphs are not available (cudaErrorStreamCaptureUnsupported" in (
        caplog.text
    )
