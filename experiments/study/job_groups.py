"""Jobs of a sweep: which are missing, and which are alike but for some keys."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from experiments.report.jobs import Job, SweepRecord
from experiments.report.run import format_setting
from experiments.report.sweep_plots import REPEATING_KEY
from experiments.wording import format_jobs


def list_other_keys(record: SweepRecord, own: Collection[str]) -> tuple[str, ...]:
    """List the varied keys that a study does not look at itself.

    Args:
        record: What the folder holds.
        own: Keys that it looks at; seeds are never listed either.
    """
    return tuple(key for key in record.keys if key != REPEATING_KEY and key not in own)


def split_jobs(
    jobs: Iterable[Job], keys: Sequence[str]
) -> list[tuple[str, tuple[Job, ...]]]:
    """Split jobs by the values of keys.

    Args:
        jobs: Any jobs.
        keys: Keys that set groups apart.

    Returns:
        A name, empty where nothing is varied, and the jobs of each group.
    """
    found: dict[str, list[Job]] = {}
    for job in jobs:
        words = [f"{key}={format_setting(job.value(key))}" for key in keys]
        found.setdefault(" ".join(words), []).append(job)
    return [(name, tuple(group)) for name, group in found.items()]


def describe_progress(record: SweepRecord) -> str:
    """Say how many jobs a study rests on, empty where all are done.

    Args:
        record: What the folder holds.
    """
    done, all_jobs = len(record.done), len(record.jobs)
    if not all_jobs:
        return "There is no job yet."
    if done == all_jobs:
        return ""
    if not done:
        return f"Nothing can be told: of {format_jobs(all_jobs)} none is done."
    verb = "is" if done == 1 else "are"
    return (
        f"Only {done} of {all_jobs} jobs {verb} done; the rest is missing from what "
        "follows."
    )
