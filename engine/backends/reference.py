"""The `reference` back end: NumPy, float64, radians, written to be read.

The other back ends are tested against this one. It takes the same windows and
draws the same random words, so only rounding tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.matching import DIRECTED_FLAG, Matching
from engine.backends.motion import find_kick_turns, find_relaxation
from engine.backends.philox import draw_attempt_words, draw_kick_words
from engine.backends.protocol import (
    FOLLOWING,
    STATE_TYPES,
    BridgeArrays,
    F32Array,
    LatticeState,
    MatchingArrays,
    Motion,
    Period,
    Tableau,
    TurnCount,
    U32Array,
)
from engine.backends.stepping import SteppingBackend
from engine.constants import LOCKING_MEMORY, TURN
from engine.geometry import (
    Geometry,
    build_neighbour_table,
    list_plaquettes,
    shift_sites,
)

TWO_PI = 2.0 * np.pi
F64Array = npt.NDArray[np.float64]
CHUNK = 2**14
"""Bridges whose ends are computed at a time [-]."""


def wrap_angle(angle: F64Array) -> F64Array:
    """Fold angles into [-pi, pi) [rad], any shape."""
    return (angle + np.pi) % TWO_PI - np.pi


class ReferenceBackend(SteppingBackend):
    """Straightforward NumPy; slow, exact to float64."""

    name = "reference"
    device = "NumPy, float64"

    def __init__(self) -> None:
        """Start with no successes counted."""
        self._successes = 0

    def build_lattice(
        self,
        geometry: Geometry,
        phases: U32Array,
        detunings_hz: F32Array,
        coupling_rad_s: float,
        motion: Motion = FOLLOWING,
    ) -> LatticeState:
        """Convert the oscillators to radians.

        Args:
            geometry: Shape and neighbours.
            phases: Binary angles, shape (nodes,).
            detunings_hz: Natural frequency minus frame [Hz], shape (nodes,).
            coupling_rad_s: K per edge, or of the mean field [rad/s].
            motion: Lag, range, inertia and noise.

        Returns:
            The lattice with phases in radians, float64.
        """
        table = build_neighbour_table(geometry)
        radians = phases.astype(np.float64) * (TWO_PI / TURN)
        detunings = detunings_hz.astype(np.float64)
        turns = coupling_rad_s / TWO_PI
        work = {"neighbours": table, "spare": radians}
        velocities = np.zeros_like(radians) if motion.inertia_s else None
        return LatticeState(
            geometry, turns, radians, detunings, work, motion, velocities
        )

    def build_bridges(self, bridges: BridgeArrays) -> BridgeArrays:
        """Return the host columns themselves."""
        return bridges

    def build_matchings(self, matching: Matching) -> MatchingArrays:
        """Allocate bridges that have attempted nothing.

        Args:
            matching: Ends and success law as a formula.

        Returns:
            The columns in host memory.
        """
        count = matching.bridge_count
        state = (np.zeros(count, number) for number in STATE_TYPES)
        return MatchingArrays(matching, matching.keys, *state)

    def sum_thresholds(self, lattice: LatticeState, bridges: MatchingArrays) -> int:
        """Sum the thresholds of all bridges, exactly [2^-32 of a probability]."""
        parts = _split_slots(0, bridges.matching.bridge_count)
        chunks = (compute_columns(lattice, bridges, part) for part in parts)
        return sum(int(chunk.thresholds.sum(dtype=np.uint64)) for chunk in chunks)

    def _rate(self, lattice: LatticeState, phases: F64Array) -> F64Array:
        """Return omega_i + K sum_j sin(theta_j - theta_i - alpha) [rad/s], (nodes,)."""
        own = phases + lattice.motion.lag_rad
        pull = np.zeros_like(phases)
        if lattice.motion.is_global:
            pull += (np.exp(1j * phases).mean() * np.exp(-1j * own)).imag
        else:
            for column in lattice.work["neighbours"].T:
                pull += np.where(column >= 0, np.sin(phases[column] - own), 0.0)
        rate: F64Array = TWO_PI * (lattice.detunings + lattice.coupling_turns * pull)
        return rate

    def step_lattice(
        self, lattice: LatticeState, tableau: Tableau, dt_s: float, count: int = 1
    ) -> None:
        """Advance all oscillators by `count` equal time steps of their rate alone.

        Args:
            lattice: Oscillators, changed in place.
            tableau: Integrator.
            dt_s: Time step [s].
            count: Number of steps, >= 1.
        """
        for _ in range(count):
            start = lattice.phases
            rate = self._rate(lattice, start)
            total = tableau.weights[0] * rate
            for feed, weight in zip(tableau.feeds, tableau.weights[1:], strict=True):
                rate = self._rate(lattice, start + feed * dt_s * rate)
                total = total + weight * rate
            lattice.phases = start + dt_s * total
            lattice.work["spare"] = start

    def kick(self, lattice: LatticeState, dt_s: float) -> None:
        """Add the noise of a time step to the phases, and count the kick."""
        width = TWO_PI * find_kick_turns(lattice.motion, dt_s)
        lattice.phases = lattice.phases + width * _draw_noise(lattice)

    def drift(self, lattice: LatticeState, ahead_s: float) -> None:
        """Move the phases by their velocities for a time [s]."""
        lattice.phases = lattice.phases + TWO_PI * ahead_s * lattice.velocities

    def coast(self, lattice: LatticeState, dt_s: float, ahead_s: float) -> None:
        """Turn a plain step into one with inertia."""
        start = lattice.work["spare"]
        rate_hz = (lattice.phases - start) / (TWO_PI * dt_s)
        keep, take, noise_hz = find_relaxation(lattice.motion, dt_s)
        lattice.velocities = keep * lattice.velocities + take * rate_hz
        if noise_hz:
            lattice.velocities += noise_hz * _draw_noise(lattice)
        lattice.phases = start + TWO_PI * ahead_s * lattice.velocities

    def step_tunnels(
        self,
        lattice: LatticeState,
        bridges: BridgeArrays,
        period: Period,
        segments: npt.NDArray[np.int64],
        tick: int,
    ) -> None:
        """Let the bridges in `segments` attempt one event each.

        Args:
            lattice: Oscillators, changed in place.
            bridges: Bridges, changed in place.
            period: Gives the time step and the random key.
            segments: Contiguous slots that are due, shape (m, 2).
            tick: Number of this tunnel step, counted from 1.
        """
        for lo, hi in segments:
            self._run_segment(lattice, bridges, slice(lo, hi), period, tick)

    def step_matchings(
        self,
        lattice: LatticeState,
        bridges: MatchingArrays,
        period: Period,
        segments: npt.NDArray[np.int64],
        tick: int,
    ) -> None:
        """Let the bridges in `segments`, whose ends are computed, attempt likewise."""
        for lo, hi in segments:
            for part in _split_slots(lo, hi):
                columns = compute_columns(lattice, bridges, part)
                self._run_segment(lattice, columns, slice(None), period, tick)

    def _run_segment(
        self,
        lattice: LatticeState,
        bridges: BridgeArrays,
        due: slice,
        period: Period,
        tick: int,
    ) -> None:
        source, target = bridges.sources[due] % DIRECTED_FLAG, bridges.targets[due]
        is_directed = bridges.sources[due] >= DIRECTED_FLAG
        gap = wrap_angle(lattice.phases[target] - lattice.phases[source])
        elapsed_s = (tick - bridges.last_ticks[due].astype(np.float64)) * period.dt_s
        shift = pair_shift(gap, bridges.dose_rates[due] * elapsed_s)
        words = draw_attempt_words(period.key, bridges.ids[due], bridges.attempts[due])
        passed = words <= bridges.thresholds[due]
        shift = np.where(passed, shift, 0.0)
        moved, unit = lattice.phases, 1.0
        if lattice.velocities is not None:
            moved, unit = lattice.velocities, TWO_PI * lattice.motion.inertia_s
        moved[source] += np.where(is_directed, 0.0, shift / unit)
        moved[target] -= np.where(is_directed, 2.0, 1.0) * shift / unit
        bridges.last_ticks[due] = tick
        bridges.attempts[due] += 1
        bridges.successes[due] += passed
        for mean, value in (
            (bridges.locking_cos, np.cos(gap)),
            (bridges.locking_sin, np.sin(gap)),
        ):
            mean[due] += LOCKING_MEMORY * (value - mean[due])
        self._successes += int(passed.sum())

    def take_successes(self) -> int:
        """Return the successes since the last call."""
        count, self._successes = self._successes, 0
        return count

    def read_phases(self, lattice: LatticeState) -> U32Array:
        """Round the phases to binary angles, shape (nodes,)."""
        turns = np.rint((lattice.phases / TWO_PI % 1.0) * TURN)
        binary: U32Array = (turns.astype(np.int64) % TURN).astype(np.uint32)
        return binary

    def write_phases(self, lattice: LatticeState, phases: U32Array) -> None:
        """Replace the phases by binary angles, shape (nodes,)."""
        lattice.phases = phases.astype(np.float64) * (TWO_PI / TURN)

    def write_detunings(self, lattice: LatticeState, detunings_hz: F32Array) -> None:
        """Replace the detunings by others [Hz], shape (nodes,)."""
        lattice.detunings = detunings_hz.astype(lattice.detunings.dtype)

    def to_host(self, array: Any) -> npt.NDArray[Any]:
        """Copy an array."""
        return np.array(array)

    def start_counting(
        self, lattice: LatticeState, fastest_hz: float, event_turns: float
    ) -> None:
        """Count every node's turns from here on; radians that never wrap tell all."""
        sums = np.zeros_like(lattice.phases)
        marks = lattice.phases.copy()
        lattice.turn_count = TurnCount(sums, marks, fastest_hz, event_turns)

    def count_turns(self, lattice: LatticeState) -> None:
        """Add the way since the last look, exactly, however long it is."""
        count = lattice.turn_count
        assert count is not None
        count.sums += (lattice.phases - count.marks) * (TURN / TWO_PI)
        count.marks = lattice.phases.copy()
        count.moved_turns = 0.0

    def order_parameter(self, lattice: LatticeState) -> complex:
        """Return mean exp(i theta) [-]."""
        return complex(np.exp(1j * lattice.phases).mean())

    def local_coherence(self, lattice: LatticeState) -> float:
        """Return the mean cosine over lattice edges [-]."""
        total = 0.0
        for offset in lattice.geometry.half_offsets:
            sites, exists = shift_sites(lattice.geometry, offset)
            total += np.cos(lattice.phases[sites] - lattice.phases)[exists].sum()
        return float(total / lattice.geometry.edge_count)

    def vortex_count(self, lattice: LatticeState) -> int:
        """Return the number of plaquettes around which the phase winds [-]."""
        count = 0
        for loop in list_plaquettes(lattice.geometry):
            corners = [shift_sites(lattice.geometry, corner) for corner in loop]
            exists = np.logical_and.reduce([exists for _, exists in corners])
            phases = [lattice.phases[sites] for sites, _ in corners]
            winding = np.zeros_like(lattice.phases)
            for before, after in zip(phases, phases[1:] + phases[:1], strict=True):
                winding += wrap_angle(after - before)
            count += int((np.abs(winding[exists]) > np.pi).sum())
        return count

    def winding_numbers(self, lattice: LatticeState) -> tuple[float, ...]:
        """Return the mean turns of phase along each axis; 0 for an open axis."""
        geometry = lattice.geometry
        turns = []
        for axis, cells in enumerate(geometry.shape):
            unit = tuple(int(a == axis) for a in range(len(geometry.shape)))
            sites, _ = shift_sites(geometry, unit)
            steps = wrap_angle(lattice.phases[sites] - lattice.phases)
            total = float(steps.sum()) / TWO_PI / (geometry.node_count // cells)
            turns.append(total if geometry.periodic[axis] else 0.0)
        return tuple(turns)


def _draw_noise(lattice: LatticeState) -> F64Array:
    """Draw a normal number for each node (Box and Muller 1958), and count the kick.

    Words (a, b) make sqrt(-2 ln u) (cos, sin)(2 pi v) with u = (a + 1/2) / 2^32 and
    v = b / 2^32; four words serve four nodes.
    """
    count = lattice.geometry.node_count
    words = draw_kick_words(lattice.motion.noise_key, count, lattice.kicks)
    lattice.kicks = (lattice.kicks + 1) % 2**32
    length = np.sqrt(-2.0 * np.log((words[:, ::2] + 0.5) / TURN))
    angle = words[:, 1::2] * (TWO_PI / TURN)
    pairs = np.stack((length * np.cos(angle), length * np.sin(angle)), axis=2)
    return pairs.reshape(-1)[:count]


def _split_slots(lo: int, hi: int) -> Iterator[slice]:
    """Cut slots lo .. hi - 1 into chunks."""
    return (slice(at, min(at + CHUNK, hi)) for at in range(lo, hi, CHUNK))


def compute_columns(
    lattice: LatticeState, bridges: MatchingArrays, due: slice
) -> BridgeArrays:
    """Write out what a formula says of some bridges; their state is a view.

    Args:
        lattice: Gives the detunings.
        bridges: Bridges whose ends are computed, in host memory.
        due: Which slots.

    Returns:
        All columns of those slots; changes to the state reach `bridges`.
    """
    ids = np.arange(due.start, due.stop, dtype=np.uint32)
    matching = bridges.matching
    sources, targets = matching.compute_ends(ids)
    detunings = lattice.detunings.astype(np.float32, copy=False)
    rates, thresholds = matching.law.apply(detunings[targets] - detunings[sources])
    sources |= np.uint32(DIRECTED_FLAG * matching.is_directed)
    state = (column[due] for column in bridges.state_columns)
    return BridgeArrays(ids, sources, targets, rates, thresholds, *state)


def pair_shift(gap: F64Array, dose: F64Array) -> F64Array:
    """Return how far a tunnel event moves the source [rad]; the target loses it.

    The exact flow of s' = kappa sin(t - s), t' = kappa sin(s - t) for a dose h:
    tan(d/2) -> exp(-2h) tan(d/2), with the sum of both phases kept. A negative dose
    is a positive one of the gap d + pi: the ends repel each other.

    Args:
        gap: theta_target - theta_source [rad], in [-pi, pi).
        dose: h, dimensionless.

    Returns:
        Shift of the source [rad], shape of `gap`.
    """
    gap, dose = np.where(dose < 0.0, wrap_angle(gap + np.pi), gap), np.abs(dose)
    sine, cosine, decay = np.sin(gap / 2), np.cos(gap / 2), np.exp(-2.0 * dose)
    shift: F64Array = np.arctan2(
        -np.expm1(-2.0 * dose) * sine * cosine, cosine**2 + decay * sine**2
    )
    return shift
