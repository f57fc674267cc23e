"""Settings of Numba's own, in the environment, that no kernel could run with."""

from __future__ import annotations

import os
from typing import Final

from engine.errors import ConfigError, quote

THREADS_VARIABLE: Final = "NUMBA_NUM_THREADS"
"""How many threads Numba starts; its import fails below 1."""
DISABLING_VARIABLE: Final = "NUMBA_DISABLE_JIT"
"""Anything but 0 leaves kernels as Python, which cannot run them."""


def refuse_numba_settings() -> None:
    """Refuse what would end in an error of Numba's, before it is imported.

    Raises:
        ConfigError: A variable has a value that compiled kernels cannot run with.
    """
    threads = _read_number(THREADS_VARIABLE)
    if threads is not None and threads < 1:
        raise ConfigError(
            f"The environment variable {THREADS_VARIABLE} is "
            f"{quote(os.environ[THREADS_VARIABLE])}; it must be at least 1. Unset it, "
            "and choose threads by backend.threads."
        )
    if _read_number(DISABLING_VARIABLE):
        raise ConfigError(
            f"The environment variable {DISABLING_VARIABLE} is "
            f"{quote(os.environ[DISABLING_VARIABLE])}; the CPU back end runs compiled "
            "kernels only, so it must be 0. Unset it, or set backend=reference."
        )


def _read_number(name: str) -> int | None:
    """Read a variable as Numba does; None where it falls back on its default."""
    try:
        return int(os.environ[name])
    except (KeyError, ValueError):
        return None
