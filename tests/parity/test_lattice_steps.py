"""A lattice step is the same on every back end, within the float32 step error."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from engine.backends.philox import draw_words
from engine.backends.protocol import TABLEAUS, Backend, LatticeState
from engine.config import LATTICE_AXES
from engine.geometry import Geometry, build_geometry
from tests.parity.bounds import distance_turns, grow, step_error

STEPS = 100
DT_S = 0.00025
SHAPES = {1: (37,), 2: (6, 9), 3: (3, 5, 7)}
BOUNDARIES = [
    (kind, periodic)
    for kind, axes in LATTICE_AXES.items()
    for periodic in itertools.product((True, False), repeat=axes)
]


def build_state(backend: Backend, geometry: Geometry) -> LatticeState:
    """Random phases and detunings; K so that neighbours pull by 1 rad in all."""
    phases, words, _, _ = draw_words(5, 1, geometry.node_count)
    detunings = (words.astype(np.float64) / 2.0**32 - 0.5).astype(np.float32) * 200
    coupling = 1.0 / (len(geometry.offsets) * STEPS * DT_S)
    return backend.build_lattice(geometry, phases, detunings, coupling)


def advance(
    backend: Backend, geometry: Geometry, integrator: str
) -> tuple[LatticeState, np.ndarray]:
    state = build_state(backend, geometry)
    for _ in range(STEPS):
        backend.step_lattice(state, TABLEAUS[integrator], DT_S)
    return state, backend.read_phases(state)


def error_bound(state: LatticeState, integrator: str) -> float:
    # The rate's Jacobian has the row sum 2 z K, which makes exp(2) over the run.
    # A stage of rk2 or rk4 starts from phases that are off by one step's error,
    # which dt * 2 z K = 0.02 hardly amplifies, and adds the collector's roundings.
    stages = 1.0 if integrator == "euler" else 2.0
    return grow(stages * step_error(state, DT_S), STEPS, growth=2.0)


@pytest.mark.parametrize("integrator", ["euler", "rk2", "rk4"])
@pytest.mark.parametrize(("kind", "periodic"), BOUNDARIES, ids=str)
def test_hundred_steps(
    binary_backend: Backend,
    reference: Backend,
    kind: str,
    periodic: tuple[bool, ...],
    integrator: str,
) -> None:
    geometry = build_geometry(kind, SHAPES[LATTICE_AXES[kind]], periodic)
    _, exact = advance(reference, geometry, integrator)
    state, phases = advance(binary_backend, geometry, integrator)
    assert distance_turns(phases, exact) < error_bound(state, integrator)


@pytest.mark.parametrize(
    ("kind", "shape", "periodic"),
    [
        ("chain", (2,), (False,)),
        ("chain", (3,), (True,)),
        ("chain", (9000,), (True,)),
        ("square", (2, 2), (False,)),
        ("square", (2, 3), (False, True)),
        ("square", (3, 2), (True, False)),
        ("triangular", (2, 2), (False,)),
        ("triangular", (3, 3), (True,)),
        ("cubic", (2, 2, 2), (False,)),
        ("bcc", (3, 2, 3), (True, False, True)),
        ("bcc", (2, 3, 2), (False, True, False)),
        ("fcc", (3, 3, 3), (True,)),
        ("fcc", (2, 2, 2), (False,)),
    ],
    ids=str,
)
def test_smallest_and_longest_shapes(
    binary_backend: Backend,
    reference: Backend,
    kind: str,
    shape: tuple[int, ...],
    periodic: tuple[bool, ...],
) -> None:
    geometry = build_geometry(kind, shape, periodic)
    _, exact = advance(reference, geometry, "rk2")
    state, phases = advance(binary_backend, geometry, "rk2")
    assert distance_turns(phases, exact) < error_bound(state, "rk2")


def test_integrators_differ_by_more_than_rounding(reference: Backend) -> None:
    # Otherwise the parity of one scheme would prove nothing about the others.
    geometry = build_geometry("square", (6, 9))
    state, euler = advance(reference, geometry, "euler")
    _, rk2 = advance(reference, geometry, "rk2")
    assert distance_turns(euler, rk2) > error_bound(state, "rk2")


def test_phases_survive_write_and_read(backend: Backend) -> None:
    geometry = build_geometry("square", (4, 6))
    state = build_state(backend, geometry)
    phases = draw_words(9, 1, geometry.node_count)[0]
    phases[:4] = 0, 1, 2**31, 2**32 - 1
    backend.write_phases(state, phases)
    assert np.array_equal(backend.read_phases(state), phases)
