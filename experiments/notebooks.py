"""Notebooks: their text is a `.py` file, their outputs are computed from it.

    python -m experiments.notebooks [NAME.py ...]

Each `notebooks/*.py` (jupytext, percent format) is executed and written next to itself
as `.ipynb`, outputs and all (extra `notebook`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from engine.errors import RecordError
from experiments import outcome

FOLDER: Final = Path("notebooks")
"""Where the notebooks are, from the root of the project."""
CELL_TIMEOUT_S: Final = 600
"""Longest time that a cell may take [s]."""


def require_jupyter() -> None:
    """Make sure that notebooks can be read and executed.

    Raises:
        MissingPackageError: A package of the extra `notebook` is not installed.
    """
    try:
        import ipykernel  # noqa: F401 - the import is the check
        import jupytext  # noqa: F401
        import nbclient  # noqa: F401
    except ModuleNotFoundError as error:
        raise outcome.MissingPackageError(
            f"Notebooks need {error.name}, which is not installed; run: pip install "
            '"scribble-engine[notebook]".'
        ) from error


def execute_notebook(source: Path) -> Any:
    """Execute a notebook from its text.

    Args:
        source: Its `.py` file.

    Returns:
        The notebook with outputs, without timings, so that it only changes if they do.

    Raises:
        RecordError: There is no such file.
        CellExecutionError: A cell fails.
    """
    import jupytext
    from nbclient import NotebookClient

    if not source.is_file():
        raise RecordError(f"{source} is no file; name the .py file of a notebook.")
    notebook = jupytext.read(source)
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # or it warns
    client = NotebookClient(
        notebook, timeout=CELL_TIMEOUT_S, kernel_name="python3", record_timing=False
    )
    client.execute()
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02}"
    return notebook


def main(argv: Sequence[str] | None = None) -> int:
    """Execute notebooks and write them with their outputs.

    Args:
        argv: Words after the program's name; those of the process by default.

    Returns:
        Exit code.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", nargs="*", type=Path, metavar="NAME.py")
    sources = parser.parse_args(argv).sources or sorted(FOLDER.glob("*.py"))
    return outcome.close_command(lambda: _write_notebooks(sources))


def _write_notebooks(sources: Sequence[Path]) -> int:
    require_jupyter()
    import jupytext
    from nbclient.exceptions import CellExecutionError

    for source in sources:
        try:
            notebook = execute_notebook(source)
        except CellExecutionError as error:
            sys.stderr.write(f"scribble: error: {source}: {error.ename}: ")
            sys.stderr.write(f"{error.evalue}\n")
            return outcome.FAILED
        target = source.with_suffix(".ipynb")
        jupytext.write(notebook, target, fmt="ipynb")
        sys.stdout.write(f"{target}\n")
    return outcome.DONE


if __name__ == "__main__":
    sys.exit(main())
