"""A job's own process, seen from outside: start, signs of life, end and its reason."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from experiments import outcome
from experiments.sweep.status import HEARTBEAT_S
from experiments.sweep.stops import Stops
from experiments.wording import format_bytes

LOG_FILE: Final = "job.log"
"""What the job wrote to its standard output and error."""
LAST_BYTES: Final = 2**14
"""How much of the end of it is looked at [byte]."""
STOP_GRACE_S: Final = 120.0
"""How long an interrupted job may take to write checkpoint and summary [s]."""
_START: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from experiments.sweep.child import main; sys.exit(main())"
)
"""Looks for modules where the parent does, wherever it is started."""
_CGROUP_MOUNT: Final = Path("/sys/fs/cgroup")
_OWN_CGROUPS: Final = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class JobEnd:
    """How a job's process ended."""

    report: Mapping[str, Any] | None
    """Its last word: ``status``, ``exit_code``, ``message``; None where it had none."""
    return_code: int
    """Exit code, or minus the number of the signal that killed it."""
    peak_memory_bytes: int | None
    """Most memory it held [byte]; None where unknown."""
    is_out_of_memory: bool = False
    """Whether its control group's out-of-memory killer struck meanwhile."""
    is_stopped: bool = False
    """Whether it was asked to stop."""
    limit_bytes: int | None = None
    """Most memory that it was allowed to hold [byte]; None: no limit."""


@dataclass(frozen=True)
class JobOrder:
    """What a job's process is given."""

    config: Mapping[str, Any]
    """Run configuration as plain values."""
    folder: Path
    """Folder of the job."""
    working_folder: str
    """Where relative paths begin."""
    memory_bytes: int | None = None
    """Most memory that it may hold [byte]; None: no limit."""
    is_quiet: bool = False
    """Whether it writes one closing line only."""
    environment: Mapping[str, str] | None = None
    """Variables beside those of this process."""
    kept_descriptors: Sequence[int] = ()
    """Open files that it shall hold, such as the lock of its GPU."""


def run_process(
    order: JobOrder,
    on_start: Callable[[int], None],
    on_beat: Callable[[], None],
    stops: Stops,
) -> JobEnd:
    """Run a job in a process of its own and wait for its end.

    A request to stop is passed on once, and the job has `STOP_GRACE_S` to write its
    checkpoint and its summary; a second Ctrl-C kills it.

    Args:
        order: What to run.
        on_start: Called with the process id, before the job touches its folder.
        on_beat: Called every few seconds while the job runs.
        stops: What signals ask of this process.

    Returns:
        How it ended.
    """
    kills_before = count_memory_kills()
    receiver, sender = os.pipe()
    with (order.folder / LOG_FILE).open("wb") as log:
        process = _start(order, sender, log)
    try:
        try:
            on_start(process.pid)
            _tell(process, order, sender)
        finally:
            os.close(sender)
        is_stopped, text = _watch(process, receiver, on_beat, stops)
        _, code, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
    finally:
        os.close(receiver)
        if process.returncode is None:
            process.kill()
            process.wait()
    report = json.loads(text) if text else None
    # The kernel's figure counts this process as well, as it was at the start.
    peak_bytes = report["peak_memory_bytes"] if report else usage.ru_maxrss * 1024
    is_out_of_memory = count_memory_kills() > kills_before
    return JobEnd(
        report,
        process.returncode,
        peak_bytes,
        is_out_of_memory,
        is_stopped,
        order.memory_bytes,
    )


