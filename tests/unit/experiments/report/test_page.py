"""The page: one file, the same bytes for the same input, nothing that escapes."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from engine.errors import RecordError
from experiments.report.command import build_document
from experiments.report.document import (
    Axis,
    Document,
    HeatMap,
    Picture,
    Plot,
    Section,
    Series,
    Table,
    Verdict,
)
from experiments.report.page import encode_plots, render_page, save_page
from tests.report_folders import HOSTILE, make_grid, make_study

PLOT = Plot(
    HOSTILE, Axis(HOSTILE), Axis("y"), (Series(HOSTILE, (1.0, 2.0), (1.0, None)),)
)
HEAT = HeatMap("h", Axis("x"), Axis("y"), (HOSTILE,), (1,), "r", ((0.5,),))
HOSTILE_DOCUMENT = Document(
    HOSTILE,
    "run",
    (HOSTILE,),
    (Verdict(HOSTILE, "yes", HOSTILE),),
    (
        Section(
            HOSTILE,
            (HOSTILE,),
            (HOSTILE,),
            (PLOT, HEAT),
            (Picture(HOSTILE, "image/png", b"\x89PNG", HOSTILE),),
            (Table(HOSTILE, (HOSTILE,), ((HOSTILE,),), HOSTILE),),
        ),
    ),
    (HOSTILE,),
)
D3_DIGEST = "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1"
PLOT_DIGEST = "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb"
VOID = {"meta", "link", "br", "img"}


class Reader(HTMLParser):
    """Collects elements and text, and checks that every element is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    def list(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.seen if name == tag]


@pytest.fixture(scope="module")
def hostile() -> Reader:
    return Reader(render_page(HOSTILE_DOCUMENT))


def test_every_element_is_closed(hostile: Reader) -> None:
    assert hostile.open == []


def test_hostile_text_stays_text(hostile: Reader) -> None:
    scripts = hostile.list("script")
    assert len(scripts) == 4  # the data, D3, Plot and our own
    assert all("src" not in script for script in scripts)
    # Title of the page and heading, finding, problem, verdict (2), section and its
    # link's text, sentence, command, table (3), cell, picture, plot
    assert sum(text.strip() == HOSTILE for text in hostile.texts) >= 13


def test_data_of_plots_comes_back_as_it_was() -> None:
    text = encode_plots((PLOT, HEAT))
    assert not re.search("[<>&]", text)
    line, heat = json.loads(text)
    assert (line["kind"], heat["kind"]) == ("series", "heat")
    assert line["series"][0] == {
        "name": HOSTILE, "x": [1.0, 2.0], "y": [1.0, None], "style": "line",
        "hover": [],
    }  # fmt: skip
    assert heat["x_values"] == [HOSTILE]


def test_page_asks_for_nothing_outside(run_folder: Path) -> None:
    page = render_page(build_document(run_folder))
    reader = Reader(page)
    policy = next(m["content"] for m in reader.list("meta") if "http-equiv" in m)
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    links = [m.get("href") or "" for m in reader.list("link")]
    images = [m.get("src") or "" for m in reader.list("img")]
    assert all(address.startswith("data:") for address in links + images)
    assert "url(" not in "".join(re.findall("<style>.*?</style>", page, re.S))


def test_structure_serves_readers_without_sight(run_folder: Path) -> None:
    reader = Reader(render_page(build_document(run_folder)))
    assert reader.list("html")[0]["lang"] == "en"
    assert [tag for tag, _ in reader.seen].count("h1") == 1
    names = {a["id"] for _, a in reader.seen if "id" in a}
    labels = [a["aria-labelledby"] for _, a in reader.seen if "aria-labelledby" in a]
    assert labels
    assert set(labels) <= names
    assert {a["href"] for a in reader.list("a")} <= {f"#{name}" for name in names}
    plots = [a for a in reader.list("div") if a.get("class") == "canvas"]
    assert all(a["tabindex"] == "0" for a in plots)
    coherence = plots[0]["aria-label"] or ""
    assert re.search(r"r from 0\.\d+ to 0\.\d+; local coherence from", coherence)


@pytest.mark.parametrize("kind", ["run", "sweep", "study"])
def test_equal_input_gives_equal_bytes(
    run_folder: Path, tmp_path: Path, kind: str
) -> None:
    folder = run_folder
    if kind != "run":
        folder = make_grid(tmp_path / "grid")
    if kind == "study":
        make_study(folder)
    first, second = (render_page(build_document(folder)) for _ in range(2))
    assert first == second


def test_libraries_are_the_published_files() -> None:
    """Their digests are those of the npm packages d3 7.9.2 and plot 0.6.17."""
    import hashlib
    from importlib import resources

    from experiments.report.page import ASSETS

    found = {
        name: hashlib.sha256((resources.files(ASSETS) / name).read_bytes()).hexdigest()
        for name in ("d3.min.js", "plot.umd.min.js")
    }
    assert found == {
        "d3.min.js": D3_DIGEST,
        "plot.umd.min.js": PLOT_DIGEST,
    }


def test_only_a_report_is_replaced(tmp_path: Path) -> None:
    page, target = render_page(HOSTILE_DOCUMENT), tmp_path / "report.html"
    save_page(page, target, "--to")
    save_page(page, target, "--to")
    assert target.read_text("utf-8") == page
    target.write_text("mine", "utf-8")
    with pytest.raises(RecordError, match="is no report of Scribble's"):
        save_page(page, target, "--to")
    assert target.read_text("utf-8") == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_page_without_plots_carries_no_library() -> None:
    page = render_page(Document("empty", "run", ("Nothing.",)))
    assert "<script" not in page
    assert len(page) < 20_000
