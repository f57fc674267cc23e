"""How a job's process ended, in words."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from engine.config import (
    BackendConfig,
    DynamicsConfig,
    LatticeConfig,
    LoadConfig,
    RecordConfig,
    RunConfig,
)
from engine.recording.checkpoint import list_checkpoints
from experiments import outcome
from experiments.run import to_plain
from experiments.sweep import child, process
from experiments.sweep.process import JobEnd, JobOrder, conclude, count_memory_kills
from experiments.sweep.stops import collect_stops

GIB = 2**30
STARVED: Final = """
import numpy as np
from scipy.linalg.blas import dgemm
from experiments.sweep import child
square, product = np.ones((64, 64)), np.empty((64, 64), order="F")
child.take_work_buffers()
child.limit_memory(2**20)
np.matmul(square, square, out=product)
dgemm(1.0, square.T, square.T, c=product, overwrite_c=True)
"""
"""Two products in a process that gets no more memory."""


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (JobEnd(None, -9, GIB), "signal 9 (SIGKILL), perhaps by the out-of-memory"),
        (JobEnd(None, -9, GIB, True), "while its control group ran out of memory"),
        (JobEnd(None, -9, GIB), "it held 1 GiB at most"),
        (JobEnd(None, -11, GIB), "killed by signal 11 (SIGSEGV); it held"),
        (JobEnd(None, -40, GIB), "killed by signal 40 (real-time)"),
        (
            JobEnd(None, -6, GIB, limit_bytes=GIB // 2),
            "(SIGABRT); it held 1 GiB at most and --job-memory lets it have 512 MiB",
        ),
        (
            JobEnd(None, 1, GIB, limit_bytes=GIB),
            "job.log: not good (--job-memory lets it have 1 GiB)",
        ),
        (JobEnd(None, 3, GIB), "exit code 3 and no word; the last line of job.log: no"),
    ],
)
def test_silent_end_has_a_reason(end: JobEnd, words: str, tmp_path: Path) -> None:
    (tmp_path / "job.log").write_text("first\nnot good\n\n", encoding="utf-8")
    status, code, message = conclude(end, tmp_path)
    assert (status, code) == ("failed", 1)
    assert words in message


def test_stopped_job_is_interrupted_not_failed(tmp_path: Path) -> None:
    end = JobEnd(None, -15, GIB, is_stopped=True)
    assert conclude(end, tmp_path)[:2] == ("interrupted", 130)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_job_that_a_signal_ended_before_it_could_answer_was_stopped(
    kind: signal.Signals, tmp_path: Path
) -> None:
    """The job may have heard it before the process that watches it."""
    assert conclude(JobEnd(None, -kind, GIB), tmp_path)[:2] == ("interrupted", 130)


@pytest.mark.parametrize("is_beating", [False, True], ids=["starts", "runs"])
def test_a_signal_while_account_is_kept_lets_the_job_write_its_checkpoint(
    is_beating: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To this process, and, as to a whole tree of processes, to the job as well."""
    monkeypatch.setattr(process, "HEARTBEAT_S", 0.01)
    config = RunConfig(
        lattice=LatticeConfig(shape=(8, 8)),
        dynamics=DynamicsConfig(duration_s=1000.0),
        load=LoadConfig("synthetic"),
        backend=BackendConfig("reference"),
        record=RecordConfig(folder=str(tmp_path), checkpoint_every_s=0.01),
    )
    pids: list[int] = []

    def strike() -> None:
        signal.raise_signal(signal.SIGTERM)

    def beat() -> None:
        if len(list_checkpoints(tmp_path)) > 1 and len(pids) == 1:
            os.kill(pids[0], signal.SIGTERM)
            pids.append(0)
            strike()

    def start(pid: int) -> None:
        pids.append(pid)
        if not is_beating:
            strike()

    with outcome.interrupt_on_signals(), collect_stops() as stops:
        order = JobOrder(to_plain(config), tmp_path, str(tmp_path))
        end = process.run_process(order, start, beat, stops)
    assert end.is_stopped
    assert conclude(end, tmp_path)[:2] == ("interrupted", 130)
    if is_beating:
        summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
        assert int(list_checkpoints(tmp_path)[0].stem) == summary["steps"]


@pytest.mark.parametrize(
    ("own", "counter", "text"),
    [
        ("0::/job/a\n", "job/a/memory.events", "low 0\noom 3\noom_kill 2\n"),
        ("4:memory:/x\n0::/\n", "memory/x/memory.oom_control", "oom_kill 2\n"),
        ("4:cpu,memory:/x\n", "memory/memory.oom_control", "under_oom 0\noom_kill 2"),
    ],
)
def test_memory_kills_are_counted_in_both_versions(
    own: str, counter: str, text: str, tmp_path: Path
) -> None:
    names = tmp_path / "own"
    names.write_text(own, encoding="utf-8")
    assert count_memory_kills(names, tmp_path) == 0
    path = tmp_path / counter
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    assert count_memory_kills(names, tmp_path) == 2


def test_no_control_groups_no_count(tmp_path: Path) -> None:
    assert count_memory_kills(tmp_path / "absent", tmp_path) == 0


def test_products_end_without_memory() -> None:
    # Without its buffers OpenBLAS asks for ever, or gives up and ends the process.
    command = [sys.executable, "-c", STARVED]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0


def test_job_that_really_runs_out_of_memory_is_told_how_to_get_more() -> None:
    # What the estimate before a run lets through may still be refused by the kernel.
    with pytest.raises(MemoryError) as caught:
        np.empty(2**58)
    told = child.describe_failure(caught.value)
    assert told["status"] == "failed"
    assert told["exit_code"] == 1
    assert told["message"].startswith("ran out of memory (Unable to allocate")
    assert "--job-memory" in told["message"]
