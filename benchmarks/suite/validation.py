"""Checks of what is timed: a benchmark of wrong results fails in its setup.

All errors are in turns; u = 2^-24 is the rounding unit of float32. The bounds are
those of tests/parity/bounds.py (a test compares them), which a benchmark of an old
commit cannot import.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .engine_calls import (
    DT_S,
    LatticeCase,
    TunnelCase,
    build_backend,
)

U = 2.0**-24
SINE_ERROR = 4.0 * U
EVENT_ERROR = 2.0 * SINE_ERROR
TWO_PI = 2.0 * math.pi
PARITY_STEPS = 2
SAMPLED_NODES = 1024
CHUNK_NODES = 2**22
EVENTS_PER_NODE = 4 * 8
"""Layers times steps: a node has at most one event per layer and step."""


def _hold(what: str, found: float, bound: float) -> None:
    if not found <= bound:
        raise ValueError(
            f"{what} is off by {found:.3g}, and rounding explains {bound:.3g} at most: "
            "not timed. Run the parity tests."
        )


def step_error_turns(case: LatticeCase) -> float:
    """Bound one Euler step's error, given equal phases at its start [turn]."""
    z, turns = len(case.geometry.offsets), case.coupling_rad_s / TWO_PI
    pull = z * (4.0 * SINE_ERROR + (2.0 * z + 4.0) * U)
    fastest = float(np.abs(case.detunings_hz).max()) + z * turns
    return DT_S * (turns * pull + 5.0 * U * fastest) + 2.0**-33


def parity_bound_turns(case: LatticeCase, steps: int) -> float:
    """Bound the error of several steps of any integrator [turn].

    The rate's Jacobian has the row sum 2 z K, so each stage feeds the error of the
    one before by at most dt * 2 z K, and each step grows it by exp(dt * 2 z K); the
    collector of several stages rounds once more.
    """
    gain = DT_S * 2.0 * len(case.geometry.offsets) * case.coupling_rad_s
    stages = len(case.tableau.weights)
    errors = sum(gain**stage for stage in range(stages)) + (stages > 1)
    return step_error_turns(case) * errors * steps * math.exp(gain * steps)


def distance_turns(
    first: npt.NDArray[np.uint32], second: npt.NDArray[np.uint32]
) -> float:
    """Return the largest distance of two sets of phases on the circle [turn]."""
    gap = (first - second).astype(np.int32)
    return float(np.abs(gap.astype(np.float64)).max()) / 2.0**32


def check_parity(case: LatticeCase) -> None:
    """Advance a case beside the `reference` back end; leave it at its start.

    Raises:
        ValueError: They differ by more than rounding explains.
    """
    exact = LatticeCase(
        build_backend("reference"),
        case.geometry.kind,
        case.node_count.bit_length() - 1,
        integrator=case.tableau.name,
    )
    for each in (case, exact):
        each.advance(PARITY_STEPS)
    found = distance_turns(case.read_phases(), exact.read_phases())
    _hold("A lattice step", found, parity_bound_turns(case, PARITY_STEPS))
    case.restart()


def check_sampled_step(case: LatticeCase) -> None:
    """Take one Euler step and compare some nodes with float64, at any size.

    Raises:
        ValueError: They differ by more than rounding explains.
    """
    rng = np.random.default_rng(1)
    nodes = rng.integers(0, case.node_count, SAMPLED_NODES)
    exact = _step_nodes(case, nodes)
    case.advance(1)
    moved = case.read_phases()[nodes] / 2.0**32
    gap = np.abs((moved - exact + 0.5) % 1.0 - 0.5).max()
    _hold("A lattice step", float(gap), step_error_turns(case))
    case.restart()


