"""Edge lists: matchings, small worlds, what is refused, and the layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from engine.bridge import (
    EdgeList,
    build_edges,
    build_matchings,
    build_small_world,
    colour_edges,
    take_edges,
)
from engine.config import LATTICE_AXES, BridgesConfig
from engine.errors import ConfigError, ShapeError
from engine.geometry import Geometry, build_geometry, build_neighbour_table


def assert_layers_are_matchings(edges: EdgeList) -> None:
    for layer in np.unique(edges.layers):
        is_here = edges.layers == layer
        nodes = np.concatenate([edges.sources[is_here], edges.targets[is_here]])
        assert len(np.unique(nodes)) == len(nodes)


@pytest.mark.parametrize("per_node", [1, 4])
@pytest.mark.parametrize("node_count", [2, 6, 500])
def test_matchings_are_perfect(node_count: int, per_node: int) -> None:
    edges = build_matchings(node_count, BridgesConfig(per_node=per_node), seed=2)
    assert len(edges) == per_node * node_count // 2
    for layer in range(per_node):
        is_here = edges.layers == layer
        nodes = np.concatenate([edges.sources[is_here], edges.targets[is_here]])
        assert np.array_equal(np.sort(nodes), np.arange(node_count))


def test_matchings_are_random_and_reproducible() -> None:
    first, again, other = (
        build_matchings(500, BridgesConfig(), seed).targets for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    # Layers differ too: two random matchings of 500 nodes share a pair or so.
    pairs = [frozenset(pair) for pair in zip(*ends(500), strict=True)]
    assert len(set(pairs)) > len(pairs) - 20


def ends(node_count: int) -> tuple[list[int], list[int]]:
    edges = build_matchings(node_count, BridgesConfig(), 0)
    return edges.sources.tolist(), edges.targets.tolist()


def test_odd_node_count() -> None:
    with pytest.raises(ConfigError, match="9 nodes is an odd number"):
        build_matchings(9, BridgesConfig(), 0)


def shortest_distances(geometry: Geometry, edges: EdgeList) -> np.ndarray:
    """Distance between the ends by the shortest way around periodic axes."""
    shape = np.array(geometry.shape)
    first, second = (
        np.stack(np.unravel_index(side.astype(np.int64), geometry.shape), axis=1)
        for side in (edges.sources, edges.targets)
    )
    images = np.array(np.meshgrid(*[[-1, 0, 1]] * len(shape))).reshape(len(shape), -1)
    images = images.T * shape * np.array(geometry.periodic)
    steps = (second - first)[:, None, :] + images[None]
    return np.linalg.norm(steps @ geometry.primitive_vectors, axis=2).min(axis=1)


def distance_law(geometry: Geometry, exponent: float) -> tuple[np.ndarray, np.ndarray]:
    """All distances between pairs of nodes, and their weights under the law."""
    lower, upper = np.triu_indices(geometry.node_count, 1)
    everything = EdgeList(lower, upper, np.zeros(0), np.zeros(0))
    distance = shortest_distances(geometry, everything)
    distance = distance[distance > 1.0 + 1e-9]
    weight = distance**-exponent
    return distance, weight / weight.sum()


@pytest.mark.parametrize("exponent", [0.0, 2.0])
@pytest.mark.parametrize(
    ("kind", "shape", "periodic"),
    [
        ("chain", (600,), (True,)),
        ("square", (24, 25), (True,)),
        ("square", (24, 25), (False,)),
        ("square", (24, 25), (True, False)),
        ("triangular", (24, 25), (False,)),
        ("triangular", (24, 25), (True,)),
        ("cubic", (8, 9, 8), (True,)),
        ("bcc", (8, 9, 8), (True,)),
        ("fcc", (8, 9, 8), (True,)),
    ],
    ids=str,
)
def test_small_world_follows_the_distance_law(
    kind: str, shape: tuple[int, ...], periodic: tuple[bool, ...], exponent: float
) -> None:
    geometry = build_geometry(kind, shape, periodic)
    config = BridgesConfig("small_world", per_node=1, distance_exponent=exponent)
    draws = [build_small_world(geometry, config, seed) for seed in range(8)]
    found = np.sort(
        np.concatenate([shortest_distances(geometry, edges) for edges in draws])
    )
    distance, weight = distance_law(geometry, exponent)
    order = np.argsort(distance)
    cumulative = np.cumsum(weight[order])
    # Kolmogorov-Smirnov at each distance; 2.0 / sqrt(n) is passed by 999 of 1000.
    # Links are distinct, which thins out the near ones: of n / 8 links per draw a
    # share of at most n / 8 / pairs * (largest weight / mean weight) is a repeat.
    repeats = len(found) / 8 * (weight**2).sum()
    edge = np.unique(distance.round(9))
    law = np.interp(edge + 1e-6, distance[order], cumulative)
    share = np.searchsorted(found, edge + 1e-6) / len(found)
    assert np.abs(share - law).max() < 2.0 / np.sqrt(len(found)) + repeats


@pytest.mark.parametrize("kind", LATTICE_AXES)
def test_small_world_links_are_distinct_and_never_neighbours(kind: str) -> None:
    shape = {1: (50,), 2: (8, 9), 3: (4, 5, 5)}[LATTICE_AXES[kind]]
    geometry = build_geometry(kind, shape)
    edges = build_small_world(geometry, BridgesConfig("small_world", per_node=3), 1)
    assert len(edges) == 3 * geometry.node_count // 2
    table = build_neighbour_table(geometry)
    pairs = set()
    for source, target in zip(edges.sources, edges.targets, strict=True):
        assert target not in table[source]
        pairs.add(frozenset((int(source), int(target))))
    assert len(pairs) == len(edges)
    assert_layers_are_matchings(edges)


def test_open_boundaries_are_not_crossed() -> None:
    geometry = build_geometry("chain", (30,), (False,))
    edges = build_small_world(
        geometry, BridgesConfig("small_world", per_node=2, distance_exponent=6.0), 0
    )
    # A law this steep reaches 28 sites with the odds 28^-6; a wrap would make it 2.
    reach = np.abs(edges.sources.astype(int) - edges.targets.astype(int))
    assert reach.max() < 28


def test_too_many_links() -> None:
    geometry = build_geometry("chain", (6,), (False,))
    with pytest.raises(ConfigError, match="too many distinct small-world links"):
        build_small_world(geometry, BridgesConfig("small_world", per_node=10), 0)


def test_lattice_without_far_nodes() -> None:
    geometry = build_geometry("square", (3, 3))
    edges = build_small_world(geometry, BridgesConfig("small_world", per_node=1), 0)
    assert len(edges) == 4  # diagonals are still beyond the neighbours
    with pytest.raises(ConfigError, match="no two nodes beyond nearest neighbours"):
        build_small_world(
            build_geometry("chain", (3,)), BridgesConfig("small_world", per_node=1), 0
        )


BAD_EDGES: dict[str, tuple[Any, Any, Any, str]] = {
    "self loop": ([0, 1], [2, 1], [1, 1], "row 1 joins node 1 with itself"),
    "duplicate": ([0, 2, 5], [2, 0, 6], [1] * 3, "rows 0 and 1 join the same nodes"),
    "too large": ([0], [16], [1], "target of row 0 is 16; ids must lie in 0..15"),
    "negative": ([3, -1], [4, 5], [1, 1], "source of row 1 is -1"),
    "fraction": ([3, 0.5], [1, 2], [1, 1], "source of row 1 is 0.5; it must be a"),
    "nan": ([np.nan], [1], [1], "source of row 0 is nan; it must be a whole"),
    "infinite": ([np.inf], [1], [1], "source"),
    "beyond 64 bits": (np.array([2**63 + 3], np.uint64), [1], [1], "source of row 0"),
    "text": ([1], ["b"], [1], "target of row 0 is 'b'; it must be a whole"),
    "pairs": ([(0, 0)], [(0, 1)], [1], "whole numbers"),
    "boolean": (np.array([True]), [3], [1], "source of row 0 is True; it must be"),
    "lengths": ([0, 1], [2], [1], "2 sources, 1 targets and 1 strengths"),
    "strengths": ([0], [2], [1, 2], "1 sources, 1 targets and 2 strengths"),
    "negative strength": ([0], [2], [-2e12], "strength of row 0 is -2e+12 rad/s"),
    "nan strength": ([0], [2], [np.nan], "strength of row 0 is nan"),
    "infinite strength": ([0], [2], [np.inf], "strength of row 0 is inf"),
    "text strength": ([0], [2], np.array(["strong"]), "strength"),
    "square strength": ([0], [2], np.ones((1, 1)), "strength"),
    "scalar strength": ([0], [2], np.array(1.0), "strength"),
}


@pytest.mark.parametrize("name", BAD_EDGES)
def test_bad_edges(name: str) -> None:
    sources, targets, strengths, words = BAD_EDGES[name]
    with pytest.raises(ShapeError) as caught:
        take_edges(sources, targets, np.asarray(strengths), 16, "links.csv")
    message = str(caught.value)
    assert message.startswith("links.csv: ")
    assert words in message
    assert message.endswith(".")


BAD_FLAGS: dict[str, tuple[Any, str]] = {
    "numbers": ([0, 2], "row 1 is 2; it must be true or false, or 1 or 0"),
    "text": (["1", "no"], "row 1 is 'no'; it must be true or false"),
    "nan": ([0.0, np.nan], "row 1 is nan; it must be true or false"),
    "one": ([True], r"shape (1,)"),
    "number": (1, "type int64"),
}


@pytest.mark.parametrize("name", BAD_FLAGS)
def test_bad_flags(name: str) -> None:
    flags, words = BAD_FLAGS[name]
    with pytest.raises(ShapeError) as caught:
        take_edges(
            [0, 1], [2, 3], np.ones(2), 16, "links.csv", directed=np.array(flags)
        )
    assert str(caught.value).startswith("links.csv: the flag")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "is_good"),
    [
        ("1>2 2>1", True),
        ("2>1 1>2 3>1 1>3", True),
        ("1>2 1>2", False),
        ("1>2 2>1 1>2", False),
        ("1>2 2-1", False),
        ("2>1 1-2", False),
        ("1-2 2>1 1>2", False),
        ("1-2 2-1", False),
    ],
)
def test_only_directed_bridges_go_back_and_forth(rows: str, is_good: bool) -> None:
    words = rows.split()
    sources, targets = ([int(word[at]) for word in words] for at in (0, 2))
    flags = np.array([">" in word for word in words])

    def take() -> EdgeList:
        strengths = np.ones(len(words))
        return take_edges(sources, targets, strengths, 16, directed=flags)

    if is_good:
        edges = take()
        assert edges.sources.tolist() == sources
        assert edges.directed.all()
        assert_layers_are_matchings(edges)
        return
    with pytest.raises(ShapeError, match="join the same nodes") as caught:
        take()
    assert "only directed bridges may go back and forth" in str(caught.value)


def test_strengths_may_be_negative_and_flags_numbers() -> None:
    edges = take_edges(
        [0, 1], [2, 3], np.array([-2.5, 1.0]), 16, directed=np.array([0.0, 1.0])
    )
    assert edges.strengths_rad_s.tolist() == [-2.5, 1.0]
    assert edges.directed.tolist() == [False, True]
    everywhere = take_edges([0, 1], [2, 3], np.ones(2), 16, directed=True)
    assert everywhere.directed.tolist() == [True, True]


def test_strengths_are_drawn_by_their_law() -> None:
    config = BridgesConfig(per_node=4, strength_rad_s=30.0, strength_spread_rad_s=10.0)
    first, again, other = (
        build_matchings(10_000, config, seed).strengths_rad_s for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    # Kolmogorov and Smirnov; a correct law fails once in a million choices of seeds.
    assert stats.kstest(first, stats.norm(30.0, 10.0).cdf).pvalue > 1e-6
    flipped = replace(config, repulsive_share=0.25)
    drawn = build_matchings(10_000, flipped, 0).strengths_rad_s
    assert np.array_equal(np.abs(drawn), np.abs(first))
    is_flipped = drawn != first
    # Five standard errors of a share.
    assert is_flipped.mean() == pytest.approx(0.25, abs=5 * 0.433 / 20_000**0.5)
    assert abs(np.corrcoef(is_flipped, first)[0, 1]) < 5 / 20_000**0.5


def test_equal_strengths_are_exact() -> None:
    for share, strength in ((0.0, 0.1), (1.0, -0.1)):
        config = BridgesConfig(strength_rad_s=0.1, repulsive_share=share)
        strengths = build_matchings(64, config, 0).strengths_rad_s
        assert (strengths == np.float32(strength)).all()


def test_strengths_beyond_all_bounds() -> None:
    config = BridgesConfig(strength_rad_s=1e12, strength_spread_rad_s=1e11)
    with pytest.raises(ConfigError, match=r"strength_spread_rad_s\.$"):
        build_matchings(64, config, 0)


@pytest.mark.parametrize("directed", [False, True])
def test_small_world_has_strengths_and_directions(directed: bool) -> None:
    geometry = build_geometry("square", (20, 20))
    config = BridgesConfig(
        "small_world", directed=directed, strength_rad_s=0.0, strength_spread_rad_s=3.0
    )
    edges = build_small_world(geometry, config, 2)
    assert (edges.directed == directed).all()
    assert 2.5 < edges.strengths_rad_s.std() < 3.5
    upwards = (edges.sources < edges.targets).mean()
    # Keys put the lower node first; directions are drawn anew, five standard errors.
    assert upwards == 1.0 if not directed else abs(upwards - 0.5) < 2.5 / 800**0.5
    plain = build_small_world(geometry, replace(config, directed=False), 2)
    assert np.array_equal(
        np.minimum(edges.sources, edges.targets),
        np.minimum(plain.sources, plain.targets),
    )


def test_good_edges_keep_their_order_and_orientation() -> None:
    edges = take_edges([3.0, 0, 7], [1, 2, 3], np.array([1, 2, 3]), 16)
    assert edges.sources.tolist() == [3, 0, 7]
    assert edges.targets.tolist() == [1, 2, 3]
    assert edges.strengths_rad_s.tolist() == [1.0, 2.0, 3.0]
    assert (edges.sources.dtype, edges.strengths_rad_s.dtype) == (np.uint32, np.float32)
    assert_layers_are_matchings(edges)


def test_no_edges() -> None:
    edges = take_edges([], [], np.zeros(0), 16)
    assert len(edges) == 0
    assert (
        len(build_edges(build_geometry("chain", (4,)), BridgesConfig("none"), 0)) == 0
    )


@st.composite
def graphs(draw: Callable[..., Any]) -> networkx.Graph:
    count = draw(st.integers(2, 14))
    pairs = [(i, j) for i in range(count) for j in range(i)]
    graph = networkx.empty_graph(count)
    graph.add_edges_from(draw(st.lists(st.sampled_from(pairs), unique=True)))
    return graph


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_colouring_is_valid_and_thrifty(graph: networkx.Graph) -> None:
    ends_ = np.array(graph.edges, dtype=np.int64).reshape(-1, 2)
    layers = colour_edges(ends_[:, 0], ends_[:, 1], len(graph))
    edges = EdgeList(ends_[:, 0], ends_[:, 1], np.zeros(0), layers)
    assert_layers_are_matchings(edges)
    degree = max((d for _, d in graph.degree), default=0)
    assert len(set(layers)) <= max(2 * degree - 1, 0)
    assert set(layers) == set(range(len(set(layers))))


def test_moved_bridges_stay_matchings() -> None:
    edges = build_matchings(16, BridgesConfig(per_node=2), 0)
    one, other = (int(edges.targets[row]) for row in (0, 1))
    moved = edges.move(np.array([0, 1]), edges.sources[:2], np.array([other, one]))
    assert moved.targets[:2].tolist() == [other, one]
    assert (moved.targets[2:] == edges.targets[2:]).all()
    assert edges.targets[0] == one  # the list itself is as it was
    with pytest.raises(ShapeError, match=rf"node {other} .* layer 0 \(1 such nodes\)"):
        edges.move(np.array([0]), edges.sources[:1], np.array([other]))
