"""The controller study from end to end, on a network of the smallest size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.cli import main
from experiments.study.control_calibration import YARDSTICKS_FILE

WORDS = (
    *("run", "-q", "-m", "--in-process", "+experiment=controller_study"),
    *("hydra.sweep.dir=sweep", "lattice.shape=[16,16]", "dynamics.duration_s=1"),
    *("controller=floor,headroom", "fault=none", "tunnel.min_coherence=0.6"),
    *("load.start_s=0.2", "load.period_s=0.4", "record.forecast=false"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "sweep"


def test_study_from_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(WORDS) == 0
    printed = capsys.readouterr().out
    assert printed.count("best fixed frequency and oracle") == 1
    study = json.loads((folder / "study.json").read_text("utf-8"))
    assert [row[0] for row in study["tables"][0]["rows"]] == [
        "floor, square",
        "headroom, square",
    ]
    known = json.loads((folder / YARDSTICKS_FILE).read_text("utf-8"))
    (entry,) = known["networks"].values()
    assert entry["oracle"]["violation_fraction"] == 0.0
    assert f"best fixed frequency ({entry['fixed']['late_hz']:.4g} Hz)" in printed
    assert main(["report", str(folder)]) == 0
    page = (folder / "report.html").read_text("utf-8")
    assert "Finding the cheapest frequency" in page
    # What is known is not computed again.
    capsys.readouterr()
    assert main(["run", "-q", "--resume", str(folder)]) == 0
    assert "oracle:" not in capsys.readouterr().out
    assert json.loads((folder / YARDSTICKS_FILE).read_text("utf-8")) == known
