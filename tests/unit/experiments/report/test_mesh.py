"""The report on a mesh: a real run with rewiring, and what is missing elsewhere."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.config import (
    BackendConfig,
    BridgesConfig,
    ControllerConfig,
    DynamicsConfig,
    LatticeConfig,
    LoadConfig,
    MeshConfig,
    RecordConfig,
    RunConfig,
)
from engine.system import ScribbleSystem
from experiments.report.document import Plot, Section
from experiments.report.mesh import build_mesh_section, measure_events
from experiments.report.records import read_run
from experiments.report.run import build_run_document


@pytest.fixture(scope="module")
def mesh_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mesh") / "run"
    config = RunConfig(
        lattice=LatticeConfig(shape=(16, 16), initial_phases="aligned"),
        bridges=BridgesConfig(rewire_every_s=0.1),
        dynamics=DynamicsConfig(duration_s=0.4),
        backend=BackendConfig("cpu", threads=1),
        controller=ControllerConfig("fixed", fixed_frequency_hz=60.0),
        mesh=MeshConfig("plastic", period=4, longest_period=4),
        load=LoadConfig(kind="synthetic", level=0.0),
        record=RecordConfig(folder=str(folder)),
    )
    with ScribbleSystem(config) as system:
        system.run()
    return folder


@pytest.fixture
def folder(mesh_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(mesh_folder, tmp_path / "run"))


def build(folder: Path) -> Section:
    section = build_mesh_section(read_run(folder))
    assert section is not None
    return section


def change_summary(folder: Path, **changes: Any) -> None:
    path = folder / "summary.json"
    summary = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(summary | changes), "utf-8")


def test_section_stands_in_the_report(folder: Path) -> None:
    document = build_run_document(read_run(folder))
    (section,) = [each for each in document.sections if each.title == "The mesh"]
    assert document.problems == ()
    titles = [plot.title for plot in section.plots]
    assert titles == [
        "Bridges and events over rungs", "Where the events go",
        "What the mesh found to do",
    ]  # fmt: skip
    figures = next(each for each in document.sections if each.title == "Figures")
    shown = [row[0] for table in figures.tables for row in table.rows]
    assert not any(str(name).startswith(("mesh", "paths")) for name in shown)


def test_plots_say_what_the_summary_says(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    section = build(folder)
    rungs = section.plots[0]
    bridges, events = rungs.series
    # Six digits are drawn.
    assert bridges.y == pytest.approx(summary["mesh"]["shares"], rel=1e-5)
    hz, shares = (np.array(summary["mesh"][k]) for k in ("frequencies_hz", "shares"))
    assert events.y == pytest.approx(measure_events(hz, shares), rel=1e-5)
    assert sum(y or 0.0 for y in events.y) == pytest.approx(1.0, abs=1e-4)
    assert (
        f"it looked at them {summary['mesh']['looks']} times".replace("it", "It")
        in (section.sentences[1])
    )
    assert section.sentences[2].startswith("Bridges were rewired 3 times, ")


def test_busiest_take_their_share_and_more(folder: Path) -> None:
    busiest = build(folder).plots[1]
    assert isinstance(busiest, Plot)
    for series, part in zip(busiest.series, (0.01, 0.1, 0.25, 0.5), strict=True):
        assert all(y is not None and part - 1e-6 <= y <= 1.0 for y in series.y)
    assert busiest.series[1].y[-1] > 0.15
    # The sentence has the same figure from the frequencies at the end.
    (told,) = [text for text in build(folder).sentences if "busiest tenth" in text]
    assert f"had {busiest.series[1].y[-1]:.0%} of the events" in told


def test_no_bridge_acts_more_often_than_the_ladder_has(tmp_path: Path) -> None:
    config = RunConfig(
        lattice=LatticeConfig(shape=(16, 16), initial_phases="aligned"),
        dynamics=DynamicsConfig(duration_s=0.2),
        backend=BackendConfig("cpu", threads=1),
        controller=ControllerConfig("fixed", fixed_frequency_hz=600.0),
        mesh=MeshConfig("plastic", period=4, longest_period=4),
        load=LoadConfig(kind="synthetic", level=0.0),
        record=RecordConfig(folder=str(tmp_path / "run")),
    )
    with ScribbleSystem(config) as system:
        system.run()
    busiest = build(tmp_path / "run").plots[1]
    assert isinstance(busiest, Plot)
    most = 0.1 * config.tunnel.maximum_frequency_hz / 600.0
    assert max(busiest.series[1].y) <= most * 1.001


def test_busiest_are_drawn_once_the_mesh_has_looked(folder: Path) -> None:
    busiest = build(folder).plots[1]
    assert isinstance(busiest, Plot)
    assert max(busiest.series[0].x) <= 0.4


def test_known_shares_of_events() -> None:
    events = measure_events(np.array([30.0, 10.0]), np.array([0.25, 0.75]))
    assert events == pytest.approx([0.5, 0.5])
    assert measure_events(np.array([0.0]), np.array([1.0])).tolist() == [0.0]


def test_without_a_mesh_only_rewiring_is_shown(folder: Path) -> None:
    change_summary(folder, mesh=None)
    section = build(folder)
    assert section.plots == ()
    assert section.tables[0].title == "What was rewired"
    change_summary(folder, mesh=None, paths=None)
    assert build_mesh_section(read_run(folder)) is None


def test_mesh_that_never_looked(folder: Path) -> None:
    idle = {"rule": "plastic", "looks": 0, "frequencies_hz": [], "shares": []}
    change_summary(folder, mesh=idle, paths=None)
    (folder / "trace.parquet").unlink()
    section = build(folder)
    assert section.sentences == (
        "mesh=plastic: the run ended before it looked at the bridges.",
    )
    assert section.plots == ()


@pytest.mark.parametrize(
    "damage", [{"shares": "half"}, {"shares": [0.5]}, {"frequencies_hz": None}]
)
def test_damaged_figures_are_left_out(folder: Path, damage: dict[str, Any]) -> None:
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    change_summary(folder, mesh=summary["mesh"] | damage, paths={"rewirings": "many"})
    section = build(folder)
    assert section.plots[0].title == "Where the events go"
    assert section.tables == () or section.tables[0].rows