def _step_nodes(
    case: LatticeCase, nodes: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Return phases after dt * (nu + K / 2 pi sum sin(theta_j - theta_i)) [turn]."""
    shape = np.array(case.geometry.shape)[:, None]
    places = np.array(np.unravel_index(nodes, case.geometry.shape))
    start = case.start[nodes].astype(np.float64) / 2.0**32
    pull = np.zeros(len(nodes))
    for offset in case.geometry.offsets:
        beside = (places + np.array(offset)[:, None]) % shape
        index = np.ravel_multi_index(tuple(beside), case.geometry.shape)
        pull += np.sin(TWO_PI * (case.start[index] / 2.0**32 - start))
    rate = case.detunings_hz[nodes] + case.coupling_rad_s / TWO_PI * pull
    return start + DT_S * rate


def check_events(case: TunnelCase) -> None:
    """Run the first events: the sum of all phases is kept, exactly.

    Raises:
        ValueError: It is not, or no event succeeds.
    """
    before = int(case.lattice.start.sum(dtype=np.uint64)) % 2**32
    case.run()
    after = int(case.lattice.read_phases().sum(dtype=np.uint64)) % 2**32
    _hold("The sum of phases", abs(after - before) / 2.0**32, 0.0)
    attempts = int(case.read_bridges().attempts.sum(dtype=np.uint64))
    _hold("The count of attempts", abs(attempts - case.event_count), 0)
    if not 0 < case.successes <= attempts:
        raise ValueError(f"{case.successes} of {attempts} events succeeded: not timed.")


def check_event_parity(case: TunnelCase, exact: TunnelCase) -> None:
    """Compare a case after its first events with the `reference` back end.

    An event grows a difference by exp(2 h) at most; all doses of a bridge up to
    tick n add up to at most kappa n dt / P.

    Args:
        case: After `check_events`.
        exact: The same case on `reference`, not run yet.

    Raises:
        ValueError: They differ by more than rounding explains.
    """
    exact.run()
    bridges, dosed = case.read_bridges(), np.zeros(case.lattice.node_count)
    doses = bridges.dose_rates * bridges.last_ticks.astype(np.float64) * DT_S
    np.add.at(dosed, bridges.sources, doses)
    np.add.at(dosed, bridges.targets, doses)
    bound = EVENT_ERROR * EVENTS_PER_NODE * math.exp(2.0 * float(dosed.max()))
    found = distance_turns(case.lattice.read_phases(), exact.lattice.read_phases())
    _hold("A tunnel event", found, bound)
    _hold("The count of successes", abs(case.successes - exact.successes), 0)


def check_same(what: str, build: Callable[[int | None], str]) -> None:
    """Compare a digest of one thread with that of all threads.

    Args:
        what: Name for the error.
        build: Maps a number of threads (None takes all) to a digest.

    Raises:
        ValueError: They differ.
    """
    if build(1) != build(None):
        raise ValueError(
            f"{what} depends on the number of threads: not timed. Run the parity tests."
        )


def check_observables(case: LatticeCase) -> None:
    """Compare r with float64, and aligned phases with what they must give.

    A mean of cosines is off by `SINE_ERROR` and half a unit of 2^-30.

    Raises:
        ValueError: They differ by more than rounding explains.
    """
    error, backend, state = SINE_ERROR + 2.0**-31, case.backend, case.state
    gap = abs(backend.order_parameter(state) - _exact_order(case.start))
    _hold("The order parameter", gap, 2.0 * error)
    case.restart(np.full(case.node_count, 2**30, np.uint32))
    _hold("Aligned coherence", abs(backend.local_coherence(state) - 1.0), error)
    _hold("The count of vortices", backend.vortex_count(state), 0)
    case.restart()


def _exact_order(phases: npt.NDArray[np.uint32]) -> complex:
    """Return mean exp(i theta) in float64, piece by piece to spare memory."""
    total = 0j
    for low in range(0, len(phases), CHUNK_NODES):
        radians = phases[low : low + CHUNK_NODES] * (TWO_PI / 2.0**32)
        total += complex(np.exp(1j * radians).sum())
    return total / len(phases)
