"""Folders whose every text is hostile: to a page, to a terminal, to a picture."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.config import MeshConfig, RolloutConfig
from experiments.cli import main
from tests.report_folders import make_grid, make_job, make_run, make_study

Capture = pytest.CaptureFixture[str]
MARK = "</script><svg/onload=alert(1)>\"'><img src=x onerror=alert(2)>"
TERMINAL = "\x1b[2J\x1b]0;owned\x07[red]$\\frac{$"
HOSTILE = MARK + TERMINAL
PLAIN = MARK + "[red]$\\frac{$"
"""Without control characters, which names and plans must not hold."""
KEPT = frozenset(("status", "kind", "answer", "scale", "style", "file", "state"))
"""Keys whose texts choose something: a hostile one is a problem, and read elsewhere."""


def poison(value: Any, key: str = "") -> Any:
    """Add a hostile text to every text of a file that is shown as it is."""
    if isinstance(value, dict):
        return {name: poison(part, str(name)) for name, part in value.items()}
    if isinstance(value, list):
        return [poison(part, key) for part in value]
    return value + HOSTILE if isinstance(value, str) and key not in KEPT else value


def poison_folder(folder: Path) -> int:
    """Poison all files of texts in a folder; return how many."""
    paths = [*folder.rglob("*.json"), *folder.rglob("config.yaml")]
    for path in paths:
        content = yaml.safe_load(path.read_text("utf-8"))
        path.write_text(json.dumps(poison(content)), "utf-8")
    return len(paths)


class Page(HTMLParser):
    """Refuses elements and attributes that no text may have made."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            assert not name.startswith("on"), (tag, attrs)
            is_address = name in ("src", "href", "xlink:href")
            assert not is_address or (value or "").startswith(("data:", "#")), attrs

    def handle_data(self, data: str) -> None:
        self.texts += MARK in data


def assert_harmless(told: str) -> None:
    assert not set("\x1b\x07\x9b\r\x00") & set(told)


@pytest.mark.parametrize("make", [make_run, make_study, make_grid])
def test_report_of_hostile_texts(make: Any, tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / ("a" + MARK.replace("/", "|"))
    make(folder)
    assert poison_folder(folder) > 0
    words = ["report", str(folder), "--pictures", "--to", str(tmp_path / "page.html")]
    assert main(words) == 0
    page = Page((tmp_path / "page.html").read_text("utf-8"))
    assert page.texts > 0
    for path in tmp_path.glob("*.svg"):
        for entry in ET.parse(path).iter():
            assert entry.tag.rpartition("}")[2] not in {"script", "foreignObject", "a"}
            assert not [name for name in entry.attrib if name.startswith("on")]
    told = capsys.readouterr()
    assert_harmless(told.out + told.err)


def test_sweep_of_hostile_jobs(tmp_path: Path, capsys: Capture) -> None:
    grid = make_grid(tmp_path / "grid")
    make_job(grid, 99, [f"seed={PLAIN}"], message=f"No {PLAIN}.")
    plan = {
        "sweeper": "grid", "words": [f"seed={PLAIN}"], "hydra": [],
        "working_folder": "/", "jobs": [],
    }  # fmt: skip
    (grid / "sweep.json").write_text(json.dumps(plan), "utf-8")
    for words in (["sweep", str(grid)], ["sweep", "--json", str(grid)]):
        assert main(words) == 0
        told = capsys.readouterr()
        assert_harmless(told.out + told.err)
        assert "[red]" in told.out


def test_complaint_about_hostile_words(capsys: Capture) -> None:
    for words in (
        ["report", HOSTILE],
        ["run", f"seed={TERMINAL}"],
        ["run", f"lattice.{TERMINAL}=1"],
        [TERMINAL],
        ["report", "a", f"--{TERMINAL}"],
        ["resume", TERMINAL],
        ["replay", TERMINAL],
        ["watch", TERMINAL, "--once"],
        ["render", TERMINAL],
        ["load", f"cpu={TERMINAL}"],
    ):
        assert main(words) == 2, words
        assert_harmless(capsys.readouterr().err)


def test_mesh_and_rollout_of_a_hostile_summary(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    path = folder / "summary.json"
    summary = json.loads(path.read_text("utf-8"))
    summary["mesh"] = {"rule": HOSTILE, **vars(MeshConfig()), "shares": [HOSTILE, 0.5]}
    summary["rollout"] = {"verdict": HOSTILE, "reason": HOSTILE, "stages": [HOSTILE]}
    summary["rollout"]["target"] = RolloutConfig().target + HOSTILE
    summary["notes"] = [HOSTILE]
    path.write_text(json.dumps(summary), "utf-8")
    assert main(["report", str(folder)]) == 0
    Page((folder / "report.html").read_text("utf-8"))
