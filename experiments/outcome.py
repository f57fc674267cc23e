"""How a command ends: its exit code, and one sentence where something went wrong."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from engine.disk import CLOSED, FULL
from engine.errors import (
    DeviceError,
    EngineError,
    ForecastError,
    NumericalError,
    RecordError,
    WriteError,
)

DONE: Final = 0
"""The command did what was asked."""
FAILED: Final = 1
"""The command started and failed, or the machine lacks something essential."""
BAD_INPUT: Final = 2
"""What was asked for is not possible; nothing was written."""
INTERRUPTED: Final = 130
"""Ctrl-C or another of `STOPPING`; what was done so far is in the run folder."""

MAX_SENTENCE: Final = 1200
"""Longest sentence; of a longer one the middle is left out [characters]."""

TRACEBACK_VARIABLE: Final = "SCRIBBLE_TRACEBACK"
"""Environment variable that turns tracebacks on."""

_NO_PATHS: Final = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR)
"""Errors of paths that no file can have."""
STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
"""Signals that stop a command: Ctrl-C, kill, Slurm's warning, a closed terminal."""

EXIT_CODES: Final = (
    ("done", DONE),
    ("failed", FAILED),
    ("interrupted", INTERRUPTED),
)
"""Status of a run and the exit code it means."""


class MissingPackageError(EngineError, ImportError):
    """A package that only some commands need is not installed."""


_FAILURES: Final = (
    DeviceError,
    ForecastError,
    MissingPackageError,
    NumericalError,
    WriteError,
)
"""Errors of what had begun, or of the machine: no fault of what was asked for."""


class SentenceParser(argparse.ArgumentParser):
    """A parser that answers bad words with one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        """Write the sentence to standard error and exit.

        Args:
            message: What is wrong, from argparse, which repeats what was typed.
        """
        text = shorten(" ".join(message.split()))
        self.exit(BAD_INPUT, f"scribble: error: {text} (see {self.prog} --help)\n")


def close_command(command: Callable[[], int], *, is_last: bool = False) -> int:
    """Run a command; however it ends, end with an exit code and at most one line.

    Args:
        command: Does the work and returns its exit code.
        is_last: Whether the process ends with it; then nothing is left to interrupt.

    Returns:
        Exit code of the process.
    """
    try:
        with interrupt_on_signals(is_last=is_last):
            code = command()
            sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()  # the reader has gone
        return FAILED
    except KeyboardInterrupt:
        _drop_output()  # a terminal that was closed
        with suppress(OSError):
            sys.stderr.write("scribble: interrupted.\n")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last stop before the user
        _drop_output()
        return report_error(error)
    return code


def _drop_output() -> None:
    """Keep the interpreter from writing what is left, and complaining, at its exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Interrupt:
    """A signal handler that raises `KeyboardInterrupt` and remembers that it did.

    It takes no lock, as no handler may: signals come while signals are handled.
    """

    def __init__(self) -> None:
        """Begin without a signal."""
        self.is_heard = False
        """Whether it has raised."""
        self.is_over = False
        """Whether nothing is left that it could interrupt."""

    def __call__(self, kind: int, frame: FrameType | None) -> None:
        """Raise, whatever the signal.

        Raises:
            KeyboardInterrupt: There is something left to interrupt.
        """
        if not self.is_over:
            self.is_heard = True
            raise KeyboardInterrupt


@contextmanager
def interrupt_on_signals(
    stop: Interrupt | None = None, *, is_last: bool = False
) -> Iterator[None]:
    """Let SIGTERM, SIGHUP, and SIGUSR1 by which Slurm warns, raise `KeyboardInterrupt`.

    So does Ctrl-C, also where others lose the exception or make one of their own of
    it: while a kernel is compiled, Python's handlers only run in callbacks of LLVM,
    which drop what is raised there. A run brings its own handlers and gives these back.
    Does nothing outside the main thread, or where somebody else has chosen what these
    signals do: `nohup` ignores SIGHUP, a script the SIGINT of what it starts by ``&``.

    Args:
        stop: What is called by signals instead of a handler that always raises.
        is_last: Whether the process ends after it; then it is deaf to these signals.

    Raises:
        KeyboardInterrupt: A signal came, and nothing told of it but another error.
    """
    stop = stop or Interrupt()
    is_main = threading.current_thread() is threading.main_thread()
    kinds = list_own_signals() if is_main else []
    before = {kind: signal.getsignal(kind) for kind in kinds}
    for kind in kinds:
        signal.signal(kind, stop)
    try:
        with _drop_lost_interrupts():
            yield
    except Exception as error:
        # What could not be kept must be told, whoever stopped it.
        if stop.is_heard and not isinstance(error, WriteError):
            raise KeyboardInterrupt from error
        raise
    finally:
        stop.is_over = is_last
        for kind in kinds:
            signal.signal(kind, signal.SIG_IGN if is_last else before[kind])


