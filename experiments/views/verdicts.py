"""Exact results beside what was measured: a table by check, or plain lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

    from engine.verification import Row
    from experiments.verify import Verdict

WIDEST: Final = 110
"""Columns that the table takes at most [characters]."""
FIGURES: Final = (("exact", 11), ("measured", 11), ("error", 8), ("allowed", 7))
"""Columns of figures and their widths [characters]."""


def print_verdict(console: Console, verdict: Verdict) -> None:
    """Print one check: what holds, where it is from, and its figures.

    Args:
        console: Terminal.
        verdict: The check's outcome.
    """
    width = min(console.width, WIDEST)
    title = Text(verdict.check.name, style="bold")
    title.append(f"  {verdict.wall_s:.1f} s", style="not bold dim")
    title.append(f"\n{verdict.check.statement}", style="not bold")
    title.append(f"\n{verdict.check.source}", style="not bold dim")
    console.print(title, width=width)
    console.print(build_figure_table(verdict), width=width)
    console.print()


def build_figure_table(verdict: Verdict) -> Table:
    """Lay the figures of a check out.

    Args:
        verdict: The check's outcome.
    """
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(ratio=1, overflow="fold")
    for _, width in FIGURES:
        table.add_column(justify="right", no_wrap=True, width=width)
    table.add_column(no_wrap=True, width=4)
    table.add_row("", *(name for name, _ in FIGURES), "", style="dim")
    for row in verdict.rows:
        verdict_style = "green" if row.is_held else "bold red"
        word = Text(name_verdict(row), style=verdict_style)
        table.add_row(Text(row.quantity), *list_figures(row), word)
    return table


def list_figures(row: Row) -> list[str]:
    """Write exact value, measured value, error and tolerance.

    Args:
        row: One figure of a check.
    """
    return [
        f"{row.exact:.5g}",
        f"{row.measured:.5g}",
        f"{row.error:.1e}" if row.error else "0",
        f"{row.tolerance:.1e}" if row.tolerance else "0",
    ]


def name_verdict(row: Row) -> str:
    """Say in a word whether a figure is within its tolerance.

    Args:
        row: One figure of a check.
    """
    return "ok" if row.is_held else "FAIL"


def format_verdict_lines(verdict: Verdict) -> str:
    """Write a check as lines of facts, for logs and pipes.

    Args:
        verdict: The check's outcome.
    """
    check = verdict.check
    lines = [f"{check.name}: {check.statement} [{check.source}]"]
    for row in verdict.rows:
        exact, measured, error, allowed = list_figures(row)
        lines.append(
            f"  {name_verdict(row):4} {row.quantity} | exact {exact} | measured "
            f"{measured} | error {error} | allowed {allowed}"
        )
    return "\n".join(lines)
