"""A headless Chromium, and reports to open in it.

`make test-browser` sets `SCRIBBLE_REQUIRE_BROWSER=1`, which turns "skipped, no browser"
into a failure. `SCRIBBLE_BROWSER` names a Chromium that is not on the path.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.cli import main
from tests.report_folders import HOSTILE, make_grid, make_run, make_study

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--no-sandbox",  # pages are our own, and containers run as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def find_browser() -> str | None:
    """Find an installed Chromium; None leaves the choice to Playwright."""
    named = os.environ.get("SCRIBBLE_BROWSER")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


def refuse(reason: str) -> None:
    if os.environ.get("SCRIBBLE_REQUIRE_BROWSER") == "1":
        pytest.fail(f"SCRIBBLE_REQUIRE_BROWSER=1, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import Error, sync_playwright
    except ModuleNotFoundError:
        refuse("Playwright is not installed; run: make test-browser")
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(
                executable_path=find_browser(), args=list(OPTIONS)
            )
        except Error as error:
            refuse(f"no Chromium starts: {error.message.splitlines()[0]}")
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report of each kind, written by the program itself."""
    root = tmp_path_factory.mktemp("reports")
    run, other = make_run(root / HOSTILE), make_run(root / "other", seed=1)
    grid = make_grid(root / "grid")
    study = make_study(make_grid(root / "study"))
    commands = {
        "run": ["report", str(run)],
        "sweep": ["report", str(grid)],
        "study": ["report", str(study)],
        "comparison": ["compare", str(run), str(other)],
    }
    pages = {kind: root / f"{kind}.html" for kind in commands}
    for kind, words in commands.items():
        assert main([*words, "--to", str(pages[kind])]) == 0
    return pages
