"""Clocks that leap: the one on the wall is set, a process stands still for a while."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pyarrow import parquet

from engine.recording.checkpoint import list_checkpoints
from engine.system import ScribbleSystem
from experiments.overrides import compose_run_config
from tests.faults.harness import ROOT, Ledger, preload, read_summary, start
from tests.faults.test_signals import GIVE_UP_S

LIVE = (
    *("lattice.shape=[8,8]", "backend=reference", "record.forecast=false"),
    *("load=none", "controller=headroom"),
)
"""The monitor has its own thread and clock; the trace then says what it saw."""
STOP_S = 1.5
"""How long a process stands still [s]."""
WALL_CLOCK = {
    # when a point was measured, for a tracker to show
    "engine/recording/tracker.py": {"add"},
    # the name of a run folder
    "experiments/run.py": {"find_free_folder"},
    # when a job began, and its last sign of life, which other machines look at
    "experiments/sweep/status.py": {"open_status", "judge_status", "read_disk_clock"},
}
"""Which functions may read the clock on the wall, and what for."""
WALL_NAMES = {
    *("time", "time_ns", "localtime", "gmtime", "ctime", "CLOCK_REALTIME"),
    *("now", "utcnow", "today"),
}
"""What reads the clock on the wall, of the modules time and datetime."""


def list_wall_readings(path: Path) -> list[str]:
    """Name the functions of a source file that read the clock on the wall."""
    tree = ast.parse(path.read_text("utf-8"))
    defined = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in ast.walk(tree) if isinstance(node, defined)]
    found = []
    for node in ast.walk(tree):
        if not reads_the_wall(node):
            continue
        inside = [f.name for f in functions if node in set(ast.walk(f))]
        found.append(inside[-1] if inside else "module")
    return found


def reads_the_wall(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom):  # by which a name would be hidden
        names = {alias.name for alias in node.names}
        return node.module == "time" and bool(names & WALL_NAMES)
    if not isinstance(node, ast.Attribute) or node.attr not in WALL_NAMES:
        return False
    return ast.unparse(node.value).split(".")[-1] in ("time", "datetime", "date")


def test_spans_are_measured_by_steady_clocks() -> None:
    files = [*ROOT.glob("engine/**/*.py"), *ROOT.glob("experiments/**/*.py")]
    readings = {p.relative_to(ROOT).as_posix(): list_wall_readings(p) for p in files}
    found = {path: set(names) for path, names in readings.items() if names}
    assert found == WALL_CLOCK


@pytest.mark.parametrize(
    "line",
    [
        "time.time()",
        "datetime.datetime.now()",
        "time.clock_gettime(time.CLOCK_REALTIME)",
        "from time import time_ns",
    ],
)
def test_a_reading_of_the_wall_is_found(line: str, tmp_path: Path) -> None:
    path = tmp_path / "room.py"
    path.write_text(f"def steady():\n    time.monotonic()\n\n\ndef f():\n    {line}\n")
    assert list_wall_readings(path) == ["f"]


@pytest.fixture(scope="session")
def leaping(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment whose wall clock is set by a day at every few readings."""
    source = Path(__file__).with_name("leap.c")
    return preload(source, tmp_path_factory.mktemp("leap"))


def replay(cut: Path, steps: int) -> str:
    """Return the digest after some steps on the trace of a run."""
    words = [*LIVE, "load=replay", f"load.trace={cut / 'trace.parquet'}"]
    config = compose_run_config([*words, "dynamics.duration_s=1000"])
    with ScribbleSystem(config) as system:
        system.advance(steps * config.dynamics.dt_s)
        return system.state_digest()


def test_wall_clock_is_set_by_days(
    tmp_path: Path, leaping: dict[str, str], ledger: Ledger
) -> None:
    look = "import time; print({round(time.time() / 86400) for _ in range(50)})"
    seen = subprocess.run(
        [sys.executable, "-c", look], env=leaping, capture_output=True, check=True
    )
    assert len(ast.literal_eval(seen.stdout.decode())) == 3
    words = (*LIVE, "dynamics.duration_s=0.2", "record.checkpoint_wall_s=0.05")
    done = subprocess.run(
        [sys.executable, "-m", "experiments", "run", "-q", "record.folder=cut", *words],
        cwd=tmp_path,
        env=leaping,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    summary = read_summary(tmp_path / "cut")
    assert 0.0 <= summary["wall_seconds"] < GIVE_UP_S
    assert all(0.0 <= span < GIVE_UP_S for span in summary["stage_seconds"].values())
    trace = parquet.read_table(tmp_path / "cut" / "trace.parquet")
    assert all(0.0 <= age < GIVE_UP_S for age in trace["age_s"].to_pylist())
    assert summary["state_digest"] == replay(tmp_path / "cut", summary["steps"])
    ledger.clocks += 1


def test_process_that_stands_still(tmp_path: Path, ledger: Ledger) -> None:
    every = "record.checkpoint_every_s=0.2"
    words = (*LIVE, "dynamics.duration_s=1000", every, "record.checkpoint_wall_s=0.2")
    process = start(tmp_path, "run", "-q", "record.folder=cut", *words)
    cut = tmp_path / "cut"

    def wait_for_checkpoint_after(name: str) -> str:
        deadline_s = time.monotonic() + GIVE_UP_S
        while not (found := list_checkpoints(cut)) or found[0].name <= name:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        return found[0].name

    before = wait_for_checkpoint_after("000000000000.ckpt")
    process.send_signal(signal.SIGSTOP)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    # The leap of the steady clocks is what is tested: nothing waits for an event here.
    time.sleep(STOP_S)
    assert psutil.Process(process.pid).status() == psutil.STATUS_STOPPED
    process.send_signal(signal.SIGCONT)
    wait_for_checkpoint_after(wait_for_checkpoint_after(before))
    process.send_signal(signal.SIGINT)
    _, trouble = process.communicate(timeout=GIVE_UP_S)
    assert (process.returncode, trouble) == (130, "")
    summary = read_summary(cut)
    trace = parquet.read_table(cut / "trace.parquet")
    # A decision per control period: none was left out, none made up for.
    assert len(trace) == summary["steps"] // 40
    assert max(trace["frequency_hz"].to_pylist()) <= 432.0 * 1.618033988749895
    assert summary["state_digest"] == replay(cut, summary["steps"])
    ledger.clocks += 1
