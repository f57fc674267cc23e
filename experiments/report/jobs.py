"""A sweep's folder as it was found: its jobs, how each ended, and what was varied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from engine.errors import RecordError
from engine.recording.folder import STATUS_FILE
from experiments.report.document import Cell, to_number
from experiments.report.records import (
    RUN_MARKS,
    UNFINISHED,
    RunRecord,
    dig,
    read_json,
    read_run,
    read_status,
)
from experiments.sweep.plan import key_of_word, parse_value
from experiments.sweep.status import OPEN
from experiments.sweep.status import read_status as judge_job

PLAN_FILE: Final = "sweep.json"
"""What a sweep is to run, if it is kept: a list ``jobs`` of numbers and overrides."""
PENDING: Final = "pending"
"""Status of a planned job that has left nothing yet."""
OPEN_STATUSES: Final = (UNFINISHED, PENDING, "waiting", "running")
"""States from which a job may still come to its end."""


@dataclass(frozen=True)
class Job:
    """One job of a sweep."""

    name: str
    """Its folder within the sweep."""
    overrides: Mapping[str, Cell]
    """What was set for it, by key; empty where that is not known."""
    status: str
    """done, failed, interrupted, lost, or one of `OPEN_STATUSES`."""
    message: str
    """Why it failed; may be empty."""
    record: RunRecord
    """Its run folder, without tables."""

    @property
    def coherence(self) -> float | None:
        """Mean r of the later part of the run, or of all of it [-]."""
        late = self.record.number("forecast", "outcome")
        return late if late is not None else self.record.number("coherence", "mean")

    @property
    def frequency_hz(self) -> float | None:
        """Attempts per bridge and simulated second [Hz]."""
        return self.record.number("average_frequency_hz")

    @property
    def pace(self) -> float | None:
        """Wall time per simulated second [s/s]."""
        wall = self.record.number("wall_seconds")
        simulated = self.record.number("simulated_seconds")
        return wall / simulated if wall is not None and simulated else None

    @property
    def has_held_floor(self) -> bool | None:
        """Whether r stayed above the floor once settled; None where unknown."""
        if self.record.number("coherence", "final") is None:
            return None
        return self.record.number("coherence", "violation_fraction") == 0.0

    def value(self, key: str) -> Cell:
        """Return what a key was set to, None where it is not known.

        Args:
            key: Full key, or the name of a group.
        """
        if key in self.overrides:
            return self.overrides[key]
        found = dig(self.record.config, *key.split("."))
        return found if isinstance(found, str | int | float | bool) else None


@dataclass(frozen=True)
class SweepRecord:
    """What a sweep's folder holds."""

    folder: Path
    """Where it lies."""
    jobs: tuple[Job, ...]
    """In the order of their names, numbers by value."""
    problems: tuple[str, ...]
    """What could not be read, a sentence each."""

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Keys that differ between jobs, the one of most values last."""
        names = {key: None for job in self.jobs for key in job.overrides}
        counts = {key: len(self.values(key)) for key in names}
        varied = [key for key, count in counts.items() if count > 1]
        return tuple(sorted(varied, key=lambda key: counts[key]))

    def values(self, key: str) -> tuple[Cell, ...]:
        """List the values of a key, ascending if they are numbers.

        Args:
            key: A swept key.
        """
        return sort_values(job.value(key) for job in self.jobs)

    @property
    def done(self) -> tuple[Job, ...]:
        """Jobs that came to their end."""
        return tuple(job for job in self.jobs if job.status == "done")


def sort_values(values: Iterable[Cell]) -> tuple[Cell, ...]:
    """List distinct values, numbers first and ascending, then texts.

    Args:
        values: Plain values; None is left out.
    """
    known = {value: None for value in values if value is not None}

    def rank(value: Cell) -> tuple[bool, float, str]:
        number = to_number(value)
        return number is None, number or 0.0, str(value)

    return tuple(sorted(known, key=rank))


def is_sweep_folder(folder: Path) -> bool:
    """Tell whether a folder holds jobs of a sweep.

    Args:
        folder: Any folder.
    """
    return (folder / PLAN_FILE).is_file() or bool(find_job_folders(folder))


def find_job_folders(folder: Path) -> list[Path]:
    """Find the folders of jobs, two levels down at most.

    Args:
        folder: Folder of a sweep.

    Returns:
        Folders, numbers by value and then names.
    """
    marks = (*RUN_MARKS, STATUS_FILE)
    found = {
        path.parent
        for mark in marks
        for pattern in (f"*/{mark}", f"*/*/{mark}")
        for path in folder.glob(pattern)
    }

    return sorted(
        found, key=lambda path: _rank_name(path.relative_to(folder).as_posix())
    )


def read_sweep(folder: Path) -> SweepRecord:
    """Read a sweep, finished or not, as far as it can be read.

    Args:
        folder: Folder of a sweep.
    """
    jobs, problems = [], []
    for place in find_job_folders(folder):
        own: list[str] = []
        name = place.relative_to(folder).as_posix()
        jobs.append(_read_job(place, name, own))
        problems += [f"Job {name}: {problem}" for problem in own]
    jobs += _list_pending(folder, {job.name for job in jobs}, problems)
    jobs.sort(key=lambda job: _rank_name(job.name))
    return SweepRecord(folder, tuple(jobs), tuple(problems))


def _list_pending(folder: Path, known: set[str], problems: list[str]) -> list[Job]:
    """List planned jobs of which nothing is known yet."""
    planned = read_json(folder / PLAN_FILE, problems).get("jobs")
    jobs = []
    for entry in planned if isinstance(planned, list) else []:
        number, words = dig(entry, "job"), dig(entry, "overrides")
        if not isinstance(number, int) or str(number) in known:
            continue
        overrides = parse_overrides(words if isinstance(words, list) else [])
        empty = RunRecord(folder / str(number), {}, {}, {})
        jobs.append(Job(str(number), overrides, PENDING, "", empty))
    return jobs


def _rank_name(name: str) -> tuple[bool, int, str]:
    """Order folders: numbers by value, then names."""
    is_number = name.isascii() and name.isdigit()
    return not is_number, int(name) if is_number else 0, name


def _read_job(folder: Path, name: str, problems: list[str]) -> Job:
    status = _judge_open(folder, read_status(folder, problems))
    empty = RunRecord(folder, {}, {}, {})
    record = read_run(folder, has_tables=False) if _has_run(folder) else empty
    ended = status.get("status") or record.summary.get("status") or UNFINISHED
    if ended not in OPEN_STATUSES:
        problems += record.problems
    words = status.get("overrides")
    message = str(status.get("message") or "")
    notes = record.summary.get("notes")
    if not message and ended != "done" and isinstance(notes, list):
        message = " ".join(map(str, notes))
    overrides = parse_overrides(words if isinstance(words, list) else [])
    return Job(name, overrides, str(ended), message, record)


def _judge_open(folder: Path, status: dict[str, Any]) -> dict[str, Any]:
    """Call a job lost whose status says that it runs, and whose process is gone."""
    if status.get("status") in OPEN:
        with suppress(RecordError):
            judged = judge_job(folder)
            if judged is not None:
                return status | {"status": judged.status, "message": judged.message}
    return status


def _has_run(folder: Path) -> bool:
    return any((folder / mark).is_file() for mark in RUN_MARKS)


def parse_overrides(words: Sequence[Any]) -> dict[str, Cell]:
    """Split overrides into keys and values, numbers as numbers.

    Args:
        words: Such as ``seed=1``; ``+experiment=demo`` becomes ``experiment``. A key
            set to null keeps that word, for None is a value that is not known.
    """
    pairs = (str(word).partition("=") for word in words)
    values = {key_of_word(key): (parse_value(text), text) for key, _, text in pairs}
    return {
        key: text if value is None else value for key, (value, text) in values.items()
    }
