"""The frame of studies: from a sweep's folder to ``study.json`` and back."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.errors import ConfigError, RecordError
from experiments.report.document import (
    YES,
    Axis,
    Band,
    HeatMap,
    Plot,
    Rule,
    Series,
    Table,
    Verdict,
)
from experiments.report.jobs import SweepRecord, read_sweep
from experiments.report.study import STUDY_FILE, build_study, read_study
from experiments.study import STUDIES, examination
from experiments.study.base import Study
from tests.report_folders import make_grid

PLOT = Plot(
    "p",
    Axis("x [-]"),
    Axis("y [Hz]", "log"),
    (Series("s", (1, 2.5), (3.0, None), "dots", ("a", "b")),),
    (Rule(2.0, "floor"),),
    (Band(1.0, 2.0, "bound"),),
    "how",
)
HEAT = HeatMap(
    "h", Axis("x"), Axis("y"), (1, 2), ("a",), "r [-]", ((0.5, None),), "why"
)
WHOLE = Study(
    "Title",
    "What?",
    ("It is so.",),
    (Verdict("So?", YES, "By 3."),),
    (Table("t", ("a", "b"), ((1, "x"), (None, True)), "c"),),
    (PLOT, HEAT),
)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> str:
    """A study that names the jobs of its sweep."""

    def examine(record: SweepRecord) -> Study:
        return Study("Counted", "How many?", (f"There are {len(record.jobs)}.",))

    modules = {"experiments.study.counting": SimpleNamespace(examine=examine)}
    monkeypatch.setattr(examination, "import_module", modules.__getitem__)
    monkeypatch.setattr(examination, "STUDIES", {"counted": "counting"})
    return "counted"


def test_every_part_survives_the_file() -> None:
    values = WHOLE.to_dict()
    assert json.loads(json.dumps(values)) == values
    document = build_study(values, Path("/nowhere"))
    assert document.problems == ()
    assert (document.title, document.findings) == ("Title", WHOLE.findings)
    assert document.verdicts == WHOLE.verdicts
    (section,) = document.sections
    assert section.sentences == ("What?",)
    assert section.tables == WHOLE.tables
    assert section.plots == WHOLE.plots


def test_an_answer_without_plots_is_one_too() -> None:
    document = build_study(Study("t", "q?", ("f.",)).to_dict(), Path("/nowhere"))
    assert (document.problems, document.plots) == ((), ())


def test_study_is_written_beside_the_jobs_and_read_back(
    tmp_path: Path, registered: str
) -> None:
    make_grid(tmp_path)
    values = examination.write_study(registered, tmp_path)
    assert values["findings"] == ["There are 10."]
    assert json.loads((tmp_path / STUDY_FILE).read_text("utf-8")) == values
    assert not list(tmp_path.glob(".*"))
    document = read_study(tmp_path)
    assert document is not None
    assert document.findings == ("There are 10.",)


def test_unknown_study_is_refused_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'odd' is no study; choose one of: .*load_"):
        examination.examine_sweep("odd", read_sweep(tmp_path))


def test_folder_that_takes_no_file(
    tmp_path: Path, registered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(RecordError, match=r"cannot be written .Permission denied."):
        examination.write_study(registered, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_every_module_that_is_named_and_there_examines() -> None:
    modules = [f"experiments.study.{module}" for module in STUDIES.values()]
    found = [name for name in modules if find_spec(name) is not None]
    assert "experiments.study.load" in found
    for name in found:
        assert callable(examination.import_module(name).examine)
