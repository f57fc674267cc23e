"""Every notebook runs, its claims hold, and what lies in git is what its text says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jupytext
import pytest

from experiments import notebooks, outcome
from experiments.notebooks import execute_notebook, main

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "notebooks").glob("*.py"))
# Zeromq and asyncio warn of how the test process itself was started.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def list_texts(notebook: Any) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def list_outputs(notebook: Any) -> list[list[str]]:
    """Return what each cell shows: printed text with figures left out, or its type."""
    return [
        [
            re.sub(r"[\d.]+", "#", output.text)
            if output.output_type == "stream"
            else output.output_type
            for output in cell.get("outputs", [])
        ]
        for cell in notebook.cells
    ]


def test_there_is_a_notebook() -> None:
    assert SOURCES


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_pair_is_in_step(source: Path) -> None:
    text, stored = (jupytext.read(source.with_suffix(s)) for s in (".py", ".ipynb"))
    assert list_texts(text) == list_texts(stored), "run: make notebooks"
    assert text.metadata.kernelspec == stored.metadata.kernelspec


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_stored_outputs_are_clean(source: Path) -> None:
    stored = jupytext.read(source.with_suffix(".ipynb"))
    outputs = [output for cell in stored.cells for output in cell.get("outputs", [])]
    assert {output.output_type for output in outputs} <= {"stream", "display_data"}
    assert {getattr(output, "name", "stdout") for output in outputs} == {"stdout"}
    assert source.with_suffix(".ipynb").stat().st_size < 2**20
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_notebook_runs_and_its_claims_hold(source: Path) -> None:
    # An assert that fails in a cell raises here.
    executed = execute_notebook(source)
    stored = jupytext.read(source.with_suffix(".ipynb"))
    assert list_outputs(executed) == list_outputs(stored), "run: make notebooks"


def test_failing_cell_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "broken.py"
    source.write_text("# %%\nassert 1 == 2, 'no'\n", encoding="utf-8")
    assert main([str(source)]) == outcome.FAILED
    assert "broken.py: AssertionError: no" in capsys.readouterr().err
    assert not source.with_suffix(".ipynb").exists()


def test_bad_input_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["none.py"]) == outcome.BAD_INPUT
    assert "none.py is no file" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "nbclient", None)
    assert main(["none.py"]) == outcome.FAILED
    assert 'pip install "scribble-engine[notebook]"' in capsys.readouterr().err
    assert notebooks.CELL_TIMEOUT_S > 60
