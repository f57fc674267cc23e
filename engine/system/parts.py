"""Building what a run needs, in the order of the layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.backends import BackendChoice, select_backend
from engine.backends.philox import PART
from engine.backends.protocol import Backend, Motion
from engine.bridge import (
    BridgeNetwork,
    MatchingNetwork,
    Network,
    build_edges,
)
from engine.config import BridgesConfig, LoadConfig, RunConfig, TunnelConfig
from engine.crystal import CrystalLattice
from engine.disk import refuse_closed
from engine.errors import DeviceError, ResourceError
from engine.forecast import check_memory, check_period, estimate_memory
from engine.monitor import (
    FaultySource,
    LiveSource,
    ReplaySource,
    ResourceMonitor,
    Source,
    SyntheticSource,
)
from engine.monitor.host import measure_free_bytes
from engine.observation import Observer
from engine.recording import Trace, check_folder, read_trace
from engine.rollout import Cohort, RolloutPilot
from engine.system.outlook import Outlook, build_outlook
from engine.system.tracking import check_tracker
from engine.tunnel import (
    CostModel,
    TunnelController,
    TunnelMetrics,
    TunnelSchedule,
    transmission_probability,
)
from engine.tunnel.metrics import check_endpoint
from engine.tunnel.statistics import NodeStatistics
from engine.wanda import AdvancedNeuralMesh, build_mesh


@dataclass(frozen=True)
class Parts:
    """Everything that a run joins."""

    backend: Backend
    """Runs the arithmetic."""
    backend_reason: str
    """Why it was chosen."""
    lattice: CrystalLattice
    """The oscillators."""
    network: Network
    """The bridges."""
    schedule: TunnelSchedule
    """Which bridges act when."""
    monitor: ResourceMonitor
    """What the machine has left."""
    owns_monitor: bool
    """Whether the monitor was built here, and so must be closed here."""
    cost: CostModel
    """What a step and an event take."""
    controller: TunnelController
    """How often bridges act."""
    metrics: TunnelMetrics
    """What Prometheus may know."""
    trace: Trace | None
    """The recorded run to replay, if there is one."""
    outlook: Outlook | None
    """What is expected of the run, if that is asked for."""
    observer: Observer
    """What is seen of single nodes."""
    pilot: RolloutPilot | None
    """Steers the bridges of a new policy, if one is rolled out."""
    mesh: AdvancedNeuralMesh | None
    """Shares the budget out among the bridges, if they are not to act alike."""


def build_parts(
    config: RunConfig,
    monitor: ResourceMonitor | None = None,
    *,
    is_resumed: bool = False,
) -> Parts:
    """Check a configuration and build everything; nothing is written.

    Args:
        config: The run.
        monitor: Telemetry to use instead of what `config.load` asks for.
        is_resumed: Whether the run goes on in a folder that it has made before.

    Returns:
        The parts, joined.

    Raises:
        ConfigError: The configuration is invalid.
        BackendUnavailableError: CUDA is asked for and cannot be used.
        ResourceError: The run does not fit into memory.
        RecordError: An input cannot be read, or the run folder is taken.
        ShapeError: An input does not fit the lattice.
    """
    trace = _check_inputs(config, is_resumed=is_resumed)
    choice, lattice, network = _build_physics(config)
    owns_monitor = monitor is None
    monitor = monitor or _build_monitor(config, trace)
    monitor.watch_gpus(choice.backend.gpu_identifiers)
    monitor.watch_tunnels(NodeStatistics(network, lattice.node_count))
    cost = CostModel(lattice.node_count, len(network), config.dynamics.dt_s)
    controller = TunnelController(
        monitor,
        config.tunnel,
        controller=config.controller,
        network=network,
        cost=cost,
    )
    schedule = TunnelSchedule(
        network,
        config.dynamics.dt_s,
        config.seed,
        slice_steps=config.tunnel.slice_steps,
    )
    return Parts(
        backend=choice.backend,
        backend_reason=choice.reason,
        lattice=lattice,
        network=network,
        schedule=schedule,
        monitor=monitor,
        owns_monitor=owns_monitor,
        cost=cost,
        controller=controller,
        metrics=TunnelMetrics(),
        trace=trace,
        outlook=build_outlook(config, network, lattice.detunings_hz),
        observer=Observer(config, lattice),
        pilot=_build_pilot(config, network, lattice, controller),
        mesh=build_mesh(network, lattice, config.acting_mesh, schedule.read_turns),
    )


def describe_parts(config: RunConfig, parts: Parts) -> dict[str, str]:
    """Say in words what was built, and what is expected of it."""
    lattice, bridges = config.lattice, config.bridges
    shape = "x".join(str(cells) for cells in lattice.shape)
    expected = {"forecast": parts.outlook.describe()} if parts.outlook else {}
    return {
        "backend": f"{parts.backend.name} ({parts.backend_reason})",
        "device": parts.backend.device,
        "lattice": f"{lattice.kind} {shape}, {parts.lattice.node_count:,} nodes"
        + _describe_motion(parts.lattice.state.motion),
        "bridges": f"{len(parts.network):,} bridges ({_describe_bridges(bridges)})",
        **expected,
    }


def _describe_bridges(bridges: BridgesConfig) -> str:
    """Name where bridges come from, and how they are placed unless by chance."""
    is_drawn = bridges.placement == "random"
    return bridges.kind if is_drawn else f"{bridges.kind}, {bridges.placement}"


def _describe_motion(motion: Motion) -> str:
    """Name what a lattice has beyond its neighbours, behind commas."""
    named = {
        "all coupled to the mean": motion.is_global,
        f"phase lag {motion.lag_rad:g} rad": motion.lag_rad,
        f"inertia {motion.inertia_s:g} s": motion.inertia_s,
        f"noise {motion.diffusion_rad2_s:g} rad^2/s": motion.diffusion_rad2_s,
    }
    return "".join(f", {name}" for name, is_there in named.items() if is_there)


def _check_inputs(config: RunConfig, *, is_resumed: bool) -> Trace | None:
    """Refuse what can be refused at once; return the trace to replay, if any."""
    config.validate()
    check_tracker(config)
    folder = config.record.folder
    if folder is not None and is_resumed:
        refuse_closed(Path(folder), f"The run in {folder}", "copy it to another place")
    elif folder is not None:
        check_folder(Path(folder), config.record.overwrite)
    check_endpoint(config.metrics)
    return _load_trace(config.load)


def _load_trace(load: LoadConfig) -> Trace | None:
    if load.kind != "replay" or load.trace is None:
        return None
    return read_trace(load.trace)


def _build_physics(config: RunConfig) -> tuple[BackendChoice, CrystalLattice, Network]:
    """Build what is simulated; `auto` leaves a GPU that fails to take it in."""
    choice = _choose_backend(config)
    try:
        return choice, *_build_on(choice.backend, config)
    except (ResourceError, DeviceError) as error:
        if config.backend.name != "auto" or choice.backend.name != "cuda":
            raise
        reason = f"{choice.backend.device} did not take the run: {error}"
    own = replace(config.backend, name="cpu")
    choice = replace(select_backend(own, config.lattice.node_count), reason=reason)
    return choice, *_build_on(choice.backend, config)


def _build_on(backend: Backend, config: RunConfig) -> tuple[CrystalLattice, Network]:
    """Build lattice and bridges, and make ready what would be slow at first."""
    _check_memory(config, backend)
    lattice = _build_lattice(config, backend)
    network = _build_network(config, lattice)
    if isinstance(network, BridgeNetwork):
        layers = len({group.layer for group in network.groups})
        check_period(config, layers, measure_free_bytes())
    # After all that can be refused, before all that is timed.
    backend.warm_up(
        computes_ends=isinstance(network, MatchingNetwork),
        counts_turns=config.observe.frequency_window_s is not None,
        motion=lattice.state.motion,
    )
    return lattice, network


def _choose_backend(config: RunConfig) -> BackendChoice:
    """Choose as asked; `auto` leaves a GPU that is too small for the run."""
    nodes = config.lattice.node_count
    choice = select_backend(config.backend, nodes)
    free = choice.backend.memory_free_bytes()
    need = estimate_memory(config, choice.backend.name).device_bytes
    if config.backend.name != "auto" or free is None or need <= free:
        return choice
    reason = (
        f"{choice.backend.device} has {free} bytes free, too few for the {need} bytes "
        "of this run"
    )
    fallback = select_backend(replace(config.backend, name="cpu"), nodes)
    return BackendChoice(fallback.backend, reason)


def _check_memory(config: RunConfig, backend: Backend) -> None:
    device = backend.memory_free_bytes()
    check_memory(config, backend.name, measure_free_bytes(), device)


def _build_lattice(config: RunConfig, backend: Backend) -> CrystalLattice:
    """Build the oscillators, and refuse a time step that is too long for them."""
    lattice = CrystalLattice(config.lattice, backend, config.seed, config.dynamics)
    lattice.check_time_step(config.dynamics.dt_s)
    return lattice


def _build_network(config: RunConfig, lattice: CrystalLattice) -> Network:
    """Build the bridges and hang them on the lattice."""
    build = _compute_network if config.bridges.kind == "procedural" else _store_network
    lattice.bridges = network = build(config, lattice)
    return network


def _compute_network(config: RunConfig, lattice: CrystalLattice) -> Network:
    """Build bridges whose ends are computed; the host holds no column of them."""
    return MatchingNetwork(
        config.bridges, lattice.state, lattice.backend, config.tunnel, seed=config.seed
    )


def _store_network(config: RunConfig, lattice: CrystalLattice) -> Network:
    """Draw or read the bridges and give each its probability."""
    edges = build_edges(
        lattice.geometry,
        config.bridges,
        config.seed,
        detunings_hz=lattice.detunings_hz,
        coupling_rad_s=config.lattice.coupling_rad_s,
    )
    probabilities = apply_law(edges.sources, edges.targets, lattice, config.tunnel)
    return BridgeNetwork(edges, probabilities, lattice.backend, config.tunnel)


def apply_law(
    sources: npt.NDArray[np.integer],
    targets: npt.NDArray[np.integer],
    lattice: CrystalLattice,
    tunnel: TunnelConfig,
) -> npt.NDArray[np.float64]:
    """Return the success probability of bridges under a policy [-].

    Args:
        sources: First ends, node ids, shape (bridges,).
        targets: Second ends, shape (bridges,).
        lattice: Gives the natural frequencies.
        tunnel: The policy.
    """
    probabilities = np.empty(len(sources))
    for low in range(0, len(sources), PART):
        part = slice(low, low + PART)
        target, source = (
            lattice.success_detunings_hz[ends[part]].astype(np.float64)
            for ends in (targets, sources)
        )
        probabilities[part] = transmission_probability(target - source, tunnel)
    return probabilities


def _build_pilot(
    config: RunConfig,
    network: Network,
    lattice: CrystalLattice,
    controller: TunnelController,
) -> RolloutPilot | None:
    """Prepare the rollout that is asked for; procedural bridges were refused."""
    if config.rollout.is_idle or not isinstance(network, BridgeNetwork):
        return None
    ends = network.edges.sources, network.edges.targets
    law = apply_law(*ends, lattice, config.rollout.tunnel)
    cohort = Cohort(network, law, config.seed)
    return RolloutPilot(config.rollout, controller, cohort)


def _build_monitor(config: RunConfig, trace: Trace | None) -> ResourceMonitor:
    return ResourceMonitor(
        config.resources,
        tunnel=config.tunnel,
        source=_build_source(config, trace),
        resonance_frequency_hz=config.lattice.mean_frequency_hz,
    )


def _build_source(config: RunConfig, trace: Trace | None) -> Source | None:
    """Return what the monitor reads: None means this machine, live."""
    source: Source | None = None
    if trace is not None:
        source = ReplaySource(trace.rows, judges_anew=config.load.judge_anew)
    elif config.load.kind == "synthetic":
        source = SyntheticSource(config.load)
    if config.fault.is_idle:
        return source
    return FaultySource(source or LiveSource(config.resources), config.fault)
