"""`scribble load` on whatever machine this is, for moments."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from pyarrow import parquet

from engine.config import GeneratorConfig
from experiments.cli import main
from experiments.settings import describe_fields, parse_settings
from experiments.views.load import print_outcome

ROOT = Path(__file__).parents[2]
Capture = pytest.CaptureFixture[str]
SHORT = ["cpu=0.2", "memory_bytes=32MiB", "duration_s=0.7", "sample_period_s=0.2"]


def list_workers() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def test_load_is_shown_and_recorded(folder: Path, capsys: Capture) -> None:
    assert main(["load", *SHORT, "--folder", "mine"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "cores asked" in out
    assert "done: 0.7 s are over" in out
    assert "memory: asked 32 MiB, held at most 32 MiB; reached" in out
    assert out.endswith("folder: mine\n")
    assert list_workers() == []
    summary = json.loads((folder / "mine" / "summary.json").read_text("utf-8"))
    assert (summary["status"], summary["stopped_by"]) == ("done", "duration")
    assert "memory_bytes: 33554432" in (folder / "mine" / "config.yaml").read_text()
    table = parquet.read_table(folder / "mine" / "load.parquet").to_pydict()
    assert table["time_s"] == sorted(table["time_s"])
    # Workers account for exactly the windows between their own reports.
    assert table["cpu_asked"][-1] == pytest.approx(0.2, abs=1e-6)
    assert main(["load", "profile=trace", "trace=mine", "duration_s=0.3", "-q"]) == 0


def test_quiet_is_one_line(folder: Path, capsys: Capture) -> None:
    assert main(["load", "-q", *SHORT]) == 0
    assert capsys.readouterr().out.count("\n") == 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["cpuu=1"], "cpuu is not a setting of this command; the nearest are: cpu,"),
        (["cpu=1.4"], "cpu is 1.4; it must lie in [0, 1]."),
        (["cpu=[0.1,2]"], "cpu[1] is 2; it must lie in [0, 1]."),
        (["cpu=fast"], "cpu is 'fast'; it must be a number, or a list of numbers such"),
        (["cpu=[]"], "cpu is empty"),
        (["cpu=0"], "Nothing is asked for"),
        (["cpu=nan"], "cpu is nan;"),
        (["cpu"], "is not a setting; write key=value, such as cpu=0.6."),
        (["cpu=0.1", "cpu=0.2"], "cpu is given twice"),
        (["cpu_target=all"], "choose one of:"),
        (["memory=1"], "memory is 1; it must lie in [0, 0.95]."),
        (["memory=0.1", "memory_bytes=1GiB"], "ask for the same thing"),
        (["memory_bytes=1XiB"], "memory_bytes is '1XiB'; it must be a whole number"),
        (["memory_bytes=999TiB"], "in one of B, kB, MB, GB, KiB, MiB, GiB, such as"),
        (["headroom=0"], "headroom is 0; it must lie in [0.02, 1)."),
        (["duration_s=86401"], "duration_s is 86401; it must lie in (0, 86400]."),
        (["profile=saw"], "profile is 'saw'; choose one of:"),
        (["profile=trace"], "trace is not set"),
        (["profile=trace", "trace=none"], "trace none cannot be read"),
        (["period_s=0"], "period_s is 0; it must lie in [1e-06, 1e+09]."),
        (["memory_bytes=1e6GB"], "memory_bytes is '1e6GB'; it must be"),
        (["memory_bytes=999999GiB"], "at most "),
        (["--folder", "full"], "is not an empty folder; name another."),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    words: list[str], sentence: str, folder: Path, capsys: Capture
) -> None:
    (folder / "full").mkdir()
    (folder / "full" / "thing").touch()
    assert main(["load", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("scribble: error: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert [path.name for path in folder.iterdir()] == ["full"]
    assert list_workers() == []


@pytest.mark.parametrize(
    ("asked_mib", "held_mib", "verdict"),
    [
        (10, 0, "0 B; NOT reached: memory is held in blocks of 16 MiB"),
        (16, 0, "0 B; NOT reached: others use it"),
        (16, 16, "16 MiB; reached"),
        (40, 32, "32 MiB; reached"),
        (48, 32, "32 MiB; NOT reached: others use it"),
    ],
)
def test_memory_is_reached_when_all_its_blocks_are_held(
    asked_mib: int, held_mib: int, verdict: str, capsys: Capture
) -> None:
    summary = {
        "status": "done", "reason": "1 s are over", "elapsed_seconds": 1.0, "cpu": None,
        "gpu": None, "memory_asked_bytes": asked_mib * 2**20,
        "memory_held_bytes": held_mib * 2**20,
    }  # fmt: skip
    print_outcome(summary, None, is_quiet=False)
    assert f"held at most {verdict}" in capsys.readouterr().out


def test_gpu_where_there_is_none_is_one_sentence(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "cupy.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    assert main(["load", "gpu=0.5", "duration_s=1"]) == 2
    assert "needs CuPy, which cannot be imported" in capsys.readouterr().err


def test_limit_ends_the_load_with_a_failure(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.load.machine import MachineMeter

    monkeypatch.setattr(MachineMeter, "read_temperature_c", lambda _: 95.0)
    assert main(["load", "cpu=0.1", "duration_s=50", "--folder", "hot"]) == 1
    out, err = capsys.readouterr()
    assert "load ended early: a sensor shows 95 °C and the limit is 90 °C." in err
    assert "failed: a sensor shows 95 °C" in out
    summary = json.loads((folder / "hot" / "summary.json").read_text("utf-8"))
    assert summary["stopped_by"] == "temperature"
    assert summary["elapsed_seconds"] < 50
    assert list_workers() == []


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_everything_and_records(
    kind: signal.Signals, tmp_path: Path
) -> None:
    words = ["load", "cpu=0.1", "memory_bytes=16MiB", "--folder", "mine"]
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert "cores asked" in process.stdout.readline()
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    process.send_signal(kind)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "interrupted: it was interrupted, after" in out
    assert not any(worker.is_running() for worker in workers)
    summary = json.loads((tmp_path / "mine" / "summary.json").read_text("utf-8"))
    assert summary["status"] == "interrupted"


def test_killed_load_leaves_a_table_that_can_be_read(tmp_path: Path) -> None:
    words = ["load", "cpu=0.1", "sample_period_s=0.2", "--folder", "mine"]
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.readline()  # a second after the first, so five rows
    process.kill()
    process.communicate(timeout=60)
    table = parquet.read_table(tmp_path / "mine" / "load.parquet")
    assert table.num_rows >= 1
    assert set(table.column("memory_asked_bytes").to_pylist()) == {0}


def test_table_on_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments", "load", *SHORT],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "80",
            "TERM": "xterm",
        },
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    drawn = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        drawn += chunk
    os.close(ours)
    assert process.wait(timeout=60) == 0
    text = drawn.decode()
    for fact in ("asked", "achieved", "machine", "cores", "memory", "20.0%", "done"):
        assert fact in text


def test_list_names_every_setting(capsys: Capture) -> None:
    assert main(["load", "--list"]) == 0
    out = capsys.readouterr().out
    fields = [name for name, _, _ in describe_fields(GeneratorConfig)]
    assert fields == list(GeneratorConfig.__dataclass_fields__)
    for name in fields:
        assert f"{name}=" in out


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("cpu=.5", "cpu", (0.5,)),
        ("cpu=1", "cpu", (1.0,)),
        ("cpu=[1,0.5]", "cpu", (1.0, 0.5)),
        ("memory_bytes=1.5GiB", "memory_bytes", 3 * 2**29),
        ("memory_bytes=2MB", "memory_bytes", 2_000_000),
        ("trace=2026", "trace", "2026"),
        ("duration_s=1e2", "duration_s", 100.0),
    ],
)
def test_words_arrive_with_their_types(word: str, key: str, value: object) -> None:
    assert getattr(parse_settings(GeneratorConfig, [word]), key) == value


def test_killed_run_takes_its_load_along(tmp_path: Path) -> None:
    words = ["lattice.shape=[16,16]", "backend=reference", "record.forecast=false"]
    words += ["load=real", "load.level=0.1", "dynamics.duration_s=1000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments", "run", "record.folder=mine", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    deadline_s = time.monotonic() + 60
    while not (tmp_path / "mine" / "config.yaml").exists():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    process.kill()
    process.wait()
    # Orphans may stay as zombies where nothing collects them.
    while any(is_alive(worker) for worker in workers):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def is_alive(worker: psutil.Process) -> bool:
    try:
        return worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
