"""Knee and crossing of curves whose shape is known."""

from __future__ import annotations

import math

import pytest

from experiments.study.frequency_curve import find_crossing, find_knee


def test_knee_of_a_parabola_is_its_highest_point_over_the_chord() -> None:
    # r = 1 - (log10 f - 3)^2 / 4 from 10 to 1000 Hz: its slope equals that of the
    # chord, 0.5, at log10 f = 2, which lies between the points.
    places = [
        (10**x, 1.0 - 0.25 * (x - 3.0) ** 2) for x in (1.0, 1.3, 1.7, 2.2, 2.6, 3.0)
    ]
    knee = find_knee(places)
    assert knee is not None
    # A parabola through three of its points is the parabola itself.
    assert knee[0] == pytest.approx(100.0)
    assert knee[1] == pytest.approx(0.75)


@pytest.mark.parametrize(
    "places",
    [
        [(1.0, 0.1), (10.0, 0.5), (100.0, 0.6)],
        [(10.0**k, 0.2 * k) for k in range(5)],
        [(10.0**k, 0.05 * k * k) for k in range(5)],
    ],
    ids=["few", "straight", "hollow"],
)
def test_what_never_bends_down_has_no_knee(places: list[tuple[float, float]]) -> None:
    knee = find_knee(places)
    # Rounding may lift a point of a straight line above its chord by an ulp.
    assert knee is None or abs(knee[1] - 0.2 * math.log10(knee[0])) < 1e-12


def test_crossing_is_linear_in_the_logarithm() -> None:
    places = [(10.0, 0.6), (20.0, 0.8), (80.0, 0.9), (160.0, 0.95)]
    assert find_crossing(places, 0.85) == pytest.approx(40.0)
    assert find_crossing(places, 0.8) == pytest.approx(20.0)


def test_crossing_is_the_last_one() -> None:
    places = [(10.0, 0.9), (20.0, 0.7), (40.0, 0.9)]
    assert find_crossing(places, 0.8) == pytest.approx(20.0 * math.sqrt(2.0))


def test_curves_that_lie_on_one_side() -> None:
    places = [(10.0, 0.6), (20.0, 0.8)]
    assert find_crossing(places, 0.9) is None
    assert find_crossing(places, 0.5) == 10.0
    assert find_crossing([], 0.5) is None
