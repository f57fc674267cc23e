"""Plots of a report as SVG files, light and dark."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from engine.errors import RecordError
from experiments.pictures import THEMES
from experiments.report.document import (
    Axis,
    Band,
    Document,
    HeatMap,
    Plot,
    Rule,
    Section,
    Series,
)
from experiments.report.plot_files import draw_plots

LINES = Plot(
    "r over f: <lines>",
    Axis("f [Hz]", "log"),
    Axis("r [-]"),
    (
        Series("one", (20.0, 600.0), (0.9, 0.95)),
        Series("two", (20.0, 600.0), (0.8, None), "step"),
        Series("three", (20.0, 600.0), (0.7, 0.75), "dots"),
    ),
    (Rule(0.87, "floor 0.87"),),
    (Band(30.0, 50.0, "bound"), Band(60.0, 90.0, "bound")),
)
CATEGORIES = Plot(
    "By policy",
    Axis("policy", "category"),
    Axis("cost [-]"),
    (
        Series("a", ("default", "production"), (1.0, 2.0)),
        Series("b", ("production", "frugal"), (3.0, 4.0), "dots"),
    ),
)
HEAT = HeatMap(
    "Map", Axis("K"), Axis("kind"), (1, 2), ("fcc", "bcc"), "r [-]",
    ((0.9, 0.8), (None, 0.7)),
)  # fmt: skip


def draw(tmp_path: Path, *plots: Plot | HeatMap) -> list[Path]:
    document = Document("t", "study", (), sections=(Section("s", plots=plots),))
    return draw_plots(document, tmp_path / "report.html")


def read_texts(path: Path) -> str:
    """Return the words of a picture, which Matplotlib keeps as comments."""
    text = path.read_text("utf-8")
    ElementTree.fromstring(text)
    return "\n".join(re.findall(r"<!-- (.*?) -->", text))


def test_each_plot_is_drawn_in_both_themes_beside_the_page(tmp_path: Path) -> None:
    paths = draw(tmp_path, LINES, HEAT)
    assert [path.name for path in paths] == [
        "report-1-r-over-f-lines-light.svg",
        "report-1-r-over-f-lines-dark.svg",
        "report-2-map-light.svg",
        "report-2-map-dark.svg",
    ]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    for path in paths:
        theme = path.stem.rpartition("-")[2]
        assert THEMES[theme]["ink"] in path.read_text("utf-8")


def test_lines_rules_bands_and_legend_are_there(tmp_path: Path) -> None:
    light = draw(tmp_path, LINES)[0]
    words = read_texts(light)
    for word in ("f [Hz]", "r [-]", "one", "two", "three", "floor 0.87"):
        assert word in words
    # A logarithmic axis has plain numbers, not powers of ten.
    assert "100" in words.split("\n")
    assert "10^" not in words and "times" not in words


def test_categories_keep_their_order_across_series(tmp_path: Path) -> None:
    words = read_texts(draw(tmp_path, CATEGORIES)[0]).split("\n")
    places = [words.index(name) for name in ("default", "production", "frugal")]
    assert places == sorted(places)


def test_heat_map_names_its_cells_and_its_colours(tmp_path: Path) -> None:
    words = read_texts(draw(tmp_path, HEAT)[0]).split("\n")
    assert {"fcc", "bcc", "r [-]", "Map"} <= set(words)


def test_equal_plots_give_equal_bytes(tmp_path: Path) -> None:
    first = draw(tmp_path, LINES)[0].read_bytes()
    assert draw(tmp_path, LINES)[0].read_bytes() == first


def test_an_odd_title_gives_a_plain_name(tmp_path: Path) -> None:
    path = draw(tmp_path, replace(CATEGORIES, title="../é/…"))[0]
    assert path.parent == tmp_path
    assert path.name == "report-1-plot-light.svg"


def test_a_long_title_is_cut_between_words(tmp_path: Path) -> None:
    title = "r over lattice.coupling_rad_s and load.level"
    path = draw(tmp_path, replace(CATEGORIES, title=title))[0]
    assert path.name == "report-1-r-over-lattice-coupling-rad-s-and-load-light.svg"


def test_no_plots_make_no_files(tmp_path: Path) -> None:
    assert draw(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"cannot be written .No such file"):
        draw(tmp_path / "away", CATEGORIES)
