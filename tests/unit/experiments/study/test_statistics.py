"""Intervals hold what they should, and a fit finds a known power."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.study.statistics import (
    Estimate,
    divide,
    estimate_mean,
    find_t,
    fit_power,
    format_value,
)


def test_interval_is_students() -> None:
    # Tables of Student's t: 4.303 for two degrees of freedom, two-sided 95%.
    assert find_t(2) == pytest.approx(4.302653, rel=1e-6)
    found = estimate_mean([1.0, None, 2.0, 3.0])
    assert found is not None
    assert (found.mean, found.count) == (2.0, 3)
    # The standard deviation is 1, so the half width is t / sqrt(3).
    assert found.half_width == pytest.approx(4.302653 / np.sqrt(3.0), rel=1e-6)
    assert not found.is_positive


def test_interval_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(2000):
        found = estimate_mean(list(rng.standard_normal(3)))
        assert found is not None and found.half_width is not None
        held += abs(found.mean) <= found.half_width
    # Binomial: 0.95 +- 4 * sqrt(0.95 * 0.05 / 2000) = 0.0195.
    assert held / 2000 == pytest.approx(0.95, abs=0.0195)


def test_one_value_has_no_interval_and_none_no_estimate() -> None:
    found = estimate_mean([None, 5.0])
    assert found == Estimate(5.0, None, 1)
    assert not found.is_positive and not found.is_negative
    assert estimate_mean([None]) is None


@pytest.mark.parametrize(
    ("value", "width", "text"),
    [
        (0.91834, 0.00127, "0.918 ± 0.001"),
        (46.84, 12.3, "47 ± 12"),
        (46.84, None, "46.84"),
        (46.84, 0.0, "46.84"),
        (-0.0123, 0.0456, "-0.01 ± 0.05"),
        (0.0, 0.5, "0.0 ± 0.5"),
        (349.4953, 0.0002, "349.5 ± 0.0002"),
    ],
)
def test_number_is_written_as_far_as_it_is_known(
    value: float, width: float | None, text: str
) -> None:
    assert format_value(value, width) == text


@pytest.mark.parametrize("exponent", [-1.0, 0.5, 1.0, 2.0])
def test_fit_recovers_a_known_exponent(exponent: float) -> None:
    x = np.geomspace(10.0, 1e6, 12)
    noise = np.exp(0.01 * np.random.default_rng(0).standard_normal(12))
    fit = fit_power(list(x), list(3.0 * x**exponent * noise))
    assert fit is not None
    assert fit.exponent == pytest.approx(exponent, abs=4.0 * fit.standard_error)
    # Slope error of least squares: sigma / sqrt(sum (log x - mean)^2).
    spread = np.log(x) - np.log(x).mean()
    expected = 0.01 / np.sqrt((spread**2).sum())
    assert fit.standard_error == pytest.approx(expected, rel=0.6)
    assert fit.half_width == pytest.approx(find_t(10) * fit.standard_error)
    assert fit.factor == pytest.approx(3.0, rel=0.05)
    assert (fit.low, fit.high, fit.points) == (10.0, pytest.approx(1e6), 12)
    assert fit.evaluate(100.0) == pytest.approx(3.0 * 100.0**exponent, rel=0.05)


def test_two_abscissae_give_no_exponent() -> None:
    assert fit_power([1.0, 4.0], [8.0, 2.0]) is None
    assert fit_power([1.0, 1.0, 4.0], [8.0, 9.0, 2.0]) is None


@pytest.mark.parametrize(
    ("value", "by", "expected"),
    [(1.0, 4.0, 0.25), (0.0, 4.0, 0.0), (1.0, 0.0, None), (None, 4.0, None)],
)
def test_unknown_or_empty_divisors_give_none(
    value: float | None, by: float | None, expected: float | None
) -> None:
    assert divide(value, by) == expected
    assert divide(value, None) is None
