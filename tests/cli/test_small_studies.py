"""Studies from one line to ``study.json`` and a report, on tiny real sweeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.cli import main

Capture = pytest.CaptureFixture[str]
# So small that all of it is the command line's own time.
BRIEF = ["backend=reference", "dynamics.duration_s=0.2"]
SMALL = [*BRIEF, "lattice.shape=[8,8]"]


def run_study(folder: Path, name: str, *words: str) -> dict[str, Any]:
    """Run a study's sweep and return what it wrote."""
    start = ["run", "-q", "-m", "--in-process", f"+experiment={name}"]
    has_shape = any(word.startswith("lattice.shape=") for word in words)
    own = BRIEF if has_shape else SMALL
    assert main([*start, f"hydra.sweep.dir={folder}", *own, *words]) == 0
    found: dict[str, Any] = json.loads((folder / "study.json").read_text("utf-8"))
    return found


def test_frequency_sweep_from_line_to_report(tmp_path: Path, capsys: Capture) -> None:
    sweep = tmp_path / "sweep"
    study = run_study(
        sweep, "frequency_sweep", "seed=0", "tunnel.min_coherence=0.5",
        "hydra.sweeper.pairs=[{controller:'fixed,fixed,floor',"
        "controller.fixed_frequency_hz:'699,39,102'}]",
    )  # fmt: skip
    (table,) = study["tables"]
    rows = {row[0]: row[1:] for row in table["rows"]}
    assert list(rows) == ["fixed 39 Hz", "fixed 699 Hz", "floor"]
    assert rows["fixed 39 Hz"][0] == pytest.approx(39.0, rel=0.05)
    assert rows["fixed 699 Hz"][1] > rows["fixed 39 Hz"][1]
    capsys.readouterr()
    assert main(["report", str(sweep)]) == 0
    out = capsys.readouterr().out
    assert study["findings"][0] in out
    assert "How rarely bridges need to fire" in (sweep / "report.html").read_text()


def test_typed_words_replace_the_pairs_of_an_experiment(
    tmp_path: Path, capsys: Capture
) -> None:
    start = ["run", "-m", "--dry-run", "--json", "+experiment=frequency_sweep"]
    assert main([*start, "seed=1", "controller.fixed_frequency_hz=50,70"]) == 0
    jobs = json.loads(capsys.readouterr().out)
    assert [job["overrides"] for job in jobs] == [
        ["controller.fixed_frequency_hz=50"],
        ["controller.fixed_frequency_hz=70"],
    ]
    pair = ["--pair", "seed=1,2", "lattice.shape=[8,8],[16,16]"]
    assert main(["run", "-m", "--dry-run", "--json", "+experiment=scaling", *pair]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_policy_comparison_from_line_to_report(tmp_path: Path, capsys: Capture) -> None:
    sweep = tmp_path / "sweep"
    study = run_study(sweep, "policy_comparison", "seed=0")
    assert study["tables"][0]["columns"][1:] == ["development", "default", "production"]
    assert study["tables"][0]["rows"][0][1:] == [1, 1, 1]
    assert len(study["plots"]) == 4
    assert any("no difference is told from chance" in t for t in study["findings"])
    (sweep / "2" / "summary.json").write_text("{", "utf-8")
    capsys.readouterr()
    assert main(["sweep", str(sweep)]) == 0
    study = json.loads((sweep / "study.json").read_text("utf-8"))
    assert study["tables"][0]["columns"][1:] == ["development", "default"]


def test_scaling_from_line_to_report(tmp_path: Path, capsys: Capture) -> None:
    sweep = tmp_path / "sweep"
    shapes = "lattice.shape=[8,8],[8,16],[16,16]"
    study = run_study(sweep, "scaling", "seed=0", shapes)
    assert [row[1] for row in study["tables"][0]["rows"]] == [64, 128, 256]
    assert study["findings"][0].startswith("Wall time goes as nodes to the power")
    assert any("Memory was not measured" in text for text in study["findings"])
    assert main(["report", str(sweep), "--to", str(tmp_path / "it.html")]) == 0
    assert "Wall time over nodes" in (tmp_path / "it.html").read_text("utf-8")


def test_mesh_study_from_line_to_report(tmp_path: Path, capsys: Capture) -> None:
    sweep = tmp_path / "sweep"
    study = run_study(
        sweep, "mesh_study", "seed=0", "mesh=none,learned", "bridges.placement=random",
        "tunnel.min_coherence=0.3", "lattice.drift_period_s=null,2",
    )  # fmt: skip
    (table,) = study["tables"]
    assert [row[:3] for row in table["rows"]] == [
        ["standing", "none", "random"],
        ["standing", "learned", "random"],
        ["drifting in 2 s", "none", "random"],
        ["drifting in 2 s", "learned", "random"],
    ]
    # In 0.2 s no controller comes down from the top of the ladder.
    assert "4 of 4 jobs do not count" in study["findings"][0]
    assert "4 far above the floor" in study["findings"][0]
    assert study["verdicts"][3]["answer"] == "no"
    capsys.readouterr()
    assert main(["report", str(sweep)]) == 0
    assert study["findings"][0] in capsys.readouterr().out
    assert "The descent" in (sweep / "report.html").read_text()
    single = ["run", "-q", "+experiment=mesh_study", *SMALL]
    assert main([*single, f"record.folder={tmp_path / 'one'}"]) == 0
    summary = json.loads((tmp_path / "one" / "summary.json").read_text("utf-8"))
    assert summary["mesh"]["rule"] == "plastic"
