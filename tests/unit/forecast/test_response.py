"""The answer to tunnel events has the limits that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from engine.bridge.operator import CouplingOperator
from engine.forecast.response import (
    ResponseSpectrum,
    find_response,
    find_shift,
    measure_spectrum,
)
from engine.geometry import build_geometry


def at_rate(rate_per_s: float) -> ResponseSpectrum:
    return ResponseSpectrum(np.array([rate_per_s]), np.array([1.0]))


def test_slow_network_lets_a_gap_drift_evenly() -> None:
    # An isolated pair between kicks: the gap grows in a straight line, so it is one
    # kick (half of the two that it falls by) above its mean before the next, and each
    # end carries the variance of a sawtooth of height 1, which is 1/12.
    answer = find_response(at_rate(1e-3), 0.0, 100.0)
    assert answer.lag == pytest.approx(1.0, abs=1e-4)
    assert answer.sawtooth == pytest.approx(2.0 / 12.0, rel=1e-4)


@pytest.mark.parametrize("ratio", [0.3, 3.0, 30.0])
def test_one_rate_is_summed_in_closed_form(ratio: float) -> None:
    # lag = 2 (1/x - 1/(e^x - 1)), variance = 2 (coth(x/2)/(2x) - 1/x^2), x = rate/f.
    frequency_hz = 50.0
    answer = find_response(at_rate(ratio * frequency_hz), 0.0, frequency_hz)
    lag = 2.0 * (1.0 / ratio - 1.0 / np.expm1(ratio))
    sawtooth = 1.0 / np.tanh(ratio / 2.0) / ratio - 2.0 / ratio**2
    assert answer.lag == pytest.approx(lag, abs=1e-4)
    assert answer.sawtooth == pytest.approx(sawtooth, rel=1e-3)
    assert answer.shot == pytest.approx(1.0 / ratio)


def test_own_pull_is_taken_out_again() -> None:
    # A pair alone: L on its gap is 2k, all of it the bridge's own.
    alone = find_response(at_rate(20.0), 10.0, 50.0)
    assert alone.lag == pytest.approx(1.0, abs=1e-3)
    assert alone.sawtooth == pytest.approx(2.0 / 12.0, rel=1e-3)


def test_spectrum_has_the_moments_of_the_matrix() -> None:
    geometry = build_geometry("square", (8, 8))
    ends = np.random.default_rng(0).permutation(64)
    operator = CouplingOperator(geometry, ends[:32], ends[32:])
    weights = np.ones(operator.lattice_count + 32)
    spectrum = measure_spectrum(operator, weights)
    assert spectrum.weights.sum() == pytest.approx(1.0)
    # Degree 5, and a bridge's two ends pull at each other: 5 + 1, up to the noise of
    # random signs over 32 bridges.
    assert spectrum.mean_rate_per_s == pytest.approx(6.0, abs=0.7)


def test_doubled_bridge_has_a_spectrum() -> None:
    operator = CouplingOperator(
        build_geometry("chain", (4,)), np.array([0, 2]), np.array([2, 0])
    )
    for seed in range(4):
        spectrum = measure_spectrum(operator, np.ones(6), seed)
        assert np.isfinite(spectrum.rates_per_s).all()


def test_shift_is_the_exact_flow_of_a_pair() -> None:
    gap, dose = np.linspace(-3.1, 3.1, 63), 0.7
    shift = find_shift(gap, np.full(63, np.exp(-2.0 * dose)))
    expected = 2.0 * np.arctan(np.exp(-2.0 * dose) * np.tan(0.5 * gap))
    np.testing.assert_allclose(gap - 2.0 * shift, expected, atol=1e-12)
