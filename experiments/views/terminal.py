"""The console that everything is drawn on, and whether it can be redrawn."""

from __future__ import annotations

from rich.console import Console


def open_console(*, to_stderr: bool = False) -> Console:
    """Open the process's own output, in a notebook too.

    Args:
        to_stderr: Standard error instead of standard output.
    """
    return Console(highlight=False, stderr=to_stderr, force_jupyter=False)


def is_redrawable(console: Console) -> bool:
    """Tell a real terminal from a pipe, a file or a terminal without cursor control.

    Colours forced by the environment do not make a pipe redrawable.

    Args:
        console: Where is drawn.
    """
    return console.file.isatty() and not console.is_dumb_terminal
