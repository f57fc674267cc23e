"""Bridges that act at unequal frequencies, against cases that are known otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from engine.config import RunConfig
from engine.forecast import Forecaster, build_forecaster
from engine.forecast.rhythm import build_rhythm
from engine.system import ScribbleSystem

BuildConfig = Callable[..., RunConfig]
SQUARE = {"shape": (32, 32), "initial_phases": "aligned"}


@pytest.fixture
def forecaster(build_config: BuildConfig) -> Forecaster:
    return build_forecaster(build_config(lattice=SQUARE))


def test_groups_hold_the_bridges_of_their_frequency() -> None:
    frequencies = np.array([5.0, 3.0, 5.0, 9.0])
    rhythm = build_rhythm(frequencies)
    assert rhythm.frequencies_hz == (3.0, 5.0, 9.0)
    np.testing.assert_array_equal(rhythm.by_bridge, frequencies)
    parts = list(rhythm.split(np.arange(4.0)))
    assert [part.tolist() for part in parts] == [[1.0], [0.0, 2.0], [3.0]]
    assert rhythm.mean_hz == 5.5
    assert not rhythm.is_continuous


@pytest.mark.parametrize("frequency_hz", [15.0, 63.0, math.inf])
def test_one_frequency_for_each_is_one_for_all(
    forecaster: Forecaster, frequency_hz: float
) -> None:
    count = forecaster.network.operator.bridge_count
    alone = forecaster.network.settle(frequency_hz)
    each = forecaster.network.settle(np.full(count, frequency_hz))
    np.testing.assert_array_equal(each.phases, alone.phases)
    assert (each.variance, each.lag) == (alone.variance, alone.lag)
    assert each.coherence == alone.coherence


def test_split_group_is_the_whole_group(forecaster: Forecaster) -> None:
    # The last bits of the frequency apart; solves end at residuals of 5e-4, and
    # rounding passes through the same ones.
    count = forecaster.network.operator.bridge_count
    split = np.where(np.arange(count) % 3, 63.0, 63.0 * (1.0 + 1e-14))
    assert len(build_rhythm(split).frequencies_hz) == 2
    whole, parts = (forecaster.network.settle(hz) for hz in (63.0, split))
    assert parts.coherence == pytest.approx(whole.coherence, abs=1e-9)
    assert parts.variance == pytest.approx(whole.variance, rel=1e-6)


def test_bridges_that_hardly_act_are_as_good_as_absent(
    build_config: BuildConfig,
) -> None:
    many, few = (
        build_forecaster(build_config(lattice=SQUARE, bridges={"per_node": count}))
        for count in (8, 4)
    )
    half = few.network.operator.bridge_count
    for name in ("sources", "targets"):  # the layers of few are the first of many
        ends = (getattr(each.network.operator, name)[:half] for each in (many, few))
        np.testing.assert_array_equal(*ends)
    frequencies = np.where(np.arange(2 * half) < half, 63.0, 1e-6)
    # One takes the spectrum at all bridges for that at half of them, which is 10% of
    # a fluctuation that takes less than 0.01 from r.
    found = many.forecast(frequencies).coherence
    assert found == pytest.approx(few.forecast(63.0).coherence, abs=1e-3)


def test_high_frequencies_approach_the_limit(build_config: BuildConfig) -> None:
    sharp = build_config(lattice=SQUARE, tunnel={"linewidth_hz": 1e6})
    forecaster = build_forecaster(sharp)
    count = forecaster.network.operator.bridge_count
    ratios = np.random.default_rng(0).choice([0.5, 1.0, 2.0], count)
    limit = forecaster.unlimited.coherence
    missing = [limit - forecaster.forecast(hz * ratios).coherence for hz in (2e3, 1e5)]
    assert 0.0 < missing[0] < 4e-3
    assert abs(missing[1]) < 3e-4


def test_a_run_with_shares_comes_to_its_forecast(build_config: BuildConfig) -> None:
    config = build_config(
        lattice=SQUARE,
        controller={"objective": "fixed", "fixed_frequency_hz": 24.0},
        mesh={"rule": "none"},
    )
    forecaster = build_forecaster(config)
    network = forecaster.network
    phases = network.settle(24.0).phases
    gaps = np.abs(network.operator.find_gaps(phases))[network.operator.lattice_count :]
    ranks = np.argsort(np.argsort(-gaps)) * 6 // len(gaps)  # wide gaps act most
    values: list[float] = []
    with ScribbleSystem(config) as system:
        system.network.share_budget(ranks, 6)
        system.advance(0.5)
        system.advance(0.5, lambda progress: values.append(progress.coherence))
        found = forecaster.forecast(system.network.frequencies_hz)
    assert found.is_trusted
    assert found.frequency_hz == pytest.approx(24.0)
    assert float(np.mean(values)) == pytest.approx(found.coherence, abs=0.01)
    assert found.coherence > forecaster.forecast(24.0).coherence + 0.05


def test_forecasts_are_kept_apart_by_bridge(forecaster: Forecaster) -> None:
    count = forecaster.network.operator.bridge_count
    order = np.arange(count)
    up, down = 40.0 + order % 3, 40.0 + (order + 1) % 3
    forecasts = [forecaster.forecast(hz).coherence for hz in (up, down, up)]
    assert forecasts[0] == forecasts[2] != forecasts[1]
