"""Reports in a real browser: they draw, they answer, they fit, they keep to themselves.

No test waits for a time: Playwright waits until what is asked for is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

KINDS = ("run", "sweep", "study", "comparison")
WIDTHS = (390, 800, 1600)
LEAST_CONTRAST = 4.5
"""WCAG 2.2, level AA, for text of normal size."""


class Visit:
    """A page with all that it said and asked for."""

    def __init__(self, browser: Any, report: Path, width: int, scheme: str) -> None:
        self.page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        self.page.set_default_timeout(10_000)
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", lambda dialog: self.messages.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(report.as_uri())

    @property
    def overflow(self) -> int:
        """Pixels that stick out of the window to the right."""
        root = "document.documentElement"
        return int(self.page.evaluate(f"{root}.scrollWidth - {root}.clientWidth"))

    @property
    def plots(self) -> Any:
        return self.page.locator("figure.plot")


@pytest.fixture
def visit(browser: Any, reports: dict[str, Path]) -> Iterator[Any]:
    visits = []

    def start(kind: str, width: int = 1200, scheme: str = "light") -> Visit:
        visits.append(Visit(browser, reports[kind], width, scheme))
        return visits[-1]

    yield start
    for one in visits:
        one.page.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", WIDTHS)
def test_everything_is_drawn_and_fits(
    visit: Any, reports: dict[str, Path], kind: str, width: int
) -> None:
    seen = visit(kind, width)
    count = seen.plots.count()
    assert count >= 3 - (kind == "study")
    for index in range(count):
        plot = seen.plots.nth(index)
        box = plot.locator("svg").bounding_box()
        assert 200 <= box["width"] <= width
        marks = plot.locator("svg path[d], svg circle, svg rect")
        assert marks.count() > 0
    assert seen.overflow == 0
    assert seen.messages == []
    assert seen.requests == [reports[kind].as_uri()]


def test_lines_follow_the_data(visit: Any) -> None:
    plot = visit("run").plots.first
    path = plot.locator("svg g[aria-label=line] path").first.get_attribute("d")
    points = [tuple(map(float, p)) for p in re.findall(r"([\d.]+),([\d.]+)", path)]
    assert len(points) == 20  # a control period each
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    # r rises from random phases to above the floor, so the line ends higher up.
    assert points[-1][1] < points[0][1]


def test_hover_tells_the_values(visit: Any) -> None:
    seen = visit("run")
    plot = seen.plots.first
    plot.locator("svg").hover()
    tip = plot.locator("svg g[aria-label=tip]")
    text = tip.text_content()
    assert "simulated time [s]" in text
    assert re.search(r"local coherence\s+-?0\.\d+", text)
    seen.page.mouse.move(1, 1)
    assert tip.text_content() == ""


def test_hover_over_a_job_names_it(visit: Any) -> None:
    plot = visit("sweep").plots.first
    plot.locator("svg g[aria-label=dot] circle").last.hover()
    text = plot.locator("svg g[aria-label=tip]").text_content()
    assert re.search(r"job \d", text)
    assert "lattice.coupling_rad_s" in text


def test_hover_over_a_line_says_what_the_study_says_of_the_point(visit: Any) -> None:
    plot = visit("study").plots.first
    plot.locator("svg g[aria-label=dot] circle").first.hover()
    assert "job 7, three seeds" in plot.locator("svg g[aria-label=tip]").text_content()


def test_hover_over_a_heat_map_names_the_cell(visit: Any) -> None:
    plot = visit("study").plots.nth(1)
    plot.locator("svg g[aria-label=cell] rect").first.hover(force=True)
    text = plot.locator("svg g[aria-label=tip]").text_content()
    assert "r [-]  0.9" in text
    assert "profile  square" in text


def test_arrow_keys_read_a_plot_out(visit: Any) -> None:
    plot = visit("run").plots.first
    canvas, readout = plot.locator(".canvas"), plot.locator(".readout")
    canvas.focus()
    canvas.press("ArrowRight")
    first = readout.text_content()
    assert "simulated time [s]  0.01" in first
    assert plot.locator("svg g[aria-label=tip]").text_content() != ""
    canvas.press("ArrowRight")
    assert "simulated time [s]  0.02" in readout.text_content()
    canvas.press("Home")
    assert readout.text_content() == first
    canvas.press("End")
    assert "simulated time [s]  0.2" in readout.text_content()


def test_the_legend_hides_a_series(visit: Any) -> None:
    plot = visit("run").plots.first
    lines, button = plot.locator("g[aria-label=line]"), plot.locator("button").first
    before = lines.count()
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert lines.count() == before - 1
    button.press("Enter")
    assert lines.count() == before


def test_a_window_that_shrinks_redraws(visit: Any) -> None:
    from playwright.sync_api import expect

    seen = visit("run", 1600)
    seen.page.set_viewport_size({"width": 390, "height": 900})
    canvases = seen.page.locator(".canvas")
    width = canvases.first.evaluate("(canvas) => canvas.clientWidth")
    assert width < 390
    # Not by wait_for_function: if its text is not true at once it is evaluated again by
    # the page itself, whose security policy forbids that.
    drawn = seen.page.locator(f"figure.plot svg[width='{width}']")
    expect(drawn).to_have_count(canvases.count(), timeout=10_000)
    assert seen.overflow == 0


CONTRASTS = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
  };
  const chosen = "h1, h2, h3, p, a, dt, dd, strong, th, td, figcaption, summary, pre";
  return [...document.querySelectorAll(`main :is(${chosen}), header :is(${chosen})`)]
    .map((node) => {
      const both = [light(parse(getComputedStyle(node).color)), light(ground(node))];
      return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_both_schemes(visit: Any, scheme: str) -> None:
    seen = visit("run", scheme=scheme)
    ground = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    contrasts = seen.page.evaluate(CONTRASTS)
    assert len(contrasts) > 30
    assert min(contrasts) >= LEAST_CONTRAST


def test_text_of_users_runs_nothing(visit: Any) -> None:
    seen = visit("run")
    assert seen.page.locator("h1").text_content().startswith("<script>alert(1)")
    assert seen.messages == []
