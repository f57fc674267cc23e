"""Waves on the lattices: decay rates, twisted rings, and what detunings cost."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.backends.protocol import TABLEAUS, Backend, LatticeState
from engine.backends.reference import wrap_angle
from engine.config import LATTICE_AXES
from engine.crystal import LatticeConfig, draw_detunings
from engine.geometry import Geometry, build_geometry

COUPLING_RAD_S = 10.0
MODES = [
    ("chain", (16,), (1,)),
    ("chain", (16,), (3,)),
    ("square", (8, 10), (1, 2)),
    ("triangular", (8, 10), (1, 2)),
    ("triangular", (8, 10), (1, -2)),
    ("cubic", (6, 8, 5), (1, 2, 1)),
    ("bcc", (6, 8, 5), (1, 2, 1)),
    ("bcc", (6, 8, 5), (1, -1, 0)),
    ("fcc", (6, 8, 5), (1, 2, 1)),
    ("fcc", (6, 8, 5), (0, 1, -1)),
]


def mode_angles(geometry: Geometry, mode: tuple[int, ...]) -> np.ndarray:
    """k . x at every site [rad]."""
    index = np.indices(geometry.shape).reshape(len(mode), -1)
    waves = 2.0 * np.pi * np.array(mode) / np.array(geometry.shape)
    return waves @ index


def eigenvalue(geometry: Geometry, mode: tuple[int, ...]) -> float:
    """lambda_k = sum over offset pairs of 2 (1 - cos k . a)."""
    waves = 2.0 * np.pi * np.array(mode) / np.array(geometry.shape)
    return sum(
        2.0 * (1.0 - math.cos(waves @ np.array(offset)))
        for offset in geometry.half_offsets
    )


def build_wave(
    backend: Backend, geometry: Geometry, phases_rad: np.ndarray
) -> LatticeState:
    zeros = np.zeros(geometry.node_count, np.float32)
    binary = np.rint(phases_rad / (2.0 * np.pi) % 1.0 * 2.0**32) % 2**32
    return backend.build_lattice(
        geometry, binary.astype(np.uint32), zeros, COUPLING_RAD_S
    )


def measure_rate(
    backend: Backend, geometry: Geometry, mode: tuple[int, ...], amplitude: float
) -> float:
    """Decay rate of a cosine wave over about one decay time [1/s]."""
    pattern = np.cos(mode_angles(geometry, mode))
    state = build_wave(backend, geometry, amplitude * pattern)
    steps = 20
    seconds = 1.0 / (COUPLING_RAD_S * eigenvalue(geometry, mode))
    sizes = [project(backend.read_phases(state), pattern)]
    for _ in range(steps):
        backend.step_lattice(state, TABLEAUS["rk4"], seconds / steps)
    sizes.append(project(backend.read_phases(state), pattern))
    return math.log(sizes[0] / sizes[1]) / seconds


def project(phases: np.ndarray, pattern: np.ndarray) -> float:
    radians = phases.astype(np.int32) * (2.0 * np.pi / 2.0**32)
    return float(radians @ pattern / (pattern @ pattern))


@pytest.mark.parametrize(("kind", "shape", "mode"), MODES, ids=str)
def test_mode_decay_on_the_reference(
    kind: str, shape: tuple[int, ...], mode: tuple[int, ...], reference: Backend
) -> None:
    geometry = build_geometry(kind, shape)
    rate = measure_rate(reference, geometry, mode, amplitude=1e-3)
    # The sine's cubic term counts 1e-6, binary angles 1e-9 / 1e-3, rk4 at
    # K lambda dt = 1/20 some (1/20)^4 / 120.
    expected = COUPLING_RAD_S * eigenvalue(geometry, mode)
    assert rate == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("kind", "shape", "mode"), MODES, ids=str)
def test_mode_decay_on_binary_angles(
    kind: str, shape: tuple[int, ...], mode: tuple[int, ...], binary_backend: Backend
) -> None:
    geometry = build_geometry(kind, shape)
    rate = measure_rate(binary_backend, geometry, mode, amplitude=0.01)
    # The cubic term counts (2 * 0.01)^2 / 6 = 7e-5; of a difference of sines of 0.01
    # float32 keeps 5 digits, and up to 12 such errors average out over the wave.
    expected = COUPLING_RAD_S * eigenvalue(geometry, mode)
    assert rate == pytest.approx(expected, rel=5e-4)


@pytest.mark.parametrize("turns", [3, -5, 15])
def test_twisted_ring_is_a_fixed_point(turns: int, backend: Backend) -> None:
    # 64 sites, abs(q) < L/4 = 16: stable, with r = 0 and q turns.
    geometry = build_geometry("chain", (64,))
    state = build_wave(backend, geometry, mode_angles(geometry, (turns,)))
    before = backend.read_phases(state)
    for _ in range(1000):
        backend.step_lattice(state, TABLEAUS["euler"], 0.001)
    assert backend.winding_numbers(state) == pytest.approx((float(turns),), abs=1e-12)
    assert abs(backend.order_parameter(state)) < 1e-6
    # A pull is off by 4e-7 in float32: over 1000 steps of K dt = 0.01 at most 4e-6
    # rad, were it always to one side; differences are pulled back besides.
    drift = (backend.read_phases(state) - before).astype(np.int32)
    assert np.abs(drift).max() * (2.0 * np.pi / 2.0**32) < 10.0 * 4e-7


@pytest.mark.parametrize("turns", [0, 3, 15])
def test_twisted_ring_decays_with_its_own_rate(turns: int, reference: Backend) -> None:
    geometry, mode, amplitude = build_geometry("chain", (64,)), (2,), 1e-3
    twist = mode_angles(geometry, (turns,))
    pattern = np.cos(mode_angles(geometry, mode))
    state = build_wave(reference, geometry, twist + amplitude * pattern)
    stiffness = COUPLING_RAD_S * math.cos(2.0 * np.pi * turns / 64)
    seconds = 1.0 / (stiffness * eigenvalue(geometry, mode))
    for _ in range(400):
        reference.step_lattice(state, TABLEAUS["rk4"], seconds / 400)
    left = wrap_angle(state.phases - twist) @ pattern / (pattern @ pattern)
    # Next to the twist the sine has a square term too, tan(2 pi q / 64) times the
    # mode's slope: 10 * 2e-4 at q = 15, but it makes another mode, not this one.
    assert left == pytest.approx(amplitude / math.e, rel=1e-4)


def test_too_strong_a_twist_unwinds(reference: Backend) -> None:
    geometry = build_geometry("chain", (64,))
    rng = np.random.default_rng(0)
    twist = mode_angles(geometry, (20,)) + 1e-3 * rng.standard_normal(64)
    state = build_wave(reference, geometry, twist)
    for _ in range(3000):
        reference.step_lattice(state, TABLEAUS["euler"], 0.02)
    assert abs(reference.winding_numbers(state)[0]) < 16


@pytest.mark.parametrize("kind", LATTICE_AXES)
def test_coherence_of_a_locked_lattice(kind: str, backend: Backend) -> None:
    # Strong coupling: L theta = omega / K, so r = 1 - J/2 with J = |L^+ omega|^2 / N
    # up to J^2 (Skardal, Taylor, Sun 2014).
    shape = {1: (12,), 2: (8, 6), 3: (4, 6, 4)}[LATTICE_AXES[kind]]
    config = LatticeConfig(kind=kind, shape=shape, spread_hz=0.02, mean_frequency_hz=1)
    geometry = build_geometry(kind, shape)
    detunings = draw_detunings(config, 0)
    state = build_wave(backend, geometry, np.zeros(geometry.node_count))
    state = backend.build_lattice(
        geometry, backend.read_phases(state), detunings, COUPLING_RAD_S
    )
    # The slowest mode decays with K lambda >= 10 * 0.27 per second: 8 s are 21 times.
    for _ in range(2000):
        backend.step_lattice(state, TABLEAUS["euler"], 0.004)
    modes = np.array(list(np.ndindex(*shape)))[1:]
    waves = np.fft.fftn(2.0 * np.pi * detunings.astype(np.float64).reshape(shape))
    rates = [COUPLING_RAD_S * eigenvalue(geometry, tuple(mode)) for mode in modes]
    sizes = np.abs(waves.ravel()[1:]) / np.array(rates)
    alignment = float((sizes**2).sum()) / geometry.node_count**2
    assert 1e-6 < alignment < 0.01
    found = abs(backend.order_parameter(state))
    assert 1.0 - found == pytest.approx(alignment / 2.0, abs=2.0 * alignment**2 + 3e-7)
