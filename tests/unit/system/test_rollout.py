"""Rollouts in a living network: the good, the floor-breaking and the merely slower."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from engine.bridge import FOLLOW
from engine.config import (
    LoadConfig,
    MeshConfig,
    RecordConfig,
    RolloutConfig,
    RunConfig,
    TunnelConfig,
)
from engine.recording import RunSummary
from engine.system import ScribbleSystem

BuildConfig = Callable[..., RunConfig]
OLD = TunnelConfig()
GOOD = replace(OLD, linewidth_hz=1728.0)
"""More attempts succeed, so the same coherence takes fewer events."""
CARELESS = replace(OLD, min_coherence=0.6)
"""Content with less coherence than the floor."""
SLOWER = replace(OLD, min_coherence=0.9)
"""Holds the floor, and more than is asked for: it only takes more events."""


@pytest.fixture
def build(build_config: BuildConfig) -> Callable[..., RunConfig]:
    """Build a network of 32 x 32 that is held at its floor, and a rollout for it."""

    def build_rollout(new: TunnelConfig, **changes: Any) -> RunConfig:
        rollout = RolloutConfig(
            target=changes.pop("target", "production"),
            tunnel=new,
            start_s=2.0,
            settle_s=0.4,
            window_s=0.6,
            **changes,
        )
        base = build_config(
            lattice={"shape": (32, 32), "initial_phases": "aligned"},
            dynamics={"duration_s": 5.7, "dt_s": 0.0005},
            controller={"objective": "floor", "period_steps": 20},
            record={"forecast": False},
        )
        return replace(base, rollout=rollout)

    return build_rollout


def run(config: RunConfig) -> tuple[RunSummary, dict[str, Any]]:
    with ScribbleSystem(config) as system:
        summary = system.run()
    assert summary.rollout is not None
    return summary, summary.rollout


def test_good_policy_gets_all_bridges(build: Callable[..., RunConfig]) -> None:
    with ScribbleSystem(build(GOOD)) as system:
        summary = system.run()
        assert system.network.members.all()
        # One word of 2^-32 is how finely a threshold is cut.
        law = (system.network.columns_by_id().thresholds + 1.0) * 2.0**-32
        assert law == pytest.approx(system.network.probabilities, abs=2.0**-31)
        assert system.network.probabilities.min() > 0.99
    found = summary.rollout
    assert (found["verdict"], found["share"], found["reason"]) == ("passed", 1.0, "")
    assert found["changes"] == {"tunnel.linewidth_hz": [432.0, 1728.0]}
    names = [stage["name"] for stage in found["stages"]]
    assert names == ["baseline", "alpha", "beta", "production"]
    assert all(stage["has_passed"] for stage in found["stages"])
    assert summary.coherence["violation_fraction"] == 0.0


def test_careless_policy_breaks_the_floor_and_is_rolled_back(
    build: Callable[..., RunConfig],
) -> None:
    config = build(CARELESS)
    summary, found = run(config)
    assert (found["verdict"], found["share"]) == ("rolled back", 0.0)
    assert found["reason"].startswith("gate floor failed in stage beta (50% of the ")
    # It was caught within a tenth of a second, and the old policy has mended it.
    stage = found["stages"][-1]
    assert stage["ended_s"] - stage["began_s"] < 0.1
    assert summary.coherence["final"] > OLD.min_coherence


def test_slower_policy_is_rolled_back_for_its_cost(
    build: Callable[..., RunConfig],
) -> None:
    summary, found = run(build(SLOWER))
    assert (found["verdict"], found["share"]) == ("rolled back", 0.0)
    assert found["reason"].startswith("gate cost failed in stage alpha (10% of the ")
    assert summary.coherence["violation_fraction"] == 0.0


def test_rollback_gives_every_bridge_back(build: Callable[..., RunConfig]) -> None:
    with ScribbleSystem(build(replace(CARELESS, linewidth_hz=1728.0))) as system:
        laid_out = system.network.groups
        law = system.network.probabilities.copy()
        before = system.network.columns_by_id()
        assert system.run().rollout["verdict"] == "rolled back"
        after = system.network.columns_by_id()
        assert system.network.groups == laid_out
        assert (system.network.rungs == FOLLOW).all()
        assert not system.network.members.any()
        assert np.array_equal(system.network.probabilities, law)
        for entry in fields(before)[:5]:
            one, two = getattr(before, entry.name), getattr(after, entry.name)
            assert np.array_equal(one, two), entry.name
        hz = system.network.frequencies_hz
        assert (hz == system.network.frequency_hz).all()


@pytest.mark.parametrize(("new", "objective"), [(GOOD, "pace"), (CARELESS, "floor")])
def test_replay_gives_the_same_digest(
    new: TunnelConfig,
    objective: str,
    build: Callable[..., RunConfig],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    record = RecordConfig(folder=str(folder), forecast=False)
    # A pace is held by the wall clock, so that only the trace can repeat it.
    config = build(new)
    controller = replace(config.controller, objective=objective, target_pace=2.0)
    config = replace(config, record=record, controller=controller)
    summary, found = run(config)
    trace = parquet.read_table(folder / "trace.parquet").to_pydict()
    reached = {name for name in trace["rollout_stage"] if name is not None}
    assert reached == {stage["name"] for stage in found["stages"][1:]}
    assert trace["rollout_share"][0] == 0.0
    assert trace["rollout_share"][-1] == found["share"]
    stored = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert stored["rollout"] == found
    replay = LoadConfig(kind="replay", trace=str(folder))
    off = RecordConfig(forecast=False)
    again, repeated = run(replace(config, load=replay, record=off))
    assert again.state_digest == summary.state_digest
    assert repeated == found


def test_rollout_before_its_first_stage_changes_no_bit(
    build: Callable[..., RunConfig],
) -> None:
    config = build(GOOD)
    short = replace(config.dynamics, duration_s=0.5)
    even = MeshConfig("none")  # as it is decided for a rollout
    alone = replace(config, rollout=RolloutConfig(), dynamics=short, mesh=even)
    digests = []
    for each in (config, alone):
        with ScribbleSystem(each) as system:
            system.advance(0.5)
            digests.append(system.state_digest())
    assert digests[0] == digests[1]


def test_forecast_and_distance_give_way(build: Callable[..., RunConfig]) -> None:
    config = replace(build(GOOD), record=RecordConfig())
    with ScribbleSystem(config) as system:
        assert system.description["forecast"].startswith("none: a rollout changes")
        system.advance(0.05)
        coherence = system.summarise().coherence
    assert coherence["distance_source"] is None
    assert coherence["distance_reason"].startswith("a rollout changes")


def test_run_without_a_rollout_has_no_entry(build_config: BuildConfig) -> None:
    with ScribbleSystem(build_config()) as system:
        assert system.run().rollout is None


def test_same_policy_decides_the_same(build: Callable[..., RunConfig]) -> None:
    # All but the slowest rung, which neither uses, is the same in both.
    config = build(replace(OLD, rungs=13), target="beta")
    with ScribbleSystem(config) as system:
        summary = system.run()
        assert summary.rollout["verdict"] == "passed"
        hz = system.network.frequencies_hz
        # Heights are counted from different slowest rungs, so they round differently.
        assert hz.max() / hz.min() == pytest.approx(1.0, abs=1e-9)
