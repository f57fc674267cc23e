"""Placed matchings: what they keep of drawn ones, and what they gain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.bridge import BareLattice, EdgeList, build_edges, place_matchings, placement
from engine.bridge.drawing import draw_strengths
from engine.bridge.pairing import to_keys
from engine.bridge.placement import find_working_stiffnesses
from engine.config import PLACEMENTS, BridgesConfig, LatticeConfig, RunConfig
from engine.crystal import draw_detunings
from engine.errors import ConfigError
from engine.forecast import build_forecaster
from engine.geometry import build_geometry
from engine.system import ScribbleSystem

PLACED = ("balanced", "aligned")
BuildConfig = Callable[..., RunConfig]


def build_lattice(config: LatticeConfig | None = None) -> BareLattice:
    config = config or LatticeConfig(shape=(16, 16))
    geometry = build_geometry(config.kind, config.shape, config.periodic)
    return BareLattice(geometry, draw_detunings(config, 0), config.coupling_rad_s)


def to_pairs(edges: EdgeList, nodes: int) -> np.ndarray:
    ends = (side.astype(np.int64) for side in (edges.sources, edges.targets))
    return to_keys(*ends, nodes)


def assert_are_matchings(edges: EdgeList, nodes: int, layers: int) -> None:
    assert len(edges) == nodes // 2 * layers
    for layer in range(layers):
        inside = edges.layers == layer
        ends = np.concatenate([edges.sources[inside], edges.targets[inside]])
        assert np.array_equal(np.sort(ends), np.arange(nodes))


@pytest.mark.parametrize("placement", PLACED)
@pytest.mark.parametrize(
    "lattice",
    [
        LatticeConfig(shape=(16, 16)),
        LatticeConfig(kind="chain", shape=(64,), periodic=(False,)),
        LatticeConfig(kind="fcc", shape=(4, 4, 6)),
        LatticeConfig(shape=(16, 16), distribution="lorentzian", cutoff_hz=172.0),
        LatticeConfig(shape=(16, 16), spread_hz=0.0),
        LatticeConfig(shape=(16, 16), coupling_rad_s=0.0),
    ],
    ids=["square", "chain", "fcc", "lorentzian", "alike", "uncoupled"],
)
def test_layers_are_matchings_without_repeats(
    placement: str, lattice: LatticeConfig
) -> None:
    config = BridgesConfig(per_node=6, placement=placement)
    edges = place_matchings(build_lattice(lattice), config, 3)
    assert_are_matchings(edges, lattice.node_count, 6)
    pairs = to_pairs(edges, lattice.node_count)
    assert len(np.unique(pairs)) == len(pairs)
    assert (edges.strengths_rad_s == config.strength_rad_s).all()


@pytest.mark.parametrize("placement", PLACED)
def test_smallest_network_repeats_what_it_must(placement: str) -> None:
    lattice = build_lattice(LatticeConfig(kind="chain", shape=(4,)))
    config = BridgesConfig(per_node=8, placement=placement)
    assert_are_matchings(place_matchings(lattice, config, 0), 4, 8)


def test_balanced_joins_low_to_high() -> None:
    lattice = build_lattice()
    edges = place_matchings(lattice, BridgesConfig(placement="balanced"), 0)
    ranks = np.argsort(np.argsort(lattice.rates, kind="stable"), kind="stable")
    sums = ranks[edges.sources.astype(int)] + ranks[edges.targets.astype(int)]
    # Without jitter every sum of ranks is 255. Noise of a tenth of the ranks moves each
    # place by at most that, and so each sum by two tenths; a pair that would repeat
    # exchanges ends with one a place or two away.
    assert np.abs(sums - 255).max() <= 2 * placement.JITTER * 256 + 2
    assert np.unique(sums).size > 10


@pytest.mark.parametrize("placement", PLACED)
def test_strengths_and_direction_are_those_of_drawn_bridges(placement: str) -> None:
    is_balanced = placement == "balanced"
    config = BridgesConfig(
        placement=placement,
        strength_spread_rad_s=10.0,
        repulsive_share=0.3 if is_balanced else 0.0,
        directed=is_balanced,
    )
    lattice = build_lattice()
    edges = place_matchings(lattice, config, 4)
    assert (edges.strengths_rad_s == draw_strengths(512, config, 4)).all()
    assert (edges.directed == is_balanced).all()
    # Either end of a pair is first in half of the cases: five standard deviations.
    low_first = lattice.rates[edges.sources.astype(int)] < 0.0
    assert abs(low_first.mean() - 0.5) < 5.0 * 0.5 / np.sqrt(512)


def test_better_placement_forecasts_more_coherence() -> None:
    found = []
    for name in PLACEMENTS:
        config = RunConfig(
            lattice=LatticeConfig(shape=(32, 32)), bridges=BridgesConfig(placement=name)
        )
        found.append(build_forecaster(config).forecast(43.0).coherence)
    random, balanced, aligned = found
    # Over seeds 0 to 7 the smallest steps were 0.015 and 0.021.
    assert balanced > random + 0.01
    assert aligned > balanced + 0.01


@pytest.mark.parametrize("placement", PLACED)
def test_seed_decides(placement: str) -> None:
    lattice, config = build_lattice(), BridgesConfig(placement=placement)
    one, same, other = (place_matchings(lattice, config, seed) for seed in (1, 1, 2))
    assert (one.sources == same.sources).all()
    assert (one.targets == same.targets).all()
    assert (one.sources != other.sources).any()


def test_last_bits_of_the_state_move_no_bridge() -> None:
    lattice, other = build_lattice(), build_lattice()
    # What another order of summation would change, and more: 1e-14 of each.
    noise = np.random.default_rng(0).normal(0.0, 1e-14, 256)
    other.rates = lattice.rates * (1.0 + noise)
    config = BridgesConfig(placement="aligned", per_node=8)
    one, same = (place_matchings(each, config, 1) for each in (lattice, other))
    assert (one.sources == same.sources).all()
    assert (one.targets == same.targets).all()


def test_run_and_forecast_place_alike(build_config: BuildConfig) -> None:
    for name in PLACED:
        config = build_config(bridges={"placement": name}, seed=5)
        expected = build_forecaster(config).network.operator
        for backend in ("cpu", "reference"):
            changed = replace(config, backend=replace(config.backend, name=backend))
            with ScribbleSystem(changed) as system:
                columns = system.network.columns_by_id()
                assert (columns.sources == expected.sources).all()
                assert (columns.targets == expected.targets).all()
                assert (
                    system.description["bridges"] == f"512 bridges (matchings, {name})"
                )


def test_stiffness_is_that_of_the_working_point() -> None:
    lattice = build_lattice()
    nodes, strengths = 256, np.full(512, 108.0)
    soft = find_working_stiffnesses(lattice, strengths)
    assert (soft == soft[0]).all()
    anchor = 2.0 * soft.sum() / nodes
    left = lattice.find_misalignment(anchor, tolerance=1e-6)
    # Bisected to 3% in stiffness, and J falls at most with its square.
    assert left == pytest.approx(placement.WORKING_MISALIGNMENT, rel=0.07)
    weak = find_working_stiffnesses(lattice, 0.01 * strengths)
    assert (weak == 0.01 * strengths).all()
    mixed = find_working_stiffnesses(lattice, np.where(np.arange(512) % 2, 108.0, 1.0))
    assert (mixed[::2] == 1.0).all()
    assert (mixed[1::2] > soft[0]).all()


def test_drawn_repulsion_is_not_aligned() -> None:
    config = BridgesConfig(placement="aligned", strength_spread_rad_s=200.0)
    with pytest.raises(ConfigError, match=r"of 512 bridges that were drawn repel.*use"):
        place_matchings(build_lattice(), config, 0)


def test_network_too_large_to_align(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "MAX_PLACED_EDGES", 1023)
    with pytest.raises(ConfigError, match=r"all 1,024 edges.*at most 1,023 are taken"):
        place_matchings(build_lattice(), BridgesConfig(placement="aligned"), 0)
    place_matchings(build_lattice(), BridgesConfig(placement="balanced"), 0)


def test_odd_number_of_nodes() -> None:
    lattice = build_lattice(LatticeConfig(shape=(5, 5)))
    with pytest.raises(ConfigError, match="25 nodes is an odd number"):
        place_matchings(lattice, BridgesConfig(placement="balanced"), 0)


def test_placing_needs_natural_frequencies() -> None:
    geometry = build_geometry("square", (4, 4))
    with pytest.raises(ConfigError, match="pass detunings_hz"):
        build_edges(geometry, BridgesConfig(placement="balanced"), 0)
