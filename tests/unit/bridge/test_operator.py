"""The stencil equals the matrix that it stands for, and its solution a dense one."""

from __future__ import annotations

import numpy as np
import pytest

from engine.bridge.operator import CouplingOperator
from engine.config import LATTICE_AXES
from engine.geometry import build_geometry, build_neighbour_table

SHAPES = {1: (12,), 2: (4, 6), 3: (3, 4, 4)}


def build_operator(kind: str, *, is_periodic: bool) -> CouplingOperator:
    geometry = build_geometry(kind, SHAPES[LATTICE_AXES[kind]], (is_periodic,))
    ends = np.random.default_rng(1).permutation(geometry.node_count)
    half = geometry.node_count // 2
    return CouplingOperator(geometry, ends[:half], ends[half : 2 * half])


def draw_weights(operator: CouplingOperator) -> np.ndarray:
    exists = operator.mark_edges()
    return exists * np.random.default_rng(2).uniform(0.5, 2.0, len(exists))


def build_dense(operator: CouplingOperator, weights: np.ndarray) -> np.ndarray:
    """Add edge after edge, found in the neighbour table, into a matrix."""
    geometry, nodes = operator.geometry, operator.node_count
    table = build_neighbour_table(geometry)[:, ::2]
    edges = [
        (node, table[node, row], weights[row * nodes + node])
        for row in range(table.shape[1])
        for node in range(nodes)
        if table[node, row] >= 0
    ]
    bridges = weights[operator.lattice_count :]
    edges += zip(operator.sources, operator.targets, bridges, strict=True)
    dense = np.zeros((nodes, nodes))
    for first, second, weight in edges:
        dense[first, first] += weight
        dense[second, second] += weight
        dense[first, second] -= weight
        dense[second, first] -= weight
    return dense


@pytest.mark.parametrize("is_periodic", [True, False])
@pytest.mark.parametrize("kind", LATTICE_AXES)
def test_operator_is_its_matrix(kind: str, is_periodic: bool) -> None:
    operator = build_operator(kind, is_periodic=is_periodic)
    assert operator.mark_edges().sum() == (
        operator.geometry.edge_count + operator.bridge_count
    )
    weights = draw_weights(operator)
    applied = np.stack(
        [operator.apply(weights, unit) for unit in np.eye(operator.node_count)], axis=1
    )
    np.testing.assert_allclose(applied, build_dense(operator, weights), atol=1e-12)


@pytest.mark.parametrize("is_periodic", [True, False])
@pytest.mark.parametrize("kind", LATTICE_AXES)
def test_solution_is_that_of_the_matrix(kind: str, is_periodic: bool) -> None:
    operator = build_operator(kind, is_periodic=is_periodic)
    weights = draw_weights(operator)
    rates = np.random.default_rng(3).normal(size=operator.node_count)
    rates -= rates.mean()
    start = np.zeros_like(rates)
    solution, is_solved = operator.solve(weights, rates, start, tolerance=1e-12)
    exact = np.linalg.pinv(build_dense(operator, weights)) @ rates
    assert is_solved
    np.testing.assert_allclose(solution, exact, atol=1e-10)


def test_anchor_adds_to_the_diagonal() -> None:
    operator = build_operator("square", is_periodic=False)
    weights = draw_weights(operator)
    rates = np.random.default_rng(3).normal(size=operator.node_count)
    rates -= rates.mean()
    start = np.full_like(rates, 0.1)
    solution, is_solved = operator.solve(
        weights, rates, start, tolerance=1e-12, anchor_rad_s=0.7
    )
    dense = build_dense(operator, weights) + 0.7 * np.eye(operator.node_count)
    assert is_solved
    # The anchor pulls towards the mean, so the start's own mean does not matter.
    np.testing.assert_allclose(solution, np.linalg.solve(dense, rates), atol=1e-10)


def test_oscillators_that_nothing_holds_have_no_solution() -> None:
    operator = build_operator("square", is_periodic=True)
    rates = np.linspace(-1.0, 1.0, operator.node_count)
    weights = np.zeros(len(operator.mark_edges()))
    assert not operator.solve(weights, rates, 0.0 * rates, tolerance=1e-6)[1]
