"""Bars, sparklines, bounded histories and the throttle."""

from __future__ import annotations

import pytest

from experiments.views.glyphs import (
    ASCII,
    UNICODE,
    History,
    choose_glyphs,
    draw_bar,
    draw_sparkline,
)
from experiments.views.throttle import COST_SHARE, LONGEST_PERIOD_S, Throttle
from experiments.wording import (
    format_bytes,
    format_count,
    format_frequency,
    format_span,
)


@pytest.mark.parametrize(
    ("share", "filled"), [(-1.0, 0), (0.0, 0), (0.5, 5), (1.0, 10), (7.0, 10)]
)
def test_bar(share: float, filled: int) -> None:
    full, empty = draw_bar(share, 10)
    assert (len(full), len(empty)) == (filled, 10 - filled)


def test_sparkline_spans_its_levels() -> None:
    assert draw_sparkline(range(8), 8, low=0, high=7) == UNICODE.levels
    assert draw_sparkline([], 8, low=0, high=1) == ""
    assert draw_sparkline([9.0, -9.0], 8, low=0, high=1) == "█▁"
    assert draw_sparkline([1.0], 8, low=1, high=1, glyphs=ASCII) == "_"


def test_sparkline_averages_what_does_not_fit() -> None:
    assert draw_sparkline([0, 1] * 50, 10, low=0, high=1) == "▅" * 10
    assert len(draw_sparkline(range(103), 10, low=0, high=103)) == 10


@pytest.mark.parametrize(
    ("encoding", "glyphs"),
    [("utf-8", UNICODE), ("latin-1", ASCII), ("nonsense", ASCII), (None, ASCII)],
)
def test_glyphs_follow_the_encoding(encoding: str | None, glyphs: object) -> None:
    assert choose_glyphs(encoding) is glyphs


def test_history_stays_bounded_and_keeps_the_mean() -> None:
    history = History(capacity=8)
    for value in range(1000):
        history.append(float(value))
    assert len(history.points) <= 8
    assert history.points == sorted(history.points)
    assert history.points[0] < 100
    assert history.points[-1] > 900


def build_warm_throttle(
    cost_s: float, shortest_s: float
) -> tuple[Throttle, list[float]]:
    """Draw twice: the first drawing is free, the second one costs `cost_s`."""
    now_s = [0.0]
    throttle = Throttle(clock=lambda: now_s[0], shortest_s=shortest_s)

    def draw() -> None:
        now_s[0] += cost_s

    assert throttle.is_due()
    throttle.call(draw)
    now_s[0] += shortest_s
    assert throttle.is_due()
    throttle.call(draw)
    return throttle, now_s


def test_throttle_waits_for_its_share_of_the_time() -> None:
    throttle, now_s = build_warm_throttle(0.001, 0.1)
    drawn_s = now_s[0]
    now_s[0] = drawn_s + 0.99 * 0.001 / COST_SHARE
    assert not throttle.is_due()
    now_s[0] = drawn_s + 1.01 * 0.001 / COST_SHARE
    assert throttle.is_due()


def test_throttle_never_waits_too_long() -> None:
    throttle, now_s = build_warm_throttle(60.0, 0.1)
    assert not throttle.is_due()
    now_s[0] += LONGEST_PERIOD_S
    assert throttle.is_due()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: format_count(0), "0"),
        (lambda: format_count(999), "999"),
        (lambda: format_count(12_345_678), "12.3 M"),
        (lambda: format_bytes(0), "0 B"),
        (lambda: format_bytes(3.9 * 2**30), "3.9 GiB"),
        (lambda: format_bytes(2**41), "2 TiB"),
        (lambda: format_span(0), "0:00"),
        (lambda: format_span(61), "1:01"),
        (lambda: format_span(3661), "1:01:01"),
        (lambda: format_frequency(698.99), "699 Hz"),
        (lambda: format_frequency(39.13), "39.1 Hz"),
        (lambda: format_frequency(0.829), "0.83 Hz"),
    ],
)
def test_wording(call: object, text: object) -> None:
    assert callable(call)
    assert call() == text
