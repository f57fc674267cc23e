"""The command line as a process of its own, around the real engine."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = ["lattice.shape=[16,16]", "backend=reference", "dynamics.duration_s=0.05"]


def build_environment() -> dict[str, str]:
    # Works from a checkout as well as with the package installed.
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def scribble(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "experiments", *words],
        cwd=folder,
        env=build_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("run",),
        ("sweep",),
        ("forecast",),
        ("replay",),
        ("monitor",),
        ("load",),
        ("doctor",),
    ],
)
def test_help_everywhere(words: tuple[str, ...], tmp_path: Path) -> None:
    done = scribble(tmp_path, *words, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: scribble")


def run_code(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run some lines of Python in a process of their own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=build_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def test_version_and_nothing(tmp_path: Path) -> None:
    assert scribble(tmp_path, "--version").stdout.startswith("scribble 0.")
    assert scribble(tmp_path).returncode == 2


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from experiments.cli import main; main(['run', '--help']);"
        "heavy = {'numpy', 'numba', 'hydra', 'omegaconf', 'rich', 'psutil', 'pyarrow'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = run_code(tmp_path, code)
    assert (done.returncode, done.stderr) == (0, "")


def test_bad_input_leaves_nothing(tmp_path: Path) -> None:
    for words in (["latice=chain"], ["lattice.shape=[63,63]"], ["-m", "seed=1,x"]):
        done = scribble(tmp_path, "run", *words)
        assert done.returncode == 2
        assert done.stderr.startswith("scribble: error: ")
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_run_then_replay(tmp_path: Path) -> None:
    first = scribble(tmp_path, "run", "record.folder=first", *SMALL)
    assert (first.returncode, first.stderr) == (0, "")
    assert "folder: first" in first.stdout
    assert (tmp_path / "first" / "summary.json").is_file()
    again = scribble(tmp_path, "replay", "first", "-q")
    assert (again.returncode, again.stderr) == (0, "")
    assert "state_digest is equal" in again.stdout


def test_taken_folder_is_refused_unless_overwritten(tmp_path: Path) -> None:
    words = ["run", "-q", "record.folder=first", *SMALL]
    assert scribble(tmp_path, *words).returncode == 0
    taken = scribble(tmp_path, *words)
    assert taken.returncode == 2
    assert "record.overwrite=true" in taken.stderr
    assert scribble(tmp_path, *words, "record.overwrite=true").returncode == 0


def test_sweep_with_an_impossible_job(tmp_path: Path) -> None:
    words = ["run", "-q", "-m", "hydra.sweep.dir=sweep", *SMALL]
    # 1 ms is short enough for 699 Hz, and too long for 1133 Hz.
    both = ("tunnel.base_frequency=700,432", "dynamics.dt_s=2.5e-4,1e-3")
    done = scribble(tmp_path, *words, *both)
    assert done.returncode == 1
    assert "3 of 4 jobs done" in done.stdout
    for job, status in enumerate(["done", "failed", "done", "done"]):
        path = tmp_path / "sweep" / str(job) / "status.json"
        assert json.loads(path.read_text("utf-8"))["status"] == status
    assert (tmp_path / "sweep" / "0" / "summary.json").is_file()
    assert not (tmp_path / "sweep" / "1" / "summary.json").exists()


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_a_run_with_its_summary(
    kind: signal.Signals, tmp_path: Path
) -> None:
    words = ["run", "record.folder=long", *SMALL[:2], "dynamics.duration_s=1000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments", *words],
        cwd=tmp_path,
        env=build_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline_s = time.monotonic() + 60
    # The tables are opened once the handlers are in place.
    while not (tmp_path / "long" / "trace.parquet").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    process.send_signal(kind)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "status: interrupted" in out
    summary = json.loads((tmp_path / "long" / "summary.json").read_text("utf-8"))
    assert summary["status"] == "interrupted"


@pytest.mark.parametrize("kind", ["SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP"])
def test_signal_while_building_leaves_nothing(kind: str, tmp_path: Path) -> None:
    code = (
        "import signal, sys; from experiments import run;"
        "from experiments.cli import main;"
        f"run.build_system = lambda config: signal.raise_signal(signal.{kind});"
        "sys.exit(main(['run', 'record.folder=mine']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=build_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "scribble: interrupted.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", [["run"], ["run", "-m", "seed=1,2"], ["run", "--cfg"]]
)
def test_foreign_conf_package_is_named(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "__init__.py").touch()
    # Python puts the folder that `-m` is called from before all others.
    done = scribble(tmp_path, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert f"conf is {tmp_path / 'conf' / '__init__.py'}, but" in done.stderr
    assert str(ROOT / "conf") in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["conf"]


def test_folder_named_conf_without_a_package_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    assert scribble(tmp_path, "run", "--cfg").returncode == 0


@pytest.mark.parametrize("columns", [60, 140])
def test_live_view_on_a_terminal(columns: int, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments", "run", "record.folder=seen", *SMALL],
        cwd=tmp_path,
        env={**build_environment(), "COLUMNS": str(columns), "TERM": "xterm"},
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    chunks = []
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(ours)
    assert process.wait(timeout=60) == 0
    drawn = b"".join(chunks).decode()
    for fact in ("building the network", "progress", "100%", "floor 0.870", "digest"):
        assert fact in drawn


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize(
    ("words", "code"), [(["monitor", "--once"], 0), (["monitor", "--never"], 2)]
)
def test_closed_streams_change_no_exit_code(
    words: list[str], code: int, redirection: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "experiments", *words]
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {redirection}', *command],
        cwd=tmp_path,
        env=build_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert "unexpected" not in done.stderr


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    code = (
        "import os, sys; from experiments.printable import guard_streams\n"
        "with guard_streams():\n"
        "    null = os.stat(os.devnull)\n"
        "    sys.exit(any(os.fstat(n).st_rdev != null.st_rdev for n in (1, 2)))"
    )
    words = ["sh", "-c", 'exec "$0" -c "$1" >&- 2>&-', sys.executable, code]
    done = subprocess.run(words, cwd=tmp_path, env=build_environment(), check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("way", [[], ["--in-process"]])
def test_sweep_outlives_its_reader(way: list[str], tmp_path: Path) -> None:
    words = ["run", "-m", *way, "hydra.sweep.dir=sweep", "seed=1,2", *SMALL]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "experiments", *words],
        cwd=tmp_path,
        env=build_environment(),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    # As a single run ends whose reader has gone.
    assert (done.returncode, done.stderr) == (1, "")
    assert (tmp_path / "sweep" / "sweep.parquet").is_file()
    for job in ("0", "1"):
        path = tmp_path / "sweep" / job / "summary.json"
        assert json.loads(path.read_text("utf-8"))["status"] == "done"


def test_a_signal_after_the_last_word_changes_nothing(tmp_path: Path) -> None:
    code = (
        "import signal, sys; from experiments import run;"
        "from experiments.cli import main;"
        "run.build_system = lambda config: signal.raise_signal(signal.SIGINT);"
        "sys.argv = ['scribble', 'run']; code = main();"
        "signal.raise_signal(signal.SIGINT); signal.raise_signal(signal.SIGTERM);"
        "sys.exit(code)"
    )
    done = run_code(tmp_path, code)
    assert (done.returncode, done.stderr) == (130, "scribble: interrupted.\n")


def test_full_standard_output_is_named(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "experiments", "load", "--list"],
            cwd=tmp_path,
            env=build_environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("scribble: error: standard output cannot be written")
    assert done.stderr.count("\n") == 1
