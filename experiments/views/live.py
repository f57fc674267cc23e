"""The live view of a run on a terminal: where it is, how it is, what it is given."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from experiments.views.glyphs import (
    Glyphs,
    History,
    choose_glyphs,
    draw_bar,
    draw_sparkline,
)
from experiments.views.telemetry import Row, build_grid, list_resource_rows
from experiments.views.throttle import Throttle
from experiments.wording import format_count, format_frequency, format_span

if TYPE_CHECKING:
    from engine.system import Progress

WIDE_COLUMNS: Final = 110
"""Terminal width from which run and machine stand side by side [characters]."""
FIGURE_COLUMNS: Final = 28
"""Room for a figure before its sparkline [characters]."""
STATE_STYLES: Final = (
    ("nominal", "bold green"),
    ("floor-bound", "bold magenta"),
    ("unreachable", "bold red"),
    ("stale", "bold red"),
)
"""Colours from the terminal's own palette, legible on light and on dark."""


class LiveView:
    """Redraws one block of the terminal while a run goes on.

    Args:
        console: Terminal to draw on.
        description: What the system is made of, key by key.
        clock: Steady clock [s].
    """

    def __init__(
        self,
        console: Console,
        description: Mapping[str, str],
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._console = console
        self._glyphs = choose_glyphs(console.encoding)
        self._title = describe_system(description, self._glyphs)
        self._coherence = History()
        self._frequency = History()
        self._throttle = Throttle(clock=clock)
        self._last: Progress | None = None
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        """Take over the terminal's last lines."""
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Draw the last state and give the terminal back."""
        if self._last is not None:
            self._draw()
        self._live.stop()

    def show(self, progress: Progress) -> None:
        """Take in one control period; draw only when it is time.

        Args:
            progress: State after the period.
        """
        self._last = progress
        self._coherence.append(progress.coherence)
        self._frequency.append(progress.frequency_hz)
        if self._throttle.is_due():
            self._throttle.call(self._draw)

    def render(self, width: int) -> RenderableType:
        """Lay the last state out.

        Args:
            width: Columns of the terminal, >= 40.
        """
        progress = self._last
        if progress is None:
            return self._title
        run_width = width // 2 - 1 if width >= WIDE_COLUMNS else width
        run = build_grid(self._list_run_rows(progress, run_width))
        machine = build_grid(list_resource_rows(progress.metrics, self._glyphs))
        state = build_grid([_state_row(progress)])
        if width < WIDE_COLUMNS:
            return Group(self._title, run, machine, state)
        body = Table.grid(padding=(0, 1), expand=True)
        body.add_column(ratio=1)
        body.add_column(ratio=1)
        body.add_row(run, machine)
        return Group(self._title, body, state)

    def _draw(self) -> None:
        self._live.update(self.render(self._console.width), refresh=True)

    def _list_run_rows(self, progress: Progress, width: int) -> Iterator[Row]:
        room = max(8, width - 12)
        yield Row("progress", _progress_text(progress, room, self._glyphs))
        spark = max(4, room - FIGURE_COLUMNS)
        yield Row("coherence", self._coherence_text(progress, spark))
        yield Row("frequency", self._frequency_text(progress, spark))
        yield Row("demand", Text(describe_demand(progress)))
        yield Row("tunnels", Text(describe_tunnels(progress)))

    def _coherence_text(self, progress: Progress, width: int) -> Text:
        holds = progress.coherence >= progress.floor
        # The floor lies half way up the line, and what is far below it is clipped.
        low = 2.0 * progress.floor - 1.0
        figure = Text(f"{progress.coherence:.3f}", "bold" if holds else "bold red")
        figure.append(f"  floor {progress.floor:.3f}", style="not bold")
        figure.truncate(FIGURE_COLUMNS, pad=True)
        points = self._coherence.points
        line = draw_sparkline(points, width, low=low, high=1.0, glyphs=self._glyphs)
        return figure.append(line, style="green" if holds else "red")

    def _frequency_text(self, progress: Progress, width: int) -> Text:
        figure = Text(format_frequency(progress.frequency_hz), "bold")
        top = format_frequency(progress.maximum_hz)
        figure.append(f"  of {top}", style="not bold")
        figure.truncate(FIGURE_COLUMNS, pad=True)
        line = draw_sparkline(
            self._frequency.points,
            width,
            low=0.0,
            high=progress.maximum_hz,
            glyphs=self._glyphs,
        )
        return figure.append(line, style="magenta")


def describe_system(description: Mapping[str, str], glyphs: Glyphs) -> Text:
    """Name the system: what is simulated, and below it where and why there.

    Args:
        description: What the system is made of, key by key.
        glyphs: The terminal's alphabet.
    """
    what = [description[key] for key in ("lattice", "bridges") if key in description]
    where = [description[key] for key in ("device", "backend") if key in description]
    title = Text("Scribble", style="bold", overflow="fold")
    title.append(glyphs.separator + glyphs.separator.join(what), style="not bold")
    return title.append(f"\n{glyphs.separator.join(where)}", style="not bold dim")


def estimate_remaining_s(progress: Progress) -> float | None:
    """Estimate the wall time that is left from the mean pace so far.

    Args:
        progress: State after a control period.

    Returns:
        Wall time [s], or None before anything is known.
    """
    if progress.step <= 0 or progress.wall_s <= 0:
        return None
    return progress.wall_s * (progress.step_count - progress.step) / progress.step


def describe_tunnels(progress: Progress) -> str:
    """Say how many tunnel events succeeded and failed.

    Args:
        progress: State after a control period.
    """
    done, failed = format_count(progress.successful), format_count(progress.failed)
    return f"{done} succeeded, {failed} failed"


def describe_demand(progress: Progress) -> str:
    """Say what the resources offer and what the coherence requires.

    Args:
        progress: State after a control period.
    """
    offered = format_frequency(progress.offered_hz)
    required = format_frequency(progress.required_hz)
    return f"offered {offered}, required {required}"


def _progress_text(progress: Progress, room: int, glyphs: Glyphs) -> Text:
    share = progress.step / max(1, progress.step_count)
    left_s = estimate_remaining_s(progress)
    eta = "" if left_s is None else f"  ETA {format_span(left_s)}"
    facts = f" {share:4.0%}  {progress.simulated_s:.2f}/{progress.duration_s:g} s{eta}"
    full, empty = draw_bar(share, max(4, room - len(facts)), glyphs)
    return Text.assemble((full, "bold green"), (empty, "dim"), facts)


def _state_row(progress: Progress) -> Row:
    style = dict(STATE_STYLES).get(progress.state, "bold")
    return Row("state", Text.assemble((progress.state, style), f": {progress.reason}"))
