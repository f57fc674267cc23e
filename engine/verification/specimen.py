"""Specimens: small lattices and mean fields, built in radians, moved and read."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.protocol import FOLLOWING, TABLEAUS, LatticeState, Motion
from engine.backends.stepping import SteppingBackend
from engine.config import LatticeConfig
from engine.constants import TURN
from engine.crystal import draw_detunings
from engine.geometry import Geometry, build_geometry

F64 = npt.NDArray[np.float64]
TWO_PI = 2.0 * math.pi
RADIANS_PER_UNIT = TWO_PI / TURN
"""A unit of a binary angle [rad]."""
Reals = npt.NDArray[np.floating]
"""Real numbers of any precision."""


def to_binary(phases_rad: Reals) -> npt.NDArray[np.uint32]:
    """Round phases [rad] to binary angles, any shape."""
    units = np.rint(phases_rad / TWO_PI % 1.0 * TURN).astype(np.int64)
    binary: npt.NDArray[np.uint32] = (units % TURN).astype(np.uint32)
    return binary


def build_specimen(
    backend: SteppingBackend,
    geometry: Geometry,
    phases_rad: Reals,
    coupling_rad_s: float,
    *,
    rates_rad_s: Reals | None = None,
    motion: Motion = FOLLOWING,
) -> LatticeState:
    """Build a lattice.

    Args:
        backend: Where its phases live.
        geometry: Shape and neighbours.
        phases_rad: Initial phases [rad], shape (nodes,).
        coupling_rad_s: K per edge, or of the mean field [rad/s].
        rates_rad_s: Natural frequencies [rad/s], shape (nodes,); 0 by default.
        motion: Lag, range, inertia and noise.
    """
    if rates_rad_s is None:
        rates_rad_s = np.zeros(geometry.node_count)
    detunings = (rates_rad_s / TWO_PI).astype(np.float32)
    phases = to_binary(phases_rad)
    return backend.build_lattice(geometry, phases, detunings, coupling_rad_s, motion)


def build_field(
    backend: SteppingBackend,
    phases_rad: Reals,
    coupling_rad_s: float,
    *,
    rates_rad_s: Reals | None = None,
    **motion: Any,
) -> LatticeState:
    """Build oscillators that all couple to the mean of all.

    Args:
        backend: Where their phases live.
        phases_rad: Initial phases [rad], shape (nodes,).
        coupling_rad_s: K, each pair pulling with K / N [rad/s].
        rates_rad_s: Natural frequencies [rad/s], shape (nodes,); 0 by default.
        motion: Lag, inertia and noise, as fields of `Motion`.
    """
    return build_specimen(
        backend,
        build_geometry("chain", (len(phases_rad),)),
        phases_rad,
        coupling_rad_s,
        rates_rad_s=rates_rad_s,
        motion=Motion(is_global=True, **motion),
    )


def draw_rates(
    distribution: str, shape: tuple[int, ...], width_rad_s: float = 1.0, seed: int = 0
) -> F64:
    """Sample natural frequencies at the quantiles of their law, permuted.

    Args:
        distribution: As in the configuration.
        shape: Cells along each axis.
        width_rad_s: Standard deviation, half-width or half-range [rad/s].
        seed: Key of the permutation.

    Returns:
        Natural frequencies around 0 [rad/s], shape (nodes,).
    """
    kind = ("chain", "square", "cubic")[len(shape) - 1]
    spread = width_rad_s / TWO_PI
    law = LatticeConfig(kind, shape, spread_hz=spread, distribution=distribution)
    rates: F64 = TWO_PI * draw_detunings(law, seed).astype(np.float64)
    return rates


def move(
    backend: SteppingBackend,
    lattice: LatticeState,
    seconds: float,
    dt_s: float,
    integrator: str = "rk4",
) -> None:
    """Let time pass without bridges, in equal steps of about `dt_s`.

    Args:
        backend: Where the lattice lives.
        lattice: Changed in place.
        seconds: How long [s], > 0.
        dt_s: Longest time step [s].
        integrator: As in the configuration.
    """
    count = max(1, math.ceil(seconds / dt_s - 1e-9))
    backend.move_lattice(lattice, TABLEAUS[integrator], seconds / count, count)


def average_coherence(
    backend: SteppingBackend,
    lattice: LatticeState,
    dt_s: float,
    *,
    settle_s: float,
    window_s: float,
    samples: int = 100,
    integrator: str = "rk2",
) -> float:
    """Let a lattice settle and average r over a window of time.

    Every stretch of steps begins and ends with half a kick of noise, so that noise and
    coupling alternate symmetrically about a sample.

    Args:
        backend: Where the lattice lives.
        lattice: Changed in place.
        dt_s: Time step [s].
        settle_s: Time before the window [s], > 0.
        window_s: Length of the window [s], > 0.
        samples: Samples in it.
        integrator: As in the configuration.

    Returns:
        Mean of r [-].
    """
    move(backend, lattice, settle_s, dt_s, integrator)
    total = 0.0
    for _ in range(samples):
        move(backend, lattice, window_s / samples, dt_s, integrator)
        total += abs(backend.order_parameter(lattice))
    return total / samples


def read_radians(backend: SteppingBackend, lattice: LatticeState) -> F64:
    """Read phases [rad], in [-pi, pi), shape (nodes,)."""
    signed = backend.read_phases(lattice).astype(np.int32)
    radians: F64 = signed.astype(np.float64) * RADIANS_PER_UNIT
    return radians


def wrap(angles: F64) -> F64:
    """Fold angles into [-pi, pi) [rad], any shape."""
    folded: F64 = (angles + math.pi) % TWO_PI - math.pi
    return folded


def find_angles(geometry: Geometry, mode: tuple[int, ...]) -> F64:
    """Return k . x at every site [rad], shape (nodes,)."""
    index = np.indices(geometry.shape).reshape(len(mode), -1)
    angles: F64 = find_wave(geometry, mode) @ index
    return angles


def find_wave(geometry: Geometry, mode: tuple[int, ...]) -> F64:
    """Return k of a mode with so many turns along each axis [rad/cell]."""
    wave: F64 = TWO_PI * np.array(mode) / np.array(geometry.shape)
    return wave


def list_neighbours(geometry: Geometry) -> npt.NDArray[np.int64]:
    """List the index steps to the nearest sites, found by their distance in space.

    The engine steps by its table of offsets; that the two agree is part of a check.

    Args:
        geometry: Lattice.

    Returns:
        One row per neighbour, shape (z, axes).
    """
    axes = len(geometry.shape)
    steps = np.array(list(itertools.product((-1, 0, 1), repeat=axes)))
    distances = np.linalg.norm(steps @ geometry.primitive_vectors, axis=1)
    nearest: npt.NDArray[np.int64] = steps[np.abs(distances - 1.0) < 1e-9]
    return nearest


def find_eigenvalue(geometry: Geometry, mode: tuple[int, ...]) -> float:
    """Return lambda_k = sum over pairs of neighbours of 2 (1 - cos k . a) [-]."""
    turns = list_neighbours(geometry) @ find_wave(geometry, mode)
    return float((1.0 - np.cos(turns)).sum())


def find_spectrum(geometry: Geometry) -> F64:
    """Return lambda_k of every mode, in the order of `numpy.fft.fftn`, flattened."""
    modes = np.indices(geometry.shape).reshape(len(geometry.shape), -1)
    waves = TWO_PI * modes.T / np.array(geometry.shape)
    turns = waves @ list_neighbours(geometry).T
    spectrum: F64 = (1.0 - np.cos(turns)).sum(axis=1)
    return spectrum


def project(phases_rad: F64, pattern: F64) -> float:
    """Return how much of a pattern the phases hold [rad]."""
    return float(phases_rad @ pattern / (pattern @ pattern))
