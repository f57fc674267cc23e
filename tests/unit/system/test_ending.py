"""Whatever fails in the ending of a run: all is closed, and a summary tells why."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from engine.config import RunConfig
from engine.observation import Observer
from engine.recording.checkpoint import list_checkpoints
from engine.recording.lock import find_holder
from engine.recording.tables import TableWriter
from engine.recording.tracker import RunEnding
from engine.system import Progress, ScribbleSystem, tracking
from engine.system.account import Account
from engine.system.keeper import Keeper
from tests.faults.harness import read_summary

BuildConfig = Callable[..., RunConfig]
PLACES = {
    "digest": (Account, "digest"),
    "figures": (Account, "_compare_forecast"),
    "notes": (Keeper, "notes"),
    "observation": (Observer, "close"),
    "tables": (TableWriter, "_flush"),
}
"""What fails, each for the first time in the ending."""
IN_A_DONE_RUN = [place for place in PLACES if place != "notes"]
"""The notes of a run that is done take nothing that could fail."""


class QuietSink:
    """A tracker that tells nobody, and remembers how the run ended."""

    def __init__(self) -> None:
        self.ending: RunEnding | None = None

    def open(self, card: object) -> None:
        pass

    def write(self, points: object) -> None:
        pass

    def close(self, ending: RunEnding) -> None:
        self.ending = ending


@pytest.fixture
def config(build_config: BuildConfig, tmp_path: Path) -> RunConfig:
    """A run that has everything open that a run can open."""
    return build_config(
        record={"folder": str(tmp_path / "run"), "tracker": "mlflow"},
        metrics={"http": True, "port": 0},
        observe={"snapshot_every_s": 0.02},
    )


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> QuietSink:
    quiet = QuietSink()
    monkeypatch.setattr(tracking, "require_mlflow", lambda: None)
    monkeypatch.setattr(tracking, "MlflowSink", lambda: quiet)
    return quiet


def fail_once(monkeypatch: pytest.MonkeyPatch, place: str, error: type) -> None:
    """Let a method fail the next time that it is called."""
    kind, name = PLACES[place]
    sound = getattr(kind, name)

    def fail(*_: Any) -> None:
        monkeypatch.setattr(kind, name, sound)
        raise error("on purpose")

    is_property = isinstance(sound, property)
    monkeypatch.setattr(kind, name, property(fail) if is_property else fail)


def fail_at_the_end(
    monkeypatch: pytest.MonkeyPatch, place: str, error: type
) -> Callable[[Progress], None]:
    """Return what makes a method fail after the last control period."""

    def look(progress: Progress) -> None:
        if progress.step == progress.step_count:
            fail_once(monkeypatch, place, error)

    return look


def assert_closed(folder: Path) -> None:
    assert find_holder(folder) is None
    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"scribble-metrics", "scribble-tracker"}
    for path in folder.glob("*.parquet"):
        parquet.read_table(path)


@pytest.mark.parametrize("place", IN_A_DONE_RUN)
def test_complete_run_whose_ending_fails(
    place: str,
    config: RunConfig,
    sink: QuietSink,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    with ScribbleSystem(config) as system:
        with pytest.raises(MemoryError, match="on purpose"):
            system.run(fail_at_the_end(monkeypatch, place, MemoryError))
        digest = system.state_digest()
        assert_closed(folder)
    summary = read_summary(folder)
    assert (summary["status"], summary["steps"]) == ("failed", system.step)
    assert "MemoryError: on purpose" in summary["notes"]
    assert sink.ending is not None
    assert sink.ending.status == "failed"
    assert list_checkpoints(folder)
    with ScribbleSystem.resume(folder) as system:
        assert system.run().state_digest == digest
    assert read_summary(folder)["status"] == "done"


@pytest.mark.parametrize("place", PLACES)
def test_first_error_is_the_one_that_is_raised(
    place: str,
    config: RunConfig,
    sink: QuietSink,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def stumble(_: object) -> None:
        # The checkpoint that saves the last step writes tables as well.
        if place == "tables":
            monkeypatch.setattr(Keeper, "rescue", lambda *_, **__: None)
        fail_once(monkeypatch, place, MemoryError)
        raise ArithmeticError("the first")

    with ScribbleSystem(config) as system:
        with pytest.raises(ArithmeticError, match="the first"):
            system.run(stumble)
        assert_closed(tmp_path / "run")
    summary = read_summary(tmp_path / "run")
    assert summary["status"] == "failed"
    notes = " ".join(summary["notes"])
    assert "ArithmeticError: the first" in notes
    assert "MemoryError: on purpose" in notes
    assert sink.ending is not None


@pytest.mark.parametrize("place", IN_A_DONE_RUN)
def test_second_signal_in_the_ending_leaves_nothing_open(
    place: str,
    config: RunConfig,
    sink: QuietSink,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    with ScribbleSystem(config) as system:
        with pytest.raises(KeyboardInterrupt):
            system.run(fail_at_the_end(monkeypatch, place, KeyboardInterrupt))
        for thread in threading.enumerate():
            if thread.name == "scribble-tracker":
                thread.join(60.0)
        assert_closed(tmp_path / "run")
    with ScribbleSystem.resume(tmp_path / "run") as system:
        assert system.run().status == "done"
