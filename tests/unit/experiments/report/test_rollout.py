"""The report on a rollout: a real one that passed, and what others come to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.config import (
    BackendConfig,
    ControllerConfig,
    DynamicsConfig,
    LatticeConfig,
    LoadConfig,
    RecordConfig,
    RolloutConfig,
    RunConfig,
    TunnelConfig,
)
from engine.system import ScribbleSystem
from experiments.report.document import Document, Plot, Section
from experiments.report.records import read_run
from experiments.report.rollout import OLD_ALONE
from experiments.report.run import build_run_document

TITLE = "Rollout of a new policy"
STAGES = {"alpha": 0.1, "beta": 0.5, "production": 1.0}


@pytest.fixture(scope="module")
def rollout_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole rollout: aligned phases are above the floor at once."""
    folder = tmp_path_factory.mktemp("rollout") / "run"
    config = RunConfig(
        lattice=LatticeConfig(shape=(16, 16), initial_phases="aligned"),
        dynamics=DynamicsConfig(duration_s=0.25),
        backend=BackendConfig("cpu", threads=1),
        controller=ControllerConfig(objective="floor", period_steps=4),
        load=LoadConfig(kind="synthetic", level=0.0),
        rollout=RolloutConfig(
            target="production",
            tunnel=TunnelConfig(linewidth_hz=1728.0),
            start_s=0.02,
            settle_s=0.02,
            window_s=0.02,
            cost_tolerance=10.0,
        ),
        record=RecordConfig(folder=str(folder), forecast=False),
    )
    with ScribbleSystem(config) as system:
        assert system.run().rollout["verdict"] == "passed"
    return folder


def build(folder: Path) -> Document:
    return build_run_document(read_run(folder))


def change_summary(folder: Path, to: Path, **changes: Any) -> Path:
    shutil.copytree(folder, to)
    summary = json.loads((to / "summary.json").read_text("utf-8"))
    summary["rollout"] |= changes
    (to / "summary.json").write_text(json.dumps(summary), "utf-8")
    return to


def find_section(document: Document) -> Section:
    (section,) = (part for part in document.sections if part.title == TITLE)
    return section


def test_stages_are_bands_and_shares_are_drawn(rollout_folder: Path) -> None:
    section = find_section(build(rollout_folder))
    plots = {plot.title: plot for plot in section.plots}
    drawn = plots["Bridges under the new policy"]
    assert isinstance(drawn, Plot)
    record = read_run(rollout_folder)
    stages = record.summary["rollout"]["stages"][1:]
    assert [band.label for band in drawn.bands] == list(STAGES)
    period_s = 4 * 0.00025
    for band, stage in zip(drawn.bands, stages, strict=True):
        assert band.start == pytest.approx(stage["began_s"], abs=1.5 * period_s)
    assert drawn.bands[-1].end == pytest.approx(0.25)
    (line,) = drawn.series
    assert sorted(set(line.y)) == [0.0, 0.1, 0.5, 1.0]
    for plot in section.plots:
        assert isinstance(plot, Plot)
        assert plot.bands == drawn.bands


def test_each_policy_is_drawn_while_bridges_follow_it(rollout_folder: Path) -> None:
    section = find_section(build(rollout_folder))
    (plot,) = (p for p in section.plots if p.title.startswith("Tunnel frequency"))
    assert isinstance(plot, Plot)
    old, new = plot.series
    assert (old.name, new.name) == ("old policy", "new policy")
    began = {band.label: band.start for band in plot.bands}
    for x, one, other in zip(old.x, old.y, new.y, strict=True):
        # A step ends at its point, so a stage's first point lies after its beginning.
        assert (one is None) == (x > began["production"])
        assert (other is None) == (x <= began["alpha"])


def test_stages_and_gates_are_listed(rollout_folder: Path) -> None:
    section = find_section(build(rollout_folder))
    stages, gates = section.tables
    assert [row[0] for row in stages.rows] == ["baseline", *STAGES]
    assert [row[1] for row in stages.rows] == ["0%", "10%", "50%", "100%"]
    assert {row[-1] for row in stages.rows} == {"hold"}
    assert {row[1] for row in gates.rows} == {"coherence", "floor", "cost", "failures"}
    assert {row[4] for row in gates.rows} == {"yes"}
    assert section.sentences == (
        "The new policy changes tunnel.linewidth_hz 432.0 to 1728.0.",
    )


def test_verdict_of_a_rollout_that_passed(rollout_folder: Path) -> None:
    verdict = build(rollout_folder).verdicts[-1]
    assert (verdict.question, verdict.answer) == ("Policy taken over?", "yes")
    assert verdict.text == (
        "It passed in stage production; 100% of the bridges follow the new policy."
    )
    tables = [t for s in build(rollout_folder).sections for t in s.tables]
    assert "Besides" not in [table.title for table in tables]


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [("rolled back", "no"), ("not started", "no"), ("unfinished", "open")],
)
def test_other_verdicts(
    verdict: str, answer: str, rollout_folder: Path, tmp_path: Path
) -> None:
    changes = {"verdict": verdict, "share": 0.0, "reason": "gate floor failed."}
    document = build(change_summary(rollout_folder, tmp_path / "run", **changes))
    found = document.verdicts[-1]
    assert (found.question, found.answer) == ("Policy taken over?", answer)
    assert found.text.endswith("0% of the bridges follow the new policy: gate floor "
                               "failed.")  # fmt: skip


def test_damaged_rollout_shows_what_is_left(
    rollout_folder: Path, tmp_path: Path
) -> None:
    changes = {"stages": ["alpha", {"gates": [3]}], "changes": None, "share": "all"}
    folder = change_summary(rollout_folder, tmp_path / "run", **changes)
    (folder / "trace.parquet").unlink()
    section = find_section(build(folder))
    assert section.plots == section.sentences == ()
    assert len(section.tables) == 1


def test_run_without_a_rollout_has_no_such_section(run_folder: Path) -> None:
    document = build(run_folder)
    assert TITLE not in [section.title for section in document.sections]
    assert "Policy taken over?" not in [v.question for v in document.verdicts]
    assert OLD_ALONE not in str(document.plots)
