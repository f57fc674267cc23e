"""Responses of known shape: settling, overshoot, activity and tracking."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.config import ControllerConfig, LoadConfig, ResourcesConfig, RunConfig
from experiments.study.control_response import (
    find_edges,
    find_ideal_hz,
    measure_activity,
    measure_responses,
    measure_tracking,
    to_rungs,
)

TIMES_S = np.arange(1, 2001) * 0.01
CONFIG = RunConfig(controller=ControllerConfig("headroom"))


def with_load(**load: object) -> RunConfig:
    return replace(CONFIG, load=LoadConfig("synthetic", **load))


def list_edges(config: RunConfig, wall_factor: float = 1.0) -> list[float]:
    series = {"simulated_s": TIMES_S, "wall_s": wall_factor * TIMES_S}
    return find_edges(config, series)


def test_rungs_are_those_of_the_ladder() -> None:
    hz = np.array([CONFIG.tunnel.rung_frequency_hz(rung) for rung in (0, 1, 2.5)])
    assert to_rungs(CONFIG, hz) == pytest.approx([0.0, -1.0, -2.5], abs=1e-12)


def test_damped_oscillation_is_measured() -> None:
    # 1 - exp(-t/tau) cos(w t) after a step at 5 s: its first peak, at the time where
    # the derivative vanishes, is known; it is within 0.02 for good once exp(-t/tau) is.
    tau, w = 0.5, 8.0
    since = np.maximum(TIMES_S - 5.0, 0.0)
    values = 1.0 - np.exp(-since / tau) * np.cos(w * since)
    start, step = measure_responses(TIMES_S, values, [5.0], 0.02)
    assert (start.began_s, start.settling_s, start.overshoot) == (0.0, 0.0, 0.0)
    peak = (np.pi - np.arctan(1.0 / (w * tau))) / w
    expected = -np.exp(-peak / tau) * np.cos(w * peak)
    # Samples are 0.01 s apart: near the peak they miss less than w^2 0.01^2 / 8.
    assert step.overshoot == pytest.approx(expected, abs=1e-3)
    assert step.change == pytest.approx(1.0, abs=1e-6)
    # The last time that |exp cos| is 0.02 lies within half a turn of the envelope's;
    # the change is taken to begin at the sample before it.
    latest_s = tau * np.log(50.0) + 0.01
    assert latest_s - np.pi / w <= step.settling_s <= latest_s


def test_overshoot_counts_in_the_direction_of_the_change() -> None:
    values = np.where(TIMES_S < 10.0, 4.0, np.where(TIMES_S < 11.0, 0.5, 1.0))
    values = np.where((TIMES_S > 12.0) & (TIMES_S < 12.5), 1.8, values)
    (fall,) = measure_responses(TIMES_S, values, [10.0], 0.1)[1:]
    assert (fall.change, fall.overshoot) == pytest.approx((-3.0, 0.5))
    assert fall.settling_s == pytest.approx(2.5, abs=0.02)


def test_pieces_too_short_are_left_out() -> None:
    found = measure_responses(TIMES_S, np.ones_like(TIMES_S), [5.0, 5.05], 0.1)
    assert [each.began_s for each in found] == pytest.approx([0.0, 5.04])


@pytest.mark.parametrize(
    ("load", "edges_s"),
    [
        ({"profile": "step", "start_s": 7.0}, [7.0]),
        ({"profile": "square", "start_s": 14.0, "period_s": 4.0}, [14.0, 16.0, 18.0]),
        ({"profile": "noise", "start_s": 14.0, "period_s": 4.0}, [14.0, 18.0]),
        ({"profile": "sine"}, []),
        ({"profile": "constant"}, []),
        ({"profile": "step", "start_s": 70.0}, []),
    ],
)
def test_edges_of_profiles(load: dict[str, object], edges_s: list[float]) -> None:
    assert list_edges(with_load(**load)) == pytest.approx(edges_s)


def test_edges_of_a_real_load_are_wall_time() -> None:
    config = replace(CONFIG, load=LoadConfig("real", "step", start_s=10.0))
    assert list_edges(config, 2.0) == pytest.approx([5.0])


def test_activity_of_a_sawtooth() -> None:
    # In the later half, 10 s long: up and down by 2 rungs once a second.
    rungs = 2.0 * np.abs((TIMES_S + 0.5) % 1.0 - 0.5) * 2.0 - 5.0
    found = measure_activity(TIMES_S, rungs)
    assert found is not None
    # A span of 9.99 s and its two ends are known to a sample in 50.
    assert found.travel_rungs_per_s == pytest.approx(4.0, rel=0.02)
    # The nearest rung goes -5, -4, -3, -4, -5: four changes a second.
    assert found.rung_changes_per_s == pytest.approx(4.0, rel=0.1)


def test_ideal_is_what_is_offered_and_needed() -> None:
    config = with_load(profile="step", level=0.9, base_level=0.5, start_s=10.0)
    ideal = find_ideal_hz(config, TIMES_S, 100.0)
    top_hz = config.tunnel.maximum_frequency_hz
    assert ideal is not None
    assert ideal[TIMES_S < 9.99] == pytest.approx(0.5 * top_hz)
    assert ideal[TIMES_S > 10.01] == pytest.approx(100.0)
    high = find_ideal_hz(config, TIMES_S, 1.0)
    assert high is not None
    assert high[-1] == pytest.approx(0.1 * top_hz)
    fewer = replace(config, resources=ResourcesConfig(optimal_core_count=4))
    found = find_ideal_hz(fewer, TIMES_S, 1.0)
    # Half of eight idle cores is all that four threads want; a quarter of the memory
    # is taken, of which a fifth is to stay free.
    assert found is not None
    assert found[0] == pytest.approx((0.75 - 0.2) / 0.8 * top_hz)


def test_ideal_is_not_guessed() -> None:
    assert find_ideal_hz(CONFIG, TIMES_S, 100.0) is None
    config = with_load(profile="step")
    floor = replace(config, controller=ControllerConfig("floor"))
    assert find_ideal_hz(floor, TIMES_S, 100.0) is None


def test_tracking_counts_rungs_in_the_later_half() -> None:
    ideal = np.full_like(TIMES_S, 200.0)
    factor = CONFIG.tunnel.phi_coefficient
    used = np.where(TIMES_S < 10.0, 1.0, np.where(TIMES_S % 2 < 1, factor, 1.0)) * ideal
    # Off by a rung half of the time.
    found = measure_tracking(CONFIG, TIMES_S, used, ideal)
    assert found == pytest.approx(0.5**0.5, rel=0.01)
    assert measure_tracking(CONFIG, TIMES_S[:8], used[:8], ideal[:8]) is None
