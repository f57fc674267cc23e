"""ScribbleSystem: the loop and nothing else.

A control period is: decide the frequency, plan the windows, run the steps on the
back end, measure the coherence, record.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from engine.backends.protocol import TABLEAUS, PeriodResult
from engine.config import LoadConfig, RunConfig
from engine.config.checks import check_positive
from engine.monitor import ResourceMetrics, ResourceMonitor, SyntheticSource
from engine.recording import (
    EndpointRecord,
    MetricsEncoder,
    RunRecorder,
    RunSummary,
    describe_environment,
)
from engine.recording.tracker import RunTracker
from engine.system.account import Account, Progress
from engine.system.disturbance import Disturbance
from engine.system.parts import build_parts, describe_parts
from engine.system.signals import stop_on_signals
from engine.system.tracking import (
    build_tracker,
    count_tracker_periods,
    describe_ending,
)
from engine.system.vitals import TRACKER, Vitals
from engine.tunnel import Decision

logger = logging.getLogger(__name__)

TOPOLOGY_PERIODS = 16
"""Control periods between two looks at local coherence, vortices and winding."""


class ScribbleSystem:
    """One simulation with everything it needs.

    Example:
        >>> from engine.config import DynamicsConfig, LatticeConfig
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
        self._disturbance = Disturbance(self.config.load)
        self._parts = parts = build_parts(self.config, monitor)
        self.backend = parts.backend
        self.lattice = parts.lattice
        self.network = parts.network
        self.schedule = parts.schedule
        self.monitor = parts.monitor
        self.controller = parts.controller
        self.metrics = parts.metrics
        self.observer = parts.observer
        self.description = describe_parts(self.config, parts)
        """Lines for people: back end and why, device, lattice, bridges, forecast."""
        self._account = Account(self.config, parts)
        self._encoder = MetricsEncoder()
        self._vitals = Vitals(self.config, parts, self._account)
        self.metrics.read_from(self._vitals.read)
        self._recorder: RunRecorder | None = None
        self._tracker: RunTracker | None = None
        self._tracker_periods = count_tracker_periods(self.config)
        self._stop = threading.Event()
        self._deeds: set[str] = set()

    @property
    def step(self) -> int:
        """Lattice steps so far [-]."""
        return self._account.step

    @property
    def simulated_s(self) -> float:
        """Simulated time so far [s]."""
        return self._account.simulated_s

    @property
    def coherence(self) -> float:
        """Order parameter r at the end of the last control period [-]."""
        return self._account.coherence

    @property
    def average_frequency_hz(self) -> float:
        """Attempts per bridge and simulated second so far [Hz]."""
        return self._account.average_frequency_hz

    def request_stop(self) -> None:
        """Ask the loop to stop after the control period in progress; thread-safe."""
        self._stop.set()

    def run(self, on_progress: Callable[[Progress], None] | None = None) -> RunSummary:
        """Run the configured time, recording if a folder is configured.

        SIGINT and SIGTERM end the control period in progress and then the run, with
        its summary written; a second signal acts as usual. Pinning bridges by hand, or
        steps run before, are not in the trace; the summary then notes that the run
        cannot be replayed.

        Args:
            on_progress: Called after every control period.

        Returns:
            The summary, with status done or interrupted.

        Raises:
            RecordError: The run folder cannot be written, or takes no more.
            ConfigError: The metrics port cannot be bound.
            ResourceError: A worker of a real load does not start.
            BackendUnavailableError: A real load asks for a GPU and none can be used.
        """
        status = "failed"
        disturbance = self._disturbance = Disturbance(self.config.load)
        notes: tuple[str, ...] = ()
        if self.step:
            notes = (
                f"not replayable: {self.step} steps were run before the recording",
            )
        try:
            with stop_on_signals(self.request_stop), disturbance:
                self._open_recorder(self._serve_metrics())
                last_step = self.step + self.config.dynamics.step_count
                windows = self._account.windows if len(self.network) else None
                ahead = windows.step_count if windows else 0
                self.observer.begin(self.step, last_step, self.coherence)
                self._run_until(last_step, on_progress, ahead)
                self.observer.finish()
                if ahead:
                    self._run_windows(on_progress)
            status = self._status()
            if status != "done" and self._account.windows.has_begun:
                notes += ("not replayable: it was stopped in its error windows",)
        except BaseException as error:
            notes += (f"{type(error).__name__}: {error}",)
            raise
        finally:
            notes += tuple(
                f"not replayable: {deed} by hand" for deed in sorted(self._deeds)
            )
            summary = self._account.summarise(status, notes + disturbance.notes)
            summary = replace(summary, load=disturbance.to_dict())
            summary = self._close_run(summary)
        return summary

    def _run_windows(self, on_progress: Callable[[Progress], None] | None) -> None:
        """Let two frequencies take turns, to measure the distance they leave."""
        account, windows = self._account, self._account.windows
        if account.has_pins:
            windows.refusal = "bridges were pinned, so no window sets their frequency"
            return
        ahead = windows.step_count
        with closing(windows.open_in_turn(account.settled_hz)) as turns:
            for frequency_hz in turns:
                ahead -= windows.window_steps
                self.controller.hold(frequency_hz)
                last_step = self.step + windows.window_steps
                self._run_until(last_step, on_progress, ahead)
                if self._stop.is_set():
                    break
        self.controller.hold(None)

    def advance(
        self, duration_s: float, on_progress: Callable[[Progress], None] | None = None
    ) -> None:
        """Run on for a while; nothing is recorded.

        Args:
            duration_s: Simulated time [s], > 0.
            on_progress: Called after every control period.

        Raises:
            ConfigError: The duration is not positive, or too long.
        """
        dynamics = replace(self.config.dynamics, duration_s=duration_s)
        dynamics.validate()
        self._run_until(self.step + dynamics.step_count, on_progress)

    def adjust_coupling(self, coupling_rad_s: float) -> None:
        """Change K of the living lattice, phases and velocities kept.

        Args:
            coupling_rad_s: New coupling [rad/s], >= 0.

        Raises:
            ConfigError: It is negative, or too strong for the time step.
        """
        self.lattice.adjust_coupling(coupling_rad_s)
        self._account_for("the coupling was changed")

    def adjust_strength(self, strength_rad_s: float) -> None:
        """Change the strength of every bridge of the living network.

        Args:
            strength_rad_s: New kappa [rad/s] in place of bridges.strength_rad_s, > 0;
                bridges of various strengths keep their proportions.

        Raises:
            ConfigError: It is not above 0, or the configured strength is 0.
        """
        configured = self.config.bridges.strength_rad_s
        check_positive("bridges.strength_rad_s", strength_rad_s)
        check_positive("bridges.strength_rad_s", configured)
        self.network.scale_strengths(strength_rad_s / configured)
        self._account_for("the bridges' strength was changed")

    def _account_for(self, deed: str) -> None:
        """Remember what was done beside the configuration."""
        self._deeds.add(deed)
        if self._parts.outlook is not None:
            self._parts.outlook.withdraw(f"{deed} by hand")

    def simulate_load(self, level: float, duration_s: float = 2.0) -> RunSummary:
        """Run on while the monitor is told that others use part of the machine.

        Args:
            level: Share of the cores that others use [-], in [0, 1].
            duration_s: Simulated time to run under that load [s], > 0.

        Returns:
            The summary of everything run so far.

        Raises:
            ConfigError: The level is outside [0, 1], or the duration is not positive.
        """
        load = LoadConfig(kind="synthetic", level=level)
        load.validate()
        before = self.monitor.use_source(SyntheticSource(load))
        try:
            self.advance(duration_s)
        finally:
            self.monitor.use_source(before)
        status = self._status()
        self._stop.clear()
        return self.summarise(status)

    def _status(self) -> str:
        return "interrupted" if self._stop.is_set() else "done"

    def _run_until(
        self,
        last_step: int,
        on_progress: Callable[[Progress], None] | None,
        steps_ahead: int = 0,
    ) -> None:
        """Run to a step; the run is known to go on for some steps after it."""
        account = self._account
        started_s = time.perf_counter() - account.wall_s
        while self.step < last_step and not self._stop.is_set():
            decision, result, attempts = self._advance_period(last_step - self.step)
            before_s = time.perf_counter()
            account.wall_s = before_s - started_s
            self._vitals.note(decision, last_step + steps_ahead)
            self._record(decision, result, attempts)
            self.observer.observe(self.step, self.coherence)
            if on_progress is not None:
                on_progress(account.report(decision, last_step + steps_ahead))
            account.stages.record += time.perf_counter() - before_s
            account.wall_s = time.perf_counter() - started_s

    def _advance_period(self, steps_left: int) -> tuple[Decision, PeriodResult, int]:
        """Decide, plan, run and measure one control period."""
        account, parts = self._account, self._parts
        started_s = time.perf_counter()
        if self.network.apply_requests():
            self._deeds.add("bridges were pinned")
        decision = self._decide()
        decided_s = time.perf_counter()
        steps = min(self.config.controller.period_steps, steps_left)
        tableau = TABLEAUS[self.config.dynamics.integrator]
        period, attempts = self.schedule.plan_period(steps, tableau)
        planned_s = time.perf_counter()
        result = self.backend.advance(self.lattice.state, self.network.arrays, period)
        ran_s = time.perf_counter()
        account.add_period(steps, attempts, result)
        account.measure(TOPOLOGY_PERIODS, attempts, steps)
        if parts.pilot is not None:
            parts.pilot.observe(account.coherence, steps * self.schedule.dt_s)
        if parts.trace is None:
            parts.cost.update(result.lattice_s, result.tunnel_s, steps, attempts)
        account.stages.tunnel += planned_s - decided_s
        account.stages.control += decided_s - started_s + time.perf_counter() - ran_s
        return decision, result, attempts

    def _decide(self) -> Decision:
        """Let the controller decide and pass its frequency on to the bridges."""
        account, parts = self._account, self._parts
        if parts.trace is not None:
            costs = parts.trace.costs_at(account.simulated_s)
            parts.cost.node_step_s, parts.cost.event_s = costs
        decision = self.controller.adjust_frequencies(
            account.coherence,
            account.simulated_s,
            local_coherence=account.topology.local_coherence,
            defect_count=account.topology.defect_count,
        )
        if parts.pilot is not None:
            decision = parts.pilot.steer(decision)
        self.monitor.resonance_frequency = self.lattice.resonance_frequency
        idle_cores = self.monitor.cores.idle_cores
        if idle_cores is not None and self.monitor.source.is_live:
            self.backend.share_cores(idle_cores)
        if self._recorder is not None:
            seen = self.monitor.metrics
            self._recorder.trace.add(self._to_trace_row(decision, seen))
        return decision

    def _to_trace_row(
        self, decision: Decision, seen: ResourceMetrics
    ) -> dict[str, Any]:
        """Return the row of `trace.parquet`: what the decision rested on, and it."""
        return {
            "simulated_s": self.simulated_s,
            "coherence": self.coherence,
            "availability": seen.availability,
            "limiting_resource": seen.limiting_resource,
            "tunnel_frequency_hz": seen.tunnel_frequency,
            "age_s": seen.age_s,
            "is_stale": seen.is_stale,
            "node_step_s": self._parts.cost.node_step_s,
            "event_s": self._parts.cost.event_s,
            "frequency_hz": decision.frequency_hz,
            "offered_hz": decision.offered_hz,
            "required_hz": decision.required_hz,
            "margin": decision.margin,
            "state": decision.state,
            "metrics": self._encoder.encode(seen),
            **(self._parts.pilot.to_trace() if self._parts.pilot else {}),
        }

    def _record(self, decision: Decision, result: PeriodResult, attempts: int) -> None:
        """Tell Prometheus and the time series of the last control period."""
        account, seen = self._account, self.monitor.metrics
        self.metrics.successful_tunnels.inc(result.successes)
        self.metrics.failed_tunnels.inc(attempts - result.successes)
        self.metrics.average_frequency.set(account.average_frequency_hz)
        self.metrics.resource_utilization.observe(1.0 - seen.availability)
        self.metrics.coherence.set(account.coherence)
        self.metrics.availability.set(seen.availability)
        self.metrics.step_time.set(account.wall_s / account.step)
        is_due = account.periods % self.config.record.every_periods == 0
        if self._recorder is not None and is_due:
            self._recorder.timeseries.add(self._to_series_row(decision, result))
        if self._tracker is not None and not account.periods % self._tracker_periods:
            self._tracker.add(account.step, self._to_series_row(decision, result))

    def _to_series_row(
        self, decision: Decision, result: PeriodResult
    ) -> dict[str, Any]:
        """Return the row of the time series for the last control period."""
        row = self._account.to_series_row(decision, result)
        return {**row, **self._disturbance.to_series_row()}

    def _serve_metrics(self) -> int | None:
        """Serve the metrics if the configuration asks for it; return the port."""
        if not self.config.metrics.http:
            return None
        port = self.metrics.serve(self.config.metrics)
        logger.info("metrics on %s:%d", self.config.metrics.address, port)
        return port

    def _open_recorder(self, port: int | None) -> None:
        record = self.config.record
        if record.folder is None and record.tracker is None:
            return
        environment = describe_environment(self.backend.name, self.backend.device)
        environment["metrics_port"] = port
        if record.folder is not None:
            recorder = RunRecorder(self.config, record.folder, environment)
            self._recorder = recorder
            if port is not None:
                address = self.config.metrics.address
                recorder.announce(EndpointRecord.of_this_process(address, port))
        self._tracker = build_tracker(self.config, environment, self._count_failure)
        if self._tracker is not None:
            self._tracker.start()

    def _count_failure(self) -> None:
        self._vitals.errors[TRACKER] += 1

    def _close_run(self, summary: RunSummary) -> RunSummary:
        """Close what a run has opened; return the summary with what went wrong."""
        recorder, self._recorder = self._recorder, None
        self._stop.clear()
        try:
            if recorder is not None:
                recorder.finish(summary)
        finally:
            self.metrics.close()
            self.observer.close()
            summary = self._end_tracking(summary, recorder)
        return summary

    def _end_tracking(
        self, summary: RunSummary, recorder: RunRecorder | None
    ) -> RunSummary:
        """Tell the tracker how the run ended; note it if that failed."""
        tracker, self._tracker = self._tracker, None
        if tracker is None:
            return summary
        failure = tracker.finish(describe_ending(summary))
        if failure is None:
            return summary
        summary = replace(summary, notes=(*summary.notes, failure))
        if recorder is not None:
            recorder.amend(summary)
        return summary

    def state_digest(self) -> str:
        """Return the SHA-256 of phases and bridge state, equal on `cpu` and `cuda`."""
        return self._account.digest()

    def summarise(self, status: str = "done") -> RunSummary:
        """Sum up everything run so far.

        Args:
            status: done, interrupted or failed.

        Returns:
            The content of `summary.json`.
        """
        return self._account.summarise(status)

    def close(self) -> None:
        """Stop the metrics server and an own monitor; harmless to repeat."""
        if self._parts.owns_monitor:
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
