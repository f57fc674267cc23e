"""Noise: identical oscillators in a mean field, and a plane of them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy import optimize, special

from engine.backends.philox import Stream
from engine.backends.protocol import Motion
from engine.backends.stepping import SteppingBackend
from engine.geometry import build_geometry
from engine.verification.check import BINARY_BACKENDS, Check, Row
from engine.verification.specimen import (
    F64,
    average_coherence,
    build_field,
    build_specimen,
    find_spectrum,
    move,
)

NOISE_KEY = (5, int(Stream.NOISE))
DT_S = 0.025
"""Time step; T is 1 rad^2/s [s]."""


def find_noisy_coherence(ratio: float) -> float:
    """Return r = I1(K r / T) / I0(K r / T) of identical oscillators with noise.

    Args:
        ratio: K / T [-], > 2.
    """

    def excess(r: float) -> float:
        return float(special.ive(1, ratio * r) / special.ive(0, ratio * r) - r)

    return float(optimize.brentq(excess, 1e-6, 1.0))


def measure_noisy_field(backend: SteppingBackend) -> Iterator[Row]:
    """Measure r of identical oscillators at T = 1."""
    count = 5000 if backend.name == "reference" else 50_000
    for ratio in (3.0, 5.0):
        lattice = build_field(
            backend, np.zeros(count), ratio, diffusion_rad2_s=1.0, noise_key=NOISE_KEY
        )
        found = average_coherence(backend, lattice, DT_S, settle_s=10.0, window_s=40.0)
        # A mean of N cosines scatters by N^-1/2 / 2 and the field answers with up to
        # twice that, but the window holds some forty independent ones: five of their
        # standard errors are 0.8 N^-1/2. Noise and coupling take turns,
        # symmetrically, which leaves (K dt)^2 / 24 of r.
        tolerance = 0.8 / math.sqrt(count) + (ratio * DT_S) ** 2 / 24.0
        label = f"K = {ratio:g} T: r"
        yield Row(label, find_noisy_coherence(ratio), found, tolerance)


def spread_first_harmonic(count: int, share: float) -> F64:
    """Place phases at the quantiles of the density 1 + 2 r cos theta.

    Args:
        count: Oscillators.
        share: r, small [-].

    Returns:
        Phases [rad], shape (count,).
    """
    levels = 2.0 * math.pi * (np.arange(count) + 0.5) / count - math.pi
    phases = levels.copy()
    for _ in range(8):
        slope = 1.0 + 2.0 * share * np.cos(phases)
        phases -= (phases + 2.0 * share * np.sin(phases) - levels) / slope
    return phases


def measure_noisy_growth(backend: SteppingBackend) -> Iterator[Row]:
    """Measure how a weak field grows or dies, and where it does neither."""
    count = 10**5 if backend.name == "reference" else 10**6
    start, seconds = 0.1, 2.0
    couplings, rates = (1.5, 2.0, 2.5), []
    for coupling in couplings:
        lattice = build_field(
            backend,
            spread_first_harmonic(count, start),
            coupling,
            diffusion_rad2_s=1.0,
            noise_key=NOISE_KEY,
        )
        move(backend, lattice, seconds, DT_S, "rk2")
        found = abs(backend.order_parameter(lattice))
        rates.append(math.log(found / start) / seconds)
        # Noise of N^-1/2 in r, five of them over r t; and the second harmonic takes
        # K^2 r^2 / 8 T from the rate, up to 0.013 while r grows to 0.16.
        error = 5.0 / math.sqrt(2.0 * count) / (start * seconds) + 0.013
        label = f"K = {coupling:g} T: growth of r [T]"
        yield Row(label, 0.5 * coupling - 1.0, rates[-1], error)
    onset = float(np.interp(0.0, rates, couplings))
    # Twice the error of a rate, for the rate is K / 2 - T.
    yield Row("onset K_c [T]", 2.0, onset, 2.0 * error)


def measure_plane(backend: SteppingBackend) -> Iterator[Row]:
    """Measure the magnetisation of a plane at low temperature."""
    yield from measure_planes(backend, (16,), 2000.0)


def measure_large_planes(backend: SteppingBackend) -> Iterator[Row]:
    """Measure likewise on larger planes, for as many of their slowest times."""
    yield from measure_planes(backend, (32, 64), 6000.0)


def measure_planes(
    backend: SteppingBackend, sides: tuple[int, ...], window_s: float
) -> Iterator[Row]:
    """Measure |m| of square lattices with K = 1 rad/s and T = 0.1."""
    temperature, dt_s = 0.1, 0.1
    for side in sides:
        geometry = build_geometry("square", (side, side))
        motion = Motion(diffusion_rad2_s=temperature, noise_key=NOISE_KEY)
        lattice = build_specimen(
            backend, geometry, np.zeros(side * side), 1.0, motion=motion
        )
        found = average_coherence(
            backend,
            lattice,
            dt_s,
            settle_s=window_s / 10.0,
            window_s=window_s,
            samples=200,
        )
        exact = (1.8456 * side * side) ** (-temperature / (8.0 * math.pi))
        # Four slowest modes hold T / (N lambda_1) each; |m| scatters by half of
        # sqrt(8) times that, over as many independent samples as the window holds
        # lifetimes 1 / (2 lambda_1). Of 1 - |m|, softening by T / 4 K adds 2.5%, and
        # the time step, T dt^2 <lambda> / 6 of 0.0007, up to 3%.
        slowest = float(np.sort(find_spectrum(geometry))[1])
        scatter = math.sqrt(2.0) * temperature / (side * side * slowest)
        lifetimes = max(window_s * slowest, 1.0)
        error = 4.0 * scatter / math.sqrt(lifetimes) + 0.06 * (1.0 - exact)
        yield Row(f"{side}x{side}, T = 0.1 K: |m|", exact, found, error)


CHECKS = (
    Check(
        "noisy-field",
        "Identical oscillators with noise T settle to r = I1(Kr/T)/I0(Kr/T)",
        "Sakaguchi 1988, doi:10.1143/PTP.79.39",
        measure_noisy_field,
    ),
    Check(
        "noisy-onset",
        "With noise T a weak field grows at K/2 - T, so K_c = 2T",
        "Strogatz, Mirollo 1991, doi:10.1007/BF01029202",
        measure_noisy_growth,
    ),
    Check(
        "noisy-plane",
        "A plane with noise keeps |m| = (1.8456 N)^(-T/(8 pi K))",
        "Tobochnik, Chester 1979, doi:10.1103/PhysRevB.20.3761",
        measure_plane,
    ),
    Check(
        "noisy-planes",
        "Larger planes with noise keep less, by the same law",
        "Tobochnik, Chester 1979, doi:10.1103/PhysRevB.20.3761",
        measure_large_planes,
        is_long=True,
        backends=BINARY_BACKENDS,
    ),
)
