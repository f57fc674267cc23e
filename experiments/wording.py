"""Words for people: figures with units, spans of time."""

from __future__ import annotations

import re
from typing import Final

from engine.errors import ConfigError, count_noun, quote

_SUFFIXES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
MAX_BYTES: Final = 2.0**63
"""No machine has as much memory [byte]."""
_BYTE_UNITS: Final = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600


def format_count(count: float) -> str:
    """Write a count with three digits and a decimal suffix, such as ``12.3 M``.

    Args:
        count: Any count, >= 0.
    """
    for scale, suffix in _SUFFIXES:
        if count >= scale:
            return f"{count / scale:.3g} {suffix}"
    return f"{count:.3g}" if count % 1 else f"{count:.0f}"


def format_jobs(count: int) -> str:
    """Write a number of jobs, such as ``1 job`` or ``12 jobs``.

    Args:
        count: How many, >= 0.
    """
    return count_noun(count, "job")


def format_bytes(byte_count: float) -> str:
    """Write an amount of memory in binary units, such as ``3.9 GiB``.

    Args:
        byte_count: Amount [byte], >= 0.
    """
    amount = float(byte_count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.3g} {unit}"
        amount /= 1024
    return f"{amount:.3g} TiB"


def parse_bytes(text: str, name: str) -> int:
    """Read an amount of memory, such as ``8GiB`` or ``500 MB``.

    Args:
        text: A number and a unit; bytes without one.
        name: What it is for, to say so where it cannot be read.

    Returns:
        The amount [byte], > 0.

    Raises:
        ConfigError: It is no amount.
    """
    match = re.fullmatch(r"\s*(\d+\.?\d*)\s*([a-z]*)\s*", text.lower())
    factor = _BYTE_UNITS.get(match[2]) if match else None
    amount = 0.0 if match is None or factor is None else float(match[1]) * factor
    if not 1.0 <= amount < MAX_BYTES:
        raise ConfigError(
            f"{name} is {quote(text)}; write a number and a unit, such as 8GiB or "
            "500MB."
        )
    return int(amount)


def format_span(span_s: float) -> str:
    """Write a span of time as ``m:ss`` or ``h:mm:ss``.

    Args:
        span_s: Span [s], >= 0.
    """
    seconds = round(span_s)
    minutes, second = divmod(seconds, _MINUTE_S)
    if seconds < _HOUR_S:
        return f"{minutes}:{second:02d}"
    hours, minute = divmod(minutes, _MINUTE_S)
    return f"{hours}:{minute:02d}:{second:02d}"


def format_frequency(frequency_hz: float) -> str:
    """Write a frequency with three digits and no exponent, such as ``0.829 Hz``.

    Args:
        frequency_hz: Frequency [Hz], >= 0.
    """
    digits = 0 if frequency_hz >= 100 else 1 if frequency_hz >= 10 else 2
    return f"{frequency_hz:.{digits}f} Hz"
