"""A monitor that goes on from a checkpoint: what was held is held on, and ages on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from engine.config import FaultConfig, LoadConfig, ResourcesConfig
from engine.errors import CheckpointError
from engine.monitor import (
    FaultySource,
    ReplaySource,
    ResourceMonitor,
    ResourceSample,
    Source,
    SyntheticSource,
)

LOAD = LoadConfig("synthetic", "sine", level=0.9, period_s=1.3)
KINDS = ("none", "freeze", "lag", "lie", "vanish", "flap")
TIMES_S = [0.25 * step for step in range(40)]
CUT = 18
"""Readings before a monitor is replaced by another: amid the fault."""


class Live:
    """A live sensor whose samples are stamped by a clock that a test moves."""

    is_live = True

    def __init__(self) -> None:
        self.now_s = 100.0
        self.is_lost = False

    def start(self) -> None: ...

    def close(self) -> None: ...

    def read(self, simulated_s: float) -> ResourceSample:
        if self.is_lost:
            raise OSError("unplugged")
        sample = SyntheticSource(LOAD).read(simulated_s)
        return replace(sample, timestamp_s=self.now_s)


def build_monitor(source: Source, kind: str, **options: Any) -> ResourceMonitor:
    if kind != "none":
        fault = FaultConfig(kind, start_s=2.0, duration_s=6.0, lag_s=1.5, period_s=1.6)
        source = FaultySource(source, fault)
    resources = ResourcesConfig(stale_after_s=2.0)
    return ResourceMonitor(resources, source=source, **options)


def pass_on(before: ResourceMonitor, after: ResourceMonitor) -> None:
    """Hand a state over as a checkpoint does, as text."""
    state: Mapping[str, Any] = before.to_state()
    after.from_state(json.loads(json.dumps(state, allow_nan=False)))


def build_recording() -> ReplaySource:
    with ResourceMonitor(source=SyntheticSource(LOAD)) as monitor:
        rows = [(at, monitor.update(at).to_dict()) for at in TIMES_S]
    return ReplaySource(rows)


@pytest.mark.parametrize("is_recorded", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_seen_is_what_would_have_been(kind: str, is_recorded: bool) -> None:
    source = build_recording() if is_recorded else SyntheticSource(LOAD)
    with build_monitor(source, kind) as whole:
        wanted = [whole.update(at) for at in TIMES_S]
    with build_monitor(source, kind) as first, build_monitor(source, kind) as second:
        found = [first.update(at) for at in TIMES_S[:CUT]]
        pass_on(first, second)
        assert second.to_state() == first.to_state()
        found += [second.update(at) for at in TIMES_S[CUT:]]
    assert found == wanted


@pytest.mark.parametrize("kind", ["freeze", "vanish"])
def test_live_samples_age_on_by_another_clock(kind: str) -> None:
    """The second process has a clock of its own, and no time passes between them."""
    first_source, second_source = Live(), Live()
    second_source.now_s = 7.0
    first = build_monitor(first_source, kind, clock=lambda: first_source.now_s)
    first.update(1.0)
    first_source.now_s += 1.5
    seen = first.update(2.5)
    assert (seen.age_s, seen.availability) == (1.5, first.metrics.availability)
    second = build_monitor(second_source, kind, clock=lambda: second_source.now_s)
    pass_on(first, second)
    second_source.now_s += 1.0
    later = second.update(3.5)
    assert (later.age_s, later.is_stale) == (2.5, True)
    assert later.cores == seen.cores


def test_live_sensor_that_was_lost_is_looked_at_anew() -> None:
    source, found = Live(), Live()
    with build_monitor(source, "none") as first, build_monitor(found, "none") as second:
        source.is_lost = True
        assert first.update(1.0).flaw == "no reading: unplugged"
        pass_on(first, second)
        assert second.update(1.0).flaw == ""


def test_another_sensor_begins_anew() -> None:
    with (
        build_monitor(SyntheticSource(LOAD), "vanish") as first,
        build_monitor(SyntheticSource(LOAD), "none") as second,
    ):
        first.update(3.0)
        before = second.metrics
        pass_on(first, second)
        assert second.metrics is before


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.update(trusted="{}"),
        lambda state: state["fault"].update(samples=['{"cores": 1}']),
    ],
)
def test_damaged_state_is_one_sentence(change: Any) -> None:
    with build_monitor(SyntheticSource(LOAD), "freeze") as monitor:
        state = monitor.to_state()
        change(state)
        with pytest.raises(CheckpointError, match="monitor's state is damaged"):
            monitor.from_state(state)
