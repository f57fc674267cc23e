"""Jobs to a launcher: which are due, in batches, each under its own number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.errors import unknown_choice
from experiments.sweep.plan import PlannedJob, SweepPlan, read_plan
from experiments.sweep.status import FAILED, JobStatus, read_statuses

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher

SELECTIONS: Final = ("unfinished", "failed")
"""Which jobs to start: all but finished ones, or those that failed or were lost."""


def select_jobs(
    plan: SweepPlan, statuses: Mapping[int, JobStatus], only: str
) -> list[PlannedJob]:
    """Choose the jobs to start; none that somebody works on.

    Args:
        plan: All jobs.
        statuses: Those that were started, by number.
        only: One of `SELECTIONS`.

    Raises:
        ConfigError: There is no such selection.
    """
    if only not in SELECTIONS:
        raise unknown_choice("hydra.sweeper.only", only, SELECTIONS)
    closed = (*FAILED, "lost") if only == "failed" else (*FAILED, "lost", "interrupted")
    return [
        job
        for job in plan.jobs
        if (job.job not in statuses and only == "unfinished")
        or (job.job in statuses and statuses[job.job].status in closed)
    ]


def launch_due(
    launcher: Launcher, folder: str, only: str, max_batch_size: int | None = None
) -> None:
    """Start the jobs of a plan that are due.

    Args:
        launcher: Hydra's launcher.
        folder: Folder of the sweep.
        only: One of `SELECTIONS`.
        max_batch_size: Most jobs that the launcher gets at once; None: all.
    """
    statuses = {status.job: status for status in read_statuses(Path(folder))}
    due = select_jobs(read_plan(Path(folder)), statuses, only)
    size = max_batch_size or max(len(due), 1)
    for start in range(0, len(due), size):
        launch_batch(launcher, due[start : start + size])


def launch_batch(launcher: Launcher, jobs: Sequence[PlannedJob]) -> None:
    """Start jobs and wait for their ends.

    Args:
        launcher: Hydra's launcher.
        jobs: What to start; they need not be numbered one after another, so each one
            names its folder itself.
    """
    batch = [[*job.overrides, f"hydra.sweep.subdir='{job.job}'"] for job in jobs]
    launcher.launch(batch, initial_job_idx=jobs[0].job)
