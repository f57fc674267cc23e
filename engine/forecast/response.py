"""How phases fluctuate about their mean because bridges act at instants.

Between its events a bridge lets its gap drift, and each event kicks it back: phases
carry a sawtooth, and random failures add shot noise. Both follow from how the rest of
the network answers a kick of a bridge, that is from the spectrum of its Laplacian L
as the bridges see it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.bridge.operator import F64, CouplingOperator, find_product

LANCZOS_STEPS = 12
"""Points of the spectral measure; 24 move r by less than 1e-4."""
HARMONICS = 256
"""Harmonics of the tunnel frequency that are summed; the rest by its asymptote."""
LEAST_RATE_SHARE = 1e-6
"""Least relaxation rate kept, as a share of the largest: the uniform mode is none."""


@dataclass(frozen=True)
class ResponseSpectrum:
    """Spectral measure of L on bridge gaps: rates and their weights, of sum 1."""

    rates_per_s: F64
    """Relaxation rates [1/s], shape (points,)."""
    weights: F64
    """Weights [-], shape (points,)."""

    @property
    def mean_rate_per_s(self) -> float:
        """First moment of the measure [1/s]."""
        return float(self.weights @ self.rates_per_s)


@dataclass(frozen=True)
class KickResponse:
    """What periodic kicks of all bridges do to the network, per unit of kick."""

    lag: float
    """Excess of the gap just before a kick over its mean, in kicks [-], in [0, 1]."""
    sawtooth: float
    """Sum over nodes of the variance that regular kicks leave, per kick squared [-]."""
    sawtooth_pull_per_s: float
    """The same weighted with L: the variance of gaps times their stiffness [1/s]."""
    shot: float
    """Sum over nodes of the variance that independent kicks leave, per kick^2 [-]."""
    shot_pull_per_s: float
    """The same weighted with L [1/s]."""


def measure_spectrum(
    operator: CouplingOperator, weights: F64, seed: int = 0
) -> ResponseSpectrum:
    """Estimate the spectral measure of bridge gaps by stochastic Lanczos quadrature.

    The start vector sum_b +-(e_s - e_t) with random signs has the bridges' mean
    measure as its expectation; it averages itself over the bridges.

    Args:
        operator: Lattice plus bridges, at least one.
        weights: Stiffness of every edge [rad/s], shape (edges,).
        seed: Key of the signs.

    Returns:
        At most `LANCZOS_STEPS` rates and weights.

    References:
        Ubaru, Chen, Saad 2017, "Fast estimation of tr(f(A)) via stochastic Lanczos
        quadrature", doi:10.1137/16M1104974.
    """
    signs = np.zeros(operator.lattice_count + operator.bridge_count)
    random = np.random.default_rng(seed)
    signs[operator.lattice_count :] = random.choice([-1.0, 1.0], operator.bridge_count)
    vector = operator.sum_pulls(signs)
    if not vector.any():  # two bridges between the same ends
        signs[operator.lattice_count + 1 :] = 0.0
        vector = operator.sum_pulls(signs)
    vector /= math.sqrt(find_product(vector, vector))
    previous, beta = np.zeros_like(vector), 0.0
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(LANCZOS_STEPS):
        image = operator.apply(weights, vector) - beta * previous
        diagonal.append(find_product(vector, image))
        image -= diagonal[-1] * vector
        beta = math.sqrt(find_product(image, image))
        if beta <= 1e-9 * max(diagonal):
            break
        previous, vector = vector, image / beta
        beside.append(beta)
    return _to_spectrum(diagonal, beside[: len(diagonal) - 1])


def _to_spectrum(diagonal: list[float], beside: list[float]) -> ResponseSpectrum:
    """Turn Lanczos coefficients into Gauss points."""
    matrix = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
    rates, vectors = np.linalg.eigh(matrix)
    least = max(LEAST_RATE_SHARE * float(rates[-1]), 1e-12)
    return ResponseSpectrum(np.maximum(rates, least), vectors[0] ** 2)


def find_response(
    spectrum: ResponseSpectrum, stiffness_rad_s: float, frequency_hz: float
) -> KickResponse:
    """Sum the network's answer to kicks over the harmonics of their frequency.

    With the measure mu (total 1) of L, A(z) = 2 sum mu/(rate + z) is the gap that a
    pair of unit kicks leaves at its own bridge. The bridge's own mean pull, part of L,
    is taken out again, as it acts only at the kicks: A/(1 - k A). Poisson's sum gives

        lag      = 1 - f sum_{m != 0} A/(1 - k A)                    z = 2 pi i f m
        sawtooth = f^2 sum_{m != 0} 2 sum mu/|rate + z|^2 / |1 - k A|^2
        shot     = f sum mu/rate            independent kicks, own pull included

    lag -> 1 and sawtooth -> 1/(6) where the network relaxes slowly beside 1/f, which
    is the sawtooth of an isolated pair.

    Args:
        spectrum: Measure of L.
        stiffness_rad_s: k, mean pull of a bridge per gap [rad/s].
        frequency_hz: Tunnel frequency f [Hz].

    Returns:
        The answer per unit of kick.
    """
    rates, weights = spectrum.rates_per_s[:, None], 2.0 * spectrum.weights[:, None]
    step = 2.0 * np.pi * frequency_hz
    angular = step * np.arange(1, HARMONICS + 1)
    gap = (weights / (rates + 1j * angular)).sum(axis=0)
    own = 1.0 - stiffness_rad_s * gap
    norms = weights / (rates**2 + angular**2) / np.abs(own) ** 2
    # sum_{m > M} 1/m^2, for the asymptote 1/z^2 of every sum.
    tail = 1.0 / (HARMONICS + 0.5) / step**2
    mean_rate = spectrum.mean_rate_per_s
    both = 2.0 * frequency_hz
    gap_sum = (
        float((gap / own).real.sum()) + (2.0 * mean_rate - 4.0 * stiffness_rad_s) * tail
    )
    square = both * frequency_hz
    return KickResponse(
        lag=min(max(1.0 - both * gap_sum, 0.0), 1.0),
        sawtooth=square * (float(norms.sum()) + 2.0 * tail),
        sawtooth_pull_per_s=square
        * (float((rates * norms).sum()) + 2.0 * mean_rate * tail),
        shot=frequency_hz * float((spectrum.weights / spectrum.rates_per_s).sum()),
        shot_pull_per_s=frequency_hz,
    )


def find_shift(
    gap: npt.NDArray[np.float64], decay: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return what an event moves either end: atan2((1-e) s c, c^2 + e s^2).

    Args:
        gap: d just before the event [rad].
        decay: e = exp(-2h) of its dose h [-].

    Returns:
        (d - d_new)/2 [rad].
    """
    sine, cosine = np.sin(0.5 * gap), np.cos(0.5 * gap)
    rest = decay * sine
    return np.arctan2((sine - rest) * cosine, cosine * cosine + rest * sine)
