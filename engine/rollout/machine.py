"""The stages of a rollout: hold, judge, go on or roll back.

Pure: it is told what a control period has shown and answers which share of the bridges
the new policy is to have. First the old policy alone is measured; it must hold the
floor itself. Each stage then settles and is judged window by window until all its gates
hold in one, or its windows are used up. Too many samples below the floor, or an
unreachable floor, end it at once, also after the last stage has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from engine.config import RolloutConfig
from engine.rollout.gates import (
    Gate,
    Outcomes,
    Sample,
    Window,
    judge_coherence,
    judge_cost,
    judge_failures,
    judge_floor,
    refuse_unreachable,
)
from engine.state import State, build_record, keep_fields, take_fields

MACHINE_FIELDS: Final = (
    "reason",
    "_time_s",
    "required_before_hz",
    "_least_required_hz",
)
"""What a machine remembers beside its stages and its watch."""
TIME_SLACK: Final = 1e-9
"""Share of a span that rounding may lack."""


class Verdict(StrEnum):
    """Where a rollout stands."""

    UNFINISHED = "unfinished"
    PASSED = "passed"
    ROLLED_BACK = "rolled back"
    NOT_STARTED = "not started"


@dataclass
class Stage:
    """One share of the bridges, and what was found while the new policy had it."""

    name: str
    """baseline, alpha, beta or production."""
    share: float
    """Share of the bridges that follow the new policy [-]."""
    began_s: float = 0.0
    """Simulated time at which it began [s]."""
    ended_s: float | None = None
    """Simulated time at which it passed or failed [s]; None while it lasts."""
    windows: int = 0
    """Windows that were judged [-]."""
    old_hz: float | None = None
    """Events per second of a bridge of the old policy in the last window [Hz]."""
    new_hz: float | None = None
    """Events per second of a bridge of the new policy [Hz]; None where it has none."""
    gates: tuple[Gate, ...] = ()
    """What was found last."""

    @property
    def has_passed(self) -> bool:
        """Whether all gates held when they were judged last."""
        return bool(self.gates) and all(gate.has_passed for gate in self.gates)

    def to_dict(self) -> dict[str, Any]:
        """Return the stage as plain values."""
        gates = [gate.to_dict() for gate in self.gates]
        return vars(self) | {"has_passed": self.has_passed, "gates": gates}

    @classmethod
    def build_from(cls, state: Mapping[str, Any]) -> Stage:
        """Build the stage that `to_dict` has turned into plain values.

        Raises:
            CheckpointError: It is not one of a stage.
        """
        stage = cls("", 0.0)
        plain = [name for name in vars(stage) if name != "gates"]
        take_fields(stage, state, *plain)
        stage.gates = tuple(build_record(Gate, gate) for gate in state["gates"])
        return stage


@dataclass
class _Watch:
    """What a stage has shown since it began."""

    seen_s: float = 0.0
    settle_s: float = 0.0
    samples: int = 0
    violations: int = 0
    window: Window = field(default_factory=Window)
    counted: Outcomes | None = None

    def to_state(self) -> State:
        """Return counts, and the samples of the window."""
        counted = dict(vars(self.counted)) if self.counted else None
        return vars(self) | {"window": dict(vars(self.window)), "counted": counted}

    @classmethod
    def build_from(cls, state: Mapping[str, Any]) -> _Watch:
        """Build the watch of a state."""
        watch, counted = cls(), state["counted"]
        take_fields(watch, state, "seen_s", "settle_s", "samples", "violations")
        found = dict(state["window"])
        watch.window.coherences = list(map(float, found.pop("coherences")))
        take_fields(watch.window, found, *found)
        watch.counted = build_record(Outcomes, counted) if counted else None
        return watch


class RolloutMachine:
    """Which share of the bridges the new policy has, and why."""

    def __init__(
        self,
        config: RolloutConfig,
        floor: float,
        count_outcomes: Callable[[], Outcomes],
    ) -> None:
        """Begin with the old policy alone.

        Args:
            config: Stages, lengths and gates.
            floor: Coherence that must hold [-]: the old policy's min_coherence.
            count_outcomes: Counts what the new policy's bridges have done; asked at
                both ends of a window.
        """
        self.config = config
        self.floor = floor
        self.verdict = Verdict.UNFINISHED
        self.reason = ""
        """Why it was not started or rolled back; empty otherwise."""
        self.stages = [Stage("baseline", 0.0)]
        self._count = count_outcomes
        self._ahead = list(config.stages)
        self._watch = _Watch(settle_s=config.start_s)
        self._time_s = 0.0
        self.required_before_hz = 0.0
        """What coherence asked the old policy for, before the rollout [Hz]."""
        self._least_required_hz = 0.0

    def to_state(self) -> State:
        """Return verdict, stages and what the present one has shown."""
        return {
            **keep_fields(self, *MACHINE_FIELDS),
            "verdict": str(self.verdict),
            "stages": [stage.to_dict() for stage in self.stages],
            "watch": self._watch.to_state(),
        }

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of a machine with the same stages.

        Raises:
            CheckpointError: It is not one of such a machine.
        """
        take_fields(self, state, *MACHINE_FIELDS)
        self.verdict = Verdict(state["verdict"])
        self.stages = [Stage.build_from(stage) for stage in state["stages"]]
        # The first stage is the old policy alone.
        self._ahead = list(self.config.stages)[len(self.stages) - 1 :]
        self._watch = _Watch.build_from(state["watch"])

    @property
    def stage(self) -> Stage:
        """The stage that is held, or was held last."""
        return self.stages[-1]

    @property
    def share(self) -> float:
        """Share of the bridges that follow the new policy [-]."""
        is_back = self.verdict in (Verdict.ROLLED_BACK, Verdict.NOT_STARTED)
        return 0.0 if is_back else self.stage.share

    def add(self, sample: Sample) -> None:
        """Take in a control period; `share` may change.

        Args:
            sample: What it has shown.
        """
        self._time_s += sample.elapsed_s
        if self.verdict not in (Verdict.UNFINISHED, Verdict.PASSED):
            return
        watch = self._watch
        watch.seen_s += sample.elapsed_s
        if self.stage.share > 0.0 and self._is_broken(sample):
            return
        if self.verdict is Verdict.PASSED:
            # The floor alone is watched from here on, window by window.
            if watch.seen_s >= self.config.window_s:
                self._watch = _Watch()
            return
        if watch.seen_s <= watch.settle_s * (1.0 + TIME_SLACK):
            return
        if watch.counted is None and self.stage.share:
            # A period late, but attempts and successes begin together.
            watch.counted = self._count()
        watch.window.add(sample, self._least_required_hz)
        if watch.window.span_s >= self.config.window_s * (1.0 - TIME_SLACK):
            self._judge()

    def _is_broken(self, sample: Sample) -> bool:
        """Roll back at once where nothing that follows could mend it."""
        watch, config = self._watch, self.config
        watch.samples += 1
        watch.violations += sample.coherence < self.floor
        planned = (watch.settle_s + config.window_s) / sample.elapsed_s
        planned = max(round(planned), watch.samples)
        gate = judge_floor(watch.violations, planned, config)
        if gate.has_passed and sample.is_unreachable:
            gate = refuse_unreachable()
        if gate.has_passed:
            return False
        others = tuple(g for g in self.stage.gates if g.name != gate.name)
        self.stage.gates = (*others, gate)
        self._roll_back(gate)
        return True

    def _judge(self) -> None:
        """Judge the window that has just ended."""
        stage, watch, config = self.stage, self._watch, self.config
        window = watch.window
        stage.windows += 1
        stage.old_hz = window.mean("old_hz") if stage.share < 1.0 else None
        stage.new_hz = window.mean("new_hz") if stage.share else None
        gates = [judge_coherence(window, self.floor, config.sigmas)]
        if stage.share:
            found = self._count().since(watch.counted or Outcomes())
            gates += [
                judge_floor(watch.violations, watch.samples, config),
                judge_cost(window, stage.share, config.cost_tolerance),
                judge_failures(found, config.sigmas),
            ]
        stage.gates = tuple(gates)
        if stage.has_passed:
            self._pass()
        elif stage.windows < config.windows:
            watch.window, watch.counted = Window(), None
        else:
            self._roll_back(next(gate for gate in gates if not gate.has_passed))

    def _pass(self) -> None:
        """Begin the next stage, or keep what has been reached."""
        required_hz = self._watch.window.mean("required_hz")
        if not self.stage.share:
            self.required_before_hz = self._least_required_hz = required_hz
        elif self.stage.share < 1.0:
            # The old law may still have been on its way down when it was alone.
            self._least_required_hz = min(self._least_required_hz, required_hz)
        self.stage.ended_s = self._time_s
        if not self._ahead:
            self.verdict = Verdict.PASSED
            self._watch = _Watch()
            return
        name, share = self._ahead.pop(0)
        self.stages.append(Stage(name, share, self._time_s))
        self._watch = _Watch(settle_s=self.config.settle_s)

    def _roll_back(self, gate: Gate) -> None:
        """Give all bridges back to the old policy."""
        stage, after = self.stage, ""
        if self.verdict is Verdict.PASSED:
            after = ", after it had passed"
        stage.ended_s = self._time_s
        if stage.share:
            self.verdict = Verdict.ROLLED_BACK
            where = f"stage {stage.name} ({stage.share:.0%} of the bridges){after}"
        else:
            self.verdict = Verdict.NOT_STARTED
            where = "the old policy, before the rollout"
        self.reason = f"gate {gate.name} failed in {where}: {gate.reason}"

    def describe(self) -> str:
        """Say in one line where the rollout stands."""
        if self.verdict is Verdict.UNFINISHED:
            return f"stage {self.stage.name} begins, {self.share:.0%} of the bridges"
        text = f"{self.verdict}, {self.share:.0%} of the bridges follow the new policy"
        return f"{text}: {self.reason}" if self.reason else text

    def to_dict(self) -> dict[str, Any]:
        """Return where the rollout stands as plain values."""
        return {
            "target": self.config.target,
            "verdict": str(self.verdict),
            "reason": self.reason,
            "share": self.share,
            "stages": [stage.to_dict() for stage in self.stages],
        }
