"""Range checks that every group shares, each with a sentence that says the cure."""

from __future__ import annotations

import math
from collections.abc import Iterable

from engine.errors import ConfigError, quote, unknown_choice

MAX_RATE = 1e12
"""Largest coupling, strength [rad/s] or spread [Hz]: float32 holds its products."""


def check_choice(key: str, value: str, allowed: Iterable[str]) -> None:
    """Check that `value` is one of the allowed.

    Raises:
        ConfigError: It is not so; names the full key and what is allowed.
    """
    if value not in allowed:
        raise unknown_choice(key, value, allowed)


def check_between(
    key: str,
    value: float,
    low: float,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """Check that `value` lies in the stated interval.

    Raises:
        ConfigError: It is not so; names the full key and what is allowed.
    """
    above = value > low if open_low else value >= low
    below = value < high if open_high else value <= high
    if not math.isinf(value) and above and below:
        return
    left, right = "(" if open_low else "[", ")" if open_high else "]"
    if math.isinf(high):
        limit = f"be finite and {'above' if open_low else 'at least'} {_show(low)}"
    else:
        limit = f"lie in {left}{_show(low)}, {_show(high)}{right}"
    raise ConfigError(f"{key} is {_show(value)}; it must {limit}.")


def _show(value: float) -> str:
    """Write whole numbers in full, unless they fill lines, and others in short."""
    return quote(value) if isinstance(value, int) else f"{value:g}"


def check_positive(key: str, value: float) -> None:
    """Check that `value` is finite and above 0.

    Raises:
        ConfigError: It is not so; names the full key and what is allowed.
    """
    check_between(key, value, 0.0, open_low=True)
