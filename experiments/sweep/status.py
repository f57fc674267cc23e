"""Status files: one per job, written at its start and end, judged by whoever reads.

A job that is killed together with whoever watched it leaves the status ``running``
behind; readers then find its process gone, or its heartbeat stopped, and call it
``lost``.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import psutil

from engine.config.checks import check_between
from engine.config.hints import check_types
from engine.disk import build_write_error, write_text
from engine.errors import RecordError
from engine.intake import read_json, take_mapping
from engine.recording.folder import STATUS_FILE

HEARTBEAT_S: Final = 5.0
"""Time between two signs of life: the status file's own time of change [s]."""
SILENCE_S: Final = 60.0
"""Silence after which a job on another machine counts as lost [s]."""
MAX_JOBS: Final = 10**9
"""More jobs than any sweep has."""
LATEST_S: Final = 1e11
"""Later than any job began [s since 1970]."""
_START_FIELD: Final = 19
"""Where the start stands in /proc/PID/stat, behind the name of the process."""
_ENDED: Final = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
"""States of a process that does nothing any more."""
OPEN: Final = ("waiting", "running")
"""States in which a job still has somebody who works on it."""
FAILED: Final = ("failed",)
"""States that `--retry-failed` starts again."""


@dataclass(frozen=True)
class JobStatus:
    """How one job of a sweep stands or ended."""

    job: int
    """Number of the job, >= 0."""
    overrides: list[str]
    """What sets it apart."""
    status: str
    """``waiting`` (for a GPU), ``running``, ``done``, ``failed``, ``interrupted``, or,
    never on disk, ``lost``."""
    exit_code: int | None
    """What a single run would have returned; None while it runs."""
    message: str
    """Why it failed, or waits; empty otherwise."""
    attempt: int = 1
    """How often it has been started, >= 1."""
    host: str = ""
    """Machine that it ran on."""
    pid: int | None = None
    """Process that watches it."""
    pid_start_ticks: int | None = None
    """When that process began, for numbers are used again [clock ticks since boot];
    setting the clock of the machine does not move it."""
    job_pid: int | None = None
    """Process that simulates."""
    started_at: float | None = None
    """When the job began [s since 1970]."""
    seconds: float | None = None
    """How long it took [s]."""
    peak_memory_bytes: int | None = None
    """Most memory that its process held [byte]."""
    gpu: str | None = None
    """UUID of the GPU that was kept for it."""

    @property
    def is_open(self) -> bool:
        """Whether somebody works on it."""
        return self.status in OPEN


def open_status(job: int, overrides: list[str], attempt: int) -> JobStatus:
    """Begin the status of a job that this process is about to watch.

    Args:
        job: Number of the job.
        overrides: What sets it apart.
        attempt: How often it has been started, this time included.
    """
    own = psutil.Process()
    return JobStatus(
        job,
        overrides,
        "running",
        None,
        "",
        attempt=attempt,
        host=socket.gethostname(),
        pid=own.pid,
        pid_start_ticks=read_start_ticks(own.pid),
        started_at=time.time(),
    )


def write_status(folder: Path, status: JobStatus) -> None:
    """Write a status whole or not at all.

    Args:
        folder: Folder of the job; made where it does not exist.
        status: What to write.

    Raises:
        WriteError: The folder cannot be written.
    """
    path, text = folder / STATUS_FILE, f"{json.dumps(asdict(status), indent=2)}\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise build_write_error(path, error) from error
    write_text(path, text, is_shared=True)


def beat(folder: Path) -> None:
    """Give a sign of life; a disk that does not take it does not end the job.

    Args:
        folder: Folder of the job.
    """
    with suppress(OSError):
        (folder / STATUS_FILE).touch()


def clear_drafts(folder: Path) -> None:
    """Remove what a process that was killed had begun to write as a status.

    Args:
        folder: Folder of a job that nobody works on.
    """
    for draft in folder.glob(f".{STATUS_FILE}.*"):
        draft.unlink(missing_ok=True)


