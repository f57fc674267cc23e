"""The error family: every failure a user can cause has a name and says the cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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


class ClosedError(EngineError, RuntimeError):
    """Something is asked of a system that has been closed."""


class ForecastError(EngineError, ValueError):
    """A run is beyond what can be forecast, though it can be run."""


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
    nearest = difflib.get_close_matches(str(got), names, n=len(names), cutoff=0.0)
    ordered = nearest + [name for name in names if name not in nearest]
    return ConfigError(f"{key} is {got!r}; choose one of: {', '.join(ordered)}.")
