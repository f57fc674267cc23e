"""How a sweep ends: its table, its study, and what it leaves to say."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.errors import WriteError
from experiments import outcome
from experiments.sweep.plan import read_plan
from experiments.sweep.search import describe_best
from experiments.sweep.status import JobStatus, read_statuses, write_status
from experiments.sweep.table import write_table
from experiments.wording import format_jobs


def close_sweep(folder: Path, trouble: str, *, is_interrupted: bool) -> int:
    """Write the table, print how the sweep went and choose its exit code.

    Args:
        folder: Folder of the sweep.
        trouble: What failed beside the jobs, if anything did.
        is_interrupted: Whether somebody stopped it.
    """
    jobs = [_settle_own(status) for status in read_statuses(folder)]
    plan = read_plan(folder)
    study = ""
    try:
        write_table(folder)
        if not is_interrupted:
            _complete(folder)
        study = examine_sweep(folder)
    except WriteError as error:
        trouble = trouble or say_how_to_go_on(error, folder)
    is_open = [job.job for job in jobs if job.is_open]
    failed = [job for job in jobs if job.status != "done" and not job.is_open]
    # A sweeper of the user's own may start more jobs than the values say.
    count = max(len(plan.jobs), len(jobs))
    done, waiting = len(jobs) - len(failed) - len(is_open), count - len(jobs)
    sys.stdout.write(f"\n{done} of {format_jobs(count)} done: {folder}\n")
    if plan.sweeper == "optuna":
        sys.stdout.write(f"{describe_best(folder)}\n")
    sys.stdout.write(study)
    sys.stdout.flush()
    if done == count and not trouble:
        return outcome.DONE
    facts = [f"{waiting} of {format_jobs(count)} were not started"] if waiting else []
    facts += [_describe_failures(failed, count)] if failed else []
    if is_open:
        facts.append(
            f"{len(is_open)} of {format_jobs(count)} still running without this "
            f"command; look at them by: scribble sweep {folder}"
        )
    facts += [trouble] if trouble else []
    sys.stderr.write(f"scribble: error: {'; '.join(facts)}\n")
    return outcome.FAILED


def say_how_to_go_on(error: WriteError, folder: Path) -> str:
    """Add to the error of a full disk how to go on once it has room.

    Args:
        error: What could not be written.
        folder: Folder of the sweep.
    """
    return f"{error} Then go on by: scribble run --resume {shlex.quote(str(folder))}"


def _settle_own(status: JobStatus) -> JobStatus:
    """Call a job of this process lost, for no job outlives the launcher."""
    if not status.is_open or status.pid != os.getpid():
        return status
    return replace(status, status="lost", message="how it ended could not be written")


def _describe_failures(failed: Sequence[JobStatus], count: int) -> str:
    numbers = ", ".join(str(job.job) for job in failed)
    first = failed[0].message or failed[0].status
    return (
        f"{len(failed)} of {format_jobs(count)} did not finish ({numbers}); the first "
        f"one: {first}"
    )


def _complete(folder: Path) -> None:
    """Let the study that a sweep is for compute what its jobs do not carry."""
    name = read_plan(folder).study
    if name is None:
        return
    from experiments.study.examination import complete_sweep

    def tell(sentence: str) -> None:
        sys.stdout.write(f"{sentence}\n")
        sys.stdout.flush()

    complete_sweep(name, folder, tell)


def examine_sweep(folder: Path) -> str:
    """Write the study that a sweep is for; say what it found, a line per sentence.

    Args:
        folder: Folder of the sweep.
    """
    name = read_plan(folder).study
    if name is None:
        return ""
    from experiments.study.examination import write_study

    findings = write_study(name, folder)["findings"]
    return "".join(f"{sentence}\n" for sentence in findings)


def settle_interrupted(folder: Path) -> None:
    """Write down that jobs whose launcher was stopped were interrupted.

    Args:
        folder: Folder of the sweep.
    """
    for status in read_statuses(folder):
        if status.status == "lost":
            message = "the sweep was stopped before its end"
            code = outcome.INTERRUPTED
            settled = replace(
                status, status="interrupted", message=message, exit_code=code
            )
            write_status(folder / str(status.job), settled)
