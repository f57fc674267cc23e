"""The control law on plants: no network, no clock, no sensor, only its promises."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from engine.config import ControllerConfig, TunnelConfig
from engine.tunnel import ControlLaw, Decision, Observation
from engine.tunnel.law import FLOOR_BAND, MAX_MARGIN, PATIENCE_S

TUNNEL = TunnelConfig()
TOP_HZ, FLOOR = TUNNEL.maximum_frequency_hz, TUNNEL.min_coherence
LOWEST_HZ = TUNNEL.rung_frequency_hz(TUNNEL.rungs)
PERIOD_S = 0.01
# Steady coherence against frequency, from the prototype in design.md, section 2.
CURVE_HZ = (LOWEST_HZ, 11.0, 22.0, 43.0, 108.0, 432.0, 4320.0)
CURVE_R = (0.02, 0.61, 0.78, 0.882, 0.943, 0.970, 0.973)
HELD_HZ = float(np.exp(np.interp(FLOOR, CURVE_R, np.log(CURVE_HZ))))
"""Frequency at which the plant stands exactly at its floor: 39.8 Hz."""

Profile = Callable[[float], float]


def steady_coherence(frequency_hz: float) -> float:
    return float(np.interp(math.log(frequency_hz), np.log(CURVE_HZ), CURVE_R))


@dataclass
class Plant:
    """Coherence that follows the frequency with a lag, and a law that steers it."""

    law: ControlLaw
    lag_s: float = 0.05
    noise: float = 0.002
    weakness: float = 0.0
    """Coherence that the network lacks compared with the prototype."""
    coherence: float = 0.95
    time_s: float = 0.0
    decisions: list[Decision] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def run(self, seconds: float, offer_hz: Profile, **seen: Any) -> None:
        """Decide and follow, period by period; `seen` goes to the observation."""
        for _ in range(round(seconds / PERIOD_S)):
            measured = self.coherence + self.noise * self._rng.standard_normal()
            told = Observation(PERIOD_S, measured, offer_hz(self.time_s), **seen)
            decision = self.law.decide(told)
            self.decisions.append(decision)
            self.values.append(self.coherence)
            goal = steady_coherence(decision.frequency_hz) - self.weakness
            self.coherence += (goal - self.coherence) * min(PERIOD_S / self.lag_s, 1.0)
            self.time_s += PERIOD_S

    def last_hz(self, seconds: float) -> np.ndarray:
        """Frequencies of the last stretch [Hz]."""
        recent = self.decisions[-round(seconds / PERIOD_S) :]
        return np.array([decision.frequency_hz for decision in recent])

    def lowest(self, since_s: float = 0.0) -> float:
        return min(self.values[round(since_s / PERIOD_S) :])


def build_plant(objective: str = "headroom", **changes: Any) -> Plant:
    plant = {
        name: changes.pop(name)
        for name in ("lag_s", "noise", "weakness", "coherence")
        if name in changes
    }
    config = ControllerConfig(objective=objective, **changes)
    return Plant(ControlLaw(TUNNEL, config), **plant)


def always(frequency_hz: float) -> Profile:
    return lambda _: frequency_hz


@pytest.mark.parametrize("lag_s", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("noise", [0.0, 0.002, 0.005])
def test_floor_is_held_with_no_resources_at_all(lag_s: float, noise: float) -> None:
    plant = build_plant(lag_s=lag_s, noise=noise)
    plant.run(40.0, always(LOWEST_HZ))
    # The margin is made against noise of the measurement; the truth stays above.
    assert plant.lowest() >= FLOOR
    assert plant.decisions[-1].state == "floor-bound"
    # ... but not by pure waste: the margin, the dead band, and the noise's share.
    allowed = MAX_MARGIN + 0.002 + 3.0 * noise
    needed = np.exp(np.interp(FLOOR + allowed, CURVE_R, np.log(CURVE_HZ)))
    assert plant.last_hz(5.0).mean() <= needed * 1.05


@pytest.mark.parametrize("offer_hz", [100.0, 200.0, 432.0, TOP_HZ])
def test_frequency_follows_an_offer_above_the_floor(offer_hz: float) -> None:
    plant = build_plant()
    plant.run(20.0, always(offer_hz))
    assert plant.last_hz(5.0) == pytest.approx(offer_hz)
    assert plant.decisions[-1].state == "nominal"


def test_offer_is_followed_up_and_down() -> None:
    plant = build_plant()
    plant.run(20.0, lambda t: 150.0 if t % 10.0 < 5.0 else 500.0)
    plant.run(40.0, lambda t: 150.0 if t % 10.0 < 5.0 else 500.0)
    chosen = plant.last_hz(40.0)
    # Settled once, the law knows that 150 Hz holds the floor: no lag either way.
    assert set(chosen.round(6)) == {150.0, 500.0}


@pytest.mark.parametrize("lag_s", [0.05, 0.3])
@pytest.mark.parametrize("before_hz", [TOP_HZ, 300.0, 60.0])
def test_sudden_loss_of_resources_never_drops_below_the_floor(
    before_hz: float, lag_s: float
) -> None:
    plant = build_plant(lag_s=lag_s)
    plant.run(40.0, lambda t: before_hz if t < 20.0 else LOWEST_HZ)
    assert plant.lowest() >= FLOOR
    assert plant.last_hz(1.0).max() < 2.5 * HELD_HZ


def test_returning_resources_are_used_at_once() -> None:
    plant = build_plant()
    plant.run(20.0, always(LOWEST_HZ))
    plant.run(PERIOD_S, always(500.0))
    assert plant.decisions[-1].frequency_hz == pytest.approx(500.0)


def test_shock_is_answered_fast_and_left_slowly() -> None:
    # The network loses 0.05 of coherence for two seconds.
    plant = build_plant(noise=0.0)
    plant.run(20.0, always(LOWEST_HZ))
    before_hz = plant.last_hz(1.0).mean()
    plant.weakness = 0.05
    plant.run(2.0, always(LOWEST_HZ))
    assert plant.last_hz(0.5).mean() > 1.5 * before_hz
    assert plant.values[-1] > FLOOR - 0.002
    plant.weakness = 0.0
    plant.run(20.0, always(LOWEST_HZ))
    assert plant.last_hz(1.0).mean() < 1.3 * before_hz


def test_floor_objective_finds_the_lowest_frequency_whatever_is_offered() -> None:
    plant = build_plant("floor", noise=0.0)
    plant.run(60.0, always(TOP_HZ))
    assert plant.lowest() >= FLOOR
    # The margin fades with the transient; the dead band is what is left.
    target = FLOOR + plant.decisions[-1].margin + 2 * plant.law.config.dead_band
    needed = np.exp(np.interp(target, CURVE_R, np.log(CURVE_HZ)))
    assert HELD_HZ <= plant.last_hz(1.0).mean() <= needed
    assert plant.decisions[-1].margin < 0.001


def test_fixed_objective_regards_nothing() -> None:
    plant = build_plant("fixed", fixed_frequency_hz=12.5, coherence=0.1)
    plant.run(1.0, always(TOP_HZ), is_stale=True, sensor_age_s=99.0)
    assert set(plant.last_hz(1.0)) == {12.5}
    assert plant.decisions[-1].state == "nominal"
    assert "fixed" in plant.decisions[-1].reason


def test_choice_is_the_larger_demand() -> None:
    plant = build_plant()
    plant.run(30.0, lambda t: 60.0 + 50.0 * math.sin(t))
    for decision in plant.decisions:
        larger = max(decision.required_hz, min(decision.offered_hz, TOP_HZ))
        assert decision.frequency_hz == pytest.approx(larger)
        assert LOWEST_HZ * (1 - 1e-9) <= decision.frequency_hz <= TOP_HZ * (1 + 1e-9)
        assert 0.0 <= decision.margin <= MAX_MARGIN


def test_offers_outside_the_ladder_are_clipped() -> None:
    law = ControlLaw(TUNNEL, ControllerConfig())
    assert law.decide(Observation(PERIOD_S, 0.95, 1e9)).offered_hz == (
        pytest.approx(TOP_HZ)
    )
    assert law.decide(Observation(PERIOD_S, 0.95, 1e-9)).offered_hz == (
        pytest.approx(LOWEST_HZ)
    )


def test_margin_is_three_deviations_of_the_noise() -> None:
    plant = build_plant(noise=0.003)
    plant.run(60.0, always(TOP_HZ))
    margins = [decision.margin for decision in plant.decisions[-2000:]]
    # An average over 50 periods scatters by a tenth: five deviations of the mean
    # of 2000 / 100 independent ones. Its expectation is short by some per cent.
    assert np.mean(margins) == pytest.approx(3.0 * 0.003, rel=0.15)


def drive(law: ControlLaw, coherence: float, periods: int, offer_hz: float) -> list:
    return [
        law.decide(Observation(PERIOD_S, coherence, offer_hz)) for _ in range(periods)
    ]


def test_descent_waits_for_the_dwell_and_keeps_its_limit() -> None:
    config = ControllerConfig(dwell_periods=7, descent_rungs_per_s=3.0)
    decisions = drive(ControlLaw(TUNNEL, config), 0.99, 200, LOWEST_HZ)
    rungs = [TUNNEL.frequency_rung(each.frequency_hz) for each in decisions]
    assert rungs[:7] == pytest.approx([0.0] * 7, abs=1e-9)
    assert rungs[7] > 0.0
    steps = [after - before for before, after in pairwise(rungs[6:])]
    # At 0.1 above the floor the integral asks for 7 rungs/s, the limit allows 3.
    assert steps == pytest.approx([3.0 * PERIOD_S] * len(steps))


def test_dwell_starts_anew_after_every_shortage() -> None:
    law = ControlLaw(TUNNEL, ControllerConfig(dwell_periods=7, margin_sigmas=0.0))
    drive(law, 0.99, 100, LOWEST_HZ)
    kept = drive(law, FLOOR - 0.01, 1, LOWEST_HZ)[-1].frequency_hz
    after = [each.frequency_hz for each in drive(law, 0.99, 8, LOWEST_HZ)]
    assert after[:7] == pytest.approx([kept] * 7)
    assert after[7] < kept


def test_nothing_moves_within_the_dead_band() -> None:
    config = ControllerConfig(dead_band=0.01, margin_sigmas=0.0)
    law = ControlLaw(TUNNEL, config)
    drive(law, 0.99, 150, LOWEST_HZ)
    decisions = drive(law, FLOOR + 0.009, 50, LOWEST_HZ)
    assert len({each.frequency_hz for each in decisions}) == 1
    held = decisions[-1].frequency_hz
    # Below the target nothing is left as it is: that is what the margin is for.
    assert drive(law, FLOOR - 0.001, 1, LOWEST_HZ)[-1].frequency_hz > held
    assert drive(law, FLOOR + 0.05, 50, LOWEST_HZ)[-1].frequency_hz < held


def test_required_frequency_does_not_fall_while_it_does_not_bind() -> None:
    # What was never tried is not known to hold the floor.
    law = ControlLaw(TUNNEL, ControllerConfig())
    decisions = drive(law, 0.95, 1000, TOP_HZ)
    assert decisions[-1].required_hz == pytest.approx(TOP_HZ)


def test_shortage_starts_from_the_frequency_in_use() -> None:
    # While resources offered 500 Hz, the required frequency had sunk to 100 Hz;
    # once coherence is short at 500 Hz, less than that cannot be the answer.
    law = ControlLaw(TUNNEL, ControllerConfig(margin_sigmas=0.0))
    drive(law, 0.99, 80, 100.0)
    drive(law, 0.99, 10, 500.0)
    short = drive(law, 0.80, 1, 500.0)[-1]
    assert short.required_hz > 500.0


def test_integral_does_not_wind_up_at_the_top() -> None:
    law = ControlLaw(TUNNEL, ControllerConfig(margin_sigmas=0.0))
    drive(law, 0.10, 500, LOWEST_HZ)
    relaxed = drive(law, 0.99, 10, LOWEST_HZ)
    assert relaxed[-1].frequency_hz < TOP_HZ


def test_unreachable_floor_says_why_and_what_would() -> None:
    plant = build_plant(weakness=0.3)
    plant.run(PATIENCE_S + 3.0, always(LOWEST_HZ))
    last = plant.decisions[-1]
    assert last.state == "unreachable"
    assert last.frequency_hz == pytest.approx(TOP_HZ)
    assert "below 0.87, at the highest frequency" in last.reason
    for cure in ("bridges.strength_rad_s", "bridges.per_node", "lattice.spread_hz"):
        assert cure in last.reason
    # The network recovers: the state does too.
    plant.weakness = 0.0
    plant.run(3.0, always(LOWEST_HZ))
    assert plant.decisions[-1].state != "unreachable"


def test_patience_is_kept_before_anything_counts_as_unreachable() -> None:
    plant = build_plant(weakness=0.3, coherence=0.0, noise=0.0)
    plant.run(PATIENCE_S - PERIOD_S, always(LOWEST_HZ))
    assert {decision.state for decision in plant.decisions} == {"floor-bound"}
    plant.run(2 * PERIOD_S, always(LOWEST_HZ))
    assert plant.decisions[-1].state == "unreachable"


def test_locked_state_is_not_chased() -> None:
    plant = build_plant(weakness=0.5, noise=0.0)
    plant.run(PATIENCE_S + 3.0, always(50.0), local_coherence=0.95, defect_count=3)
    last = plant.decisions[-1]
    assert last.state == "unreachable"
    assert "Locked with 3 vortices or windings" in last.reason
    assert "initial phases" in last.reason
    assert last.frequency_hz == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("local_coherence", "defect_count"), [(0.5, 3), (0.95, 0), (None, 3)]
)
def test_incoherence_is_chased(
    local_coherence: float | None, defect_count: int
) -> None:
    plant = build_plant(weakness=0.5)
    plant.run(
        PATIENCE_S + 3.0,
        always(50.0),
        local_coherence=local_coherence,
        defect_count=defect_count,
    )
    assert plant.decisions[-1].frequency_hz == pytest.approx(TOP_HZ)


def test_lost_sensor_holds_its_last_offer_and_then_goes_to_the_top() -> None:
    plant = build_plant(hold_stale_s=10.0)
    plant.run(20.0, always(200.0))
    plant.run(1.0, always(5.0), is_stale=True, sensor_age_s=4.0)
    assert plant.last_hz(1.0) == pytest.approx(200.0)
    assert plant.decisions[-1].state == "stale"
    assert "silent for 4.0 s" in plant.decisions[-1].reason
    plant.run(1.0, always(5.0), is_stale=True, sensor_age_s=10.1)
    assert plant.last_hz(1.0) == pytest.approx(TOP_HZ)
    plant.run(1.0, always(200.0))
    assert plant.decisions[-1].state == "nominal"
    assert plant.last_hz(PERIOD_S) == pytest.approx(200.0)


def test_sensor_lost_from_the_start_means_the_top() -> None:
    plant = build_plant()
    plant.run(1.0, always(5.0), is_stale=True, sensor_age_s=1.0)
    assert plant.last_hz(1.0) == pytest.approx(TOP_HZ)


def test_lost_sensor_does_not_hide_an_unreachable_floor() -> None:
    plant = build_plant(weakness=0.3)
    plant.run(PATIENCE_S + 3.0, always(5.0), is_stale=True, sensor_age_s=1.0)
    assert plant.decisions[-1].state == "unreachable"


def test_floor_bound_is_said_only_near_the_floor() -> None:
    # On the way down the required frequency leads, though coherence has room.
    law = ControlLaw(TUNNEL, ControllerConfig(margin_sigmas=0.0))
    roomy = drive(law, FLOOR + FLOOR_BAND + 0.01, 20, LOWEST_HZ)[-1]
    assert roomy.required_hz > roomy.offered_hz
    assert roomy.state == "nominal"
    assert "0.900 is more than its floor 0.87 needs" in roomy.reason
    near = drive(law, FLOOR + FLOOR_BAND - 0.01, 1, LOWEST_HZ)[-1]
    assert near.state == "floor-bound"
    assert "0.880 is near its floor 0.87" in near.reason


@pytest.mark.parametrize("coherence", [0.0, 0.5, 0.95])
def test_every_decision_is_explained_in_one_sentence(coherence: float) -> None:
    for decision in drive(ControlLaw(TUNNEL, ControllerConfig()), coherence, 400, 50.0):
        assert decision.state in {"nominal", "floor-bound", "unreachable", "stale"}
        assert decision.reason.endswith(".")
        assert "\n" not in decision.reason
