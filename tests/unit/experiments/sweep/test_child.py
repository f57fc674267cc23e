"""What a signal does to a job: before it runs, while it runs, and at its very end."""

from __future__ import annotations

import io
import json
import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from engine.config import RunConfig
from experiments.run import to_plain
from experiments.sweep import child
from experiments.sweep.child import JobInterrupt

STOPPING = pytest.mark.parametrize(
    "kind", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
)


def run_main(monkeypatch: pytest.MonkeyPatch, run: Any) -> dict[str, Any]:
    """Run the whole of a job but for its run; return its last word."""
    receiver, sender = os.pipe()
    order = {
        "config": to_plain(RunConfig()),
        "memory_bytes": None,
        "parent": os.getppid(),
        "report_fd": sender,
    }
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(order)))
    for name in ("end_with_parent", "volunteer_for_memory"):
        monkeypatch.setattr(child, name, lambda *_: None)
    monkeypatch.setattr(child, "go_on_or_begin", run)
    child.main()
    with os.fdopen(receiver, encoding="utf-8") as stream:
        told: dict[str, Any] = json.load(stream)
    return told


@STOPPING
def test_a_running_job_is_asked_however_often(
    kind: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def run(*_: Any, on_built: Any, **__: Any) -> tuple[str, str]:
        on_built(SimpleNamespace(request_stop=lambda: asked.append(1)))
        for _ in range(3):
            signal.raise_signal(kind)
        return "interrupted", ""

    told = run_main(monkeypatch, run)
    assert (told["status"], told["exit_code"]) == ("interrupted", 130)
    assert len(asked) == 3


@STOPPING
def test_a_job_that_is_done_stays_so_whatever_comes_before_its_last_word(
    kind: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any, on_built: Any, **__: Any) -> tuple[str, str]:
        on_built(SimpleNamespace(request_stop=lambda: None))
        return "done", "it began anew"

    monkeypatch.setattr(child, "read_peak_memory", lambda: signal.raise_signal(kind))
    told = run_main(monkeypatch, run)
    assert (told["status"], told["exit_code"]) == ("done", 0)
    assert told["message"] == "it began anew"


@STOPPING
def test_a_job_that_is_being_built_ends(
    kind: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: Any, **__: Any) -> None:
        signal.raise_signal(kind)

    # Another one comes while its end is told.
    monkeypatch.setattr(child, "read_peak_memory", lambda: signal.raise_signal(kind))
    told = run_main(monkeypatch, build)
    assert (told["status"], told["exit_code"]) == ("interrupted", 130)


def test_an_interrupt_that_compiled_code_loses_ends_the_job() -> None:
    stop = JobInterrupt()

    def lose(*_: Any, **__: Any) -> None:
        with pytest.raises(KeyboardInterrupt):
            stop(signal.SIGTERM, None)
        raise RuntimeError("no compiled object yet")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(child, "go_on_or_begin", lose)
        order = {"config": to_plain(RunConfig())}
        assert child.run_order(order, stop)["status"] == "interrupted"
