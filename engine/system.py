"""ScribbleSystem: lattice, bridges, monitor and controller, joined by one loop.

A control period is: decide the frequency, plan the windows, run the steps on the
back end, measure the coherence, record. Everything else lives in the rooms above.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from engine.backends import BackendChoice, select_backend
from engine.backends.protocol import TABLEAUS, PeriodResult
from engine.bridge import BridgeNetwork, build_edges
from engine.config import LoadConfig, RunConfig
from engine.crystal import CrystalLattice
from engine.forecast import check_memory
from engine.monitor import (
    ReplaySource,
    ResourceMetrics,
    ResourceMonitor,
    Source,
    SyntheticSource,
)
from engine.monitor.host import HostSampler
from engine.recording import (
    CoherenceTally,
    MetricsEncoder,
    RunRecorder,
    RunSummary,
    StageTimes,
    Trace,
    check_folder,
    describe_environment,
    digest_state,
    read_trace,
)
from engine.tunnel import (
    CostModel,
    Decision,
    TunnelController,
    TunnelMetrics,
    TunnelSchedule,
    transmission_probability,
)
from engine.tunnel.statistics import NodeStatistics

logger = logging.getLogger(__name__)

TOPOLOGY_PERIODS = 16
"""Control periods between two looks at local coherence, vortices and winding."""


@dataclass(frozen=True)
class Topology:
    """What tells a locked state from incoherence."""

    local_coherence: float
    """Mean cosine over lattice edges [-]."""
    vortex_count: int
    """Plaquettes around which the phase winds [-]."""
    winding_turns: float
    """Largest mean winding along an axis [turn]."""

    @property
    def defect_count(self) -> int:
        """Vortices plus whole windings [-]."""
        return self.vortex_count + round(abs(self.winding_turns))


@dataclass(frozen=True)
class Progress:
    """Where a run stands, handed out after every control period."""

    step: int
    """Lattice steps done [-]."""
    step_count: int
    """Lattice steps of the whole run [-]."""
    simulated_s: float
    """Simulated time done [s]."""
    duration_s: float
    """Simulated time of the whole run [s]."""
    wall_s: float
    """Wall time since the loop began [s]."""
    coherence: float
    """Order parameter r [-]."""
    floor: float
    """min_coherence [-]."""
    frequency_hz: float
    """Chosen tunnel frequency [Hz]."""
    offered_hz: float
    """Frequency that the resources ask for [Hz]."""
    required_hz: float
    """Frequency that the coherence asks for [Hz]."""
    maximum_hz: float
    """Top of the ladder [Hz]."""
    state: str
    """nominal, floor-bound, unreachable or stale."""
    reason: str
    """One sentence."""
    successful: int
    """Successful tunnel events so far [-]."""
    failed: int
    """Failed tunnel attempts so far [-]."""
    metrics: ResourceMetrics
    """Resources at the last decision."""


class ScribbleSystem:
    """One simulation with everything it needs.

    Example:
        >>> from engine.config import BridgesConfig, DynamicsConfig, LatticeConfig
        >>> small = LatticeConfig(shape=(16, 16))
        >>> config = RunConfig(lattice=small, dynamics=DynamicsConfig(duration_s=0.1))
        >>> with ScribbleSystem(config) as system:
        ...     system.run().status
        'done'
    """

    def __init__(
        self, config: RunConfig | None = None, *, monitor: ResourceMonitor | None = None
    ) -> None:
        """Check the configuration and build everything; nothing is written.

        Args:
            config: The run; the default run if absent.
            monitor: Telemetry to use instead of what `config.load` asks for.

        Raises:
            ConfigError: The configuration is invalid.
            BackendUnavailableError: CUDA is asked for and cannot be used.
            ResourceError: The run does not fit into memory.
            RecordError: An input cannot be read, or the run folder is taken.
            ShapeError: An input does not fit the lattice.
        """
        self.config = config or RunConfig()
        self.config.validate()
        if self.config.record.folder is not None:
            check_folder(Path(self.config.record.folder), self.config.record.overwrite)
        self._trace = _load_trace(self.config.load)
        choice = select_backend(self.config.backend, self.config.lattice.node_count)
        self.backend = choice.backend
        self._check_memory()
        self._build_network()
        self._build_control(monitor)
        self.description = self._describe(choice)
        """Lines for people: back end and why, lattice, bridges."""
        self._reset_account()

    def _check_memory(self) -> None:
        free = getattr(self.backend, "memory_free_bytes", None)
        host = HostSampler().sample().memory
        device = free() if callable(free) else None
        check_memory(self.config, self.backend.name, host.available_bytes, device)

    def _build_network(self) -> None:
        config = self.config
        self.lattice = CrystalLattice(config.lattice, self.backend, config.seed)
        self.lattice.check_time_step(config.dynamics.dt_s)
        edges = build_edges(self.lattice.geometry, config.bridges, config.seed)
        detunings = self.lattice.detunings_hz.astype(np.float64)
        gaps = detunings[edges.targets] - detunings[edges.sources]
        probabilities = transmission_probability(gaps, config.tunnel)
        self.network = BridgeNetwork(edges, probabilities, self.backend, config.tunnel)
        self.lattice.bridges = self.network
        self.schedule = TunnelSchedule(self.network, config.dynamics.dt_s, config.seed)

    def _build_control(self, monitor: ResourceMonitor | None) -> None:
        config = self.config
        self.monitor = monitor or ResourceMonitor(
            config.resources,
            tunnel=config.tunnel,
            source=_build_source(config.load, self._trace),
            resonance_frequency_hz=config.lattice.mean_frequency_hz,
            gpu_uuids=getattr(self.backend, "gpu_identifiers", ()),
        )
        nodes = self.lattice.node_count
        self.monitor.watch_tunnels(NodeStatistics(self.network, nodes))
        self.cost = CostModel(nodes, len(self.network), config.dynamics.dt_s)
        self.controller = TunnelController(
            self.monitor,
            config.tunnel,
            controller=config.controller,
            network=self.network,
            cost=self.cost,
        )
        self.metrics = TunnelMetrics()

    def _describe(self, choice: BackendChoice) -> dict[str, str]:
        lattice, bridges = self.config.lattice, self.config.bridges
        shape = "x".join(str(cells) for cells in lattice.shape)
        return {
            "backend": f"{self.backend.name} ({choice.reason})",
            "device": self.backend.device,
            "lattice": f"{lattice.kind} {shape}, {self.lattice.node_count:,} nodes",
            "bridges": f"{len(self.network):,} ({bridges.kind})",
        }

    def _reset_account(self) -> None:
        self.step = 0
        self._target_step = self.config.dynamics.step_count
        self._attempts = 0
        self._successes = 0
        self._wall_s = 0.0
        self._periods = 0
        self._stages = StageTimes()
        self._tally = CoherenceTally(self.config.tunnel.min_coherence)
        self._order = self.lattice.order_parameter()
        self._topology = self._measure_topology()
        self._energy_start_j = self._read_energy_j()
        self._encoder = MetricsEncoder()
        self._recorder: RunRecorder | None = None
        self._stop = threading.Event()

    @property
    def simulated_s(self) -> float:
        """Simulated time so far [s]."""
        return self.step * self.config.dynamics.dt_s

    @property
    def coherence(self) -> float:
        """Order parameter r at the end of the last control period [-]."""
        return abs(self._order)

    @property
    def average_frequency_hz(self) -> float:
        """Attempts per bridge and simulated second so far [Hz]."""
        if not len(self.network) or not self.step:
            return 0.0
        return self._attempts / len(self.network) / self.simulated_s

    def request_stop(self) -> None:
        """Ask the loop to stop after the control period in progress; thread-safe."""
        self._stop.set()

    def run(self, on_progress: Callable[[Progress], None] | None = None) -> RunSummary:
        """Run the configured time, recording if a folder is configured.

        SIGINT and SIGTERM end the control period in progress and then the run, with
        its summary written; a second signal acts as usual.

        Args:
            on_progress: Called after every control period.

        Returns:
            The summary, with status done or interrupted.

        Raises:
            RecordError: The run folder cannot be written.
            ConfigError: The metrics port cannot be bound.
        """
        port = None
        if self.config.metrics.http:
            port = self.metrics.serve(self.config.metrics)
            logger.info("metrics on %s:%d", self.config.metrics.address, port)
        status, notes = "failed", []
        try:
            self._open_recorder(port)
            with _stop_on_signals(self.request_stop):
                self._run_until(self.config.dynamics.step_count, on_progress)
            status = "interrupted" if self._stop.is_set() else "done"
        except BaseException as error:
            notes.append(f"{type(error).__name__}: {error}")
            raise
        finally:
            summary = self._finish(status, tuple(notes))
        return summary

    def simulate_load(self, level: float, duration_s: float = 2.0) -> RunSummary:
        """Run on while the monitor is told that others use part of the machine.

        Args:
            level: Share of the cores that others use [-], in [0, 1].
            duration_s: Simulated time to run under that load [s], > 0.

        Returns:
            The summary of everything run so far.

        Raises:
            ConfigError: The level is outside [0, 1].
        """
        load = LoadConfig(kind="synthetic", level=level)
        load.validate()
        steps = max(1, round(duration_s / self.config.dynamics.dt_s))
        before = self.monitor.use_source(SyntheticSource(load))
        try:
            self._run_until(self.step + steps, None)
        finally:
            self.monitor.use_source(before)
        return self.summarise("interrupted" if self._stop.is_set() else "done")

    def _run_until(
        self, last_step: int, on_progress: Callable[[Progress], None] | None
    ) -> None:
        self._target_step = last_step
        started_s = time.perf_counter() - self._wall_s
        while self.step < last_step and not self._stop.is_set():
            decision, result, attempts = self._advance_period(last_step - self.step)
            before_s = time.perf_counter()
            self._wall_s = before_s - started_s
            self._record(decision, result, attempts)
            if on_progress is not None:
                on_progress(self._report(decision))
            self._stages.record += time.perf_counter() - before_s
            self._wall_s = time.perf_counter() - started_s

    def _advance_period(self, steps_left: int) -> tuple[Decision, PeriodResult, int]:
        """Decide, plan, run and measure one control period."""
        before_s = time.perf_counter()
        self.network.apply_requests()
        decision = self._decide()
        steps = min(self.config.controller.period_steps, steps_left)
        tableau = TABLEAUS[self.config.dynamics.integrator]
        decided_s = time.perf_counter()
        period, attempts = self.schedule.plan_period(steps, tableau)
        planned_s = time.perf_counter()
        result = self.backend.advance(self.lattice.state, self.network.arrays, period)
        ran_s = time.perf_counter()
        self.step += steps
        self._attempts += attempts
        self._successes += result.successes
        self._periods += 1
        self._order = self.lattice.order_parameter()
        self._tally.add(self.coherence, self.simulated_s)
        if self._periods % TOPOLOGY_PERIODS == 0:
            self._topology = self._measure_topology()
        if self._trace is None:
            self.cost.update(result.lattice_s, result.tunnel_s, steps, attempts)
        self._stages.lattice += result.lattice_s
        self._stages.tunnel += planned_s - decided_s + result.tunnel_s
        self._stages.control += decided_s - before_s + time.perf_counter() - ran_s
        return decision, result, attempts

    def _decide(self) -> Decision:
        """Let the controller decide and pass its frequency on to the bridges."""
        if self._trace is not None:
            index = min(self._periods, len(self._trace.costs) - 1)
            self.cost.node_step_s, self.cost.event_s = self._trace.costs[index]
        decision = self.controller.adjust_frequencies(
            self.coherence,
            self.simulated_s,
            local_coherence=self._topology.local_coherence,
            defect_count=self._topology.defect_count,
        )
        self.lattice.update_tunnel_frequencies(self.controller)
        idle_cores = self.monitor.cores.idle_cores
        if idle_cores is not None:
            self.backend.share_cores(idle_cores)
        self._decided_at_s = self.simulated_s
        self._decided_on = self.coherence
        return decision

    def _measure_topology(self) -> Topology:
        lattice = self.lattice
        winding = max(lattice.winding_numbers(), key=abs)
        return Topology(lattice.local_coherence(), lattice.vortex_count(), winding)

    def _record(self, decision: Decision, result: PeriodResult, attempts: int) -> None:
        seen = self.monitor.metrics
        self.metrics.successful_tunnels.inc(result.successes)
        self.metrics.failed_tunnels.inc(attempts - result.successes)
        self.metrics.average_frequency.set(self.average_frequency_hz)
        self.metrics.resource_utilization.observe(1.0 - seen.availability)
        self.metrics.coherence.set(self.coherence)
        self.metrics.availability.set(seen.availability)
        self.metrics.step_time.set(self._wall_s / self.step)
        if self._recorder is None:
            return
        self._recorder.trace.add(self._trace_row(decision, seen))
        if self._periods % self.config.record.every_periods == 0:
            self._recorder.timeseries.add(self._series_row(decision, result))

    def _trace_row(self, decision: Decision, seen: ResourceMetrics) -> dict[str, Any]:
        return {
            "simulated_s": self._decided_at_s,
            "coherence": self._decided_on,
            "availability": seen.availability,
            "limiting_resource": seen.limiting_resource,
            "tunnel_frequency_hz": seen.tunnel_frequency,
            "age_s": seen.age_s,
            "is_stale": seen.is_stale,
            "node_step_s": self.cost.node_step_s,
            "event_s": self.cost.event_s,
            "frequency_hz": decision.frequency_hz,
            "offered_hz": decision.offered_hz,
            "required_hz": decision.required_hz,
            "margin": decision.margin,
            "state": decision.state,
            "metrics": self._encoder.encode(seen),
        }

    def _series_row(self, decision: Decision, result: PeriodResult) -> dict[str, Any]:
        return {
            "step": self.step,
            "simulated_s": self.simulated_s,
            "wall_s": self._wall_s,
            "coherence": self.coherence,
            "mean_phase_rad": float(np.angle(self._order)),
            "local_coherence": self._topology.local_coherence,
            "vortex_count": self._topology.vortex_count,
            "winding_turns": self._topology.winding_turns,
            "frequency_hz": decision.frequency_hz,
            "required_hz": decision.required_hz,
            "offered_hz": decision.offered_hz,
            "state": decision.state,
            "attempts": self._attempts,
            "successes": self._successes,
            "lattice_s": result.lattice_s,
            "tunnel_s": result.tunnel_s,
            "availability": self.monitor.metrics.availability,
        }

    def _report(self, decision: Decision) -> Progress:
        return Progress(
            step=self.step,
            step_count=self._target_step,
            simulated_s=self.simulated_s,
            duration_s=self._target_step * self.config.dynamics.dt_s,
            wall_s=self._wall_s,
            coherence=self.coherence,
            floor=self.config.tunnel.min_coherence,
            frequency_hz=decision.frequency_hz,
            offered_hz=decision.offered_hz,
            required_hz=decision.required_hz,
            maximum_hz=self.config.tunnel.maximum_frequency_hz,
            state=decision.state,
            reason=decision.reason,
            successful=self._successes,
            failed=self._attempts - self._successes,
            metrics=self.monitor.metrics,
        )

    def _open_recorder(self, port: int | None) -> None:
        folder = self.config.record.folder
        if folder is None:
            return
        environment = describe_environment(self.backend.name, self.backend.device)
        environment["metrics_port"] = port
        self._recorder = RunRecorder(self.config, folder, environment)

    def _finish(self, status: str, notes: tuple[str, ...]) -> RunSummary:
        summary = replace(self.summarise(status), notes=notes)
        if self._recorder is not None:
            self._recorder.finish(summary)
            self._recorder = None
        self.metrics.close()
        return summary

    def state_digest(self) -> str:
        """Return the SHA-256 of phases and bridge state, equal on `cpu` and `cuda`."""
        bridges = self.network.columns_by_id()
        return digest_state([self.lattice.phases, *bridges.state_columns])

    def summarise(self, status: str = "done") -> RunSummary:
        """Sum up everything run so far.

        Args:
            status: done, interrupted or failed.

        Returns:
            The content of `summary.json`.
        """
        decision = self.controller.decision
        every_step = len(self.network) * self.step
        return RunSummary(
            status=status,
            backend=self.backend.name,
            device=self.backend.device,
            seed=self.config.seed,
            nodes=self.lattice.node_count,
            bridges=len(self.network),
            steps=self.step,
            simulated_seconds=self.simulated_s,
            wall_seconds=self._wall_s,
            stage_seconds=dict(vars(self._stages)),
            node_steps_per_second=self.lattice.node_count
            * self.step
            / max(self._wall_s, 1e-9),
            tunnels={
                "attempted": self._attempts,
                "successful": self._successes,
                "failed": self._attempts - self._successes,
            },
            average_frequency_hz=self.average_frequency_hz,
            coherence=self._tally.to_dict(),
            controller_state=decision.state if decision else "nominal",
            events_saved_factor=every_step / self._attempts if self._attempts else None,
            energy_joules=self._spent_energy_j(),
            state_digest=self.state_digest(),
            folder=self.config.record.folder,
        )

    def _read_energy_j(self) -> float | None:
        """Sum the energy counters of the GPUs in use [J]; None where unknown."""
        wanted = set(getattr(self.backend, "gpu_identifiers", ()))
        used = [gpu for gpu in self.monitor.gpus if {gpu.uuid, gpu.pci_bus_id} & wanted]
        counters = [gpu.energy_j for gpu in used]
        if not counters or None in counters:
            return None
        return sum(value for value in counters if value is not None)

    def _spent_energy_j(self) -> float | None:
        now_j = self._read_energy_j()
        if now_j is None or self._energy_start_j is None:
            return None
        return now_j - self._energy_start_j

    def close(self) -> None:
        """Stop the monitor and the metrics server; harmless to repeat."""
        self.monitor.close()
        self.metrics.close()

    def __enter__(self) -> Self:
        """Enter a block that closes the system at its end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the system."""
        self.close()


def _load_trace(load: LoadConfig) -> Trace | None:
    if load.kind != "replay" or load.trace is None:
        return None
    return read_trace(load.trace)


def _build_source(load: LoadConfig, trace: Trace | None) -> Source | None:
    """Return what the monitor reads: None means this machine, live."""
    if trace is not None:
        return ReplaySource(trace.rows)
    return SyntheticSource(load) if load.kind == "synthetic" else None


@contextmanager
def _stop_on_signals(request_stop: Callable[[], None]) -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into a stop request, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.getsignal(kind) for kind in kinds}

    def stop(kind: int, frame: object) -> None:
        request_stop()
        for each, handler in before.items():
            signal.signal(each, handler)

    for kind in kinds:
        signal.signal(kind, stop)
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
