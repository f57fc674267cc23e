"""The telemetry alone: a live table, one look, or one JSON snapshot."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from experiments import outcome

if TYPE_CHECKING:
    from rich.console import RenderableType

    from engine.monitor import ResourceMetrics, ResourceMonitor

FIRST_LOOK_S: Final = 0.6
"""Wait before a single look: use of cores is a rate and needs two samples [s]."""
REFRESH_PERIOD_S: Final = 0.5
"""Wall time between two looks of the live table [s]."""


def show_monitor(
    *,
    is_json: bool = False,
    is_once: bool = False,
    wait: Callable[[float], None] = time.sleep,
) -> int:
    """Show the resources of this machine until Ctrl-C, or once.

    Args:
        is_json: One snapshot as JSON.
        is_once: One look as a table.
        wait: Waits for a span [s].

    Returns:
        Exit code; ending the live table with Ctrl-C is how it ends, so 0.
    """
    from engine.monitor import ResourceMonitor

    with ResourceMonitor() as monitor:
        if is_json or is_once:
            wait(FIRST_LOOK_S)
            metrics = monitor.update()
            _print_json(metrics) if is_json else _print_once(metrics)
            return outcome.DONE
        try:
            _show_live(monitor, wait)
        except KeyboardInterrupt:
            return outcome.DONE
    return outcome.DONE


def render_metrics(metrics: ResourceMetrics, encoding: str = "utf-8") -> RenderableType:
    """Lay one sample out as a table.

    Args:
        metrics: The sample.
        encoding: Encoding of the terminal.
    """
    from experiments.views.glyphs import choose_glyphs
    from experiments.views.telemetry import (
        build_grid,
        list_detail_rows,
        list_resource_rows,
    )

    glyphs = choose_glyphs(encoding)
    rows = [*list_resource_rows(metrics, glyphs), *list_detail_rows(metrics)]
    return build_grid(rows)


def _print_json(metrics: ResourceMetrics) -> None:
    sys.stdout.write(f"{json.dumps(metrics.to_dict(), indent=2, allow_nan=False)}\n")


def _print_once(metrics: ResourceMetrics) -> None:
    from experiments.views.terminal import open_console

    console = open_console()
    console.print(render_metrics(metrics, console.encoding))


def _show_live(monitor: ResourceMonitor, wait: Callable[[float], None]) -> None:
    """Redraw until interrupted; without a terminal, print one table after another."""
    from rich.live import Live

    from experiments.views.terminal import is_redrawable, open_console

    console = open_console()
    if not is_redrawable(console):
        while True:
            wait(REFRESH_PERIOD_S * 4)
            console.print(render_metrics(monitor.update(), console.encoding))
            console.print()
    with Live(console=console, auto_refresh=False) as live:
        while True:
            metrics = monitor.update()
            live.update(render_metrics(metrics, console.encoding), refresh=True)
            wait(REFRESH_PERIOD_S)
