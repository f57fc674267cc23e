import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from engine.config import BackendConfig, DynamicsConfig, LatticeConfig, RunConfig
from experiments import frontier, pictures

SMALL = RunConfig(
    lattice=LatticeConfig(shape=(32, 32)),
    dynamics=DynamicsConfig(duration_s=0.2),
    backend=BackendConfig(name="cpu"),
)


def test_more_tunnelling_gives_more_coherence() -> None:
    rows = [frontier.measure_fixed(SMALL, hz) for hz in (20.0, 100.0, 699.0)]
    coherences = [row["coherence"] for row in rows]
    assert coherences == sorted(coherences)
    assert [row["events_saved_factor"] for row in rows] == pytest.approx(
        [200.0, 40.0, 4000.0 / 699.0], rel=0.02
    )


def test_picture_is_drawn_for_both_themes(tmp_path) -> None:
    rows = [frontier.measure_fixed(SMALL, hz) for hz in (100.0, 699.0)]
    adaptive = frontier.measure_adaptive(
        replace(SMALL, dynamics=replace(SMALL.dynamics, duration_s=0.5))
    )
    for theme in pictures.THEMES:
        path = tmp_path / f"{theme}.svg"
        study = {"frontier": rows, "adaptive": adaptive}
        frontier.draw_picture(study, 0.5, theme, path)
        assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_missing_matplotlib_is_said_before_anything_is_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    studies: list[RunConfig] = []
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(frontier, "run_study", lambda config, _: studies.append(config))
    assert frontier.main(["--folder", str(tmp_path / "results")]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert 'run: pip install "scribble-engine[report]".' in captured.err
    assert studies == []
    assert list(tmp_path.iterdir()) == []
