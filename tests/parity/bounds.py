"""How far float32 on binary angles may stray from float64, derived once.

All phases in turns, u = 2^-24 the rounding unit of float32.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.backends.protocol import LatticeState

U = 2.0**-24
SINE_ERROR = 4.0 * U
"""Absolute error of sine and cosine, as tests/unit/backends/test_formulas.py holds."""
EVENT_ERROR = 2.0 * SINE_ERROR
"""Error of the shift of a tunnel event [turn]: the arctangent's argument is made of
three sines or cosines and a dozen roundings, and its slope is 1/2 pi."""


def step_error(lattice: LatticeState, dt_s: float) -> float:
    """Bound one lattice step's error, given equal phases at its start [turn].

    The pull c S - s C of z neighbours: sines and cosines are off by `SINE_ERROR`, so
    S, C by z times that, and partial sums of at most z are rounded z times each. The
    rate nu + K/2pi * pull takes five more roundings, the binary angle half a unit.
    """
    z = len(lattice.geometry.offsets)
    pull = z * (4.0 * SINE_ERROR + (2.0 * z + 4.0) * U)
    fastest = float(np.abs(lattice.detunings).max()) + z * lattice.coupling_turns
    return dt_s * (lattice.coupling_turns * pull + 5.0 * U * fastest) + 2.0**-33


def grow(error: float, steps: int, growth: float) -> float:
    """Sum up `steps` errors that grow by exp(growth) in all (Gronwall)."""
    return error * steps * math.expm1(growth) / growth


def distance_turns(
    first: npt.NDArray[np.uint32], second: npt.NDArray[np.uint32]
) -> float:
    """Return the largest distance of two sets of phases on the circle [turn]."""
    gap = (first - second).astype(np.int32)
    return float(np.abs(gap.astype(np.float64)).max()) / 2.0**32
