"""A sweep in view: what has ended, what runs, how long it will take.

Reads the status files now and then, so it knows nothing of launchers, and sees jobs on
other nodes as well.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

from experiments.sweep.plan import drop_common
from experiments.wording import format_bytes, format_span

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

    from experiments.sweep.status import JobStatus

LOOK_PERIOD_S: Final = 0.5
MAX_FIGURE: Final = 1e18
"""Figures beyond it are as good as none."""
"""Time between two looks at the status files [s]."""
_STYLES: Final = {
    "done": "green", "failed": "bold red", "lost": "bold red",
    "interrupted": "magenta", "running": "cyan", "waiting": "cyan", "pending": "dim",
}  # fmt: skip

Read = Callable[[], "list[JobStatus]"]


class SweepView:
    """Shows a sweep while it goes on: a bar on a terminal, plain lines elsewhere.

    Args:
        read: Reads how the jobs stand.
        planned: Number of jobs, those included that are done already; None where a
            sweeper makes them up as it goes.
        console: Where to draw a bar; None for plain lines.
        stream: Where plain lines go; standard output by default.
        is_quiet: Without the state of the whole behind every line.
        clock: Steady clock [s].
    """

    def __init__(
        self,
        read: Read,
        planned: int | None,
        *,
        console: Console | None = None,
        stream: TextIO | None = None,
        is_quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read, self._planned = read, planned
        self._console, self._stream = console, stream or sys.stdout
        self._is_quiet, self._clock = is_quiet, clock
        self._told = {_mark(status) for status in read() if not status.is_open}
        self._earlier = frozenset(self._told)
        self._begun = clock()
        self._bar: Progress | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)

    def __enter__(self) -> Self:
        """Begin to look."""
        if self._console is not None:
            self._bar = _build_bar(self._console)
            self._bar.start()
            self._task = self._bar.add_task("", total=self._planned)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Look a last time and end."""
        self._stop.set()
        self._thread.join()
        self.look()
        if self._bar is not None:
            self._bar.stop()

    def _keep_looking(self) -> None:
        while not self._stop.wait(LOOK_PERIOD_S):
            self.look()

    def look(self) -> None:
        """Read the files once and tell what has ended since."""
        # What ended badly before this command began is about to be run again.
        statuses = [
            status
            for status in self._read()
            if status.status == "done" or _mark(status) not in self._earlier
        ]
        apart = drop_common({status.job: status.overrides for status in statuses})
        state = describe_progress(
            statuses, self._planned, self._earlier, self._clock() - self._begun
        )
        for status in statuses:
            if not status.is_open and _mark(status) not in self._told:
                self._told.add(_mark(status))
                self._tell(status, apart[status.job], state)
        if self._bar is not None:
            ended = sum(not status.is_open for status in statuses)
            self._bar.update(self._task, completed=ended, description=state)

    def _tell(self, status: JobStatus, words: Sequence[str], state: str) -> None:
        line = describe_end(status, words)
        if self._bar is not None:
            style = _STYLES.get(status.status, "")
            self._bar.console.print(line, style=style, markup=False, soft_wrap=True)
            return
        span = format_span(self._clock() - self._begun)
        tail = "" if self._is_quiet else f" | {state}"
        self._stream.write(f"[{span}] {line}{tail}\n")
        self._stream.flush()


def _mark(status: JobStatus) -> tuple[int, int, str]:
    return status.job, status.attempt, status.status


def _build_bar(console: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    return Progress(
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
        console=console,
    )


def describe_end(status: JobStatus, words: Sequence[str]) -> str:
    """Say in one line how a job ended.

    Args:
        status: Its status.
        words: What sets it apart from the others.
    """
    took = f" in {format_span(status.seconds)}" if status.seconds is not None else ""
    line = f"job {status.job} {status.status}{took}: {' '.join(words) or 'defaults'}"
    return f"{line}: {status.message}" if status.message else line


def describe_progress(
    statuses: Sequence[JobStatus],
    planned: int | None,
    earlier: frozenset[tuple[int, int, str]],
    elapsed_s: float,
) -> str:
    """Count what has ended, failed and runs, and estimate what is left.

    The estimate is the pace since the start of this command.

    Args:
        statuses: How the jobs stand.
        planned: Number of jobs, where it is known.
        earlier: Jobs that had ended before this command began.
        elapsed_s: Wall time since then [s].
    """
    ended = [status for status in statuses if not status.is_open]
    failed = sum(status.status in ("failed", "lost") for status in ended)
    running = sum(status.status == "running" for status in statuses)
    waiting = sum(status.status == "waiting" for status in statuses)
    of_all = "" if planned is None else f" of {max(planned, len(statuses))}"
    facts = [f"{len(ended)}{of_all} ended"]
    facts += [f"{failed} failed"] if failed else []
    facts += [f"{running} running"] if running else []
    facts += [f"{waiting} waiting for a GPU"] if waiting else []
    fresh = sum(_mark(status) not in earlier for status in ended)
    left = 0 if planned is None else planned - len(ended)
    if fresh and left > 0:
        facts.append(f"about {format_span(elapsed_s / fresh * left)} left")
    return ", ".join(facts)


def list_cells(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Choose what people want to see of a sweep's table.

    Args:
        rows: From `collect_rows`.

    Returns:
        Headings, and the cells of each row: what varies, and the main figures.
    """
    varied = _list_varied(rows)
    heads = ["job", "status", *varied, "r mean", "events", "time", "memory", "why"]
    return heads, [_list_row(row, varied) for row in rows]


def _list_varied(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """List the overrides that are not the same for all jobs."""
    from experiments.sweep.table import STATUS_COLUMNS, SUMMARY_PREFIX

    names = dict.fromkeys(name for row in rows for name in row)
    keys = [
        name
        for name in names
        if name not in STATUS_COLUMNS and not name.startswith(SUMMARY_PREFIX)
    ]
    return [key for key in keys if len({str(row.get(key)) for row in rows}) > 1]


def _list_row(row: Mapping[str, Any], varied: Sequence[str]) -> list[str]:
    coherence = row.get("summary.coherence.mean")
    attempted = row.get("summary.tunnels.attempted")
    seconds, peak = row["seconds"], row["peak_memory_bytes"]
    return [
        str(row["job"]),
        str(row["status"]),
        *("-" if row.get(key) is None else str(row[key]) for key in varied),
        _show(coherence, "{:.3f}".format),
        _show(attempted, "{:,}".format),
        _show(seconds, format_span),
        _show(peak, format_bytes),
        str(row["message"]),
    ]


def _show(value: Any, write: Callable[[Any], str]) -> str:
    """Write a figure that a file has told, unless it is none."""
    is_number = isinstance(value, int | float) and abs(value) < MAX_FIGURE
    return write(value) if is_number else "-"


def format_cells(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Align cells in plain text, nothing cut off.

    Args:
        heads: Headings.
        cells: Rows.
    """
    lines = [list(heads), *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True))
        .rstrip()
        for line in lines
    )  # fmt: skip


def build_cells_table(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
    """Lay cells out for a terminal, the status in colour.

    Args:
        heads: Headings.
        cells: Rows; the second cell is a status.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="dim", pad_edge=False)
    for head in heads:
        table.add_column(Text(head), overflow="fold")
    for line in cells:
        style = _STYLES.get(line[1], "")
        texts = [Text(text) for text in line]
        texts[1].stylize(style)
        table.add_row(*texts)
    return table
