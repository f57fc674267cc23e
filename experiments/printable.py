"""What may be written to a terminal: text, and no commands to the terminal itself.

Names and messages come from files that others wrote. An escape sequence among them
could move the cursor, colour what follows, set the title or type words into the shell.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
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
    (`find_stream`). Where a process was started without a stream, as by ``>&-``, it is
    the null device.
    """
    with ExitStack() as stack:
        out: Any = PrintableStream(stack.enter_context(_open_stream()))
        stack.enter_context(redirect_stdout(out))
        trouble: Any = PrintableStream(
            stack.enter_context(_open_stream(to_stderr=True))
        )
        stack.enter_context(redirect_stderr(trouble))
        yield


@contextmanager
def _open_stream(*, to_stderr: bool = False) -> Iterator[TextIO]:
    """Find a stream, or open the null device where there is none."""
    stream: TextIO | None = find_stream(to_stderr=to_stderr)
    if stream is not None:
        yield stream
        return
    with _open_null() as null:
        yield null


def _open_null() -> TextIO:
    """Open the null device, under the number of the missing stream if that is free.

    Else the next file that is opened would have it, and child processes write there.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    os.set_inheritable(descriptor, True)
    return os.fdopen(descriptor, "w", encoding="utf-8")


class _PatientStream:
    """A text stream that is quiet from the moment on at which it takes no more."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.trouble: OSError | None = None

    def write(self, text: str) -> int:
        """Write a text, or drop it; returns its length.

        Args:
            text: Any text.
        """
        self._try(lambda: self.stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Pass on what is held back, or leave it."""
        self._try(self.stream.flush)

    def _try(self, act: Callable[[], object]) -> None:
        if self.trouble is None:
            try:
                act()
            except OSError as error:
                self.trouble = error

    def __getattr__(self, name: str) -> Any:
        """Be the stream in all other respects."""
        return getattr(self.stream, name)


@contextmanager
def outlive_output() -> Iterator[None]:
    """Let work go on although its reader goes away, as ``head`` does, or a disk fills.

    Nothing more is told until the work is done.

    Raises:
        OSError: Standard output took no more, and the work is done.
    """
    inner: Any = _PatientStream(find_stream())
    out: Any = PrintableStream(inner)
    with redirect_stdout(out):
        yield
    if inner.trouble is not None:
        raise inner.trouble


def find_stream(*, to_stderr: bool = False) -> TextIO:
    """Return standard output or standard error without the guard around it.

    Args:
        to_stderr: Standard error.

    Returns:
        The stream; None in a process that was started without one, outside the guard.
    """
    found: Any = sys.stderr if to_stderr else sys.stdout
    stream: TextIO = found.stream if isinstance(found, PrintableStream) else found
    return stream
