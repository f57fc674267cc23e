"""Natural frequencies drift as a function of time alone, and keep their law."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from engine.backends import select_backend
from engine.config import BackendConfig, DynamicsConfig, LatticeConfig
from engine.crystal import CrystalLattice, build_drift, draw_detunings
from engine.drift import TICKS, Drift
from engine.errors import ConfigError

PERIOD_S = 8.0
BASE = LatticeConfig(shape=(64, 64), drift_period_s=PERIOD_S)
LAWS = {
    "gaussian": BASE,
    "gaussian, random": replace(BASE, sampling="random"),
    "gaussian, cut": replace(BASE, cutoff_hz=40.0),
    "lorentzian": replace(BASE, distribution="lorentzian", spread_hz=10.0),
    "uniform": replace(BASE, distribution="uniform"),
}


def build(config: LatticeConfig, seed: int = 3) -> Drift:
    drift = build_drift(config, seed)
    assert drift is not None
    return drift


def find(drift: Drift, simulated_s: float) -> np.ndarray:
    found = drift.find_detunings(simulated_s)
    assert found is not None
    return found.astype(np.float64)


def test_standing_frequencies_have_no_drift() -> None:
    assert build_drift(replace(BASE, drift_period_s=None), 0) is None


def test_gaussian_frequencies_rotate_between_two_draws() -> None:
    drift = build(BASE)
    first = draw_detunings(BASE, 3).astype(np.float64)
    second = find(drift, PERIOD_S / 4)
    assert abs(np.corrcoef(first, second)[0, 1]) < 4.0 / np.sqrt(first.size)
    # Scores are float32, so frequencies agree to some 1e-7 of their range of 124 Hz;
    # in the tails, where the quantile is steep, to some hundred times that.
    angle = 2.0 * np.pi * 100 / TICKS
    between = find(drift, PERIOD_S * 100 / TICKS)
    expected = first * np.cos(angle) + second * np.sin(angle)
    inside = np.abs(expected) < 100.0
    np.testing.assert_allclose(between[inside], expected[inside], atol=1e-3)
    np.testing.assert_allclose(find(drift, PERIOD_S / 2), -first, atol=1e-3)
    np.testing.assert_allclose(find(drift, PERIOD_S), first, atol=1e-3)


@pytest.mark.parametrize("law", LAWS)
def test_law_stays_what_it_is(law: str) -> None:
    config = LAWS[law]
    drift = build(config)
    first = draw_detunings(config, 3)
    shares = [0.1, 0.25, 0.5, 0.75, 0.9]
    scale = np.diff(np.quantile(first, [0.25, 0.75]))[0]
    for tick in (64, 300, 700):
        found = find(drift, PERIOD_S * tick / TICKS)
        # A quantile of 4096 values errs by some 2% of the spread: four times that.
        gap = np.quantile(found, shares) - np.quantile(first, shares)
        assert np.abs(gap).max() < 0.08 * scale
        assert np.abs(found).max() <= drift.largest_hz


def test_only_the_time_counts_not_the_way_there() -> None:
    stepped, jumped = build(BASE), build(BASE)
    for simulated_s in np.arange(0.0, 20.0, 0.37):
        stepped.find_detunings(float(simulated_s))
    assert stepped.find_detunings(0.0) is not None
    assert (find(stepped, 21.3) == find(jumped, 21.3)).all()
    assert stepped.find_detunings(21.3) is None
    assert stepped.find_detunings(21.3 + 0.5 * PERIOD_S / TICKS) is None


def test_time_step_is_held_to_frequencies_that_are_still_to_come() -> None:
    config = replace(BASE, distribution="lorentzian", spread_hz=10.0, sampling="random")
    backend = select_backend(BackendConfig("reference"), config.node_count).backend
    lattice = CrystalLattice(config, backend, 3, DynamicsConfig())
    largest = float(10.0 * np.tan(np.pi * (0.5 - 0.5 / 4096)))
    words = re.escape(f"largest detuning ({largest:.4g} Hz")
    with pytest.raises(ConfigError, match=words):
        lattice.check_time_step(0.01)
    assert lattice.fastest_rate_hz > largest


def test_lattice_starts_where_it_was_drawn_and_then_moves() -> None:
    backend = select_backend(BackendConfig("reference"), BASE.node_count).backend
    lattice = CrystalLattice(BASE, backend, 3)
    first = lattice.detunings_hz
    assert (first == draw_detunings(replace(BASE, drift_period_s=None), 3)).all()
    assert not lattice.follow_drift(0.0)
    assert lattice.follow_drift(1.0)
    assert np.std(lattice.detunings_hz - first) > 5.0
    assert (lattice.success_detunings_hz == first).all()
    with pytest.raises(ConfigError, match="set it to null to change them by hand"):
        lattice.adjust_detunings(first)
