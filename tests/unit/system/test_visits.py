"""Frequencies in use late in a run, and the one that stands for them all."""

from __future__ import annotations

import pytest

from engine.system.visits import LateVisits, Visit, average_by_law


@pytest.mark.parametrize("early_hz", [699.0, 60.0])
def test_beginning_is_left_out(early_hz: float) -> None:
    visits = LateVisits()
    for period in range(100):
        # Only the last three quarters at 60 and 240 Hz, in turn.
        visits.add(early_hz if period < 25 else (60.0, 240.0)[period % 2], 40)
    assert visits.list_visits() == [
        Visit(60.0, pytest.approx(0.5, abs=0.01)),
        Visit(240.0, pytest.approx(0.5, abs=0.01)),
    ]
    assert sum(visit.share for visit in visits.list_visits()) == pytest.approx(1.0)


def test_neighbouring_frequencies_are_one() -> None:
    visits = LateVisits()
    for frequency_hz in (100.0, 100.0, 101.0, 99.0):
        visits.add(frequency_hz, 40)
    (visit,) = visits.list_visits()
    assert visit.frequency_hz == pytest.approx(100.0, rel=0.01)


@pytest.mark.parametrize("exponent", [1.0, 1.5, 2.0])
def test_law_average_leaves_the_mean_error(exponent: float) -> None:
    visits = [Visit(50.0, 0.25), Visit(400.0, 0.75)]
    mean_error = sum(each.share * each.frequency_hz**-exponent for each in visits)
    average = average_by_law(visits, exponent)
    assert average**-exponent == pytest.approx(mean_error)
    assert 50.0 < average < 400.0
