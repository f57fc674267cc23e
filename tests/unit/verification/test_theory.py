"""The formulas that checks measure against, held to published figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.geometry import build_geometry
from engine.verification import meanfield, noise
from engine.verification.lattices import draw_white_rates, find_spread
from engine.verification.motion import find_swing
from engine.verification.pairs import find_effective_coupling, find_threshold
from engine.verification.specimen import find_eigenvalue, find_spectrum


def test_steady_states_of_the_mean_field() -> None:
    # Five digits of each, rounded.
    digits = {"abs": 5e-6}
    assert meanfield.find_gaussian_coherence(2.0) == pytest.approx(0.71517, **digits)
    assert meanfield.find_gaussian_coherence(2.5) == pytest.approx(0.86972, **digits)
    assert meanfield.find_gaussian_coherence(2.50166) == pytest.approx(0.87, abs=1e-5)
    assert meanfield.find_lorentzian_coherence(4.0) == pytest.approx(0.70711, **digits)
    assert meanfield.find_uniform_coherence(1.5) == pytest.approx(0.89861, **digits)
    assert meanfield.find_uniform_coherence(2.0) == pytest.approx(0.95189, **digits)
    assert meanfield.ONSETS["gaussian"] == pytest.approx(1.59577, **digits)


def test_uniform_law_jumps_to_a_quarter_of_pi() -> None:
    onset = meanfield.ONSETS["uniform"]
    # Its branch ends as a power 2/3 of the distance: 1e-9 leaves 1e-6.
    ends = meanfield.find_uniform_coherence(onset * (1.0 + 1e-9))
    assert ends == pytest.approx(math.pi / 4.0, abs=1e-5)


def test_transient_starts_and_ends_where_it_should() -> None:
    assert meanfield.find_transient(4.0, 0.0) == pytest.approx(meanfield.START)
    assert meanfield.find_transient(4.0, 40.0) == pytest.approx(math.sqrt(0.5))
    shares = (np.arange(10_000) + 0.5) / 10_000
    phases = meanfield.spread_phases(shares)
    # Quantiles of a smooth density: 1 / N^2.
    assert np.exp(1j * phases).mean() == pytest.approx(meanfield.START, abs=1e-7)


def test_noise_competes_with_coupling() -> None:
    # r^2 = 8 (K / 2T - 1) (2T / K)^3 / 4 ... to first order above the onset.
    ratio = 2.002
    found = noise.find_noisy_coherence(ratio)
    assert found**2 == pytest.approx(16.0 / ratio**3 * (ratio / 2.0 - 1.0), rel=2e-3)
    phases = noise.spread_first_harmonic(10_000, 0.1)
    assert np.exp(1j * phases).mean() == pytest.approx(0.1, abs=1e-6)


def test_size_law() -> None:
    plane = build_geometry("square", (64, 64))
    assert find_spread(plane) == pytest.approx(15.9255, abs=5e-5)
    rates = draw_white_rates(plane, seed=0)
    assert float((rates**2).mean()) == pytest.approx(1.0, abs=1e-3)
    modes = np.abs(np.fft.fft2(rates.reshape(64, 64))).ravel()[1:]
    assert modes == pytest.approx(64.0)


@pytest.mark.parametrize("kind", ["triangular", "fcc"])
def test_spectrum_lists_every_eigenvalue(kind: str) -> None:
    shape = (4, 5) if kind == "triangular" else (3, 4, 5)
    geometry = build_geometry(kind, shape)
    listed = [find_eigenvalue(geometry, mode) for mode in np.ndindex(*shape)]
    assert find_spectrum(geometry) == pytest.approx(np.array(listed))


def test_pairs() -> None:
    assert find_threshold(1.0) == pytest.approx(0.52224, abs=5e-6)
    assert find_threshold(2.0) == pytest.approx(0.50529, abs=5e-6)
    left = math.tan(0.5) * math.exp(-2.0 * find_effective_coupling(8.0, 0.5))
    assert left == pytest.approx(0.094690, abs=5e-7)
    # Without limit of frequency it is the continuous pair.
    left = math.tan(0.5) * math.exp(-2.0 * find_effective_coupling(1e9, 0.5))
    assert left == pytest.approx(0.073934, abs=5e-7)


@pytest.mark.parametrize("inertia_s", [0.01, 2.0])
def test_swing_obeys_its_equation(inertia_s: float) -> None:
    rate, h, at_s = 3.0, 1e-4, 0.4
    before, now, after = (find_swing(inertia_s, rate, at_s + k * h) for k in (-1, 0, 1))
    force = (after - before) / (2.0 * h)
    push = inertia_s * (after - 2.0 * now + before) / (h * h)
    # Differences are off by h^2 / 12 times a fourth derivative below (1/m)^4 m.
    assert push + force + rate * now == pytest.approx(0.0, abs=1e-3)
    assert find_swing(inertia_s, rate, 0.0) == pytest.approx(1.0)
