"""The alignment function and its gradient, against dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest

from engine.bridge import BareLattice, build_matchings
from engine.config import BridgesConfig
from engine.geometry import build_geometry, build_neighbour_table

COUPLING_RAD_S = 216.0


def build_lattice(shape: tuple[int, ...] = (6, 6)) -> BareLattice:
    geometry = build_geometry("square", shape, (True,))
    detunings = np.random.default_rng(5).normal(0.0, 34.4, geometry.node_count)
    return BareLattice(geometry, detunings + 3.0, COUPLING_RAD_S)


def find_dense(
    lattice: BareLattice, bridges: list[tuple[int, int, float]]
) -> tuple[float, np.ndarray]:
    """Return J and the phases by dense algebra."""
    nodes = lattice.geometry.node_count
    table = build_neighbour_table(lattice.geometry)
    dense = np.zeros((nodes, nodes))
    for node in range(nodes):
        dense[node, node] += lattice.coupling_rad_s * len(table[node])
        np.add.at(dense[node], table[node], -lattice.coupling_rad_s)
    for source, target, stiffness in bridges:
        dense[[source, target], [source, target]] += stiffness
        dense[[source, target], [target, source]] -= stiffness
    # Any constant matrix may be added: rates and phases have mean 0.
    phases = np.linalg.solve(dense + 1.0, lattice.rates)
    return float((phases**2).mean()), phases


def test_state_is_that_of_the_matrix() -> None:
    lattice = build_lattice()
    edges = build_matchings(36, BridgesConfig(per_node=3), 1)
    stiffnesses = np.random.default_rng(6).uniform(1.0, 90.0, len(edges))
    state = lattice.align(edges.sources, edges.targets, stiffnesses, tolerance=1e-12)
    exact, phases = find_dense(
        lattice, list(zip(edges.sources, edges.targets, stiffnesses, strict=True))
    )
    assert state.is_solved
    assert state.misalignment == pytest.approx(exact, rel=1e-10)
    np.testing.assert_allclose(state.phases, phases, atol=1e-10)
    assert state.coherence == pytest.approx(abs(np.exp(1j * phases).mean()), rel=1e-10)


def test_gain_is_the_slope_of_the_misalignment() -> None:
    lattice = build_lattice()
    edges = build_matchings(36, BridgesConfig(per_node=2), 1)
    bridges = [(s, t, 50.0) for s, t in zip(edges.sources, edges.targets, strict=True)]
    state = lattice.align(
        edges.sources, edges.targets, np.full(len(edges), 50.0), tolerance=1e-12
    )
    # A bridge that exists, two that do not, and one that spans no gap at all.
    ends = [(int(edges.sources[4]), int(edges.targets[4])), (0, 17), (8, 30), (5, 5)]
    first, second = np.array(ends).T
    step = 1e-3  # the third derivative, J / (50 rad/s)^3, leaves 1e-11 of the slope
    for (source, target), gain in zip(
        ends, state.find_gains(first, second), strict=True
    ):
        up, down = (
            find_dense(lattice, [*bridges, (source, target, sign * step)])[0]
            for sign in (1.0, -1.0)
        )
        # Both J carry the rounding of a dense solution, some 1e-15 each.
        assert gain == pytest.approx((down - up) / (2.0 * step), rel=1e-6, abs=1e-11)


def test_start_does_not_change_the_state() -> None:
    lattice = build_lattice()
    edges = build_matchings(36, BridgesConfig(per_node=2), 1)
    ends = edges.sources, edges.targets
    soft, hard = (
        lattice.align(*ends, np.full(len(edges), k), tolerance=1e-11) for k in (5, 80)
    )
    again = lattice.align(*ends, np.full(len(edges), 80), start=soft, tolerance=1e-11)
    np.testing.assert_allclose(again.phases, hard.phases, atol=1e-9)
    np.testing.assert_allclose(again.answers, hard.answers, atol=1e-11)


def test_mean_pull_is_an_anchor() -> None:
    lattice = build_lattice()
    # A plane wave is an eigenvector of the lattice: J = sigma^2 / (K lambda + m)^2.
    across = np.cos(2.0 * np.pi * np.arange(6) / 6.0)
    lattice.rates = np.repeat(across, 6)
    eigenvalue = COUPLING_RAD_S * (2.0 - 2.0 * np.cos(2.0 * np.pi / 6.0))
    for anchor in (1.0, 100.0):
        found = lattice.find_misalignment(anchor, tolerance=1e-12)
        assert found == pytest.approx(0.5 / (eigenvalue + anchor) ** 2, rel=1e-10)


def test_oscillators_alike_are_aligned() -> None:
    lattice = BareLattice(build_geometry("square", (6, 6)), np.zeros(36), 216.0)
    edges = build_matchings(36, BridgesConfig(per_node=2), 1)
    state = lattice.align(edges.sources, edges.targets, np.full(len(edges), 50.0))
    assert state.is_solved
    assert state.misalignment == 0.0
    assert state.coherence == 1.0
    assert not state.scores.any()
