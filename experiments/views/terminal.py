"""The console that everything is drawn on, and whether it can be redrawn."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from experiments.printable import find_stream, to_printable

if TYPE_CHECKING:
    from typing import TextIO


SIZES: Final = ("COLUMNS", "LINES")
"""Environment variables that say how large the terminal is."""


class PrintableConsole(Console):
    """A console whose texts hold no commands to the terminal but its own styles."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render, and replace what a terminal would obey.

        Args:
            renderable: What to draw.
            options: How wide.
        """
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(to_printable(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Leave it to the command how it ends when its reader has gone.

        Raises:
            BrokenPipeError: Always; Rich itself would end the process.
        """
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def open_console(*, to_stderr: bool = False) -> Console:
    """Open the process's own output, in a notebook too.

    Args:
        to_stderr: Standard error instead of standard output.
    """
    return build_console(find_stream(to_stderr=to_stderr), to_stderr=to_stderr)


def build_console(stream: TextIO, *, to_stderr: bool = False) -> Console:
    """Build a console that shows texts as they are, on a stream.

    Args:
        stream: Where is drawn.
        to_stderr: Whether that is standard error.
    """
    size = shutil.get_terminal_size() if is_size_zero() else None
    return PrintableConsole(
        file=stream,
        width=size and size.columns,
        height=size and size.lines,
        highlight=False,
        markup=False,
        stderr=to_stderr,
        force_jupyter=False,
    )


def is_size_zero() -> bool:
    """Tell whether the environment gives a terminal no columns or no lines at all.

    Rich takes that at its word and shows nothing; it only means that nobody knew.
    """
    told = (os.environ.get(name, "") for name in SIZES)
    return any(text and not text.strip("0") for text in told)


def is_redrawable(console: Console) -> bool:
    """Tell a real terminal from a pipe, a file or a terminal without cursor control.

    Colours forced by the environment do not make a pipe redrawable.

    Args:
        console: Where is drawn.
    """
    return console.file.isatty() and not console.is_dumb_terminal
