"""Gates: each passes what it should, fails what it should, and says why."""

from __future__ import annotations

import pytest

from engine.config import RolloutConfig
from engine.rollout.gates import (
    Outcomes,
    Sample,
    Window,
    judge_coherence,
    judge_cost,
    judge_failures,
    judge_floor,
)


def fill(values: list[float]) -> Window:
    window = Window()
    for value in values:
        window.add(Sample(0.01, value, 40.0, 1.0, 40.0, 40.0), 40.0)
    return window


def spend(old_hz: float, new_hz: float, *, before_hz: float, offered_hz: float = 1.0):
    """Return a window in which both policies chose these frequencies throughout."""
    window = Window()
    for _ in range(16):
        window.add(Sample(0.01, 0.9, old_hz, offered_hz, 30.0, new_hz), before_hz)
    return window


def test_coherence_is_the_mean_less_its_standard_errors() -> None:
    # Eight batches of two: means 0.9 and 0.92 in turn, deviation 0.0107, error 0.0038.
    window = fill([0.9, 0.9, 0.92, 0.92] * 4)
    gate = judge_coherence(window, 0.87, 3.0)
    assert gate.value == pytest.approx(0.91 - 3.0 * 0.01 * (8 / 7) ** 0.5 / 8**0.5)
    assert gate.has_passed
    assert not judge_coherence(window, 0.9, 3.0).has_passed
    assert judge_coherence(window, 0.9, 0.0).has_passed


@pytest.mark.parametrize("count", [8, 9, 16, 23, 100])
def test_steady_coherence_counts_in_full(count: int) -> None:
    gate = judge_coherence(fill([0.88] * count), 0.87, 3.0)
    assert gate.value == pytest.approx(0.88)
    assert "the floor is 0.87" in gate.reason


@pytest.mark.parametrize(
    ("violations", "has_passed"), [(0, True), (3, True), (4, False)]
)
def test_floor_allows_a_share_of_the_samples(violations: int, has_passed: bool) -> None:
    gate = judge_floor(violations, 300, RolloutConfig(max_violation=0.01))
    assert gate.has_passed is has_passed
    assert gate.value == pytest.approx(violations / 300)


@pytest.mark.parametrize(
    ("old_hz", "new_hz", "share", "before_hz", "ratio"),
    [
        (40.0, 40.0, 0.5, 40.0, 1.0),
        (40.0, 44.0, 0.1, 40.0, 1.1),  # its bridges act more often than the others
        (40.0, 44.0, 0.1, 80.0, 1.1),  # whatever was needed before
        (80.0, 20.0, 0.5, 40.0, 1.25),  # cheap itself, but the others make up for it
        (80.0, 80.0, 0.5, 40.0, 2.0),  # both had to rise, so the new one needs more
        (1.0, 50.0, 1.0, 40.0, 1.25),  # no bridge is left to the old policy's 1 Hz
        (40.0, 20.0, 0.1, 40.0, 0.95),
    ],
)
def test_cost_is_the_higher_one_over_the_old_policys_lower_one(
    old_hz: float, new_hz: float, share: float, before_hz: float, ratio: float
) -> None:
    gate = judge_cost(spend(old_hz, new_hz, before_hz=before_hz), share, 0.1)
    assert gate.value == pytest.approx(ratio)
    assert gate.has_passed is (ratio <= 1.1)


def test_cost_of_the_old_policy_rises_with_the_offer() -> None:
    # More cores are free than before: both tunnel faster, as they were asked to.
    window = spend(400.0, 400.0, before_hz=40.0, offered_hz=400.0)
    assert judge_cost(window, 0.5, 0.1).value == pytest.approx(1.0)
    assert judge_cost(window, 1.0, 0.1).value == pytest.approx(1.0)


def test_failures_are_judged_by_the_binomial_law() -> None:
    law = {"attempts": 1000, "expected": 900.0, "variance": 90.0}
    few = judge_failures(Outcomes(successes=871, **law), 3.0)
    assert few.value == pytest.approx(29.0 / 90.0**0.5)
    assert not few.has_passed
    assert judge_failures(Outcomes(successes=872, **law), 3.0).has_passed
    assert judge_failures(Outcomes(successes=950, **law), 3.0).value == 0.0


def test_certain_successes_may_not_fail() -> None:
    law = {"attempts": 1000, "expected": 1000.0, "variance": 0.0}
    assert judge_failures(Outcomes(successes=1000, **law), 3.0).has_passed
    assert not judge_failures(Outcomes(successes=990, **law), 3.0).has_passed


def test_outcomes_are_counted_between_two_times() -> None:
    late, early = Outcomes(10, 8, 7.5, 2.0), Outcomes(4, 3, 2.5, 0.5)
    assert late.since(early) == Outcomes(6, 5, 5.0, 1.5)
