"""Where compiled CPU kernels are kept between runs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"


def _is_writable(folder: Path) -> bool:
    """Try to make a file in a folder, making the folder if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def find_cache_folder() -> tuple[str, bool]:
    """Find a folder for compiled kernels.

    Numba tries NUMBA_CACHE_DIR, the folder beside the source and the user's cache
    folder, in this order. On a read-only installation without a home none of them
    works; then a temporary folder does for this process.

    Returns:
        The folder, and whether kernels are kept there for the next run.
    """
    named = os.environ.get(VARIABLE)
    beside = Path(__file__).parent / "__pycache__"
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    for folder in ([Path(named)] if named else []) + [beside, user / "numba"]:
        if _is_writable(folder):
            return str(folder), True
    return str(Path(tempfile.gettempdir()) / f"scribble-kernels-{os.getpid()}"), False


def prepare_cache() -> None:
    """Give Numba a folder it can write, before the first kernel is declared."""
    folder, is_kept = find_cache_folder()
    if not is_kept:
        import numba

        os.environ[VARIABLE] = numba.config.CACHE_DIR = folder
