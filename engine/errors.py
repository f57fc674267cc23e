"""The error family: every failure a user can cause has a name and says the cure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Final


class EngineError(Exception):
    """Base of every error that Scribble raises on purpose."""


class ConfigError(EngineError, ValueError):
    """A configuration value is unknown, out of range or contradicts another."""


class ShapeError(EngineError, ValueError):
    """An array or an edge list does not fit the network it is meant for."""


class BackendUnavailableError(EngineError, RuntimeError):
    """The back end that was asked for cannot run on this machine."""


class ResourceError(EngineError, MemoryError):
    """The problem needs more memory than the machine or the GPU has."""


class NumericalError(EngineError, ArithmeticError):
    """A value left the range in which the arithmetic is exact."""


class RecordError(EngineError, OSError):
    """A run folder, a trace or an input file cannot be used."""


class WriteError(RecordError):
    """The disk took no more while something was written: full, or read-only by now."""


class CheckpointError(EngineError, OSError):
    """A checkpoint cannot be gone on from: newer, or of another run."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint is cut off or altered; an earlier one may be whole."""


class ClosedError(EngineError, RuntimeError):
    """Something is asked of a system that has been closed."""


class ForecastError(EngineError, ValueError):
    """A run is beyond what can be forecast, though it can be run."""


_FOREIGN: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
"""Characters that YAML does not hold, half of a surrogate pair among them."""
MAX_QUOTE: Final = 120
"""Longest piece of bad input that a sentence repeats [characters]."""


def quote(value: object) -> str:
    """Show a value in a sentence, cut short where it is long.

    Args:
        value: Anything, perhaps a text of megabytes or a number of a million digits.

    Returns:
        Its `repr` in one line, at most `MAX_QUOTE` characters and a few more.
    """
    if isinstance(value, str) and len(value) > MAX_QUOTE:
        return f"{value[:MAX_QUOTE]!r}... ({len(value)} characters)"
    if isinstance(value, int) and value.bit_length() > 3 * MAX_QUOTE:
        return f"a number of {value.bit_length()} bits"
    shown = " ".join(repr(value).split())
    return shown if len(shown) <= MAX_QUOTE else f"{shown[:MAX_QUOTE]}..."


def cut(text: str) -> str:
    """Show a key or a name as it is, or quoted where it can be none.

    Args:
        text: As it was given.
    """
    return text if text.isprintable() and len(text) <= MAX_QUOTE else quote(text)


def count_noun(count: int, noun: str) -> str:
    """Write a count with its noun, such as ``1 thread`` or ``12 threads``.

    Args:
        count: How many, >= 0.
        noun: One of them.
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def is_writable(text: str) -> bool:
    """Tell whether a text can be stored as YAML in UTF-8 and be part of a path.

    Args:
        text: Any text, perhaps with bytes that the shell could not decode.
    """
    return _FOREIGN.search(text) is None


def unknown_choice(key: str, got: object, allowed: Iterable[str]) -> ConfigError:
    """Build the error for an unknown choice, the nearest allowed name first.

    Args:
        key: Full configuration key, such as ``lattice.kind``.
        got: The value that was given.
        allowed: Every accepted name.

    Returns:
        The error, not raised.
    """
    names = list(allowed)
    given = str(got)[:MAX_QUOTE]
    nearest = difflib.get_close_matches(given, names, n=len(names), cutoff=0.0)
    ordered = nearest + [name for name in names if name not in nearest]
    return ConfigError(f"{key} is {quote(got)}; choose one of: {', '.join(ordered)}.")
