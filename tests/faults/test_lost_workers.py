"""Sweeps that lose a job, a worker, a node or their own process; real kills of each.

The lost job is named, the others finish, nothing is left running, and `--resume` brings
every job to the digest of one that nobody disturbed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from engine.recording.checkpoint import list_checkpoints
from experiments.sweep.status import JobStatus, read_status
from tests.faults.harness import Ledger, read_summary, start

GIVE_UP_S = 240.0
BASIC = ("hydra/launcher=basic",)
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
RAY = ("hydra/launcher=ray", "hydra.launcher.workers=2")
SEEDS = (1, 2, 3)
SMALL = (
    *("load=synthetic", "load.profile=square", "load.period_s=0.05"),
    *("controller=headroom", "record.forecast=false", "backend=reference"),
    *("lattice.shape=[8,8]", "record.checkpoint_every_s=0.01"),
)
DURATION = "dynamics.duration_s=0.3"
"""Some seconds of wall time, most of which still lie ahead when a job is hit."""


def start_sweep(folder: Path, launcher: tuple[str, ...]) -> subprocess.Popen[str]:
    seeds = ",".join(map(str, SEEDS))
    words = (*launcher, *SMALL, DURATION, "hydra.sweep.dir=sweep", f"seed={seeds}")
    return start(folder, "run", "-m", "-q", *words)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + GIVE_UP_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def wait_for_job(sweep: subprocess.Popen[str], folder: Path, number: int) -> JobStatus:
    """Wait until a job stands amid its run, and return its status."""
    place = folder / "sweep" / str(number)

    def is_amid() -> bool:
        assert sweep.poll() is None, sweep.communicate()
        # The first one is that of the start.
        return len(list_checkpoints(place)) > 1

    wait_for(is_amid)
    status = read_status(place)
    assert status is not None
    assert status.job_pid is not None
    return status


def hold_jobs(
    sweep: subprocess.Popen[str], folder: Path, *numbers: int
) -> list[psutil.Process]:
    """Wait for jobs amid their runs, and stop each so that none ends meanwhile."""
    jobs = []
    for number in numbers:
        jobs.append(psutil.Process(wait_for_job(sweep, folder, number).job_pid))
        jobs[-1].suspend()
    return jobs


def list_family(sweep: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(sweep.pid).children(recursive=True)


def assert_all_gone(family: list[psutil.Process]) -> None:
    """A killed process may be gone to the kernel before its neighbours notice."""
    _, alive = psutil.wait_procs(family, timeout=GIVE_UP_S)
    assert alive == []


def read_ends(folder: Path) -> dict[int, str]:
    found = (read_status(folder / "sweep" / str(n)) for n in range(len(SEEDS)))
    return {status.job: status.status for status in found if status is not None}


def assert_resumes(folder: Path, *words: str, was_cut: bool = True) -> None:
    """Complete the sweep; its first job, that was hit, ends as an undisturbed one."""
    again = start(folder, "run", "-q", "--resume", "sweep", *words)
    output, trouble = again.communicate(timeout=GIVE_UP_S)
    assert again.returncode == 0, output + trouble
    assert read_ends(folder) == dict.fromkeys(range(len(SEEDS)), "done")
    found = read_summary(folder / "sweep" / "0")
    assert found["state_digest"] == run_alone(folder, SEEDS[0])
    assert not was_cut or found["resumed"][0]["step"] > 0


def run_alone(folder: Path, seed: int) -> str:
    words = (*SMALL, DURATION, f"seed={seed}", "record.folder=alone")
    alone = start(folder, "run", "-q", *words)
    _, trouble = alone.communicate(timeout=GIVE_UP_S)
    assert alone.returncode == 0, trouble
    return str(read_summary(folder / "alone")["state_digest"])


def test_a_killed_sweep_leaves_no_job_behind(tmp_path: Path, ledger: Ledger) -> None:
    check_killed_parent(tmp_path, BASIC, ledger)
    assert_resumes(tmp_path)


@pytest.mark.sweeps
@pytest.mark.parametrize("launcher", [JOBLIB, RAY], ids=["joblib", "ray"])
def test_a_killed_sweep_leaves_no_worker_behind(
    launcher: tuple[str, ...], tmp_path: Path, ledger: Ledger
) -> None:
    check_killed_parent(tmp_path, launcher, ledger)
    assert_resumes(tmp_path, was_cut=launcher != RAY)


def check_killed_parent(
    folder: Path, launcher: tuple[str, ...], ledger: Ledger
) -> None:
    sweep = start_sweep(folder, launcher)
    wait_for_job(sweep, folder, 0)
    family = list_family(sweep)
    sweep.kill()
    sweep.communicate(timeout=GIVE_UP_S)
    assert_all_gone(family)
    # Ray's workers take a while to notice, in which a job may come to its end.
    assert read_ends(folder)[0] in (("lost", "done") if launcher == RAY else ("lost",))
    ledger.lost_workers += 1


@pytest.mark.sweeps
@pytest.mark.parametrize("kind", ["job", "worker"])
@pytest.mark.parametrize("launcher", [JOBLIB, RAY], ids=["joblib", "ray"])
def test_the_others_finish_without_a_lost_one(
    launcher: tuple[str, ...], kind: str, tmp_path: Path, ledger: Ledger
) -> None:
    sweep = start_sweep(tmp_path, launcher)
    status = wait_for_job(sweep, tmp_path, 0)
    victim = status.job_pid if kind == "job" else status.pid
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    output, trouble = sweep.communicate(timeout=GIVE_UP_S)
    assert sweep.returncode == 1, output + trouble
    lost = "failed" if kind == "job" else "lost"
    assert read_ends(tmp_path) == {0: lost, 1: "done", 2: "done"}
    assert "2 of 3 jobs done" in output
    reason = (
        "killed by signal 9 (SIGKILL)" if kind == "job" else f"process {victim} is gone"
    )
    assert "1 of 3 jobs did not finish (0); the first one: " in trouble
    assert reason in trouble
    assert "Traceback" not in trouble
    ledger.lost_workers += 1
    assert_resumes(tmp_path)


@pytest.mark.sweeps
def test_a_lost_ray_node_ends_the_sweep_that_can_be_resumed(
    tmp_path: Path, ledger: Ledger
) -> None:
    """Ray ends a program whose own node is gone: there is nobody to sum up."""
    sweep = start_sweep(tmp_path, RAY)
    wait_for_job(sweep, tmp_path, 0)
    family = list_family(sweep)
    node = next(each for each in family if each.name().startswith("raylet"))
    node.kill()
    sweep.communicate(timeout=GIVE_UP_S)
    assert sweep.returncode not in (0, None)
    assert_all_gone(family)
    assert read_ends(tmp_path)[0] in ("lost", "done")
    ledger.lost_workers += 1
    assert_resumes(tmp_path, *BASIC, was_cut=False)


def list_workers(family: list[psutil.Process]) -> list[psutil.Process]:
    """Those of joblib, which share the terminal with the sweep."""
    return [each for each in family if "LokyProcess" in " ".join(each.cmdline())]


def strike(each: psutil.Process, kind: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        each.send_signal(kind)


WHOLE_TREE = pytest.mark.parametrize(
    ("kind", "has_all"),
    [
        # As a terminal does: jobs have sessions of their own.
        (signal.SIGINT, False),
        (signal.SIGTERM, False),
        # As systemd and containers do.
        (signal.SIGTERM, True),
        # As Slurm warns.
        (signal.SIGUSR1, True),
    ],
    ids=["INT-terminal", "TERM-workers", "TERM-all", "USR1-all"],
)


@pytest.mark.sweeps
@WHOLE_TREE
def test_joblib_stops_as_one_after_another_does(
    kind: signal.Signals, has_all: bool, tmp_path: Path, ledger: Ledger
) -> None:
    """Jobs at work write checkpoint and summary; the sweep sums up and exits 130."""
    sweep = start_sweep(tmp_path, JOBLIB)
    jobs = hold_jobs(sweep, tmp_path, 0, 1)
    family = list_family(sweep)
    workers = list_workers(family)
    assert len(workers) == 2
    for each in family if has_all else workers:
        strike(each, kind)
    for job in jobs:
        job.resume()
    check_stopped(sweep, kind, tmp_path, family, ledger, jobs=(0, 1))
    assert_resumes(tmp_path)


@pytest.mark.sweeps
def test_ray_lets_jobs_answer_the_warning_of_slurm(
    tmp_path: Path, ledger: Ledger
) -> None:
    """It goes to every process, of Ray's own as well."""
    sweep = start_sweep(tmp_path, RAY)
    jobs = hold_jobs(sweep, tmp_path, 0, 1)
    family = list_family(sweep)
    for each in family:
        strike(each, signal.SIGUSR1)
    for job in jobs:
        job.resume()
    check_stopped(sweep, signal.SIGUSR1, tmp_path, family, ledger, jobs=(0, 1))
    assert_resumes(tmp_path, *BASIC)