def read_status(
    folder: Path, read_now: Callable[[], float] | None = None
) -> JobStatus | None:
    """Read how a job stands.

    Args:
        folder: Folder of the job.
        read_now: Tells the time of the disk [s since 1970]; looked up by default.

    Returns:
        Its status, ``lost`` where nobody works on it any more; None where it was never
        started.

    Raises:
        RecordError: The file is damaged.
    """
    path = folder / STATUS_FILE
    try:
        status = _take_values(take_mapping(read_json(path)))
        check_types("", status)
        check_between("job", status.job, 0, MAX_JOBS)
        for name in ("started_at", "seconds"):
            check_between(name, getattr(status, name) or 0.0, 0.0, LATEST_S)
        beaten_at = path.stat().st_mtime
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RecordError(
            f"{path} cannot be read as the status of a job ({error}); remove it, and "
            "the job counts as never started."
        ) from error
    read_now = read_now or partial(read_disk_clock, folder.parent)
    return judge_status(status, beaten_at, read_now)


def read_statuses(folder: Path) -> list[JobStatus]:
    """Read how the jobs of a sweep stand or ended.

    Args:
        folder: Folder of the sweep.

    Returns:
        One status per job that was started, by number.

    Raises:
        RecordError: A status file is damaged.
    """
    return sorted(_iterate_statuses(folder), key=lambda status: status.job)


def _iterate_statuses(folder: Path) -> Iterator[JobStatus]:
    read_now = cache(partial(read_disk_clock, folder))
    for path in folder.glob(f"*/{STATUS_FILE}"):
        status = read_status(path.parent, read_now)
        if status is not None:
            yield status


def _take_values(values: Mapping[str, Any]) -> JobStatus:
    known = {field.name for field in fields(JobStatus)}
    return JobStatus(**{key: value for key, value in values.items() if key in known})


def read_disk_clock(folder: Path) -> float:
    """Read the time of the disk, by which signs of life of other machines are dated.

    The clock of this machine may differ; it answers only where nothing can be made.

    Args:
        folder: A folder on that disk.

    Returns:
        The time [s since 1970].
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def judge_status(
    status: JobStatus, beaten_at: float, read_now: Callable[[], float]
) -> JobStatus:
    """Call an open job lost if nobody works on it any more.

    Args:
        status: As it stands on disk.
        beaten_at: Last sign of life [s since 1970], by the clock of the disk.
        read_now: Tells the time by that clock; asked for jobs of other machines only.

    Returns:
        The status itself, or a lost one that says what is known.
    """
    if not status.is_open:
        return status
    if status.host == socket.gethostname():
        if _is_alive(status.pid, status.pid_start_ticks):
            return status
        gone = f"process {status.pid} is gone"
    else:
        silence_s = read_now() - beaten_at
        if silence_s < SILENCE_S:
            return status
        gone = f"no sign of life for {silence_s:.0f} s"
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status.started_at))
    message = f"started on {status.host} at {began}, never finished: {gone}"
    return replace(status, status="lost", message=message)


def read_start_ticks(pid: int) -> int | None:
    """Read when a process began, in clock ticks since boot.

    psutil gives seconds since 1970, which move when the clock is set.

    Args:
        pid: Number of a process.

    Returns:
        The ticks; None where there is no such process, or the system does not tell.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
        # The name before the bracket may hold anything, blanks and brackets too.
        return int(text.rpartition(")")[2].split()[_START_FIELD])
    except (OSError, ValueError, IndexError):
        return None


def _is_alive(pid: int | None, start_ticks: int | None) -> bool:
    """Tell whether a process lives, and is not another one with its number.

    One that has ended stays in the list of processes until its parent asks for it,
    which the first process of a container may never do.
    """
    try:
        if psutil.Process(pid).status() in _ENDED:
            return False
    except (psutil.Error, ValueError):
        return False
    return pid is None or start_ticks in (None, read_start_ticks(pid))
