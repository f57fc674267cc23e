"""AdvancedNeuralMesh in living networks: budget, pins, replay, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from engine.bridge import FOLLOW, BridgeNetwork
from engine.config import MESH_RULES, MeshConfig, RolloutConfig, RunConfig, TunnelConfig
from engine.errors import ConfigError
from engine.system import ScribbleSystem
from engine.wanda import AdvancedNeuralMesh
from engine.wanda.census import find_levels

BuildConfig = Callable[..., RunConfig]
RULES = [rule for rule in MESH_RULES if rule not in ("auto", "none")]
EAGER: dict[str, Any] = {"period": 2, "longest_period": 4, "shares": 8}


@pytest.fixture
def build(build_config: BuildConfig) -> Callable[..., RunConfig]:
    """Build a network of 24 x 24 under a small budget."""

    def build_mesh_run(rule: str = "plastic", **groups: Any) -> RunConfig:
        mesh = MeshConfig(rule, **(EAGER | groups.pop("mesh", {})))
        defaults: dict[str, Any] = {
            "lattice": {"shape": (24, 24)},
            "dynamics": {"duration_s": 0.3},
            "controller": {"objective": "fixed", "fixed_frequency_hz": 20.0},
            "record": {"forecast": False},
        }
        config = build_config(**(defaults | groups))
        return replace(config, mesh=mesh)

    return build_mesh_run


@pytest.mark.parametrize("rule", RULES)
def test_budget_is_kept_and_spent(build: Callable[..., RunConfig], rule: str) -> None:
    with ScribbleSystem(build(rule)) as system:
        summary = system.run()
        spread = system.network.frequencies_hz
    assert spread.mean() == pytest.approx(20.0)
    assert spread.max() > 2.0 * spread.min()
    assert summary.mesh is not None
    assert summary.mesh["budget_hz"] == pytest.approx(20.0)
    assert sum(summary.mesh["shares"]) == pytest.approx(1.0)
    # 1152 bridges at 20 Hz for 0.3 s; regrouping passes over an eighth of a turn at
    # most, and waiting slots are as many again.
    assert summary.tunnels["attempted"] == pytest.approx(6912, rel=0.1)


def test_whoever_has_most_to_do_acts_most(build: Callable[..., RunConfig]) -> None:
    with ScribbleSystem(build("none")) as system:
        system.advance(0.3)
        mesh = AdvancedNeuralMesh(system.network, system.lattice, MeshConfig("plastic"))
        mesh.adjust_tunnel_frequencies(system.monitor.update(), 20.0)
        columns = system.network.columns_by_id()
        levels = find_levels(columns.locking_cos, columns.locking_sin, columns.attempts)
        frequencies = system.network.frequencies_hz
    order = np.argsort(levels, kind="stable")
    assert (np.diff(frequencies[order]) <= 0.0).all()
    assert frequencies.max() > 3.0 * frequencies.min()


@pytest.mark.parametrize("rule", RULES)
def test_digest_is_that_of_any_thread_count_and_of_a_replay(
    build: Callable[..., RunConfig], rule: str, tmp_path: Path
) -> None:
    digests = []
    for threads in (1, 2):
        config = build(
            rule,
            backend={"threads": threads},
            controller={"objective": "floor"},
            record={"folder": str(tmp_path / f"{threads}"), "forecast": False},
        )
        with ScribbleSystem(config) as system:
            digests.append(system.run().state_digest)
    load = replace(config.load, kind="replay", trace=str(tmp_path / "1"))
    record = replace(config.record, folder=str(tmp_path / "again"))
    with ScribbleSystem(replace(config, load=load, record=record)) as system:
        digests.append(system.run().state_digest)
    assert len(set(digests)) == 1


def test_mesh_changes_the_run(build: Callable[..., RunConfig]) -> None:
    digests = set()
    for rule in ("none", *RULES):
        config = build(rule, dynamics={"duration_s": 0.2})
        with ScribbleSystem(config) as system:
            digests.add(system.run().state_digest)
    # The learned rule may be as good as the plastic one, but not before 1e-5.
    assert len(digests) >= len(RULES)


def test_reference_shares_as_cpu_does(build: Callable[..., RunConfig]) -> None:
    """Until the first look both have the same traces, but for rounding."""
    found = []
    for name in ("reference", "cpu"):
        config = build(backend={"name": name}, mesh={"period": 8, "longest_period": 8})
        with ScribbleSystem(config) as system:
            system.advance(0.085)
            assert isinstance(system.network.ranks, np.ndarray)
            found.append(system.network.ranks.astype(int))
    # A trace that lies within 1e-5 of a level's edge may fall to either side.
    assert (found[0] != found[1]).mean() < 0.005
    assert np.abs(found[0] - found[1]).max() <= 1


def test_trace_and_summary_tell_what_the_mesh_did(
    build: Callable[..., RunConfig], tmp_path: Path
) -> None:
    config = build(record={"folder": str(tmp_path / "run"), "forecast": False})
    with ScribbleSystem(config) as system:
        system.run()
    rows = parquet.read_table(tmp_path / "run" / "trace.parquet").to_pylist()
    assert rows[0]["mesh_looks"] == 0
    assert rows[0]["mesh_shares"] is None
    last = rows[-1]
    assert last["mesh_looks"] > 3
    assert sum(json.loads(last["mesh_shares"])) == pytest.approx(1.0)
    assert 0.0 < last["mesh_gap"] < 2.0
    assert max(row["mesh_moved"] or 0.0 for row in rows) > 0.1
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["mesh"]["rule"] == "plastic"
    assert summary["mesh"]["looks"] == last["mesh_looks"]
    assert 0.0 < summary["mesh"]["wall_share"] < 1.0


@pytest.mark.parametrize(
    ("groups", "rule"),
    [
        ({}, "plastic"),
        ({"controller": {"objective": "floor"}}, "plastic"),
        ({"bridges": {"kind": "small_world"}}, "plastic"),
        ({"controller": {"objective": "fixed"}}, "none"),
        ({"bridges": {"kind": "procedural"}}, "none"),
        ({"bridges": {"kind": "none"}}, "none"),
        ({"rollout": {"target": "alpha"}}, "none"),
    ],
)
def test_auto_acts_where_a_mesh_can(
    build_config: BuildConfig, groups: dict[str, dict[str, Any]], rule: str
) -> None:
    config = build_config(**groups)
    assert config.mesh.rule == "auto"
    assert config.acting_mesh == replace(config.mesh, rule=rule)


def test_auto_is_the_rule_it_stands_for(build_config: BuildConfig) -> None:
    digests = []
    for rule in ("auto", "plastic"):
        config = build_config(mesh={"rule": rule, **EAGER}, record={"forecast": False})
        with ScribbleSystem(config) as system:
            summary = system.run()
        assert summary.mesh is not None
        assert summary.mesh["rule"] == "plastic"
        assert summary.mesh["looks"] > 1
        digests.append(summary.state_digest)
    assert digests[0] == digests[1]


def test_run_without_a_mesh_says_nothing_of_one(
    build: Callable[..., RunConfig], tmp_path: Path
) -> None:
    config = build("none", record={"folder": str(tmp_path / "run"), "forecast": False})
    with ScribbleSystem(config) as system:
        assert system.run().mesh is None
        assert {group.rung for group in system.network.groups} == {FOLLOW}
    rows = parquet.read_table(tmp_path / "run" / "trace.parquet").to_pylist()
    assert all(row["mesh_looks"] is None for row in rows)


def test_pins_are_kept_through_looks(build: Callable[..., RunConfig]) -> None:
    with ScribbleSystem(build()) as system:
        system.network[3].frequency = 432.0
        system.advance(0.3)
        assert system.network[3].frequency == 432.0
        assert system.network.rung(3) == 1
        others = np.delete(system.network.frequencies_hz, 3)
        assert others.mean() == pytest.approx(20.0)


def test_alone_it_spends_what_the_resources_permit(
    build: Callable[..., RunConfig],
) -> None:
    with ScribbleSystem(build("none", load={"level": 0.9})) as system:
        system.advance(0.1)
        mesh = AdvancedNeuralMesh(system.network, system.lattice, MeshConfig("plastic"))
        metrics = system.monitor.update()
        found = mesh.adjust_tunnel_frequencies(metrics)
        assert metrics.tunnel_frequency < 200.0
        assert found.budget_hz == metrics.tunnel_frequency
        spread = system.network.frequencies_hz
        assert spread.mean() == pytest.approx(metrics.tunnel_frequency)
        assert np.dot(found.shares, found.frequencies_hz) == pytest.approx(
            found.budget_hz
        )
        assert found.moved > 0.0
        again = mesh.adjust_tunnel_frequencies(metrics, 12.0)
        assert again.budget_hz == 12.0


def test_waits_grow_to_the_longest(build: Callable[..., RunConfig]) -> None:
    mesh = {"period": 3, "growth": 2.0, "longest_period": 7}
    looks = []
    with ScribbleSystem(build(mesh=mesh)) as system:

        def note(_: object) -> None:
            assert system._parts.mesh is not None
            looks.append(system._parts.mesh.looks)

        system.advance(0.3, note)
    # Looks before periods 3, 3 + 6, 9 + 7, 16 + 7, 23 + 7.
    assert [looks.count(number) for number in range(6)] == [2, 6, 7, 7, 7, 1]


def test_detuning_rule_shares_before_the_first_step(
    build: Callable[..., RunConfig],
) -> None:
    with ScribbleSystem(build("detuning", mesh={"exponent": 1.0})) as system:
        system.advance(0.01)
        edges, detunings = system.network.edges, system.lattice.detunings_hz
        apart = np.abs(detunings[edges.targets] - detunings[edges.sources])
        frequencies = system.network.frequencies_hz
    far, near = apart > np.quantile(apart, 0.8), apart < np.quantile(apart, 0.2)
    assert frequencies[far].min() > frequencies[near].max()


def test_detuning_rule_hears_of_new_frequencies(
    build: Callable[..., RunConfig],
) -> None:
    with ScribbleSystem(build("detuning")) as system:
        system.advance(0.05)
        assert isinstance(system.network.ranks, np.ndarray)
        before = system.network.ranks.copy()
        system.adjust_detunings(np.roll(system.lattice.detunings_hz, 5))
        system.advance(0.1)
        assert (system.network.ranks != before).mean() > 0.3


def test_error_windows_find_the_shares_as_they_are(
    build: Callable[..., RunConfig],
) -> None:
    config = build(
        controller={
            "objective": "fixed",
            "fixed_frequency_hz": 60.0,
            "error_windows": 1,
            "error_window_s": 0.2,
        },
    )
    looks = []
    with ScribbleSystem(config) as system:

        def note(_: object) -> None:
            assert system._parts.mesh is not None
            looks.append(system._parts.mesh.looks)

        summary = system.run(note)
    assert looks[-1] == looks[29], "no look within the windows"
    assert summary.coherence["distance_source"] == "windows"


def test_forecast_without_limit_is_still_one(build: Callable[..., RunConfig]) -> None:
    config = build(
        dynamics={"duration_s": 2.0},
        record={"forecast": True},
        lattice={"shape": (24, 24), "initial_phases": "aligned"},
    )
    with ScribbleSystem(config) as system:
        summary = system.run()
    assert summary.forecast is not None
    assert summary.forecast["coherence"] is None
    assert "act alike" in summary.forecast["reason"]
    assert summary.coherence["distance_source"] == "forecast"
    assert 0.9 < summary.coherence["continuous"] < 1.0


def test_procedural_bridges_are_refused(build: Callable[..., RunConfig]) -> None:
    config = build(bridges={"kind": "procedural"})
    with pytest.raises(ConfigError, match="use bridges=matchings, or mesh=none"):
        config.validate()
    system = ScribbleSystem(replace(config, mesh=MeshConfig()))
    with system, pytest.raises(ConfigError, match="procedural all act alike"):
        AdvancedNeuralMesh(system.network, system.lattice, config.mesh)


def test_rollout_beside_a_mesh_is_refused(build: Callable[..., RunConfig]) -> None:
    rollout = RolloutConfig("alpha", tunnel=replace(TunnelConfig(), linewidth_hz=900.0))
    with pytest.raises(ConfigError, match="use mesh=none or rollout=none"):
        replace(build(), rollout=rollout).validate()


def test_without_bridges_there_is_no_mesh(build: Callable[..., RunConfig]) -> None:
    with ScribbleSystem(build(bridges={"kind": "none"})) as system:
        assert system.run().mesh is None


def test_weak_bridges_do_not_take_the_budget(build: Callable[..., RunConfig]) -> None:
    """Half the bridges pull by next to nothing, so their gaps never close."""
    config = build(
        dynamics={"duration_s": 1.0},
        bridges={"strength_rad_s": 0.02, "strength_spread_rad_s": 0.0},
    )
    with ScribbleSystem(config) as system:
        strengths = system.network.edges.strengths_rad_s
        strong = np.arange(len(strengths)) % 2 == 0
        strengths[strong] = 108.0
        system.network.scale_strengths(1.0)
        layout = system.network.columns_by_id()
        assert (layout.dose_rates > 0.0).all()
        arrays = system.network.arrays
        arrays.dose_rates[strong[arrays.ids]] = 108.0
        system.advance(1.0)
        frequencies = system.network.frequencies_hz
    assert frequencies[strong].mean() > 10.0 * frequencies[~strong].mean()


def test_plastic_mesh_beats_equal_frequencies(build: Callable[..., RunConfig]) -> None:
    """Far below what equal frequencies need: r rises by far more than its noise."""
    coherences = []
    for rule in ("none", "plastic"):
        config = build(
            rule,
            lattice={"shape": (32, 32), "initial_phases": "aligned"},
            dynamics={"duration_s": 4.0, "dt_s": 0.0005},
            controller={
                "objective": "fixed",
                "fixed_frequency_hz": 15.0,
                "period_steps": 20,
            },
            mesh={"period": 16, "longest_period": 32, "shares": 12},
        )
        values = []
        with ScribbleSystem(config) as system:
            system.advance(1.6)
            system.advance(0.4, lambda at, seen=values: seen.append(at.coherence))
        coherences.append(np.mean(values))
    # 0.65 against 0.87; finite size moves either by some 1 / sqrt(1024) = 0.03.
    assert coherences[1] > coherences[0] + 0.1


def test_bridges_that_were_rewired_are_judged_anew(
    build: Callable[..., RunConfig],
) -> None:
    with ScribbleSystem(build(dynamics={"duration_s": 0.5})) as system:
        system.advance(0.2)
        network, mesh = system.network, system._parts.mesh
        assert isinstance(network, BridgeNetwork)
        assert mesh is not None
        before = network.edges
        report = mesh.optimize_paths(
            lambda sources, targets: np.ones(len(sources)), tick=system.step
        )
        assert report.retired > 0
        assert network.edges is not before
        assert network.frequencies_hz.mean() == pytest.approx(20.0)
        system.advance(0.2)
        host, edges = network.columns_by_id(), network.edges
        assert (host.sources == edges.sources).all()
        assert (host.targets == edges.targets).all()
        assert network.frequencies_hz.mean() == pytest.approx(20.0)
        for layer in range(int(edges.layers.max()) + 1):
            inside = network.backend.to_host(network.arrays.ids)
            inside = inside[edges.layers[inside] == layer]
            ends = np.concatenate([edges.sources[inside], edges.targets[inside]])
            assert len(np.unique(ends)) == len(ends)
