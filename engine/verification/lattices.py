"""Lattices without bridges: how much coherence detunings take from them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from engine.backends.stepping import SteppingBackend
from engine.config import LATTICE_AXES, LatticeConfig
from engine.crystal import draw_detunings
from engine.geometry import Geometry, build_geometry
from engine.verification.check import BINARY_BACKENDS, Check, Row
from engine.verification.specimen import (
    F64,
    TWO_PI,
    build_specimen,
    find_spectrum,
    move,
)

SHAPES = {1: (12,), 2: (8, 6), 3: (4, 6, 4)}
"""Shape of a small lattice, by axes."""
WIDE_SIDE = 64
"""Side from which on the coupling that r = 0.87 takes leaves small gaps [cells]."""


def find_spread(geometry: Geometry) -> float:
    """Return W^2 K^2 / sigma^2 = (1/N) sum over k != 0 of lambda_k^-2 [-]."""
    spectrum = find_spectrum(geometry)[1:]
    return float((spectrum**-2.0).sum()) / geometry.node_count


def draw_white_rates(geometry: Geometry, seed: int) -> F64:
    """Draw natural frequencies whose modes are all equally strong.

    The sum over modes is then what theory averages over all draws.

    Args:
        geometry: Lattice.
        seed: Of the modes' phases.

    Returns:
        Natural frequencies of mean square 1 [rad/s], shape (nodes,).
    """
    noise = np.random.default_rng(seed).standard_normal(geometry.shape)
    modes = np.fft.fftn(noise)
    modes /= np.abs(modes)
    white: F64 = np.fft.ifftn(modes).real.ravel() * math.sqrt(geometry.node_count)
    white -= white.mean()
    return white


def measure_locked(
    backend: SteppingBackend, geometry: Geometry, rates: F64, coupling: float
) -> float:
    """Return the r that an aligned lattice locks at.

    Args:
        backend: Where.
        geometry: Lattice.
        rates: Natural frequencies [rad/s], shape (nodes,).
        coupling: K [rad/s].
    """
    lattice = build_specimen(
        backend, geometry, np.zeros(geometry.node_count), coupling, rates_rad_s=rates
    )
    spectrum = find_spectrum(geometry)
    # Ten lifetimes of the slowest mode; Euler's step is stable below 2 / K lambda.
    slowest, fastest = np.sort(spectrum)[1], spectrum.max()
    move(
        backend,
        lattice,
        10.0 / (coupling * slowest),
        1.0 / (coupling * fastest),
        "euler",
    )
    return abs(backend.order_parameter(lattice))


def measure_alignment(backend: SteppingBackend) -> Iterator[Row]:
    """Measure 1 - r of every kind of lattice, detuned at random."""
    coupling = 4.0
    for kind, axes in LATTICE_AXES.items():
        shape = SHAPES[axes]
        geometry = build_geometry(kind, shape)
        config = LatticeConfig(kind, shape, spread_hz=0.02, mean_frequency_hz=1.0)
        rates = TWO_PI * draw_detunings(config, 0).astype(np.float64)
        waves = np.abs(np.fft.fftn(rates.reshape(shape)).ravel()[1:])
        sizes = waves / (coupling * find_spectrum(geometry)[1:])
        alignment = float((sizes**2).sum()) / geometry.node_count**2
        found = measure_locked(backend, geometry, rates, coupling)
        # Next order in J, and the rounding of r, a mean of cosines near 1 in float32.
        error = 2.0 * alignment**2 + 3e-7
        yield Row(f"{kind}: 1 - r", 0.5 * alignment, 1.0 - found, error)


def measure_size_law(backend: SteppingBackend) -> Iterator[Row]:
    """Measure -2 ln r of planes of growing size, strongly coupled."""
    return measure_planes(backend, (16, 32, 64))


def measure_large_size_law(backend: SteppingBackend) -> Iterator[Row]:
    """Measure likewise on a larger plane."""
    return measure_planes(backend, (128,))


def measure_planes(backend: SteppingBackend, sides: tuple[int, ...]) -> Iterator[Row]:
    """Measure W^2 where it is small, and r where theory says 0.87."""
    for side in sides:
        geometry = build_geometry("square", (side, side))
        rates = draw_white_rates(geometry, seed=side)
        exact = find_spread(geometry)
        strong = max(0.4 * side, 25.6)
        found = measure_locked(backend, geometry, rates, strong)
        spread = -2.0 * math.log(found) * strong**2
        # W^2 is 0.025 or less. A few long waves hold most of it, which takes W^2 / 40
        # from -2 ln r, and the sine's bend adds half the square of a gap: 0.1% in all.
        # A mean of cosines is off by 1e-7 in float32, of W^2 / 2 = 8e-4 at 16x16.
        label = f"{side}x{side}: W^2 K^2/sigma^2"
        yield Row(label, exact, spread, 2e-3 * exact)
        if side >= WIDE_SIDE:
            found = measure_locked(backend, geometry, rates, 0.1179 * side)
            # W^2 = 0.28: both effects are ten times stronger, 2% of W^2, or 0.003.
            yield Row(f"{side}x{side}, K = 0.1179 L sigma: r", 0.87, found, 4e-3)


CHECKS = (
    Check(
        "locked-lattice",
        "Strong coupling locks at r = 1 - J/2, J = |L^+ omega|^2 / N, on any lattice",
        "Skardal, Taylor, Sun 2014, doi:10.1103/PhysRevLett.113.144101",
        measure_alignment,
    ),
    Check(
        "size-law",
        "A plane keeps r = exp(-W^2/2); 0.87 needs K = 0.1179 L sigma",
        "linear stability; W^2 = (sigma/K)^2 (1/N) sum lambda_k^-2",
        measure_size_law,
    ),
    Check(
        "size-law-large",
        "A larger plane keeps as much for a coupling that grows with L",
        "linear stability; W^2 = (sigma/K)^2 (1/N) sum lambda_k^-2",
        measure_large_size_law,
        is_long=True,
        backends=BINARY_BACKENDS,
    ),
)
