"""What is forecast: limits, order, doubts, and cures that work."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.config import BridgesConfig, LatticeConfig, RunConfig
from engine.errors import ForecastError
from engine.forecast import build_forecaster, find_cure
from engine.system import ScribbleSystem

BuildConfig = Callable[..., RunConfig]
SQUARE = {"shape": (32, 32)}


def run_fixed(config: RunConfig, frequency_hz: float) -> float:
    """Return the coherence after settling, from aligned phases."""
    config = replace(
        config,
        lattice=replace(config.lattice, initial_phases="aligned"),
        dynamics=replace(config.dynamics, duration_s=0.6),
        controller=replace(
            config.controller, objective="fixed", fixed_frequency_hz=frequency_hz
        ),
        record=replace(config.record, forecast=False),
    )
    values: list[float] = []
    with ScribbleSystem(config) as system:
        system.run(lambda progress: values.append(progress.coherence))
    return float(np.mean(values[len(values) // 2 :]))


def test_weak_disorder_is_the_linear_theory(build_config: BuildConfig) -> None:
    # r = 1 - <x^2>/2 with x = L^+ omega, up to fourth order in x.
    config = build_config(lattice={**SQUARE, "spread_hz": 2.0})
    forecaster = build_forecaster(config)
    network = forecaster.network
    weights = np.concatenate([network.couplings, network.strengths])
    phases, _ = network.operator.solve(
        weights, network.rates, 0.0 * network.rates, tolerance=1e-8
    )
    linear = 1.0 - 0.5 * float(np.mean(phases**2))
    assert forecaster.unlimited.coherence == pytest.approx(linear, abs=1e-5)


def test_equal_oscillators_agree_at_any_frequency(build_config: BuildConfig) -> None:
    forecaster = build_forecaster(build_config(lattice={"spread_hz": 0.0}))
    for hz in (1.0, 100.0, math.inf):
        assert forecaster.forecast(hz).coherence == pytest.approx(1.0)


def test_coherence_rises_with_frequency(build_config: BuildConfig) -> None:
    ladder = build_forecaster(build_config(lattice=SQUARE)).forecast_ladder()
    trusted = [rung for rung in ladder.rungs if rung.is_trusted]
    values = [ladder.unlimited.coherence, *(rung.coherence for rung in trusted)]
    assert len(values) > 6
    assert values == sorted(values, reverse=True)
    assert ladder.cheapest is not None
    below = ladder.rungs[ladder.rungs.index(ladder.cheapest) + 1]
    assert below.coherence < ladder.floor <= ladder.cheapest.coherence


def test_high_frequencies_approach_the_limit(build_config: BuildConfig) -> None:
    forecaster = build_forecaster(
        build_config(lattice=SQUARE, tunnel={"linewidth_hz": 1e6})
    )
    limit = forecaster.unlimited.coherence
    missing = [limit - forecaster.forecast(hz).coherence for hz in (2e3, 1e5)]
    assert 0.0 < missing[0] < 2e-3
    assert abs(missing[1]) < 3e-4


def test_warm_start_finds_the_same_state(build_config: BuildConfig) -> None:
    config = build_config(lattice=SQUARE)
    cold = build_forecaster(config).forecast(63.0)
    warm = build_forecaster(config)
    warm.forecast(39.0)
    # Each stops once r changes by less than 2e-4.
    assert warm.forecast(63.0).coherence == pytest.approx(cold.coherence, abs=1.5e-3)
    assert warm.unlimited.coherence == pytest.approx(
        build_forecaster(config).unlimited.coherence, abs=1e-3
    )


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"lattice": {**SQUARE, "spread_hz": 200.0}}, "lattice edges stand beyond"),
        ({"lattice": {**SQUARE, "coupling_rad_s": 500.0, "spread_hz": 60.0},
          "bridges": {"per_node": 1, "strength_rad_s": 20.0}}, "beyond a quarter"),
        ({"lattice": {**SQUARE, "spread_hz": 2.0}, "bridges": {"kind": "none"}},
         "vortices"),
        ({"lattice": {**SQUARE, "coupling_rad_s": 0.0},
          "bridges": {"kind": "none"}}, "quarter turn"),
        ({"lattice": {"kind": "chain", "shape": (64,), "spread_hz": 2.0},
          "bridges": {"per_node": 1}}, "twisted waves"),
        ({"lattice": {**SQUARE, "spread_hz": 2.0},
          "bridges": {"kind": "small_world", "distance_exponent": 3.0}}, "unwind"),
    ],
)  # fmt: skip
def test_doubt_is_said(
    groups: dict[str, dict[str, object]], words: str, build_config: BuildConfig
) -> None:
    found = build_forecaster(build_config(**groups)).forecast(24.0)
    assert not found.is_trusted
    assert words in found.reason
    assert 0.0 <= found.coherence <= 1.0


def test_a_network_beyond_the_theory_is_refused(build_config: BuildConfig) -> None:
    for bridges in ({"strength_spread_rad_s": 200.0}, {"directed": True}):
        with pytest.raises(ForecastError, match=r"of 512 bridges .* bridges on a latt"):
            build_forecaster(build_config(bridges=bridges))
    with pytest.raises(ForecastError, match="512 of 512 bridges are directed"):
        build_forecaster(build_config(bridges={"kind": "procedural", "directed": True}))
    # Weights alone do no harm.
    spread = build_config(lattice=SQUARE, bridges={"strength_spread_rad_s": 20.0})
    assert build_forecaster(spread).forecast(102.0).is_trusted


def test_cures_work(build_config: BuildConfig) -> None:
    config = build_config(
        lattice=SQUARE, bridges={"per_node": 1, "strength_rad_s": 60.0}
    )
    top_hz, floor = config.tunnel.maximum_frequency_hz, config.tunnel.min_coherence
    assert build_forecaster(config).forecast_ladder().cheapest is None
    assert run_fixed(config, top_hz) < floor
    cure = find_cure(config)
    assert cure.coupling_rad_s is not None
    assert cure.per_node is not None
    stronger = replace(config.lattice, coupling_rad_s=cure.coupling_rad_s)
    assert run_fixed(replace(config, lattice=stronger), top_hz) >= floor
    more = replace(config.bridges, per_node=cure.per_node)
    assert run_fixed(replace(config, bridges=more), top_hz) >= floor


def test_no_cure_where_none_exists(build_config: BuildConfig) -> None:
    config = build_config(
        lattice={"kind": "chain", "shape": (256,)},
        bridges={"kind": "none"},
    )
    cure = find_cure(config)
    assert (cure.coupling_rad_s, cure.per_node) == (None, None)


def test_computed_ends_are_forecast_as_stored_ones(build_config: BuildConfig) -> None:
    drawn = [
        build_forecaster(build_config(lattice=SQUARE, bridges={"kind": kind}))
        for kind in ("matchings", "procedural")
    ]
    # Two random networks of 1024 nodes differ by about 0.002.
    stored, computed = (found.forecast(63.0).coherence for found in drawn)
    assert computed == pytest.approx(stored, abs=0.01)


def test_forecasts_do_not_depend_on_the_order_in_which_they_are_asked() -> None:
    # A state that slipped at 10 Hz used to stay so at 432 Hz, where r then missed 0.01.
    # Solves end when r changes by less than 2e-4 in a round; ten rounds are far off.
    bridges = BridgesConfig(placement="aligned")
    config = RunConfig(lattice=LatticeConfig(shape=(64, 64)), bridges=bridges)
    rising, falling = build_forecaster(config), build_forecaster(config)
    frequencies = (10.0, 24.0, 102.0, 432.0)
    up = {hz: rising.forecast(hz).coherence for hz in frequencies}
    down = {hz: falling.forecast(hz).coherence for hz in frequencies[::-1]}
    locked = [hz for hz in frequencies if falling.forecast(hz).is_trusted]
    assert locked[-1] == 432.0
    assert [up[hz] for hz in locked] == pytest.approx(
        [down[hz] for hz in locked], abs=2e-3
    )
