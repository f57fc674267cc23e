"""The exact results that this engine is held to, as checks that anyone can run.

`check.py` says what a check is, `specimen.py` builds what is measured, and each family
has a file: `waves`, `motion`, `meanfield`, `noise`, `lattices`, `pairs`, `frequency`,
`orders`, `conservation`, `forecasts` and `outcomes`. Layer 7 (README, "The house").
"""

from __future__ import annotations

from typing import Final

from engine.errors import ConfigError, unknown_choice
from engine.verification import (
    conservation,
    forecasts,
    frequency,
    lattices,
    meanfield,
    motion,
    noise,
    orders,
    outcomes,
    pairs,
    waves,
)
from engine.verification.check import Check, Row, Verdict

__all__ = ["CHECKS", "Check", "Row", "Verdict", "choose_checks"]

CHECKS: Final = (
    *waves.CHECKS,
    *motion.CHECKS,
    *meanfield.CHECKS,
    *noise.CHECKS,
    *lattices.CHECKS,
    *pairs.CHECKS,
    *frequency.CHECKS,
    *orders.CHECKS,
    *conservation.CHECKS,
    *forecasts.CHECKS,
    *outcomes.CHECKS,
)
"""Every check, in the order in which they are shown."""


def choose_checks(
    backend: str, *, only: tuple[str, ...] = (), is_full: bool = False
) -> tuple[Check, ...]:
    """Choose what to measure.

    Args:
        backend: Name of the back end; only checks that are measured there are taken.
        only: Names of checks, long or not; all by default.
        is_full: Whether to take the long ones too.

    Returns:
        At least one check, in the order of `CHECKS`.

    Raises:
        ConfigError: A name is unknown, or none of the named checks runs there.
    """
    names = [check.name for check in CHECKS]
    for name in only:
        if name not in names:
            raise unknown_choice("--only", name, names)
    chosen = tuple(
        check
        for check in CHECKS
        if (check.name in only if only else is_full or not check.is_long)
        and backend in check.backends
    )
    if not chosen:
        raise ConfigError(
            f"--only {' '.join(only)} is not measured on the back end {backend}; take "
            "backend=cpu."
        )
    return chosen
