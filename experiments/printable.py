"""What may be written to a terminal: text, and no commands to the terminal itself.

Names and messages come from files that others wrote. An escape sequence among them
could move the cursor, colour what follows, set the title or type words into the shell.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, Final, TextIO

_COMMANDS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters but tab and line feed, marks that turn the direction of writing,
and halves of surrogate pairs, which no encoding holds."""
STAND_IN: Final = "?"


def to_printable(text: str) -> str:
    r"""Replace what a terminal would obey, or could not show.

    Args:
        text: Any text.

    Example:
        >>> to_printable("done\x1b[31m")
        'done?[31m'
    """
    return _COMMANDS.sub(STAND_IN, text)


class PrintableStream:
    """A text stream on which nothing but text can be written.

    Args:
        stream: Where it goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text; returns its length.

        Args:
            text: Any text.
        """
        self.stream.write(to_printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        """Be the stream in all other respects."""
        return getattr(self.stream, name)


@contextmanager
def guard_streams() -> Iterator[None]:
    """Let nothing but text be written to standard output and standard error.

    What draws on a terminal, and knows what it draws, takes the stream inside
    (`find_stream`).
    """
    out: Any = PrintableStream(find_stream())
    trouble: Any = PrintableStream(find_stream(to_stderr=True))
    with redirect_stdout(out), redirect_stderr(trouble):
        yield


def find_stream(*, to_stderr: bool = False) -> TextIO:
    """Return standard output or standard error without the guard around it.

    Args:
        to_stderr: Standard error.
    """
    found: Any = sys.stderr if to_stderr else sys.stdout
    stream: TextIO = found.stream if isinstance(found, PrintableStream) else found
    return stream
