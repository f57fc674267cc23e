"""Order parameter, local coherence, vortices and windings on every back end."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from engine.backends.philox import draw_words
from engine.backends.protocol import Backend, LatticeState
from engine.config import LATTICE_AXES
from engine.geometry import Geometry, build_geometry
from tests.parity.bounds import SINE_ERROR

SHAPES = {1: [(7,)], 2: [(5, 8), (3, 3)], 3: [(4, 3, 5), (3, 3, 3)]}
BOXES = [
    (kind, shape, periodic)
    for kind, axes in LATTICE_AXES.items()
    for shape in SHAPES[axes]
    for periodic in itertools.product((True, False), repeat=axes)
]


def build_state(backend: Backend, geometry: Geometry, seed: int = 4) -> LatticeState:
    phases = draw_words(seed, 1, geometry.node_count)[0]
    zeros = np.zeros(geometry.node_count, np.float32)
    return backend.build_lattice(geometry, phases, zeros, 0.0)


@pytest.mark.parametrize(("kind", "shape", "periodic"), BOXES, ids=str)
def test_random_phases(
    binary_backend: Backend,
    reference: Backend,
    kind: str,
    shape: tuple[int, ...],
    periodic: tuple[bool, ...],
) -> None:
    geometry = build_geometry(kind, shape, periodic)
    exact, state = (
        build_state(reference, geometry),
        build_state(binary_backend, geometry),
    )
    # Means of cosines, each off by SINE_ERROR and half a unit of 2^-30.
    error = SINE_ERROR + 2.0**-31
    assert binary_backend.order_parameter(state) == pytest.approx(
        reference.order_parameter(exact), abs=2.0 * error
    )
    assert binary_backend.local_coherence(state) == pytest.approx(
        reference.local_coherence(exact), abs=error
    )
    assert binary_backend.vortex_count(state) == reference.vortex_count(exact)
    # Exact in integers; in float64 a sum over the nodes is rounded.
    assert binary_backend.winding_numbers(state) == pytest.approx(
        reference.winding_numbers(exact), abs=1e-12
    )


def test_aligned_phases_are_fully_coherent(backend: Backend) -> None:
    geometry = build_geometry("triangular", (4, 6))
    state = build_state(backend, geometry)
    backend.write_phases(state, np.full(24, 2**30, np.uint32))
    assert backend.order_parameter(state) == pytest.approx(1j, abs=SINE_ERROR)
    assert backend.local_coherence(state) == pytest.approx(1.0, abs=SINE_ERROR)
    assert backend.vortex_count(state) == 0
    assert backend.winding_numbers(state) == (0.0, 0.0)


@pytest.mark.parametrize("turns", [1, -2])
@pytest.mark.parametrize("axis", [0, 1])
def test_plane_wave_winds_along_its_axis(
    backend: Backend, axis: int, turns: int
) -> None:
    geometry = build_geometry("square", (16, 16))
    ramp = np.arange(16) * turns * 2**28
    index = np.meshgrid(ramp, ramp, indexing="ij")[axis]
    state = build_state(backend, geometry)
    backend.write_phases(state, (index % 2**32).astype(np.uint32).ravel())
    expected = [0.0, 0.0]
    expected[axis] = float(turns)
    assert backend.winding_numbers(state) == pytest.approx(expected, abs=1e-12)
    assert backend.vortex_count(state) == 0
    assert abs(backend.order_parameter(state)) < 2.0 * SINE_ERROR


def test_open_axis_has_no_winding(backend: Backend) -> None:
    geometry = build_geometry("square", (16, 16), (True, False))
    state = build_state(backend, geometry)
    assert backend.winding_numbers(state)[1] == 0.0


@pytest.mark.parametrize(
    ("kind", "shape", "vortices"),
    [
        ("square", (2, 2), 1),  # one plaquette
        ("square", (6, 6), 1),
        ("triangular", (6, 6), 1),
        ("cubic", (6, 6, 3), 3),  # a vortex line through three planes
    ],
)
def test_one_vortex_is_counted_once(
    backend: Backend, kind: str, shape: tuple[int, ...], vortices: int
) -> None:
    geometry = build_geometry(kind, shape, (False,))
    index = np.indices(shape).reshape(len(shape), -1).T
    place = index @ geometry.primitive_vectors
    # The core lies inside a plaquette, off every edge.
    core = (np.array(shape) / 2.0 - 0.6) @ geometry.primitive_vectors
    x, y = (place - core).T[:2]
    turns = np.arctan2(y, x) / (2.0 * np.pi) % 1.0
    state = build_state(backend, geometry)
    backend.write_phases(state, (turns * 2.0**32).astype(np.uint32))
    assert backend.vortex_count(state) == vortices


def test_chain_has_no_plaquettes(backend: Backend) -> None:
    assert (
        backend.vortex_count(build_state(backend, build_geometry("chain", (9,)))) == 0
    )