def _start(order: JobOrder, sender: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the process, which waits until it is told what to run."""
    return subprocess.Popen(
        [sys.executable, "-u", "-P", "-c", _START, json.dumps(sys.path)],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=order.working_folder,
        env={**os.environ, **(order.environment or {})},
        pass_fds=(sender, *order.kept_descriptors),
        start_new_session=True,
    )


def _tell(process: subprocess.Popen[bytes], order: JobOrder, sender: int) -> None:
    """Tell the process what to run."""
    text = json.dumps(
        {
            "config": order.config,
            "is_quiet": order.is_quiet,
            "memory_bytes": order.memory_bytes,
            "parent": os.getpid(),
            "report_fd": sender,
        }
    )
    assert process.stdin is not None
    # Where it is dead already, its return code will tell.
    with suppress(BrokenPipeError):
        process.stdin.write(text.encode())
        process.stdin.close()


def _watch(
    process: subprocess.Popen[bytes],
    receiver: int,
    on_beat: Callable[[], None],
    stops: Stops,
) -> tuple[bool, str]:
    """Read until the other end of the pipe closes, which it does with the process."""
    chunks: list[bytes] = []
    stop_by: float | None = None
    while True:
        if stops.is_asked and stop_by is None:
            os.kill(process.pid, signal.SIGTERM)  # Popen's own would collect the dead
            stop_by = time.monotonic() + STOP_GRACE_S
        if stops.is_urgent or (stop_by is not None and time.monotonic() > stop_by):
            os.kill(process.pid, signal.SIGKILL)
        if receiver in stops.wait(HEARTBEAT_S, receiver):
            chunk = os.read(receiver, 65536)
            if not chunk:
                return stop_by is not None, b"".join(chunks).decode()
            chunks.append(chunk)
        on_beat()


def count_memory_kills(
    own_cgroups: Path = _OWN_CGROUPS, mount: Path = _CGROUP_MOUNT
) -> int:
    """Count how often the out-of-memory killer has struck in this control group.

    Args:
        own_cgroups: File that names the groups of this process.
        mount: Where control groups are mounted.

    Returns:
        The count; 0 where it is not told.
    """
    for path in _list_counters(own_cgroups, mount):
        with suppress(OSError):
            words = path.read_text("utf-8").split()
            return int(words[words.index("oom_kill") + 1])
    return 0


def _list_counters(own_cgroups: Path, mount: Path) -> Iterator[Path]:
    """List the files that may count, those of version 2 and of version 1."""
    try:
        lines = own_cgroups.read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, group = line.split(":", 2)
        if number == "0":
            yield mount / group.lstrip("/") / "memory.events"
        elif "memory" in controllers.split(","):
            # Inside a container, its own group is often mounted as the root.
            yield mount / "memory" / group.lstrip("/") / "memory.oom_control"
            yield mount / "memory" / "memory.oom_control"


def conclude(end: JobEnd, folder: Path) -> tuple[str, int, str]:
    """Turn the end of a process into the status of its job.

    Args:
        end: How the process ended.
        folder: Folder of the job.

    Returns:
        Status, exit code and message.
    """
    if end.report is not None:
        report = end.report
        return report["status"], report["exit_code"], report["message"]
    if end.is_stopped or -end.return_code in outcome.STOPPING:
        return "interrupted", outcome.INTERRUPTED, "it was stopped before its end"
    return "failed", outcome.FAILED, describe_silent_end(end, folder)


def describe_silent_end(end: JobEnd, folder: Path) -> str:
    """Say why a process ended without a last word.

    Args:
        end: How the process ended.
        folder: Folder of the job.
    """
    limit = "" if end.limit_bytes is None else format_bytes(end.limit_bytes)
    if end.return_code >= 0:
        spare = f" (--job-memory lets it have {limit})" if limit else ""
        return (
            f"ended with exit code {end.return_code} and no word; the last line of "
            f"{LOG_FILE}: {_read_last_line(folder / LOG_FILE)}{spare}"
        )
    number = -end.return_code
    held = f"it held {format_bytes(end.peak_memory_bytes or 0)} at most"
    text = f"killed by signal {number} ({_name_signal(number)})"
    if limit:
        held += f" and --job-memory lets it have {limit}"
    if number != signal.SIGKILL:
        return f"{text}; {held}"
    if end.is_out_of_memory:
        return f"{text} while its control group ran out of memory; {held}"
    return f"{text}, perhaps by the out-of-memory killer; {held}"


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "real-time"


def _read_last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LAST_BYTES))
        lines = file.read().decode("utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "nothing"