@pytest.mark.parametrize(
    "kind",
    [signal.SIGTERM, pytest.param(signal.SIGUSR1, marks=pytest.mark.faults)],
)
def test_a_signal_to_all_processes_lets_the_job_write_its_checkpoint(
    kind: signal.Signals, tmp_path: Path, ledger: Ledger
) -> None:
    sweep = start_sweep(tmp_path, BASIC)
    wait_for_job(sweep, tmp_path, 0)
    family = list_family(sweep)
    for each in family:
        strike(each, kind)
    check_stopped(sweep, kind, tmp_path, family, ledger, jobs=(0,))


def check_stopped(
    sweep: subprocess.Popen[str],
    kind: signal.Signals,
    folder: Path,
    family: list[psutil.Process],
    ledger: Ledger,
    *,
    jobs: tuple[int, ...],
) -> None:
    """Signal the sweep itself, too; see that all of it ends in order."""
    sweep.send_signal(kind)
    output, trouble = sweep.communicate(timeout=GIVE_UP_S)
    assert sweep.returncode == 130, output + trouble
    assert_all_gone(family)
    assert read_ends(folder) == dict.fromkeys(jobs, "interrupted")
    assert "0 of 3 jobs done" in output
    left, numbers = len(SEEDS) - len(jobs), ", ".join(map(str, jobs))
    unfinished = f"{len(jobs)} of 3 jobs did not finish ({numbers})"
    assert f"{left} of 3 jobs were not started; {unfinished}" in trouble
    assert "Traceback" not in trouble
    for number in jobs:
        place = folder / "sweep" / str(number)
        summary = read_summary(place)
        assert summary["status"] == "interrupted"
        assert int(list_checkpoints(place)[0].stem) == summary["steps"]
        ledger.signals += 1