def list_own_signals() -> list[signal.Signals]:
    """List the stopping signals of which nobody else has chosen what they do."""
    return [kind for kind in STOPPING if _is_ours(signal.getsignal(kind))]


def _is_ours(handler: object) -> bool:
    """Tell whether nobody else, in C or in Python, has chosen what a signal does."""
    chosen_by_python = (signal.SIG_DFL, signal.default_int_handler)
    return handler in chosen_by_python or isinstance(handler, Interrupt)


@contextmanager
def _drop_lost_interrupts() -> Iterator[None]:
    """Say nothing of interrupts that compiled code could not pass on."""
    before = sys.unraisablehook

    def tell(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            before(lost)

    sys.unraisablehook = tell
    try:
        yield
    finally:
        sys.unraisablehook = before


def make_folder(folder: Path, option: str) -> None:
    """Make a folder for results before anything is measured.

    Args:
        folder: Where they go; may exist.
        option: Name of the option that chose it.

    Raises:
        RecordError: It cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(
            f"{option} {folder} cannot be made ({error.strerror}); name a folder that "
            "can be written."
        ) from error
    if not os.access(folder, os.W_OK):
        raise RecordError(f"{option} {folder} cannot be written; name another folder.")


def code_of_status(status: str) -> int:
    """Translate the status of a run into an exit code.

    Args:
        status: ``done``, ``failed`` or ``interrupted``.
    """
    return dict(EXIT_CODES).get(status, FAILED)


def code_of_error(error: BaseException) -> int:
    """Translate an error into an exit code.

    Args:
        error: What a command raised.
    """
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, _FAILURES):
        return FAILED
    return BAD_INPUT if isinstance(error, EngineError) or is_path(error) else FAILED


def is_path(error: BaseException) -> bool:
    """Tell whether an error says that a name can be that of no file at all.

    Args:
        error: What a command raised.
    """
    return isinstance(error, OSError) and error.errno in _NO_PATHS


def is_disk(error: BaseException) -> bool:
    """Tell whether an error says that a disk took no more of what is shown or kept.

    Args:
        error: What a command raised.
    """
    return isinstance(error, OSError) and error.errno in (*FULL, *CLOSED)


def describe_error(error: BaseException) -> str:
    """Put an error into one line for people.

    Args:
        error: What a command raised.

    Returns:
        The engine's own sentence; anything else by its type, with the way to see more.
    """
    if isinstance(error, KeyboardInterrupt):
        return "interrupted."
    text = shorten(" ".join(str(error).split()))
    if isinstance(error, EngineError):
        return text
    if is_path(error):
        return f"{text.rstrip('.')}; name another file or folder."
    if isinstance(error, OSError) and is_disk(error):
        # Whatever writes a file names it; only streams have no name.
        what = "" if error.filename else "standard output cannot be written: "
        return f"{what}{text.rstrip('.')}; make room on the disk, or write elsewhere."
    return (
        f"unexpected {type(error).__name__}: {text or 'no message'}; set "
        f"{TRACEBACK_VARIABLE}=1 to see the traceback."
    )


def shorten(text: str) -> str:
    """Leave out the middle of a sentence that is too long to be read.

    Args:
        text: The sentence.
    """
    if len(text) <= MAX_SENTENCE:
        return text
    return f"{text[: MAX_SENTENCE // 2]} ... {text[-MAX_SENTENCE // 2 :]}"


def report_error(error: BaseException) -> int:
    """Write an error to standard error and say how to exit.

    Args:
        error: What a command raised.

    Returns:
        The exit code.
    """
    if os.environ.get(TRACEBACK_VARIABLE, "0") not in ("", "0"):
        traceback.print_exception(error, file=sys.stderr)
    with suppress(OSError):  # a log on a full disk
        sys.stderr.write(f"scribble: error: {describe_error(error)}\n")
    return code_of_error(error)
