"""A tracked run: what is told of it, and that a lost tracker costs only a note."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.config import RunConfig
from engine.errors import ConfigError
from engine.recording import RunRecorder, RunSummary, mlflow_sink
from engine.recording.lock import find_holder
from engine.recording.tracker import POINTS_PER_RUN, Point, RunCard, RunEnding
from engine.system import ScribbleSystem, tracking

BuildConfig = Callable[..., RunConfig]


class KeepingSink:
    """Keeps what one run tells."""

    def __init__(self) -> None:
        self.card: RunCard | None = None
        self.points: list[Point] = []
        self.ending: RunEnding | None = None
        self.files: set[str] = set()

    def open(self, card: RunCard) -> None:
        self.card = card

    def write(self, points: list[Point]) -> None:
        self.points += points

    def close(self, ending: RunEnding) -> None:
        self.ending = ending
        if ending.folder is not None:
            self.files = {path.name for path in ending.folder.iterdir()}


class LostSink(KeepingSink):
    def write(self, points: list[Point]) -> None:
        raise ConnectionError("the server has gone")


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> KeepingSink:
    return use_sink(monkeypatch, KeepingSink())


def use_sink(monkeypatch: pytest.MonkeyPatch, sink: KeepingSink) -> KeepingSink:
    monkeypatch.setattr(tracking, "require_mlflow", lambda: None)
    monkeypatch.setattr(tracking, "MlflowSink", lambda: sink)
    return sink


def test_run_is_told_from_start_to_end(
    sink: KeepingSink, build_config: BuildConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    config = build_config(
        seed=5, record={"folder": str(folder), "tracker": "mlflow"}, load={"level": 0.3}
    )
    with ScribbleSystem(config) as system:
        summary = system.run()
    assert sink.card is not None
    assert sink.card.name == "mine"
    assert sink.card.params["seed"] == "5"
    assert sink.card.params["load.level"] == "0.3"
    assert sink.card.tags["backend"] == "cpu"
    assert [point.step for point in sink.points] == [40, 80, 120, 160, 200]
    assert sink.points[-1].figures["coherence"] == summary.coherence["final"]
    assert sink.ending is not None
    assert sink.ending.status == "done"
    assert sink.ending.tags["state_digest"] == summary.state_digest
    assert sink.ending.figures["summary.steps"] == 200.0
    assert {"summary.json", "trace.parquet", "config.yaml"} <= sink.files
    assert summary.notes == ()


def test_lost_tracker_costs_a_warning_and_a_note(
    monkeypatch: pytest.MonkeyPatch,
    build_config: BuildConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    use_sink(monkeypatch, LostSink())
    folder = tmp_path / "mine"
    config = build_config(record={"folder": str(folder), "tracker": "mlflow"})
    with caplog.at_level(logging.WARNING, "engine"), ScribbleSystem(config) as system:
        summary = system.run()
        errors = system.metrics.registry.get_sample_value(
            "scribble_errors_total", {"kind": "tracker"}
        )
    assert errors == 1.0
    assert summary.status == "done"
    note = "record.tracker failed (ConnectionError: the server has gone)"
    assert summary.notes == (note,)
    written = json.loads((folder / "summary.json").read_text("utf-8"))
    assert written["notes"] == [note]
    assert len(caplog.records) == 1


def test_folder_is_taken_until_the_tracker_has_been_told(
    monkeypatch: pytest.MonkeyPatch, build_config: BuildConfig, tmp_path: Path
) -> None:
    """Another run in that folder would find its summary overwritten."""
    folder = tmp_path / "mine"
    holders: list[str | None] = []
    amend = RunRecorder.amend

    class LateSink(KeepingSink):
        def close(self, ending: RunEnding) -> None:
            holders.append(find_holder(folder))
            raise TimeoutError("no answer")

    def amend_held(recorder: RunRecorder, summary: RunSummary) -> None:
        holders.append(find_holder(folder))
        amend(recorder, summary)

    use_sink(monkeypatch, LateSink())
    monkeypatch.setattr(RunRecorder, "amend", amend_held)
    config = build_config(record={"folder": str(folder), "tracker": "mlflow"})
    with ScribbleSystem(config) as system:
        summary = system.run()
    assert summary.notes == ("record.tracker failed (TimeoutError: no answer)",)
    assert len(holders) == 2
    assert None not in holders
    assert find_holder(folder) is None


def test_failed_run_is_told_as_failed(
    sink: KeepingSink, build_config: BuildConfig
) -> None:
    config = build_config(record={"tracker": "mlflow"})

    def stumble(_: object) -> None:
        raise RuntimeError("stumbled")

    with ScribbleSystem(config) as system, pytest.raises(RuntimeError):
        system.run(stumble)
    assert sink.ending is not None
    assert sink.ending.status == "failed"
    assert sink.ending.folder is None


def test_long_runs_tell_about_as_many_points(build_config: BuildConfig) -> None:
    config = build_config(dynamics={"duration_s": 500.0})
    periods = config.dynamics.step_count / config.controller.period_steps
    told = periods / tracking.count_tracker_periods(config)
    assert 0.9 * POINTS_PER_RUN < told <= POINTS_PER_RUN
    assert tracking.count_tracker_periods(build_config()) == 1


def test_missing_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, build_config: BuildConfig
) -> None:
    monkeypatch.setattr(mlflow_sink.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError) as caught:
        ScribbleSystem(build_config(record={"tracker": "mlflow"}))
    assert "pip install 'scribble-engine[mlflow]'" in str(caught.value)


def test_unknown_tracker_is_refused(build_config: BuildConfig) -> None:
    with pytest.raises(ConfigError, match=r"record\.tracker is 'mflow'"):
        ScribbleSystem(build_config(record={"tracker": "mflow"}))
