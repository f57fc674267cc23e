"""INT, TERM, HUP and Slurm's USR1, alone and together, at any moment of a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engine.recording.checkpoint import list_checkpoints
from engine.recording.lock import find_holder
from engine.system import ScribbleSystem
from experiments import outcome
from experiments.cli import main
from experiments.overrides import compose_run_config
from tests.faults.harness import (
    ROOT,
    SETTINGS,
    Ledger,
    build_environment,
    preload,
    read_summary,
    start,
)

SMALL = ("lattice.shape=[16,16]", "backend=reference", *SETTINGS)
WORDS = (*SMALL, "dynamics.duration_s=1000")
SHORT = (
    *("run", "-q", "record.folder=cut", *SMALL),
    *("dynamics.duration_s=0.1", "record.checkpoint_every_s=0.05"),
)
"""400 steps, with a checkpoint at 200."""
GIVE_UP_S = 120.0
INT, TERM, HUP, USR1 = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1


def interrupt(folder: Path, kinds: Sequence[signal.Signals], *words: str) -> int:
    """Start, send signals once the run goes on, and return the steps it has done."""
    cut = folder / "cut"
    before = len(list(cut.glob("metrics.json")))
    process = start(folder, *words)
    deadline_s = time.monotonic() + GIVE_UP_S
    while len(list(cut.glob("metrics.json"))) == before or not list_checkpoints(cut):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    for kind in kinds:
        process.send_signal(kind)
    out, trouble = process.communicate(timeout=GIVE_UP_S)
    assert (process.returncode, trouble) == (130, "")
    assert "interrupted" in out
    summary = read_summary(cut)
    assert summary["status"] == "interrupted"
    assert int(list_checkpoints(cut)[0].stem) == summary["steps"]
    assert summary["state_digest"] == run_alone(summary["steps"])
    return int(summary["steps"])


def run_alone(steps: int) -> str:
    """Return the digest after some steps of the run that nobody disturbs."""
    config = compose_run_config(WORDS)
    with ScribbleSystem(config) as system:
        if steps:
            system.advance(steps * config.dynamics.dt_s)
        return system.state_digest()


def test_signals_leave_a_checkpoint(tmp_path: Path, ledger: Ledger) -> None:
    # The port file tells when the handlers are in place.
    begin = ("run", "-q", "record.folder=cut", "metrics=http", "metrics.port=0", *WORDS)
    words, last = begin, 0
    # Those that come together are taken in any order, and even within each other.
    for kinds in ([HUP], [INT], [TERM, USR1], [USR1, TERM, HUP, HUP]):
        step = interrupt(tmp_path, kinds, *words)
        assert step >= last
        words, last = ("resume", "-q", "cut"), step
        ledger.signals += len(kinds)


INTERRUPTED_HANDLER = """
import faulthandler, signal, sys
from engine.system import ScribbleSystem
from engine.system.signals import stop_on_signals
from experiments.overrides import compose_run_config

first, second = (signal.Signals[name] for name in sys.argv[1:3])
faulthandler.dump_traceback_later(60, exit=True)
system = ScribbleSystem(compose_run_config(sys.argv[3:]))
lines, place = 1, 0

def trace(frame, event, argument):
    global lines
    if event == "line" and frame.f_code.co_name != "<module>":
        lines += 1
        if lines == place:
            signal.raise_signal(second)
    return trace

while place < lines:
    lines, place = 0, place + 1
    with stop_on_signals(system.request_stop):
        sys.settrace(trace)
        signal.raise_signal(first)
        sys.settrace(None)
print(lines)
"""


@pytest.mark.parametrize(("first", "second"), [(TERM, USR1), (USR1, TERM), (HUP, INT)])
def test_a_signal_at_any_line_of_the_handler_of_another(
    first: signal.Signals, second: signal.Signals, ledger: Ledger
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_HANDLER, first.name, second.name, *WORDS],
        cwd=ROOT,
        env=build_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    line_count = int(done.stdout)
    assert line_count >= 3
    ledger.signals += 2 * line_count


def signal_at(
    monkeypatch: pytest.MonkeyPatch, name: str, kinds: list[signal.Signals]
) -> None:
    """Send signals once a file of that name is written and about to take its place."""
    replace = os.replace

    def replace_late(draft: Any, target: Any, **options: Any) -> None:
        if Path(target).name == name and Path(target).parent.exists():
            while kinds:
                signal.raise_signal(kinds.pop(0))
        replace(draft, target, **options)

    monkeypatch.setattr(os, "replace", replace_late)


def assert_whole(folder: Path) -> None:
    """Assert that a run is done as if nobody had disturbed it, and has let go."""
    summary = read_summary(folder)
    assert (summary["status"], summary["steps"]) == ("done", 400)
    assert summary["state_digest"] == run_alone(400)
    assert find_holder(folder) is None
    assert list_checkpoints(folder) == []


@pytest.mark.parametrize("name", ["timeseries.parquet", "summary.json"])
@pytest.mark.parametrize("kind", [TERM, USR1])
def test_complete_run_is_done_though_a_signal_comes(
    name: str,
    kind: signal.Signals,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ledger: Ledger,
) -> None:
    monkeypatch.chdir(tmp_path)
    kinds = [kind]
    signal_at(monkeypatch, name, kinds)
    assert main([*SHORT]) == outcome.DONE
    assert kinds == []
    assert_whole(tmp_path / "cut")
    ledger.signals += 1


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("000000000200.ckpt", [USR1]),
        ("000000000200.ckpt", [TERM, INT]),
        ("timeseries.parquet", [TERM, TERM]),
        ("summary.json", [INT, INT]),
    ],
)
def test_run_goes_on_after_signals_in_the_midst_of_writing(
    name: str,
    kinds: list[signal.Signals],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ledger: Ledger,
) -> None:
    monkeypatch.chdir(tmp_path)
    left = [*kinds]
    with monkeypatch.context() as cut:
        signal_at(cut, name, left)
        assert main([*SHORT]) == outcome.INTERRUPTED
    assert left == []
    assert find_holder(tmp_path / "cut") is None
    assert main(["resume", "-q", "cut"]) == outcome.DONE
    assert_whole(tmp_path / "cut")
    ledger.signals += len(kinds)


def test_handler_of_a_library_is_left_alone(tmp_path: Path, ledger: Ledger) -> None:
    environment = preload(Path(__file__).with_name("foreign_handler.c"), tmp_path)
    code = (
        "import signal, sys; assert signal.getsignal(signal.SIGUSR1) is None;"
        "from experiments.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *SHORT],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert_whole(tmp_path / "cut")
    ledger.signals += 1
