"""Range checks that every group shares, each with a sentence that says the cure."""

from __future__ import annotations

import math
from collections.abc import Iterable

from engine.errors import ConfigError, quote, unknown_choice

MAX_RATE = 1e12
"""Largest coupling, strength [rad/s] or spread [Hz]: float32 holds its products."""
MAX_TIME_S = 1e9
"""Longest time that means anything to a run, thirty years [s]."""
MIN_TIME_STEP_S = 1e-9
"""Shortest time step; below it phases do not resolve a step [s]."""
MIN_FREQUENCY_HZ = 1e-9
"""Slowest rung of any ladder [Hz]."""
MAX_FACTOR = 1e9
"""Largest gain, pace or number of standard errors [-]; its inverse is the smallest."""


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


def check_positive(key: str, value: float, high: float = math.inf) -> None:
    """Check that `value` is finite, above 0 and at most `high`.

    Raises:
        ConfigError: It is not so; names the full key and what is allowed.
    """
    check_between(key, value, 0.0, high, open_low=True)
