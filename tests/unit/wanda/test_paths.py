"""Rewired bridges: what never changes, and what the report says of the rest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.backends import select_backend
from engine.bridge import (
    BareLattice,
    BridgeNetwork,
    EdgeList,
    build_matchings,
    place_matchings,
    take_edges,
)
from engine.bridge.drawing import build_small_world
from engine.config import BackendConfig, BridgesConfig
from engine.errors import ConfigError
from engine.geometry import build_geometry, build_neighbour_table
from engine.wanda import PathPlan, find_stiffnesses, optimize_paths, plan_paths

SIDE = 10
NODES = SIDE * SIDE


def build_lattice(seed: int = 0, spread_hz: float = 34.4) -> BareLattice:
    geometry = build_geometry("square", (SIDE, SIDE), (True,))
    detunings = np.random.default_rng(seed).normal(0.0, 1.0, NODES)
    return BareLattice(geometry, spread_hz * detunings, 216.0)


def apply(edges: EdgeList, plan: PathPlan) -> EdgeList:
    return edges.move(plan.bridge_ids, plan.sources, plan.targets)


def find_exact(
    lattice: BareLattice, edges: EdgeList, stiffnesses: np.ndarray
) -> tuple[float, float]:
    """Return J and r by dense linear algebra."""
    table = build_neighbour_table(lattice.geometry)
    dense = lattice.coupling_rad_s * len(table[0]) * np.eye(NODES)
    for node in range(NODES):
        np.add.at(dense[node], table[node], -lattice.coupling_rad_s)
    for source, target, k in zip(
        edges.sources, edges.targets, stiffnesses, strict=True
    ):
        dense[[source, target], [source, target]] += k
        dense[[source, target], [target, source]] -= k
    # Any constant matrix may be added: rates and phases have mean 0.
    phases = np.linalg.solve(dense + 1.0, lattice.rates)
    return float((phases**2).mean()), float(abs(np.exp(1j * phases).mean()))


def assert_same_shape(before: EdgeList, after: EdgeList) -> None:
    """Counts, strengths and layers are kept, and layers are matchings."""
    assert (before.strengths_rad_s == after.strengths_rad_s).all()
    assert (before.layers == after.layers).all()
    assert (before.directed == after.directed).all()
    for layer in np.unique(before.layers):
        old, new = (
            np.sort(np.concatenate([side[each.layers == layer] for side in ends]))
            for each in (before, after)
            for ends in [(each.sources, each.targets)]
        )
        assert (old == new).all()
        assert len(np.unique(new)) == len(new)


@pytest.mark.parametrize("share", [0.3, 1.0])
@pytest.mark.parametrize("seed", range(2))
def test_report_is_what_dense_algebra_finds(seed: int, share: float) -> None:
    lattice = build_lattice(seed)
    edges = build_matchings(NODES, BridgesConfig(per_node=3), seed)
    stiffnesses = np.random.default_rng(seed).uniform(5.0, 40.0, len(edges))
    plan = plan_paths(lattice, edges, stiffnesses, share=share)
    after = apply(edges, plan)
    assert_same_shape(edges, after)
    report = plan.report
    # Solves leave a residual of 1e-5 of the natural frequencies, on the stiffest modes
    # and the softest alike; the softest hold J and are found to some 1e-5.
    for found, exact in zip(
        (report.misalignment_before, report.coherence_before),
        find_exact(lattice, edges, stiffnesses),
        strict=True,
    ):
        assert found == pytest.approx(exact, rel=1e-4)
    for found, exact in zip(
        (report.misalignment_after, report.coherence_after),
        find_exact(lattice, after, stiffnesses),
        strict=True,
    ):
        assert found == pytest.approx(exact, rel=1e-4)
    assert report.misalignment_after < report.misalignment_before
    assert report.retired == report.grown == len(plan.bridge_ids) > 0
    assert report.to_dict()["grown"] == report.grown


def test_least_share_moves_the_least_worth() -> None:
    lattice = build_lattice()
    edges = build_matchings(NODES, BridgesConfig(per_node=1), 0)
    stiffnesses = np.full(len(edges), 20.0)
    state = lattice.align(edges.sources, edges.targets, stiffnesses)
    gains = state.find_gains(edges.sources, edges.targets)
    plan = plan_paths(lattice, edges, stiffnesses, share=0.4)
    assert 0 < len(plan.bridge_ids) <= 20
    assert gains[plan.bridge_ids].max() <= np.sort(gains)[19]


def test_second_call_moves_little() -> None:
    lattice = build_lattice()
    edges = build_matchings(NODES, BridgesConfig(per_node=4), 0)
    stiffnesses = np.full(len(edges), 20.0)
    first = plan_paths(lattice, edges, stiffnesses)
    for _ in range(3):
        edges = apply(edges, plan_paths(lattice, edges, stiffnesses))
    last = plan_paths(lattice, edges, stiffnesses)
    assert first.report.retired > 150
    # Every call that moves anything lowers J by a fiftieth at least, so calls end soon.
    assert last.report.retired == 0
    assert last.report.misalignment_after == last.report.misalignment_before


def test_rewired_is_as_good_as_aligned() -> None:
    lattice = build_lattice()
    drawn = build_matchings(NODES, BridgesConfig(per_node=4), 0)
    aligned = place_matchings(lattice, BridgesConfig(placement="aligned"), 0)
    stiffnesses = np.full(len(drawn), 20.0)
    rewired = apply(drawn, plan_paths(lattice, drawn, stiffnesses))
    before, after, goal = (
        find_exact(lattice, each, stiffnesses)[0] for each in (drawn, rewired, aligned)
    )
    assert after < goal + 0.2 * (before - goal)


def test_plan_is_deterministic() -> None:
    lattice = build_lattice()
    edges = build_matchings(NODES, BridgesConfig(per_node=4), 0)
    one, other = (plan_paths(lattice, edges, np.full(200, 20.0)) for _ in range(2))
    assert one.report == other.report
    for name in ("bridge_ids", "sources", "targets"):
        assert (getattr(one, name) == getattr(other, name)).all()


def test_layers_that_are_no_perfect_matchings_stay_matchings() -> None:
    lattice = build_lattice()
    edges = build_small_world(lattice.geometry, BridgesConfig("small_world"), 0)
    plan = plan_paths(lattice, edges, np.full(len(edges), 20.0))
    assert_same_shape(edges, apply(edges, plan))
    assert plan.report.misalignment_after < plan.report.misalignment_before
    after = apply(edges, plan)
    pairs = np.sort(np.stack([after.sources, after.targets], axis=1), axis=1)
    assert len(np.unique(pairs, axis=0)) == len(pairs)


def test_stiffest_bridge_gets_the_widest_gap() -> None:
    lattice = build_lattice()
    edges = build_matchings(NODES, BridgesConfig(per_node=1), 0)
    stiffnesses = np.random.default_rng(1).permutation(np.linspace(1.0, 40.0, 50))
    plan = plan_paths(lattice, edges, stiffnesses)
    after = apply(edges, plan)
    scores = lattice.align(
        edges.sources, edges.targets, np.zeros(50), start=None
    ).scores
    gaps = np.abs(scores[after.sources.astype(int)] - scores[after.targets.astype(int)])
    moved = plan.bridge_ids[np.argsort(-stiffnesses[plan.bridge_ids])]
    assert (np.diff(gaps[moved]) <= 1e-12).all()


@pytest.mark.parametrize("case", ["alike", "single", "empty"])
def test_nothing_to_gain_moves_nothing(case: str) -> None:
    lattice = build_lattice(spread_hz=0.0 if case == "alike" else 34.4)
    edges = {
        "alike": build_matchings(NODES, BridgesConfig(per_node=2), 0),
        "single": take_edges([3], [40], np.array([108.0]), NODES),
        "empty": take_edges([], [], np.array([]), NODES),
    }[case]
    plan = plan_paths(lattice, edges, np.full(len(edges), 20.0))
    assert not len(plan.bridge_ids)
    assert plan.report.retired == plan.report.rewired_layers == 0
    assert plan.report.misalignment_after == plan.report.misalignment_before


def test_state_that_is_not_found_moves_nothing() -> None:
    lattice = build_lattice()
    lattice.coupling_rad_s = 0.0
    edges = take_edges([0, 2], [1, 3], np.array([108.0, 108.0]), NODES)
    report = plan_paths(lattice, edges, np.full(2, 20.0)).report
    assert not report.is_solved
    assert report.retired == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"directed": True}, "0 of 100 bridges repel and 100 are directed"),
        ({"strength_rad_s": -1.0}, "100 of 100 bridges repel and 0 are directed"),
    ],
)
def test_bridges_without_a_locked_state(change: dict[str, float], words: str) -> None:
    edges = build_matchings(NODES, replace(BridgesConfig(per_node=2), **change), 0)
    with pytest.raises(ConfigError, match=words):
        plan_paths(build_lattice(), edges, np.full(100, 20.0))


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, np.nan])
def test_share_out_of_range(share: float) -> None:
    edges = build_matchings(NODES, BridgesConfig(per_node=2), 0)
    with pytest.raises(ConfigError, match=r"share is .*\(0, 1\]"):
        plan_paths(build_lattice(), edges, np.full(100, 20.0), share=share)


def test_stiffness_between_rare_and_frequent_events() -> None:
    frequencies = np.array([1e-3, 20.0, 1e7])
    found = find_stiffnesses(np.full(3, 108.0), np.array([1.0, 0.5, 1.0]), frequencies)
    assert found[0] == pytest.approx(0.5e-3)
    assert found[1] == pytest.approx(5.0 * (1.0 - np.exp(-21.6)))
    assert found[2] == pytest.approx(108.0, rel=1e-4)  # the next term is kappa / f


def test_frequencies_decide_what_a_network_is_rewired_for() -> None:
    lattice = build_lattice()
    edges = build_matchings(NODES, BridgesConfig(per_node=4), 0)
    backend = select_backend(BackendConfig("reference"), NODES).backend

    def rewire(frequency_hz: float | None) -> tuple[float, BridgeNetwork]:
        network = BridgeNetwork(edges, np.full(200, 0.9), backend)
        report = optimize_paths(
            network,
            lattice,
            lambda sources, targets: np.full(len(sources), 0.8),
            tick=7,
            frequencies_hz=None if frequency_hz is None else np.full(200, frequency_hz),
        )
        return report.misalignment_before, network

    often, rare = rewire(500.0), rewire(20.0)
    stiffnesses = find_stiffnesses(
        np.full(200, 108.0), np.full(200, 0.9), np.full(200, 20.0)
    )
    assert often[0] < rare[0]
    assert rare[0] == pytest.approx(
        find_exact(lattice, edges, stiffnesses)[0], rel=1e-4
    )
    for _, network in (often, rare, rewire(None)):
        assert_same_shape(edges, network.edges)
        moved = network.edges.sources != edges.sources
        assert moved.sum() > 50
        assert (network.probabilities[moved] == 0.8).all()


def test_bridges_that_act_more_often_get_the_wider_gaps() -> None:
    lattice = build_lattice()
    edges = build_matchings(NODES, BridgesConfig(per_node=1), 0)
    backend = select_backend(BackendConfig("reference"), NODES).backend
    network = BridgeNetwork(edges, np.ones(50), backend)
    network.follow(30.0)
    busy = np.arange(0, 50, 5)
    for bridge_id in busy:
        network.pin(int(bridge_id), 102.0)

    def law(sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return np.ones(len(sources))

    assert optimize_paths(network, lattice, law, tick=0).retired > 40
    after = network.edges
    scores = lattice.align(edges.sources, edges.targets, np.zeros(50)).scores
    gaps = np.abs(scores[after.sources.astype(int)] - scores[after.targets.astype(int)])
    others = np.setdiff1d(np.arange(50), busy)
    # The state is solved to 1e-3, so pairs of nearly equal rank may change places.
    assert gaps[busy].min() > 0.98 * gaps[others].max()
