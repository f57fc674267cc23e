"""The stages on a plant: two control laws and a coherence that follows both."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from engine.config import ControllerConfig, RolloutConfig, TunnelConfig
from engine.rollout import Outcomes, RolloutMachine, Sample
from engine.rollout.machine import Verdict
from engine.tunnel import ControlLaw, Observation

OLD = TunnelConfig()
PERIOD_S, LAG_S = 0.01, 0.05
FAST = RolloutConfig(target="production", start_s=3.0, settle_s=0.5, window_s=1.0)
SETTINGS = ControllerConfig(objective="floor")


def lose(frequency_hz: float, quality: float = 1.0) -> float:
    """Return the coherence that bridges of a frequency lose: 0.1 at 40 Hz, at most 0.3.

    At the floor the old policy's bridges lose 0.1: if a tenth of them lose 0.3, the
    others can make up for it, if half of them do, they cannot.
    """
    return min(4.0 / (quality * frequency_hz), 0.3)


@dataclass
class Plant:
    """Coherence is that of the continuous network less the mean loss of all bridges."""

    new: TunnelConfig
    quality: float = 1.0
    """How much less the new policy's bridges lose than the old one's at a frequency."""
    config: RolloutConfig = FAST
    success_share: float = 1.0
    noise: float = 0.002
    coherence: float = 0.95
    shares: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.outcomes = Outcomes()
        self._rng = np.random.default_rng(0)
        self.machine = RolloutMachine(
            self.config, OLD.min_coherence, lambda: self.outcomes
        )
        self._old = ControlLaw(OLD, SETTINGS)
        self._new = ControlLaw(self.new, SETTINGS)

    def run(self, seconds: float, weakness: float = 0.0, **seen: Any) -> None:
        for _ in range(round(seconds / PERIOD_S)):
            share = self.machine.share
            lowest_hz = OLD.rung_frequency_hz(OLD.rungs)
            measured = self.coherence + self.noise * self._rng.standard_normal()
            told = Observation(PERIOD_S, measured, lowest_hz)
            old, new = self._old.decide(told), self._new.decide(told)
            if not share:
                self._new.take_over(old.required_hz)
            loss = (1.0 - share) * lose(old.frequency_hz)
            loss += share * lose(new.frequency_hz, self.quality)
            goal = max(0.97 - weakness - loss, 0.0)
            self.coherence += (goal - self.coherence) * PERIOD_S / LAG_S
            self._count(round(1e4 * share))
            sample = Sample(
                PERIOD_S, measured, old.frequency_hz, old.offered_hz,
                old.required_hz, new.frequency_hz, **seen,
            )  # fmt: skip
            self.machine.add(sample)
            self.shares.append(self.machine.share)

    def _count(self, attempts: int) -> None:
        """Let each attempt succeed as often as it does, 0.9 being expected."""
        found, successes = self.outcomes, 0.9 * self.success_share * attempts
        self.outcomes = Outcomes(
            found.attempts + attempts,
            found.successes + round(successes),
            found.expected + 0.9 * attempts,
            found.variance + 0.09 * attempts,
        )

    @property
    def stage_names(self) -> list[str]:
        return [stage.name for stage in self.machine.stages]


@pytest.mark.parametrize(
    ("target", "share"), [("alpha", 0.1), ("beta", 0.5), ("production", 1.0)]
)
def test_good_policy_goes_as_far_as_its_target(target: str, share: float) -> None:
    plant = Plant(OLD, quality=1.5, config=replace(FAST, target=target))
    plant.run(12.0)
    assert plant.machine.verdict is Verdict.PASSED
    assert plant.machine.share == share
    assert all(stage.has_passed for stage in plant.machine.stages)
    steps = [0.0, 0.1, 0.5, 1.0]
    assert sorted(set(plant.shares)) == steps[: steps.index(share) + 1]
    assert plant.shares == sorted(plant.shares)


def test_equal_policy_costs_the_same_and_passes() -> None:
    plant = Plant(OLD)
    plant.run(9.0)
    assert plant.machine.verdict is Verdict.PASSED
    for stage in plant.machine.stages[1:3]:
        costs = {gate.name: gate.value for gate in stage.gates}
        assert costs["cost"] == pytest.approx(1.0)


def test_stages_last_as_long_as_configured() -> None:
    plant = Plant(OLD)
    plant.run(9.0)
    begun = [stage.began_s for stage in plant.machine.stages]
    # A period more each, where rounding leaves a sum of periods short of a span.
    assert begun == pytest.approx([0.0, 4.0, 5.5, 7.0], abs=3.1 * PERIOD_S)


def test_policy_that_breaks_the_floor_is_rolled_back_at_once() -> None:
    # It is content with 0.5; at half of the bridges the others cannot make up for it.
    plant = Plant(replace(OLD, min_coherence=0.5))
    plant.run(12.0)
    machine = plant.machine
    assert machine.verdict is Verdict.ROLLED_BACK
    assert machine.share == 0.0
    assert plant.stage_names[-1] == "beta"
    assert machine.reason.startswith(
        "gate floor failed in stage beta (50% of the bridges): "
    )
    # Not one sample more than is allowed: 1% of 1.5 s is one and a half.
    assert machine.stage.gates[-1].value == pytest.approx(2 / 150)
    assert plant.coherence > OLD.min_coherence


def test_policy_that_only_costs_more_is_rolled_back_for_its_cost() -> None:
    # It keeps more coherence than is asked for, so it never breaks the floor.
    plant = Plant(replace(OLD, min_coherence=0.9))
    plant.run(12.0)
    assert plant.machine.verdict is Verdict.ROLLED_BACK
    assert plant.machine.reason.startswith("gate cost failed in stage alpha")
    assert plant.machine.stage.windows == 2
    gates = {gate.name: gate for gate in plant.machine.stage.gates}
    assert [name for name in gates if not gates[name].has_passed] == ["cost"]


def test_policy_that_needs_more_events_is_found_once_it_matters() -> None:
    # Both laws see the same error and rise alike: only the time before tells them
    # apart, and at a tenth of the bridges 30% less effect is lost in the tolerance. The
    # jump to half of them takes coherence below the floor for a moment.
    plant = Plant(OLD, quality=0.7, config=replace(FAST, max_violation=0.2))
    plant.run(14.0)
    assert plant.machine.verdict is Verdict.ROLLED_BACK
    assert plant.machine.reason.startswith("gate cost failed in stage ")
    assert plant.stage_names[-1] != "alpha"


def test_policy_that_fails_more_often_is_rolled_back() -> None:
    plant = Plant(OLD, success_share=0.98)
    plant.run(12.0)
    assert plant.machine.reason.startswith("gate failures failed in stage alpha")


def test_unreachable_floor_ends_it() -> None:
    plant = Plant(OLD)
    plant.run(4.5)
    assert plant.machine.stage.name == "alpha"
    plant.run(PERIOD_S, is_unreachable=True)
    assert plant.machine.verdict is Verdict.ROLLED_BACK
    assert "reports that the floor is unreachable" in plant.machine.reason


def test_old_policy_must_hold_the_floor_itself() -> None:
    plant = Plant(OLD)
    plant.run(12.0, weakness=0.2)
    assert plant.machine.verdict is Verdict.NOT_STARTED
    assert set(plant.shares) == {0.0}
    assert plant.machine.reason.startswith(
        "gate coherence failed in the old policy, before the rollout: "
    )


def test_floor_is_watched_after_the_last_stage() -> None:
    plant = Plant(OLD, config=replace(FAST, target="alpha"))
    plant.run(9.0)
    assert plant.machine.verdict is Verdict.PASSED
    plant.run(1.0, weakness=0.3)
    assert plant.machine.verdict is Verdict.ROLLED_BACK
    assert ", after it had passed: " in plant.machine.reason
    assert plant.machine.share == 0.0


def test_unfinished_rollout_says_where_it_stands() -> None:
    plant = Plant(OLD)
    plant.run(6.0)
    found = plant.machine.to_dict()
    assert (found["verdict"], found["reason"], found["share"]) == (
        "unfinished",
        "",
        0.5,
    )
    assert [stage["name"] for stage in found["stages"]] == ["baseline", "alpha", "beta"]
    assert found["stages"][-1]["ended_s"] is None
    names = [gate["name"] for gate in found["stages"][1]["gates"]]
    assert names == ["coherence", "floor", "cost", "failures"]
