"""Who stops the workers of joblib, and when; the workers are real processes here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest

from experiments.sweep import joblib_tasks
from experiments.sweep.joblib_tasks import _Crew

PATIENT: Final = "import signal; signal.signal(signal.SIGTERM, lambda *_: None); "
"""Begins a process that SIGTERM does not end."""
JOBS: Final = [(0, ["seed=1"]), (1, ["seed=2"])]


class PretendedWorker:
    """A process that has a job until it ends; in place of one of joblib's."""

    def __init__(self, start: str, on_submit: Callable[[], None]) -> None:
        command = [sys.executable, "-c", f"{start}print(); input()"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self._processes = {self.process.pid: self.process}
        self._on_submit = on_submit

    def submit(self, *_: Any) -> PretendedWorker:
        self._on_submit()
        return self

    def result(self) -> None:
        self.process.wait()
        raise KeyboardInterrupt

    def shutdown(self, **_: Any) -> None:
        self.process.communicate()


@pytest.fixture
def hired() -> list[PretendedWorker]:
    return []


def build_crew(
    hired: list[PretendedWorker],
    monkeypatch: pytest.MonkeyPatch,
    on_submit: Callable[[], None],
    start: str = "",
) -> _Crew:
    crew = _Crew((None, None, None, None), JOBS)

    def hire() -> PretendedWorker:
        worker = PretendedWorker(start, on_submit)
        hired.append(worker)
        crew._workers.append(worker)
        return worker

    monkeypatch.setattr(crew, "_hire", hire)
    return crew


def ask(*kinds: signal.Signals) -> Callable[[], None]:
    def send() -> None:
        for kind in kinds:
            os.kill(os.getpid(), kind)

    return send


@pytest.mark.parametrize(
    "kinds",
    [
        (signal.SIGTERM,),
        (signal.SIGUSR1,),
        (signal.SIGINT,),
        # The warning of Slurm and, later, its SIGTERM.
        (signal.SIGUSR1, signal.SIGTERM, signal.SIGTERM),
    ],
)
def test_workers_are_asked_and_no_further_job_begins(
    kinds: tuple[signal.Signals, ...],
    hired: list[PretendedWorker],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crew = build_crew(hired, monkeypatch, ask(*kinds))
    with pytest.raises(KeyboardInterrupt):
        crew.run(1)
    [worker] = hired
    assert worker.process.returncode == -signal.SIGTERM
    assert [number for number, _ in crew._line] == [1]


def test_a_second_interrupt_kills_them(
    hired: list[PretendedWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    crew = build_crew(hired, monkeypatch, lambda: None, PATIENT)
    end_jobs = crew._end_jobs

    def end_and_press_again(*, is_late: bool) -> None:
        end_jobs(is_late=is_late)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(crew, "_end_jobs", end_and_press_again)
    crew._stop.set()
    crew._line.clear()
    worker = crew._hire()
    crew._work = worker.process.wait  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        crew.run(1)
    worker.shutdown()
    assert worker.process.returncode == -signal.SIGKILL


def test_jobs_that_do_not_end_are_killed_after_a_while(
    hired: list[PretendedWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joblib_tasks, "STOP_GRACE_S", 0.0)
    crew = build_crew(hired, monkeypatch, ask(signal.SIGTERM), PATIENT)
    with pytest.raises(KeyboardInterrupt):
        crew.run(1)
    assert hired[0].process.returncode == -signal.SIGKILL


def test_what_goes_wrong_meanwhile_begins_no_further_job(
    hired: list[PretendedWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    crew = build_crew(hired, monkeypatch, ask(signal.SIGTERM))

    def fail(*, is_late: bool) -> None:
        hired[0].process.kill()
        raise RuntimeError("something is broken")

    monkeypatch.setattr(crew, "_end_jobs", fail)
    with pytest.raises(RuntimeError, match="something is broken"):
        crew.run(1)
    assert crew._stop.is_set()
    assert len(hired) == 1
