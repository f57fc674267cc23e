"""Phase lag, mean field, noise and inertia are the same on every back end."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.backends.philox import Stream, draw_words
from engine.backends.protocol import TABLEAUS, Backend, LatticeState, Motion
from engine.geometry import build_geometry
from tests.parity.bounds import SINE_ERROR, U, distance_turns, grow, step_error

STEPS = 50
DT_S = 0.00025
NOISE_KEY = (3, Stream.NOISE)
# In a run of STEPS steps neighbours pull by 1 rad in all.
TOTAL_COUPLING = 1.0 / (STEPS * DT_S)
INERTIA_S = 0.004
DIFFUSION = 20.0
LAGS = [0.0, 0.7, -2.5]
NORMAL_ERROR = 7.0 * 4.0 * SINE_ERROR
"""Error of a normal number: its length, at most 6.8, and its cosine are off by a few
SINE_ERROR each, relative to 1."""


def build_state(backend: Backend, motion: Motion, nodes: int = 9) -> LatticeState:
    geometry = build_geometry("triangular", (7, nodes))
    phases, words, _, _ = draw_words(5, 1, geometry.node_count)
    detunings = (words.astype(np.float64) / 2.0**32 - 0.5).astype(np.float32) * 200
    neighbours = 1 if motion.is_global else len(geometry.offsets)
    coupling = TOTAL_COUPLING / neighbours
    return backend.build_lattice(geometry, phases, detunings, coupling, motion)


def move(
    backend: Backend, motion: Motion, integrator: str, steps: int = STEPS
) -> LatticeState:
    state = build_state(backend, motion)
    backend.move_lattice(state, TABLEAUS[integrator], DT_S, steps)  # type: ignore[attr-defined]
    return state


def assert_near(
    backend: Backend, reference: Backend, motion: Motion, integrator: str
) -> None:
    """Compare the phases after `STEPS` steps within the errors that are known."""
    exact, state = (move(b, motion, integrator) for b in (reference, backend))
    # The mean of cosines is off by SINE_ERROR, as is that of six neighbours; rotating
    # by the lag adds two roundings and a product of two. Three times covers all. rk2
    # and rk4 double it, see test_lattice_steps.
    error = 6.0 * step_error(state, DT_S)
    if motion.diffusion_rad2_s and not motion.inertia_s:
        width = math.sqrt(2.0 * motion.diffusion_rad2_s * DT_S) / (2.0 * math.pi)
        error += width * NORMAL_ERROR + 2.0**-33
    if motion.inertia_s:
        # A velocity is rounded once per step at some 100 Hz, and remembers
        # inertia / dt = 16 steps; the rate is known to 2^-33 turns per step.
        error += 16.0 * (3.0 * U * 150.0 * DT_S + 2.0**-33)
        ratio = math.sqrt(motion.diffusion_rad2_s / motion.inertia_s)
        error += ratio * DT_S * NORMAL_ERROR
    bound = grow(error, STEPS, growth=2.0)
    assert bound < 1e-3
    phases = backend.read_phases(state)
    assert distance_turns(phases, reference.read_phases(exact)) < bound


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("is_global", [False, True])
@pytest.mark.parametrize("integrator", ["euler", "rk2", "rk4"])
def test_lag_and_mean_field(
    binary_backend: Backend,
    reference: Backend,
    integrator: str,
    is_global: bool,
    lag: float,
) -> None:
    motion = Motion(lag_rad=lag, is_global=is_global)
    assert_near(binary_backend, reference, motion, integrator)


def test_mean_field_changes_integrators(
    binary_backend: Backend, reference: Backend
) -> None:
    motion, phases = Motion(is_global=True), []
    for backend in (reference, binary_backend):
        state = build_state(backend, motion)
        for integrator in ("euler", "rk4", "rk2"):
            backend.move_lattice(state, TABLEAUS[integrator], DT_S, 5)  # type: ignore[attr-defined]
        phases.append(backend.read_phases(state))
    bound = grow(6.0 * step_error(state, DT_S), 15, growth=0.6)
    assert distance_turns(*phases) < bound


@pytest.mark.parametrize("integrator", ["euler", "rk4"])
def test_noise(binary_backend: Backend, reference: Backend, integrator: str) -> None:
    motion = Motion(diffusion_rad2_s=DIFFUSION, noise_key=NOISE_KEY)
    assert_near(binary_backend, reference, motion, integrator)


@pytest.mark.parametrize("diffusion", [0.0, DIFFUSION])
@pytest.mark.parametrize("is_global", [False, True])
def test_inertia(
    binary_backend: Backend, reference: Backend, is_global: bool, diffusion: float
) -> None:
    motion = Motion(0.3, is_global, INERTIA_S, diffusion, NOISE_KEY)
    assert_near(binary_backend, reference, motion, "leapfrog")


def test_each_of_them_matters(reference: Backend) -> None:
    # Otherwise their parity would prove nothing.
    motions = [
        Motion(),
        Motion(lag_rad=0.7),
        Motion(is_global=True),
        Motion(diffusion_rad2_s=DIFFUSION, noise_key=NOISE_KEY),
        Motion(inertia_s=INERTIA_S),
        Motion(inertia_s=INERTIA_S, diffusion_rad2_s=DIFFUSION, noise_key=NOISE_KEY),
    ]
    found = [reference.read_phases(move(reference, m, "euler")) for m in motions]
    for index, phases in enumerate(found):
        for other in found[:index]:
            assert distance_turns(phases, other) > 0.01


@pytest.mark.parametrize("nodes", [3, 4, 5, 6])
def test_kicks_are_normal_and_never_repeated(backend: Backend, nodes: int) -> None:
    # 7 x nodes is no multiple of four but once: the last counter serves fewer nodes.
    motion = Motion(diffusion_rad2_s=DIFFUSION, noise_key=NOISE_KEY)
    state = build_state(backend, motion, nodes)
    width = math.sqrt(2.0 * DIFFUSION * DT_S) / (2.0 * math.pi)
    kicks = []
    for _ in range(400):
        before = backend.read_phases(state)
        backend.kick(state, DT_S)  # type: ignore[attr-defined]
        after = backend.read_phases(state)
        kicks.append((after - before).astype(np.int32) / 2.0**32 / width)
    noise = np.array(kicks)
    count = noise.size
    # Five standard errors of the moments of `count` normal numbers.
    assert abs(noise.mean()) < 5.0 / math.sqrt(count)
    assert abs((noise**2).mean() - 1.0) < 5.0 * math.sqrt(2.0 / count)
    assert abs((noise**4).mean() - 3.0) < 5.0 * math.sqrt(96.0 / count)
    assert len(np.unique(noise.round(7))) > 0.999 * count
    # Neither nodes nor kicks know of each other.
    spread = 5.0 / math.sqrt(count)
    assert abs((noise[:, 1:] * noise[:, :-1]).mean()) < 1.2 * spread
    assert abs((noise[1:] * noise[:-1]).mean()) < 1.2 * spread
