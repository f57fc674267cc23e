"""`scribble hysteresis`: its folder, its table, its refusals."""

from __future__ import annotations

import json
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from experiments.cli import main
from experiments.hysteresis import Point, command, picture
from experiments.report.study import read_study

Capture = pytest.CaptureFixture[str]
SMALL = [
    "hysteresis", "lattice.shape=[8,8]", "backend=cpu", "--from", "10", "--to", "200",
    "--points", "3", "--settle", "0.01", "--measure", "0.02",
]  # fmt: skip


def test_folder_holds_figures_and_pictures(folder: Path, capsys: Capture) -> None:
    assert main([*SMALL, "--folder", "sweep"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[1:7]] == ["up"] * 3 + [
        "down"
    ] * 3
    assert "area of the loop:" in out
    names = {path.name for path in (folder / "sweep").iterdir()}
    assert names == {
        "config.yaml", "environment.json", "hysteresis.json", "hysteresis.parquet",
        "hysteresis-light.svg", "hysteresis-dark.svg", "study.json",
    }  # fmt: skip
    found = json.loads((folder / "sweep" / "hysteresis.json").read_text("utf-8"))
    assert found["status"] == "done"
    rows = parquet.read_table(folder / "sweep" / "hysteresis.parquet").to_pylist()
    assert found["points"] == rows
    assert [row["value_rad_s"] for row in rows] == [10, 105, 200, 200, 105, 10]
    assert "coupling_rad_s: 10.0" in (folder / "sweep/config.yaml").read_text("utf-8")


def test_report_shows_the_sweep(folder: Path, capsys: Capture) -> None:
    assert main([*SMALL, "--folder", "sweep", "--json"]) == 0
    points = json.loads(capsys.readouterr().out)["points"]
    document = read_study(folder / "sweep")
    assert document is not None
    assert document.problems == ()
    (verdict,) = document.verdicts
    assert verdict.question == "Hysteresis seen?"
    gap = max(
        (down["coherence"] - up["coherence"] for up, down in pairs_of(points)), key=abs
    )
    assert verdict.answer == ("yes" if abs(gap) >= 0.1 else "no")
    assert f"{gap:+.3f}" in verdict.text
    (section,) = document.sections
    (plot,), (table,) = section.plots, section.tables
    assert [line.name for line in plot.series] == ["up", "down"]
    assert len(table.rows) == 3
    assert main(["report", "sweep"]) == 0
    assert "Hysteresis seen?" in capsys.readouterr().out


def pairs_of(points: list[dict[str, float]]) -> zip[tuple[Any, Any]]:
    """Each point of the way up with that of the way down at the same value."""
    return zip(points[:3], points[:2:-1], strict=True)


def test_repelling_bridges_can_be_swept(folder: Path, capsys: Capture) -> None:
    words = [*SMALL, "--parameter", "bridges.strength_rad_s", "--json"]
    words[words.index("--from") + 1] = "-100"
    words[words.index("--to") + 1] = "-10"
    assert main([*words, "--folder", "sweep"]) == 0
    points = json.loads(capsys.readouterr().out)["points"]
    assert [point["value_rad_s"] for point in points[:3]] == [-100, -55, -10]


def test_json_is_all_that_is_printed(folder: Path, capsys: Capture) -> None:
    words = ["--parameter", "bridges.strength_rad_s", "--folder", "sweep", "--json"]
    assert main([*SMALL, *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["plan"]["parameter"] == "bridges.strength_rad_s"
    assert len(found["points"]) == 6


def test_same_sweep_gives_the_same_figures(folder: Path, capsys: Capture) -> None:
    texts = []
    for name in ("first", "second"):
        assert main([*SMALL, "--folder", name, "--json"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]


def test_without_matplotlib_the_figures_are_written(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture, "draw_pictures", lambda *_: [])
    assert main([*SMALL, "--folder", "sweep"]) == 0
    assert 'pip install "scribble-engine[report]"' in capsys.readouterr().out
    assert (folder / "sweep" / "hysteresis.json").is_file()


@pytest.mark.parametrize("count", [1, 2, 4])
def test_interrupted_sweep_leaves_what_it_has_measured(
    count: int, folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []

    def show(point: Point) -> None:
        shown.append(point)
        if len(shown) == count:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(command, "_write_point", show)
    assert main([*SMALL, "--folder", "sweep"]) == 130
    out, err = capsys.readouterr()
    assert err == ""
    assert f"interrupted after {count} of 6 points" in out
    found = json.loads((folder / "sweep" / "hysteresis.json").read_text("utf-8"))
    assert found["status"] == "interrupted"
    assert found["points"] == [asdict(point) for point in shown]
    rows = parquet.read_table(folder / "sweep" / "hysteresis.parquet").to_pylist()
    assert rows == found["points"]
    assert main(["report", "sweep"]) == 0
    assert f"Interrupted after {count} of 6 points." in capsys.readouterr().out


def test_sweep_interrupted_before_its_first_point_leaves_nothing(
    folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(command, "sweep_system", stop)
    assert main([*SMALL, "--folder", "sweep"]) == 130
    assert capsys.readouterr().err == "scribble: interrupted.\n"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--points", "1"], "--points is 1; it must be at least 2."),
        (["--points", "1000000000"], "it must be at most 10,000."),
        (["--settle", "1e300"], "--settle is 1e+300 s and --measure 0.02 s, at 2 x 3"),
        (["--to", "5"], "--to must be above --from"),
        (["--to", "1e9"], "too long for the largest detuning"),
        (["--parameter", "lattice.shape"], "--parameter is 'lattice.shape'"),
        (["--folder", "taken"], "exists and is not empty"),
        (["--folder", "taken/file"], "is a file"),
        (["latice=chain"], "latice is not a configuration key"),
    ],
)
def test_bad_input_leaves_nothing_behind(
    folder: Path, capsys: Capture, words: list[str], sentence: str
) -> None:
    (folder / "taken").mkdir()
    (folder / "taken" / "file").write_text("mine", encoding="utf-8")
    assert main([*SMALL, *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
    assert {path.name for path in folder.rglob("*")} == {"taken", "file"}


def test_from_and_to_are_needed(capsys: Capture) -> None:
    assert main(["hysteresis"]) == 2
    assert "required: --from, --to" in capsys.readouterr().err
