"""RolloutPilot: steers a network's cohort by the new policy, as the stages say."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine.config import ControllerConfig, RolloutConfig, list_changes
from engine.rollout.cohort import Cohort
from engine.rollout.gates import Sample
from engine.rollout.machine import RolloutMachine
from engine.state import State, build_record
from engine.tunnel import ControlLaw, Decision, TunnelController, find_affordable_hz
from engine.tunnel.law import UNREACHABLE

logger = logging.getLogger(__name__)


class RolloutPilot:
    """The new policy beside the old: same measurements, a law and bridges of its own.

    Until its first stage the new law follows what the old one requires, so that a
    policy no different from the old decides no differently. The old law goes on
    deciding for all other bridges; the floor stays guarded.
    """

    def __init__(
        self, config: RolloutConfig, controller: TunnelController, cohort: Cohort
    ) -> None:
        """Leave every bridge to the old policy.

        Args:
            config: Stages, gates and the new policy.
            controller: The old policy, which steers all other bridges.
            cohort: Draws the new policy's bridges.
        """
        self.config = config
        self.machine = RolloutMachine(
            config, controller.config.min_coherence, cohort.count_outcomes
        )
        self._controller = controller
        self._cohort = cohort
        self._settings = _build_settings(config, controller.controller_config)
        self._law = ControlLaw(config.tunnel, self._settings)
        self._old: Decision | None = None
        self._new: Decision | None = None

    def steer(self, old: Decision) -> Decision:
        """Decide for the cohort; to be called after each decision of the old policy.

        Args:
            old: That decision.

        Returns:
            The decision that most bridges follow: the new one's once it has them all.
        """
        controller = self._controller
        assert controller.observation is not None
        tunnel, metrics = self.config.tunnel, controller.monitor.metrics
        affordable_hz = find_affordable_hz(
            tunnel,
            self._settings,
            metrics.availability * tunnel.maximum_frequency_hz,
            controller.cost,
        )
        seen = replace(controller.observation, affordable_hz=affordable_hz)
        new = self._law.decide(seen)
        self._old, self._new = old, new
        if not self.machine.share:
            self._law.take_over(old.required_hz)
        self._cohort.network.follow_cohort(new.frequency_hz)
        return self.decision or old

    @property
    def decision(self) -> Decision | None:
        """The last decision of the old policy, of the new one if it has all bridges."""
        return self._new if self.machine.share == 1.0 else self._old

    def observe(self, coherence: float, elapsed_s: float) -> None:
        """Take in what a control period has shown, and move the bridges it asks for.

        Args:
            coherence: Order parameter r at its end [-].
            elapsed_s: Simulated time of it [s], > 0.
        """
        old, new, machine = self._old, self._new, self.machine
        assert old is not None
        assert new is not None
        before, stage, verdict = machine.share, machine.stage, machine.verdict
        steering = [new] * (before > 0.0) + [old] * (before < 1.0)
        is_given_up = any(each.state == UNREACHABLE for each in steering)
        machine.add(
            Sample(
                elapsed_s=elapsed_s,
                coherence=coherence,
                old_hz=old.frequency_hz,
                offered_hz=old.offered_hz,
                required_hz=old.required_hz,
                new_hz=new.frequency_hz,
                is_unreachable=is_given_up and coherence < machine.floor,
            )
        )
        if (stage, verdict) != (machine.stage, machine.verdict):
            logger.info("rollout: %s", machine.describe())
        if machine.share == before:
            return
        self._cohort.assign(machine.share)
        if not machine.share:
            self._controller.take_over(machine.required_before_hz)

    def to_state(self) -> State:
        """Return the machine, the new law, and both last decisions."""
        decisions = {"old": self._old, "new": self._new}
        told = {name: dict(vars(it)) if it else None for name, it in decisions.items()}
        law, machine = self._law.to_state(), self.machine.to_state()
        return {**told, "law": law, "machine": machine}

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, and give the new policy its bridges again.

        The state of the bridges themselves is the network's, to be taken over later.

        Raises:
            CheckpointError: It is not one of such a rollout.
        """
        self.machine.from_state(state["machine"])
        self._law.from_state(state["law"])
        self._old, self._new = (
            build_record(Decision, state[name]) if state[name] else None
            for name in ("old", "new")
        )
        if self.machine.share:
            self._cohort.assign(self.machine.share)

    def to_trace(self) -> dict[str, Any]:
        """Return the columns that a rollout adds to a row of the trace."""
        share = self.machine.share
        return {
            "rollout_stage": self.machine.stage.name if share else None,
            "rollout_share": share,
            "rollout_frequency_hz": self._new.frequency_hz if self._new else None,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the entry `rollout` of `summary.json`."""
        return self.machine.to_dict() | {"changes": self._list_changes()}

    def _list_changes(self) -> dict[str, list[Any]]:
        """Return old and new value of every key in which the policies differ."""
        config, controller = self.config, self._controller
        pairs = list_changes(controller.config, config.tunnel)
        changes: dict[str, list[Any]] = {
            f"tunnel.{key}": list(pair) for key, pair in pairs.items()
        }
        before = controller.controller_config.objective
        if self._settings.objective != before:
            changes["controller.objective"] = [before, self._settings.objective]
        return changes


def _build_settings(
    config: RolloutConfig, controller: ControllerConfig
) -> ControllerConfig:
    """Return the controller settings of the new policy."""
    return replace(controller, objective=config.objective or controller.objective)
