"""Every range and every rule: one clear sentence that holds the full key."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from engine.config import (
    BRIDGE_KINDS,
    COUPLING_RANGES,
    DISTRIBUTIONS,
    FAULT_KINDS,
    INITIAL_PHASES,
    INTEGRATORS,
    LATTICE_KINDS,
    LIES,
    LOAD_KINDS,
    MESH_RULES,
    OBJECTIVES,
    PLACEMENTS,
    PROFILES,
    ROLLOUT_TARGETS,
    SAMPLINGS,
    BridgesConfig,
    LatticeConfig,
    ObserveConfig,
    RolloutConfig,
    RunConfig,
    TunnelConfig,
)
from engine.errors import ConfigError

NAN, INF = math.nan, math.inf

OUT_OF_RANGE: dict[str, list[Any]] = {
    "seed": [-1, 2**32],
    "lattice.coupling_rad_s": [-1.0, INF],
    "lattice.mean_frequency_hz": [0.0, -1.0, INF],
    "lattice.spread_hz": [-0.1, INF],
    "lattice.cutoff_hz": [0.0, -1.0],
    "lattice.drift_period_s": [0.0, -1.0, INF],
    "lattice.phase_lag_rad": [-3.2, 3.2],
    "bridges.per_node": [0, 65],
    "bridges.strength_rad_s": [-2e12, INF],
    "bridges.strength_spread_rad_s": [-1.0, INF],
    "bridges.repulsive_share": [-0.1, 1.1],
    "bridges.rewire_every_s": [0.0, -1.0, INF],
    "bridges.distance_exponent": [-0.1, 16.1],
    "dynamics.dt_s": [0.0, -1.0],
    "dynamics.duration_s": [0.0, INF],
    "dynamics.inertia_s": [-1.0, 2e9, INF],
    "dynamics.diffusion_rad2_s": [-1.0, 2e12, INF],
    "tunnel.base_frequency": [0.0, -432.0],
    "tunnel.phi_coefficient": [0.0, 1.0],
    "tunnel.min_coherence": [0.0, 1.0, 1.3],
    "tunnel.rungs": [0, 41],
    "tunnel.max_probability": [0.0, 9e-7, 1.1],
    "tunnel.linewidth_hz": [0.0, 2e12, INF],
    "resources.min_memory_threshold": [-0.1, 1.0],
    "resources.optimal_core_count": [0],
    "resources.minimum_availability": [0.0, 9e-7, 1.1],
    "resources.sample_period_s": [0.04, 11.0],
    "resources.slow_period_s": [0.2],
    "resources.process_period_s": [0.2],
    "resources.stale_after_s": [0.25],
    "controller.period_steps": [0, 100_001],
    "controller.target_pace": [0.0, 2e9],
    "controller.fixed_frequency_hz": [0.0, 9e-10, INF],
    "controller.proportional_gain": [-1.0],
    "controller.integral_gain_per_s": [-1.0],
    "controller.margin_sigmas": [-1.0],
    "controller.dead_band": [-0.1, 1.1],
    "controller.descent_rungs_per_s": [0.0],
    "controller.dwell_periods": [-1],
    "controller.hold_stale_s": [-1.0],
    "mesh.period": [0],
    "mesh.growth": [0.9, 101.0],
    "mesh.shares": [1, 33],
    "mesh.exponent": [-0.1, 17.0],
    "mesh.gain": [0.0, 1.1],
    "mesh.longest_period": [31],
    "rollout.start_s": [-1.0, INF],
    "rollout.settle_s": [-0.1],
    "rollout.window_s": [0.0, INF],
    "rollout.windows": [0, 1001],
    "rollout.sigmas": [-1.0],
    "rollout.max_violation": [-0.1, 1.0],
    "rollout.cost_tolerance": [-0.1, INF],
    "backend.threads": [0, 4097],
    "backend.device": [-1],
    "backend.auto_min_nodes": [0],
    "load.level": [-0.1, 1.1],
    "load.base_level": [-0.1, 1.1],
    "load.start_s": [-1.0],
    "load.period_s": [0.0, 9e-7, 2e9],
    "load.seed": [-1, 2**32],
    "load.memory": [-0.1, 0.96],
    "load.gpu": [-0.1, 1.1],
    "load.headroom": [0.01, 1.0],
    "load.temperature_limit_c": [29.0, 111.0],
    "load.limit_s": [0.0, 86_401.0],
    "fault.start_s": [-1.0, INF],
    "fault.duration_s": [0.0, INF],
    "fault.lag_s": [0.0],
    "fault.period_s": [0.0],
    "observe.snapshot_every_s": [0.0, INF],
    "observe.frequency_window_s": [0.0, -1.0],
    "observe.probe_count": [-1, 1025],
    "record.every_periods": [0],
    "record.checkpoint_wall_s": [0.0, -1.0, INF],
    "record.checkpoint_every_s": [0.0, INF],
    "record.checkpoints_kept": [-1, 1001],
    "metrics.port": [-1, 65536],
}
ON_THE_EDGE: dict[str, list[Any]] = {
    "seed": [0, 2**32 - 1],
    "lattice.coupling_rad_s": [0.0],
    "lattice.spread_hz": [0.0],
    "lattice.phase_lag_rad": [-math.pi, math.pi],
    "bridges.per_node": [1, 64],
    "bridges.strength_rad_s": [-108.0, 0.0],
    "bridges.repulsive_share": [0.0, 1.0],
    "tunnel.rungs": [1, 40],
    "tunnel.max_probability": [1.0],
    "resources.min_memory_threshold": [0.0],
    "resources.minimum_availability": [1.0],
    "resources.sample_period_s": [0.05],
    "load.level": [0.0, 1.0],
    "mesh.growth": [1.0],
    "mesh.shares": [2, 32],
    "mesh.gain": [1.0],
    "load.seed": [0, 2**32 - 1],
    "fault.start_s": [0.0],
    "metrics.port": [0, 65535],
}
CHOICES = {
    "lattice.kind": LATTICE_KINDS,
    "lattice.distribution": DISTRIBUTIONS,
    "lattice.sampling": SAMPLINGS,
    "lattice.coupling_range": COUPLING_RANGES,
    "lattice.initial_phases": INITIAL_PHASES,
    "bridges.kind": BRIDGE_KINDS,
    "bridges.placement": PLACEMENTS,
    "dynamics.integrator": INTEGRATORS,
    "controller.objective": OBJECTIVES,
    "load.kind": LOAD_KINDS,
    "mesh.rule": MESH_RULES,
    "fault.kind": FAULT_KINDS,
    "fault.value": LIES,
    "rollout.objective": OBJECTIVES,
    "rollout.target": ROLLOUT_TARGETS,
    "load.profile": PROFILES,
}


def change(key: str, value: Any) -> RunConfig:
    base = RunConfig()
    group, _, name = key.partition(".")
    if not name:
        return replace(base, **{key: value})
    return replace(base, **{group: replace(getattr(base, group), **{name: value})})


def complain(config: RunConfig) -> str:
    with pytest.raises(ConfigError) as caught:
        config.validate()
    return str(caught.value)


def assert_is_one_sentence(message: str, key: str) -> None:
    assert key in message
    assert message.endswith(".")
    assert "\n" not in message


def list_pairs(table: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(key, value) for key, values in table.items() for value in values]


def numeric_keys() -> list[str]:
    """Every key of the configuration that holds a plain float."""
    base = RunConfig()
    return [
        f"{group.name}.{entry.name}"
        for group in fields(base)
        if is_dataclass(getattr(base, group.name))
        for entry in fields(getattr(base, group.name))
        if isinstance(getattr(getattr(base, group.name), entry.name), float)
    ]


def test_defaults_are_valid() -> None:
    RunConfig().validate()


@pytest.mark.parametrize(("key", "value"), list_pairs(OUT_OF_RANGE))
def test_out_of_range(key: str, value: Any) -> None:
    message = complain(change(key, value))
    assert_is_one_sentence(message, key)
    assert message.startswith(f"{key} is ")
    assert "; it must " in message


@pytest.mark.parametrize(("key", "value"), list_pairs(ON_THE_EDGE))
def test_edge_of_the_range(key: str, value: Any) -> None:
    change(key, value).validate()


@pytest.mark.parametrize("key", numeric_keys())
def test_nan_is_never_accepted(key: str) -> None:
    assert complain(change(key, NAN)).startswith(f"{key} is nan; it must ")


@pytest.mark.parametrize("key", numeric_keys())
def test_what_float32_cannot_hold_is_never_accepted(key: str) -> None:
    # 1e39 is the first power of ten beyond float32.
    for value in (1e39, 1e300, INF):
        assert_is_one_sentence(complain(change(key, value)), key)


def test_every_number_has_a_range() -> None:
    # A new key must appear in the table above; optional ones count as numbers.
    assert set(numeric_keys()) <= set(OUT_OF_RANGE)


@pytest.mark.parametrize("key", CHOICES)
def test_unknown_choice(key: str) -> None:
    message = complain(change(key, "nonsense"))
    assert_is_one_sentence(message, key)
    assert all(name in message for name in CHOICES[key])


def test_large_numbers_are_written_out() -> None:
    message = complain(change("seed", 2**32))
    assert "4294967296" in message


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("lattice.shape", (8,), "1 number; a square lattice needs 2"),
        ("lattice.shape", (8, 2), "lattice.shape[1] is 2; it must"),
        ("lattice.shape", (0, 8), "lattice.shape[0] is 0; it must"),
        ("lattice.shape", (65536, 65536), "4294967296 nodes; ids are 32-bit"),
        ("lattice.periodic", (True, True, True), "lattice.periodic has 3 entries"),
        ("lattice.periodic", (), "lattice.periodic has 0 entries"),
        ("lattice.distribution", "given", "lattice.frequencies_path is not set"),
        ("bridges.kind", "file", "bridges.path is not set"),
        ("load.kind", "replay", "load.trace is not set"),
        ("load.profile", "trace", "load.profile is 'trace'; choose one of"),
        ("lattice.shape", (63, 63), "3969 nodes, an odd number"),
        ("observe.snapshot_every_s", 60.5, "longer than the run (dynamics.duration_s "),
        (
            "observe.frequency_window_s",
            61.0,
            "longer than the run (dynamics.duration_s ",
        ),
    ],
)
def test_rule(key: str, value: Any, words: str) -> None:
    message = complain(change(key, value))
    assert_is_one_sentence(message, key)
    assert words in message


def test_open_axes_may_have_two_cells() -> None:
    base = RunConfig()
    lattice = replace(base.lattice, shape=(2, 2), periodic=(False,))
    replace(base, lattice=lattice).validate()


def test_odd_lattice_takes_other_bridges() -> None:
    base = change("lattice.shape", (63, 63))
    for kind in ("small_world", "none"):
        replace(base, bridges=replace(base.bridges, kind=kind)).validate()


def test_bridge_acts_at_most_once_per_step() -> None:
    message = complain(change("dynamics.dt_s", 0.0015))
    assert "dynamics.dt_s is 0.0015 s" in message
    assert "at most once per step" in message
    # The cure that the sentence names is one.
    change("dynamics.dt_s", float(message.split("dt_s <= ")[1].split()[0])).validate()


def test_fixed_frequency_counts_instead_of_the_top() -> None:
    slow = change("dynamics.dt_s", 0.0015)
    fixed = replace(slow.controller, objective="fixed", fixed_frequency_hz=600.0)
    replace(slow, controller=fixed).validate()
    fast = replace(fixed, fixed_frequency_hz=700.0)
    assert "dynamics.dt_s" in complain(replace(slow, controller=fast))


def test_ladder_of_the_design() -> None:
    tunnel = TunnelConfig()
    # design.md, section 2: 699.0 (= 432 * 1.618...), 432, 267, 165, 102, 63, 39, 24
    rungs = [tunnel.rung_frequency_hz(rung) for rung in range(8)]
    expected = [698.99, 432.0, 266.99, 165.01, 101.98, 63.03, 38.95, 24.07]
    assert rungs == pytest.approx(expected, abs=0.006)
    assert tunnel.maximum_frequency_hz == pytest.approx(432.0 * 1.618033988749895)


@pytest.mark.parametrize("rung", [0.0, 0.5, 3.0, 14.0])
def test_rung_and_frequency_are_inverse(rung: float) -> None:
    tunnel = TunnelConfig()
    assert tunnel.frequency_rung(tunnel.rung_frequency_hz(rung)) == pytest.approx(
        rung, abs=1e-12
    )


def test_step_count_is_rounded_and_at_least_one() -> None:
    assert change("dynamics.duration_s", 0.001).dynamics.step_count == 4
    assert change("dynamics.duration_s", 1e-9).dynamics.step_count == 1


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("dynamics.dt_s", 1e-310, "[1e-09, 1e+09]"),
        ("dynamics.duration_s", 1e7, "counted in 32 bits"),
        ("tunnel.linewidth_hz", 1e-200, "[0.001, 1e+12]"),
        ("bridges.strength_rad_s", 1e39, "[-1e+12, 1e+12]"),
        ("lattice.spread_hz", 1e39, "[0, 1e+12]"),
    ],
)
def test_what_the_arithmetic_cannot_hold(key: str, value: float, words: str) -> None:
    message = complain(change(key, value))
    assert_is_one_sentence(message, key)
    assert words in message


def test_ladder_without_a_top() -> None:
    # With a fixed frequency no time step bounds the ladder.
    config = change("controller.objective", "fixed")
    steep = TunnelConfig(phi_coefficient=1e-12, rungs=1)
    message = complain(replace(config, tunnel=steep))
    assert_is_one_sentence(message, "tunnel.phi_coefficient")


def test_windows_that_outrun_the_count_of_steps() -> None:
    config = change("controller.error_windows", 1000)
    config.validate()
    controller = replace(config.controller, error_window_s=1e6)
    message = complain(replace(config, controller=controller))
    assert_is_one_sentence(message, "controller.error_windows")


def test_ladder_that_reaches_zero() -> None:
    steep = TunnelConfig(base_frequency=1e-8, phi_coefficient=1e-10, rungs=40)
    message = complain(replace(RunConfig(), tunnel=steep))
    assert "tunnel.rungs is 40" in message


def test_inertia_and_leapfrog_go_together() -> None:
    assert "dynamics=inertial" in complain(change("dynamics.inertia_s", 0.1))
    assert "dynamics=inertial" in complain(change("dynamics.integrator", "leapfrog"))
    dynamics = replace(RunConfig().dynamics, integrator="leapfrog", inertia_s=1e-4)
    short = replace(RunConfig(), dynamics=dynamics)
    assert_is_one_sentence(complain(short), "dynamics.inertia_s")
    dynamics = replace(dynamics, inertia_s=0.01)
    replace(RunConfig(), dynamics=dynamics).validate()


@pytest.mark.parametrize("kind", sorted(set(BRIDGE_KINDS) - {"matchings"}))
@pytest.mark.parametrize("placement", ["balanced", "aligned"])
def test_bridges_that_cannot_be_placed(kind: str, placement: str) -> None:
    bridges = replace(
        RunConfig().bridges, kind=kind, path="edges.csv", placement=placement
    )
    message = complain(replace(RunConfig(), bridges=bridges))
    assert_is_one_sentence(message, "bridges.placement")
    assert f"bridges={kind}" in message
    assert "use bridges=matchings" in message


@pytest.mark.parametrize("kind", ["procedural", "file", "none"])
def test_bridges_that_cannot_be_rewired(kind: str) -> None:
    bridges = replace(
        RunConfig().bridges, kind=kind, path="edges.csv", rewire_every_s=0.5
    )
    message = complain(replace(RunConfig(), bridges=bridges))
    assert_is_one_sentence(message, "bridges.rewire_every_s")
    assert f"bridges={kind}" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bridges.strength_rad_s", -108.0),
        ("bridges.strength_rad_s", 0.0),
        ("bridges.repulsive_share", 0.1),
        ("bridges.directed", True),
        ("lattice.coupling_range", "all"),
    ],
)
def test_bridges_that_cannot_be_aligned(key: str, value: Any) -> None:
    config = change(key, value)
    config.validate()
    rewired = replace(config, bridges=replace(config.bridges, rewire_every_s=0.5))
    message = complain(rewired)
    assert_is_one_sentence(message, "bridges.rewire_every_s")
    assert key in message
    assert "use bridges.rewire_every_s=null" in message
    for placement in ("balanced", "aligned"):
        placed = replace(config, bridges=replace(config.bridges, placement=placement))
        if placement == "balanced":
            placed.validate()
            continue
        message = complain(placed)
        assert_is_one_sentence(message, "bridges.placement")
        assert key in message
        assert "bridges.placement=balanced" in message


@pytest.mark.parametrize("kind", ["procedural", "file"])
@pytest.mark.parametrize("key", ["strength_spread_rad_s", "repulsive_share"])
def test_strengths_that_are_not_drawn(kind: str, key: str) -> None:
    bridges = replace(RunConfig().bridges, kind=kind, path="edges.csv", **{key: 0.5})
    message = complain(replace(RunConfig(), bridges=bridges))
    assert_is_one_sentence(message, f"bridges.{key}")


def test_observation_needs_nodes_enough_and_not_too_many() -> None:
    few = LatticeConfig(shape=(8, 8))
    config = RunConfig(lattice=few, observe=ObserveConfig(probe_count=65))
    assert "lattice.shape has only 64 nodes" in complain(config)
    RunConfig(lattice=few, observe=ObserveConfig(probe_count=64)).validate()
    most = LatticeConfig(shape=(2**16, 2**15))
    bridges = BridgesConfig(kind="none")
    config = RunConfig(
        lattice=most, bridges=bridges, observe=ObserveConfig(snapshot_every_s=1.0)
    )
    assert "a snapshot holds at most 2147483647 phases" in complain(config)


def test_window_may_be_the_whole_run() -> None:
    RunConfig(
        observe=ObserveConfig(snapshot_every_s=60.0, frequency_window_s=60.0)
    ).validate()


def roll_out(**changes: Any) -> RunConfig:
    groups = {name: changes.pop(name) for name in list(changes) if "." in name}
    new = {"target": "alpha", "tunnel": TunnelConfig(linewidth_hz=1728.0), **changes}
    config = replace(RunConfig(), rollout=RolloutConfig(**new))
    for key, value in groups.items():
        group, _, name = key.partition(".")
        changed = replace(getattr(config, group), **{name: value})
        config = replace(config, **{group: changed})
    return config


def test_rollout_is_valid_and_fits_its_run_exactly() -> None:
    roll_out().validate()
    for target, seconds in (("alpha", 9.0), ("beta", 12.0), ("production", 15.0)):
        fitting = {"target": target, "dynamics.duration_s": seconds}
        roll_out(**fitting).validate()
        short = {**fitting, "dynamics.duration_s": seconds - 0.1}
        assert f"takes at least {seconds:g} s" in complain(roll_out(**short))


def test_replay_may_stop_a_rollout_short() -> None:
    short = roll_out(**{"dynamics.duration_s": 1.0})
    load = replace(short.load, kind="replay", trace="somewhere")
    replace(short, load=load).validate()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tunnel": TunnelConfig()}, "rollout.tunnel is the one in use"),
        ({"tunnel": TunnelConfig(slice_steps=2)}, "rollout.tunnel.slice_steps is 2"),
        ({"tunnel": TunnelConfig(rungs=0)}, "rollout.tunnel.rungs is 0; it must"),
        (
            {"tunnel": TunnelConfig(base_frequency=4320.0)},
            "a lower rollout.tunnel.base_frequency",
        ),
        (
            {"bridges.kind": "procedural"},
            "bridges=procedural makes bridges that cannot",
        ),
        ({"bridges.kind": "none"}, "bridges=none makes none; use bridges=matchings"),
        ({"controller.error_windows": 2}, "controller.error_windows is 2"),
        ({"window_s": 0.15}, "rollout.window_s is 0.15 s, but coherence is seen every"),
    ],
)
def test_rollout_that_cannot_be(changes: dict[str, Any], words: str) -> None:
    message = complain(roll_out(**changes))
    assert_is_one_sentence(message, "rollout.")
    assert words in message


def test_other_objective_alone_makes_a_policy() -> None:
    roll_out(tunnel=TunnelConfig(), objective="floor").validate()
    same = roll_out(tunnel=TunnelConfig(), objective="headroom")
    assert "the one in use" in complain(same)
