"""RunTracker: tells everything in order, and a sink that fails harms nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from engine.config import RunConfig
from engine.recording.tracker import (
    MAX_BATCH,
    Point,
    RunCard,
    RunEnding,
    RunTracker,
    flatten_numbers,
    list_changes,
)

BuildConfig = Callable[..., RunConfig]
CARD = RunCard("mine", {"seed": "0"}, {})
ENDING = RunEnding("done", {"summary.steps": 9.0}, {}, None)


@dataclass
class ScriptedSink:
    """Keeps what it is told; fails where the script says so."""

    fails_in: str = ""
    gate: threading.Event = field(default_factory=threading.Event)
    card: RunCard | None = None
    batches: list[list[Point]] = field(default_factory=list)
    ending: RunEnding | None = None

    def open(self, card: RunCard) -> None:
        assert self.gate.wait(10)
        self._act("open")
        self.card = card

    def write(self, points: list[Point]) -> None:
        self._act("write")
        self.batches.append(points)

    def close(self, ending: RunEnding) -> None:
        self._act("close")
        self.ending = ending

    def _act(self, method: str) -> None:
        if method == self.fails_in:
            raise ConnectionError("nobody\nis there")


def test_everything_is_told_in_order_and_in_batches() -> None:
    sink = ScriptedSink()
    tracker = RunTracker(sink, CARD)
    tracker.start()
    for step in range(MAX_BATCH + 10):
        tracker.add(step, {"coherence": 0.5, "state": "nominal", "is_stale": True})
    sink.gate.set()
    assert tracker.finish(ENDING) is None
    assert sink.card is CARD
    assert sink.ending is ENDING
    points = [point for batch in sink.batches for point in batch]
    assert [point.step for point in points] == list(range(MAX_BATCH + 10))
    assert points[0].figures == {"coherence": 0.5}
    assert max(map(len, sink.batches)) <= MAX_BATCH


@pytest.mark.parametrize("method", ["open", "write", "close"])
def test_failure_is_told_once_and_in_one_line(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    failures: list[None] = []
    sink = ScriptedSink(fails_in=method)
    sink.gate.set()
    tracker = RunTracker(sink, CARD, lambda: failures.append(None))
    tracker.start()
    tracker.add(0, {"coherence": 0.5})
    sentence = tracker.finish(ENDING)
    assert sentence == "record.tracker failed (ConnectionError: nobody is there)"
    assert len(failures) == 1
    [record] = caplog.records
    assert record.getMessage() == f"{sentence}; the run goes on without it."
    tracker.add(1, {"coherence": 0.5})  # harmless from now on


def test_silent_sink_is_left_behind() -> None:
    sink = ScriptedSink()
    tracker = RunTracker(sink, CARD)
    tracker.start()
    sentence = tracker.finish(ENDING, wait_s=0.0)
    assert sentence == "record.tracker failed (TimeoutError: no answer within 0 s)"
    sink.gate.set()


def test_only_numbers_are_flattened() -> None:
    values = {"a": 1, "b": {"c": 0.5, "d": "text", "e": None}, "f": True, "g": (1, 2)}
    assert flatten_numbers(values, "s.") == {"s.a": 1.0, "s.b.c": 0.5}


def test_changes_are_what_differs_from_the_defaults(tmp_path: Path) -> None:
    assert list_changes(RunConfig()) == {"seed": "0"}
    base = RunConfig()
    config = replace(
        base,
        seed=7,
        tunnel=replace(base.tunnel, min_coherence=0.9),
        record=replace(base.record, folder=str(tmp_path)),
    )
    assert list_changes(config) == {"seed": "7", "tunnel.min_coherence": "0.9"}
