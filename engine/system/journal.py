"""The journal of a run: what it tells its folder, Prometheus and a tracker."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.backends.protocol import PeriodResult
from engine.config import RunConfig
from engine.errors import WriteError
from engine.recording import (
    EndpointRecord,
    MetricsEncoder,
    RunRecorder,
    RunSummary,
    describe_environment,
)
from engine.recording.folder import TIMESERIES_FILE
from engine.recording.parts import Marks
from engine.recording.recorder import Resumed, to_failed
from engine.recording.trace import TRACE_FILE
from engine.recording.tracker import RunTracker
from engine.state import State
from engine.system.account import Account
from engine.system.parts import Parts
from engine.system.tracking import (
    build_tracker,
    count_tracker_periods,
    describe_ending,
)
from engine.system.vitals import TRACKER, Vitals
from engine.tunnel import Decision

logger = logging.getLogger(__name__)


class Journal:
    """Opened by a run, written once per decision and control period, closed by it."""

    def __init__(self, config: RunConfig, parts: Parts, account: Account) -> None:
        """Let the metrics read what they are asked for; nothing is opened.

        Args:
            config: The run.
            parts: What it is made of.
            account: Its figures so far.
        """
        self._config, self._parts, self._account = config, parts, account
        self.vitals = Vitals(config, parts, account)
        """What operators are told when they ask."""
        parts.metrics.read_from(self.vitals.read)
        self._encoder = MetricsEncoder()
        self._recorder: RunRecorder | None = None
        self._marks: dict[str, Marks] | None = None
        self._tracker: RunTracker | None = None
        self._tracker_periods = count_tracker_periods(config)

    @property
    def is_recording(self) -> bool:
        """Whether a run folder is open."""
        return self._recorder is not None

    def to_state(self) -> State:
        """Return what was counted, once all rows so far are safe on the disk.

        Raises:
            RecordError: The disk takes no more.
        """
        recorder, step = self._recorder, self._account.step
        marks = recorder.seal(step) if recorder is not None else None
        return {
            "marks": marks,
            "vitals": self.vitals.to_state(),
            "sample": self._encoder.to_state(),
        }

    def drop_parts(self, kept: Collection[int]) -> None:
        """Remove rows on the disk that are kept in another place.

        Args:
            kept: Steps of the checkpoints that are kept.
        """
        if self._recorder is not None:
            self._recorder.drop_parts(kept)

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on counting; the next `open` goes on in the folder of the run.

        Raises:
            CheckpointError: It is not one of a journal.
        """
        self._marks = state["marks"]
        self.vitals.from_state(state["vitals"])
        self._encoder.from_state(state["sample"])
        metrics, account = self._parts.metrics, self._account
        metrics.successful_tunnels.inc(account.successes)
        metrics.failed_tunnels.inc(account.attempts - account.successes)

    def go_on_from_start(self) -> None:
        """Let the next `open` begin again in the folder of the run."""
        self._marks = {TIMESERIES_FILE: [], TRACE_FILE: []}

    def open(self, checkpoint: Path | None = None) -> None:
        """Serve the metrics, make the run folder and start the tracker, where asked.

        Args:
            checkpoint: File that the run goes on from, in the folder it has made.

        Raises:
            ConfigError: The metrics port cannot be bound.
            RecordError: The run folder cannot be written.
            CheckpointError: Another process has gone on from there meanwhile.
        """
        port, record = self._serve_metrics(), self._config.record
        if record.folder is None and record.tracker is None:
            return
        backend = self._parts.backend
        environment = describe_environment(backend.name, backend.device)
        environment["metrics_port"] = port
        if record.folder is not None:
            resumed = None
            if checkpoint is not None and self._marks is not None:
                resumed = Resumed(checkpoint, self._marks)
            recorder = RunRecorder(self._config, record.folder, environment, resumed)
            self._recorder = recorder
            if port is not None:
                address = self._config.metrics.address
                recorder.announce(EndpointRecord.of_this_process(address, port))
        self._tracker = build_tracker(self._config, environment, self._count_failure)
        if self._tracker is not None:
            self._tracker.start()

    def _serve_metrics(self) -> int | None:
        """Serve the metrics if the configuration asks for it; return the port."""
        metrics = self._config.metrics
        if not metrics.http:
            return None
        port = self._parts.metrics.serve(metrics)
        logger.info("metrics on %s:%d", metrics.address, port)
        return port

    def _count_failure(self) -> None:
        self.vitals.errors[TRACKER] += 1

    def write_decision(self, decision: Decision) -> None:
        """Write what a decision rested on, and the decision, into the trace."""
        if self._recorder is None:
            return
        parts, seen = self._parts, self._parts.monitor.metrics
        row = {
            "simulated_s": self._account.simulated_s,
            "coherence": self._account.coherence,
            "availability": seen.availability,
            "limiting_resource": seen.limiting_resource,
            "tunnel_frequency_hz": seen.tunnel_frequency,
            "age_s": seen.age_s,
            "is_stale": seen.is_stale,
            "sensor_flaw": seen.flaw or None,
            "node_step_s": parts.cost.node_step_s,
            "event_s": parts.cost.event_s,
            "frequency_hz": decision.frequency_hz,
            "offered_hz": decision.offered_hz,
            "required_hz": decision.required_hz,
            "margin": decision.margin,
            "state": decision.state,
            "metrics": self._encoder.encode(seen),
        }
        if parts.pilot is not None:
            row |= parts.pilot.to_trace()
        if parts.mesh is not None:
            row |= parts.mesh.to_trace()
        self._recorder.trace.add(row)

    def write_period(
        self,
        decision: Decision,
        result: PeriodResult,
        attempts: int,
        others: Mapping[str, Any],
    ) -> None:
        """Tell Prometheus, the time series and the tracker of a control period.

        Args:
            decision: What held in it.
            result: What it cost and did.
            attempts: Tunnel attempts in it.
            others: Columns that others add to the time series.
        """
        self._set_metrics(result, attempts)
        account, recorder, tracker = self._account, self._recorder, self._tracker
        is_recorded = account.periods % self._config.record.every_periods == 0
        is_tracked = account.periods % self._tracker_periods == 0
        if recorder is not None and is_recorded:
            row = account.to_series_row(decision, result)
            recorder.timeseries.add({**row, **others})
        if tracker is not None and is_tracked:
            row = account.to_series_row(decision, result)
            tracker.add(account.step, {**row, **others})

    def _set_metrics(self, result: PeriodResult, attempts: int) -> None:
        account, metrics = self._account, self._parts.metrics
        availability = self._parts.monitor.metrics.availability
        metrics.successful_tunnels.inc(result.successes)
        metrics.failed_tunnels.inc(attempts - result.successes)
        metrics.average_frequency.set(account.average_frequency_hz)
        metrics.resource_utilization.observe(1.0 - availability)
        metrics.coherence.set(account.coherence)
        metrics.availability.set(availability)
        metrics.step_time.set(account.wall_s / account.step)

    def close(self, summary: RunSummary) -> RunSummary:
        """Close what was opened, and free the folder once all is told.

        Args:
            summary: How the run ended.

        Returns:
            The summary, with a note if the tracker was lost.

        Raises:
            WriteError: The disk takes no more, and nothing else has ended the run.
        """
        is_told, recorder = summary.status == "failed", self._recorder
        failure: Exception | None = None
        try:
            try:
                self._parts.observer.close()
            except Exception as error:  # noqa: BLE001 - the summary shall tell it
                folder = recorder.folder if recorder is not None else None
                failure, summary = error, to_failed(summary, error, folder)
            if recorder is not None:
                summary, trouble = _finish(recorder, summary)
                failure = failure or trouble
            self._parts.metrics.close()
            summary = self._end_tracking(summary)
        finally:
            self.release()
        if failure is not None and not is_told:
            raise failure
        return summary

    def _end_tracking(self, summary: RunSummary) -> RunSummary:
        """Tell the tracker how the run ended; note it if that failed."""
        tracker, self._tracker = self._tracker, None
        if tracker is None:
            return summary
        failure = tracker.finish(describe_ending(summary))
        if failure is None:
            return summary
        summary = replace(summary, notes=(*summary.notes, failure))
        if self._recorder is not None:
            self._recorder.amend(summary)
        return summary

    def release(self) -> None:
        """Close what is open still, and let others have the folder.

        Harmless after `close`; without it the run has no summary.
        """
        recorder, self._recorder = self._recorder, None
        tracker, self._tracker = self._tracker, None
        with ExitStack() as ends:  # each of them, whatever the one before it raises
            if recorder is not None:
                ends.callback(recorder.release)
            if tracker is not None:
                ends.callback(tracker.give_up)
            ends.callback(self._parts.metrics.close)
            ends.callback(self._parts.observer.close)


def _finish(
    recorder: RunRecorder, summary: RunSummary
) -> tuple[RunSummary, Exception | None]:
    """Write the last of a run folder; return the summary, and what went wrong."""
    try:
        recorder.finish(summary)
    except WriteError as error:  # the summary on the disk tells it, if there is one
        return to_failed(summary, error, recorder.folder), error
    except Exception as error:  # noqa: BLE001 - the summary shall tell it
        summary = to_failed(summary, error, recorder.folder)
        recorder.amend(summary)
        return summary, error
    return summary, None
