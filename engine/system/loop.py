"""ScribbleSystem: the loop and nothing else.

A control period is: decide the frequency, plan the windows, run the steps on the
back end, measure the coherence, record.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from engine.backends.protocol import TABLEAUS, PeriodResult
from engine.config import BackendConfig, LoadConfig, RunConfig
from engine.config.checks import MAX_RATE
from engine.errors import ClosedError, ConfigError, DeviceError
from engine.monitor import ResourceMonitor, SyntheticSource
from engine.recording import RunSummary
from engine.recording.checkpoint import Checkpoint
from engine.system.account import Account, Progress
from engine.system.disturbance import Disturbance
from engine.system.ending import Ending
from engine.system.guards import check_arrays, check_counters, check_velocities
from engine.system.journal import Journal
from engine.system.keeper import Keeper
from engine.system.parts import build_parts, describe_parts
from engine.system.resumption import build_config, find_checkpoint
from engine.system.rewiring import REWIRED, Rewirer
from engine.system.signals import stop_on_signals
from engine.tunnel import Decision
from engine.wanda import RETIRED_SHARE, PathReport

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
        self,
        config: RunConfig | None = None,
        *,
        monitor: ResourceMonitor | None = None,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        """Check the configuration and build everything; nothing is written.

        Args:
            config: The run; the default run if absent.
            monitor: Telemetry to use instead of what `config.load` asks for.
            checkpoint: Where to go on from; `resume` finds it.

        Raises:
            ConfigError: The configuration is invalid, or the metrics port is taken.
            BackendUnavailableError: CUDA is asked for and cannot be used.
            ResourceError: The run does not fit into memory.
            RecordError: An input cannot be read, or the run folder is taken.
            ShapeError: An input does not fit the lattice.
            CheckpointError: The checkpoint does not fit the run.
        """
        self.config = config or RunConfig()
        self.config.validate()
        self._disturbance = Disturbance(self.config.load)
        is_resumed = checkpoint is not None
        self._parts = parts = build_parts(self.config, monitor, is_resumed=is_resumed)
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
        self._journal = Journal(self.config, parts, self._account)
        self._rewirer = Rewirer(self.config, self.network, self.lattice)
        self._is_closed = False
        self._keeper = Keeper(
            self.config,
            parts,
            self._account,
            self._journal,
            self._rewirer,
            disturbance=self._disturbance,
        )
        self._course = self._keeper.course
        self._checkpoint = checkpoint
        self._ending = Ending(self._account, self._journal, self._keeper, self._rewirer)
        self._is_between = True
        self._is_stopping = False
        if checkpoint is not None:
            self._restore(checkpoint)

    def _restore(self, checkpoint: Checkpoint) -> None:
        try:
            self._keeper.restore(checkpoint)
        except BaseException:
            self.close()
            raise

    @classmethod
    def resume(
        cls,
        folder: str | Path,
        *,
        backend: BackendConfig | None = None,
        monitor: ResourceMonitor | None = None,
    ) -> Self:
        """Build the system that stands where the newest whole checkpoint was written.

        `run` then goes on with the run that was cut off, in the same folder. Under the
        same trace it ends with the digest of the run that was never cut off.

        Args:
            folder: Run folder, or one that `write_checkpoint` was given.
            backend: What to compute on instead; cpu and cuda go on from each other.
            monitor: Telemetry to use instead of what `config.load` asks for.

        Raises:
            CheckpointError: There is no checkpoint to go on from; says why.
            RecordError: Another run writes there.
            BackendUnavailableError: CUDA is asked for and cannot be used.
            ResourceError: The run does not fit into memory.

        Example:
            >>> import tempfile
            >>> from engine.config import DynamicsConfig, LatticeConfig, LoadConfig
            >>> small, steady = LatticeConfig(shape=(16, 16)), LoadConfig("synthetic")
            >>> config = RunConfig(lattice=small, load=steady)
            >>> with tempfile.TemporaryDirectory() as name:
            ...     with ScribbleSystem(config) as first:
            ...         first.advance(0.1)
            ...         file = first.write_checkpoint(name)
            ...         first.advance(0.1)
            ...     with ScribbleSystem.resume(name) as second:
            ...         second.advance(0.1)
            >>> first.state_digest() == second.state_digest()
            True
        """
        found = find_checkpoint(Path(folder))
        config = build_config(found, Path(folder), backend)
        return cls(config, monitor=monitor, checkpoint=found)

    def write_checkpoint(self, folder: str | Path | None = None) -> Path:
        """Write all that is needed to go on from here; `resume` reads it.

        To be called between control periods: from `on_progress`, or while nothing runs.

        Args:
            folder: Where to; that of the run that is being recorded if absent.

        Returns:
            The file.

        Raises:
            ConfigError: No folder is named and no run is recorded, or another one.
            WriteError: The disk takes no more.
        """
        return self._keeper.write(folder)

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
        """Attempts per bridge and simulated second, error windows left out [Hz]."""
        return self._account.average_frequency_hz

    def request_stop(self) -> None:
        """Ask the loop to stop after the control period in progress.

        Safe from other threads and from handlers of signals: it takes no lock.
        """
        self._is_stopping = True

    def run(self, on_progress: Callable[[Progress], None] | None = None) -> RunSummary:
        """Run the configured time, recording if a folder is configured.

        SIGINT, SIGTERM, SIGHUP and SIGUSR1 end the control period in progress and then
        the run, with its summary written, unless they are ignored; a run that is
        complete when they come is done. A second SIGINT or SIGTERM acts as usual.
        Pinning bridges by hand, or steps run before, are not in the trace; the summary
        then notes that the run cannot be replayed.

        Args:
            on_progress: Called after every control period.

        Returns:
            The summary, with status done or interrupted.

        Raises:
            NumericalError: A counter or a velocity leaves what can be computed with.
            RecordError: The run folder cannot be written.
            WriteError: It takes no more; checkpoints before that stay whole.
            ConfigError: The metrics port cannot be bound.
            ResourceError: A worker of a real load does not start.
            BackendUnavailableError: A real load asks for a GPU and none can be used.
            ClosedError: The system has been closed.
        """
        self._check_open()
        self._disturbance.prepare(goes_on=self._course.last_step is not None)
        with stop_on_signals(self.request_stop):
            try:
                return self._run_to_end(on_progress)
            finally:
                self._journal.release()
                self._is_stopping = False

    def _run_to_end(self, on_progress: Callable[[Progress], None] | None) -> RunSummary:
        """Run, and write down how it ended, however it ends."""
        status = "failed"
        notes: tuple[str, ...] = ()
        try:
            with self._disturbance:
                self._run_recorded(on_progress)
            status = "done" if self._is_complete else self._status()
            if status != "done" and self._account.windows.has_begun:
                notes = ("not replayable: it was stopped in its error windows",)
        except BaseException as error:
            notes = (f"{type(error).__name__}: {error}",)
            # A GPU that has failed can give nothing of what it holds.
            self._account.is_state_lost = isinstance(error, DeviceError)
            is_whole = self._is_between and not self._account.is_state_lost
            self._keeper.rescue(error, is_between=is_whole)
            raise
        finally:
            summary = self._ending.close(status, notes, self._disturbance)
        return summary

    @property
    def _is_complete(self) -> bool:
        """Whether the run has come to its last step, error windows and all."""
        account, last_step = self._account, self._course.last_step
        has_windows = len(self.network) and not account.has_pins
        ahead = account.windows.step_count if has_windows else 0
        return last_step is not None and self.step >= last_step + ahead

    def _run_recorded(self, on_progress: Callable[[Progress], None] | None) -> None:
        """Begin the run, or go on with one that was cut off, and bring it to an end."""
        account, course = self._account, self._course
        checkpoint, self._checkpoint = self._checkpoint, None
        self._journal.open(checkpoint.path if checkpoint else None)
        self._keeper.begin(is_resumed=checkpoint is not None)
        windows = account.windows if len(self.network) else None
        ahead = windows.step_count if windows else 0
        last_step = course.last_step
        if last_step is None:
            course.last_step = last_step = self._begin_course()
            self.observer.begin(self.step, last_step, self.coherence)
        else:
            self.observer.reopen()
        self._run_until(last_step, on_progress, ahead)
        if self._is_stopping and not self._is_complete:
            self._keeper.write_last()
        self._is_between = False
        self.observer.finish()
        self._is_between = True
        if ahead:
            self._run_windows(on_progress)

    def _begin_course(self) -> int:
        """Return the last step of a run that begins; note what was before it."""
        if self.step:
            self._course.notes = [
                f"not replayable: {self.step} steps were run before the recording"
            ]
        return self.step + self.config.dynamics.step_count

    def _run_windows(self, on_progress: Callable[[Progress], None] | None) -> None:
        """Let two frequencies take turns, to measure the distance they leave."""
        account, windows = self._account, self._account.windows
        if account.has_pins:
            windows.refusal = "bridges were pinned, so no window sets their frequency"
            return
        with closing(windows.open_in_turn(account.settled_hz)) as turns:
            for frequency_hz in turns:
                self.controller.hold(frequency_hz)
                last_step = self.step + windows.steps_left
                self._run_until(last_step, on_progress, windows.steps_after)
                if self._is_stopping and not self._is_complete:
                    self._keeper.write_last()
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
            NumericalError: A counter or a velocity leaves what can be computed with.
            ClosedError: The system has been closed.
        """
        self._check_open()
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
            strength_rad_s: New kappa [rad/s] in place of bridges.strength_rad_s, and
                of its sign; bridges of various strengths keep their proportions.

        Raises:
            ConfigError: It is 0 or too large, has the other sign, or the configured
                strength is 0.
        """
        configured = self.config.bridges.strength_rad_s
        if not 0.0 < strength_rad_s * math.copysign(1.0, configured) <= MAX_RATE:
            raise ConfigError(
                f"bridges.strength_rad_s would become {strength_rad_s:g} rad/s from "
                f"{configured:g}; strengths are scaled while the network lives, so it "
                f"must keep its sign, not be 0 and be at most {MAX_RATE:g} in size."
            )
        if not configured:
            raise ConfigError(
                "bridges.strength_rad_s is 0, which cannot be scaled to another "
                "strength; build the network with one that is not 0."
            )
        self.network.scale_strengths(strength_rad_s / configured)
        self._account_for("the bridges' strength was changed")

    def adjust_detunings(self, detunings_hz: npt.NDArray[np.floating]) -> None:
        """Change the natural frequencies of the living lattice.

        Stored bridges keep the success law that they were built with; that of
        procedural ones follows the detunings.

        Args:
            detunings_hz: Natural minus resonance frequency [Hz], shape (nodes,).

        Raises:
            ShapeError: They do not fit the lattice.
            ConfigError: The time step is too long for them.
        """
        self.lattice.adjust_detunings(detunings_hz)
        self.network.notice_detunings()
        self._account_for("the natural frequencies were changed")

    def optimize_paths(
        self, *, share: float = RETIRED_SHARE, is_user_given_allowed: bool = False
    ) -> PathReport:
        """Move bridges of the living network to where they gain most coherence.

        Counts, strengths, rungs and counters are kept. To be called between two control
        periods, as `on_progress` is.

        Args:
            share: Share of the bridges of each layer that compete for their places [-],
                those of least worth first, in (0, 1].
            is_user_given_allowed: Whether the edge list of bridges=file may be changed.

        Returns:
            J and r before and after, and how many bridges were retired and grown.

        Raises:
            ConfigError: The bridges cannot be moved, repel or are directed, or the
                share is out of range.
        """
        self._apply_pins()
        report = self._rewirer.rewire(
            self.step, share=share, is_user_given_allowed=is_user_given_allowed
        )
        if report.retired:
            self._account_for("bridges were rewired")
        return report

    def _apply_pins(self) -> None:
        """Move bridges that were pinned since the last control period."""
        if self.network.apply_requests():
            self._course.note_deed("bridges were pinned")

    def _account_for(self, deed: str) -> None:
        """Remember what was done beside the configuration."""
        self._course.note_deed(deed)
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
            ClosedError: The system has been closed.
        """
        self._check_open()
        load = LoadConfig(kind="synthetic", level=level)
        load.validate()
        before = self.monitor.use_source(SyntheticSource(load))
        try:
            self.advance(duration_s)
        finally:
            self.monitor.use_source(before)
        status = self._status()
        self._is_stopping = False
        return self.summarise(status)

    def _status(self) -> str:
        return "interrupted" if self._is_stopping else "done"

    def _run_until(
        self,
        last_step: int,
        on_progress: Callable[[Progress], None] | None,
        steps_ahead: int = 0,
    ) -> None:
        """Run to a step; the run is known to go on for some steps after it."""
        account, dt_s = self._account, self.config.dynamics.dt_s
        check_arrays(self.lattice, self.network, dt_s)
        started_s = time.perf_counter() - account.wall_s
        while self.step < last_step and not self._is_stopping:
            decision, result, attempts = self._advance_period(last_step - self.step)
            before_s = time.perf_counter()
            account.wall_s = before_s - started_s
            self._journal.vitals.note(decision, last_step + steps_ahead)
            load = self._disturbance.to_series_row()
            self._journal.write_period(decision, result, attempts, load)
            self.observer.observe(self.step, self.coherence)
            self._is_between = True
            if on_progress is not None:
                on_progress(account.report(decision, last_step + steps_ahead))
            self._keeper.write_if_due()
            account.stages.record += time.perf_counter() - before_s
            account.wall_s = time.perf_counter() - started_s
        check_velocities(self.lattice, dt_s)

    def _advance_period(self, steps_left: int) -> tuple[Decision, PeriodResult, int]:
        """Decide, plan, run and measure one control period."""
        account, parts = self._account, self._parts
        started_s = time.perf_counter()
        self._is_between = False
        self._apply_pins()
        if self.lattice.follow_drift(account.simulated_s):
            self.network.notice_detunings()
        if self._rewirer.is_due(self.step) and not account.windows.is_open:
            report = self._rewirer.rewire(self.step, share=RETIRED_SHARE)
            if report.retired and parts.outlook is not None:
                parts.outlook.withdraw(REWIRED)
        decision = self._decide()
        if parts.mesh is not None and not account.windows.is_open:
            parts.mesh.pass_period(self.monitor.metrics, decision.frequency_hz)
        self._journal.write_decision(decision)
        decided_s = time.perf_counter()
        steps = min(self.config.controller.period_steps, steps_left)
        check_counters(self.lattice, self.step, steps)
        if account.periods % TOPOLOGY_PERIODS == 0:
            check_velocities(self.lattice, self.schedule.dt_s)
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
        account.sensor.add(self.monitor.metrics)
        if parts.pilot is not None:
            decision = parts.pilot.steer(decision)
        self.monitor.resonance_frequency = self.lattice.resonance_frequency
        idle_cores = self.monitor.cores.idle_cores
        if idle_cores is not None and self.monitor.source.is_live:
            self.backend.share_cores(idle_cores)
        return decision

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
        return self._ending.summarise(status)

    def close(self) -> None:
        """Stop the metrics server and an own monitor; harmless to repeat.

        Without a monitor nothing can be decided, so a closed system runs no more; what
        it has come to can still be read.
        """
        self._is_closed = True
        if self._parts.owns_monitor:
            self.monitor.close()
        self.metrics.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedError(
                "The system has been closed, and its monitor with it, so it cannot run "
                "on; run it before close() or inside its with block, or build another "
                "ScribbleSystem."
            )

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
