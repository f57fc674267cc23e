"""INT, TERM and Slurm's USR1: a checkpoint, a summary, exit code 130; then resumed."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from engine.recording.checkpoint import list_checkpoints
from engine.system import ScribbleSystem
from experiments.overrides import compose_run_config
from tests.faults.harness import SETTINGS, Ledger, read_summary, start

WORDS = (
    *("lattice.shape=[16,16]", "backend=reference", "dynamics.duration_s=1000"),
    *SETTINGS,
)
GIVE_UP_S = 120.0


def interrupt(folder: Path, kind: signal.Signals, *words: str) -> int:
    """Start, send a signal once the run goes on, and return the steps it has done."""
    cut = folder / "cut"
    before = len(list(cut.glob("metrics.json")))
    process = start(folder, *words)
    deadline_s = time.monotonic() + GIVE_UP_S
    while len(list(cut.glob("metrics.json"))) == before or not list_checkpoints(cut):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
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
    for kind in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
        step = interrupt(tmp_path, kind, *words)
        assert step >= last
        words, last = ("resume", "-q", "cut"), step
        ledger.signals += 1
