"""Guards: what must hold for the arithmetic to be exact, looked at while a run goes on.

Most of it is refused before a run begins, or cannot happen (tests/unit/test_bounds.py
says why). What is left can come about on the way: counters that grow with every call,
velocities that events push, arrays that Python code has written into. The counters are
compared before every control period, the arrays every few of them; nothing is changed.
"""

from __future__ import annotations

import math
from typing import Any, Final

from engine.backends.counting import HALF_TURN
from engine.backends.protocol import Backend, BridgeArrays
from engine.bridge import Network
from engine.config.dynamics import MAX_STEPS
from engine.constants import MAX_INCREMENT_TURNS
from engine.crystal import CrystalLattice
from engine.errors import NumericalError

KICKS_PER_STEP: Final = 4
"""Kicks of noise in a lattice step at most: two halves of it, two kicks each."""
MAX_KICKS: Final = 2**32
"""Kicks are counter words of their random numbers."""
PIECE: Final = 2**20
"""Values looked at together; a device then needs no memory beside them."""


def check_counters(lattice: CrystalLattice, step: int, steps: int) -> None:
    """Check that a control period leaves no counter.

    Args:
        lattice: The oscillators.
        step: Lattice steps so far.
        steps: Lattice steps of the period.

    Raises:
        NumericalError: It would.
    """
    if step + steps >= MAX_STEPS:
        raise NumericalError(
            f"The run has taken {step} steps, and bridges count them in 32 bits with a "
            f"sign; fewer than {MAX_STEPS} fit. Start a new run from these phases."
        )
    kicks = lattice.state.kicks
    if kicks + KICKS_PER_STEP * steps >= MAX_KICKS:
        raise NumericalError(
            f"The noise of {kicks} kicks has been drawn; after {MAX_KICKS} it would "
            "repeat. Start a new run with another seed from these phases."
        )


def check_arrays(lattice: CrystalLattice, network: Network, dt_s: float) -> None:
    """Check that no array holds what the kernels cannot take.

    Args:
        lattice: The oscillators.
        network: The bridges.
        dt_s: Time step [s].

    Raises:
        NumericalError: A detuning, a velocity or a dose is not finite, or a phase would
            move too far in one step.
    """
    state, backend = lattice.state, lattice.backend
    _check_turns("natural frequency", find_largest(backend, state.detunings), dt_s)
    check_velocities(lattice, dt_s)
    if isinstance(network.arrays, BridgeArrays):
        largest = find_largest(backend, network.arrays.dose_rates)
        if not math.isfinite(largest):
            raise NumericalError(
                f"The dose rate of a bridge is {largest:g} rad/s; the strengths and "
                "probabilities of bridges must be finite. Set them anew."
            )


def check_velocities(lattice: CrystalLattice, dt_s: float) -> None:
    """Check that no oscillator with inertia turns too fast to be followed.

    Kernels hold a drift below half a turn, so a faster one would be slowed unseen.

    Args:
        lattice: The oscillators.
        dt_s: Time step [s].

    Raises:
        NumericalError: One does, or its velocity is not finite.
    """
    velocities = lattice.state.velocities
    if velocities is not None:
        largest = find_largest(lattice.backend, velocities)
        _check_turns("velocity", largest, dt_s, HALF_TURN)


def _check_turns(
    name: str, largest_hz: float, dt_s: float, limit: float = MAX_INCREMENT_TURNS
) -> None:
    turns = largest_hz * dt_s
    if not turns <= limit:
        raise NumericalError(
            f"The largest {name} in the rotating frame is {largest_hz:g} Hz, by which "
            f"a phase would move {turns:g} turn in a step of {dt_s:g} s; at most "
            f"{limit:g} can be followed. Shorten dynamics.dt_s, or weaken what drives "
            "it."
        )


def find_largest(backend: Backend, values: Any) -> float:
    """Return the largest magnitude in an array of a back end; NaN if any is NaN.

    Args:
        backend: Where the array lives.
        values: The array, shape (n,).
    """
    largest = 0.0
    for low in range(0, len(values), PIECE):
        piece = backend.to_host(values[low : low + PIECE])
        found = max(abs(float(piece.min())), abs(float(piece.max())))
        if math.isnan(found):
            return found
        largest = max(largest, found)
    return largest
