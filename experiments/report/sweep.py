"""The report on a sweep."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

from experiments.report.document import (
    NO,
    OPEN,
    YES,
    Cell,
    Document,
    Section,
    Table,
    Verdict,
)
from experiments.report.jobs import OPEN_STATUSES, Job, SweepRecord
from experiments.report.records import flatten
from experiments.report.run import format_override, format_setting, list_changes
from experiments.report.sweep_plots import (
    COHERENCE,
    FREQUENCY,
    PACE,
    REPEATING_KEY,
    average_over,
    draw_frontier,
    draw_keys,
)
from experiments.wording import format_frequency, format_jobs

ROWS_SHOWN: Final = 500
"""Jobs in the table at most; those that did not finish come first then."""


def build_sweep_document(record: SweepRecord) -> Document:
    """Build the report on a sweep.

    Args:
        record: What the folder holds.
    """
    plots = Section(
        "What the keys do", plots=(*draw_frontier(record), *draw_keys(record))
    )
    sections = [
        *([plots] if plots.plots else []),
        build_job_section(record),
        _build_question(record),
        _build_reproduction(record),
    ]
    return Document(
        title=record.folder.name,
        kind="sweep",
        findings=tuple(describe_sweep(record)),
        verdicts=tuple(judge_sweep(record)),
        sections=tuple(sections),
        problems=record.problems,
    )


def describe_sweep(record: SweepRecord) -> list[str]:
    """Say in sentences what a sweep found.

    Args:
        record: What the folder holds.
    """
    jobs, done = record.jobs, record.done
    are = "is" if len(jobs) == 1 else "are"
    endings = _list_endings(record)
    lines = [f"{len(done)} of {format_jobs(len(jobs))} {are} done{endings}."]
    if record.keys:
        told = (f"{key} over {_list_values(record.values(key))}" for key in record.keys)
        lines.append(f"What was varied: {'; '.join(told)}.")
    lines += [_describe_effect(record, key) for key in record.keys]
    lines.append(_describe_cheapest(record))
    return [line for line in lines if line]


def _list_endings(record: SweepRecord) -> str:
    counts: dict[str, int] = {}
    for job in record.jobs:
        if job.status != "done":
            counts[job.status] = counts.get(job.status, 0) + 1
    return "".join(f", {count} {status}" for status, count in sorted(counts.items()))


def _list_values(values: Sequence[Cell], most: int = 8) -> str:
    texts = [format_setting(value) for value in values]
    if len(texts) <= most:
        return ", ".join(texts)
    return f"{texts[0]} to {texts[-1]} ({len(texts)} values)"


def _describe_effect(record: SweepRecord, key: str) -> str:
    """Say how much r changes with a key, averaged over the others."""
    means = average_over(record, key)
    if len(means) < 2:
        return ""
    low, high = (pick(means, key=lambda pair: pair[1]) for pick in (min, max))
    if high[1] - low[1] < 5e-4:
        return f"{key} changes r by less than 0.0005 on average."
    if key == REPEATING_KEY:
        return f"Between seeds, r is {low[1]:.3f} to {high[1]:.3f} on average."
    return (
        f"Over {key}, r is {low[1]:.3f} on average at {format_setting(low[0])} and "
        f"{high[1]:.3f} at {format_setting(high[0])}."
    )


def _describe_cheapest(record: SweepRecord) -> str:
    """Name the job that held its floor at the lowest frequency."""
    held = [job for job in record.done if job.has_held_floor and job.frequency_hz]
    if not held:
        return "No job held its floor." if record.done else ""
    best = min(held, key=lambda job: (job.frequency_hz or 0.0, -(job.coherence or 0.0)))
    lowest = format_frequency(best.frequency_hz or 0.0)
    alike = [job for job in held if format_frequency(job.frequency_hz or 0.0) == lowest]
    if len(alike) == len(held) > 1:
        return f"All {len(held)} jobs that held their floor needed {lowest}."
    values = _describe_job(record, best)
    others = f", as did {len(alike) - 1} more" if len(alike) > 1 else ""
    if len(held) == 1:
        return (
            f"Only job {best.name}{values} held its floor, at {lowest} and an r of "
            f"{best.coherence or 0.0:.3f}."
        )
    return (
        f"Of the {len(held)} jobs that held their floor, job {best.name}{values} "
        f"needed the lowest frequency, {lowest}, at an r of "
        f"{best.coherence or 0.0:.3f}{others}."
    )


def _describe_job(record: SweepRecord, job: Job) -> str:
    pairs = [f"{key}={format_setting(job.value(key))}" for key in record.keys]
    return f" ({' '.join(pairs)})" if pairs else ""


def judge_sweep(record: SweepRecord) -> list[Verdict]:
    """Judge a sweep: did every job end, and did every run hold its floor?

    Args:
        record: What the folder holds.
    """
    jobs, done = record.jobs, record.done
    failed = [job for job in jobs if job.status not in ("done", *OPEN_STATUSES)]
    ended = YES if len(done) == len(jobs) else NO if failed else OPEN
    text = f"{len(done)} of {len(jobs)} are done{_list_endings(record)}."
    verdicts = [Verdict("All jobs done?", ended, text)]
    known = [job for job in jobs if job.has_held_floor is not None]
    held = [job for job in known if job.has_held_floor]
    answer = OPEN if not known else YES if len(held) == len(known) else NO
    text = f"{len(held)} of {len(known)} runs with a summary held it."
    return [*verdicts, Verdict("Floor held?", answer, text)]


def build_job_section(record: SweepRecord) -> Section:
    """Lay the jobs out: status, values, figures and reasons.

    Args:
        record: What the folder holds.
    """
    jobs = list(record.jobs)
    caption = ""
    if len(jobs) > ROWS_SHOWN:
        jobs = sorted(jobs, key=lambda job: job.status == "done")[:ROWS_SHOWN]
        caption = (
            f"{ROWS_SHOWN} of {len(record.jobs)} jobs, those that did not finish first."
        )
    has_reasons = any(job.message for job in jobs)
    columns = (
        "job", "status", *(("reason",) if has_reasons else ()), *record.keys,
        COHERENCE, "least r [-]", "floor held", FREQUENCY, "saved [times]", PACE,
    )  # fmt: skip
    rows = tuple(
        (
            job.name, job.status, *((job.message,) if has_reasons else ()),
            *map(job.value, record.keys), job.coherence,
            job.record.number("coherence", "minimum_after_settling"),
            job.has_held_floor, job.frequency_hz,
            job.record.number("events_saved_factor"), job.pace,
        )
        for job in jobs
    )  # fmt: skip
    return Section("Jobs", tables=(Table("", columns, rows, caption),))


def _build_question(record: SweepRecord) -> Section:
    """Show the settings that all jobs share, those off the default first."""
    configs = [job.record.config for job in record.jobs if job.record.config]
    if not configs:
        return Section("What was asked", ("No job left its configuration.",))
    common = dict(flatten(configs[0]).items())
    for config in configs[1:]:
        other = flatten(config)
        common = {k: v for k, v in common.items() if k in other and other[k] == v}
    changes = {k: v for k, v in list_changes(configs[0]).items() if k in common}
    rows = tuple(
        (key, format_setting(value), format_setting(default))
        for key, (value, default) in changes.items()
    )
    table = Table("Set for all jobs", ("setting", "value", "default"), rows)
    told = "All jobs share every other setting, the default unless listed here."
    return Section("What was asked", (told,), tables=(table,) if rows else ())


def _build_reproduction(record: SweepRecord) -> Section:
    """Show a command for every job that did not finish, and the way to one job."""
    waiting = [job for job in record.jobs if job.status != "done" and job.overrides]
    sentences = ["Each job is a run folder of its own: scribble report SWEEP/JOB."]
    if waiting:
        sentences.append("Jobs that did not finish, one by one:")
    commands = [
        shlex.join(["scribble", "run", *_list_words(job)]) for job in waiting[:20]
    ]
    return Section("How to go on", tuple(sentences), tuple(commands))


def _list_words(job: Job) -> list[str]:
    words = []
    for key, value in job.overrides.items():
        sign = "+" if key == "experiment" else ""
        words.append(f"{sign}{key}={format_override(value)}")
    return words
