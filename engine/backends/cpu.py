"""The `cpu` back end: Numba kernels over binary angles, on one to all cores."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from engine.backends import cpu_motion as motion
from engine.backends import cpu_observables as observables
from engine.backends.binary import BinaryBackend
from engine.backends.cpu_lattice import step_lattice
from engine.backends.cpu_matching import run_matching_events, sum_thresholds
from engine.backends.cpu_pass import Pass, build_scratch, plan_pass, tableau_arrays
from engine.backends.cpu_tunnel import run_tunnel_events
from engine.backends.formulas import TURN_F
from engine.backends.layout import box_arguments, build_loops, build_units
from engine.backends.matching import DIRECTED_FLAG, Matching
from engine.backends.motion import find_kick_turns, find_push, find_relaxation
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
    U32Array,
)
from engine.constants import TURN
from engine.errors import ConfigError, count_noun
from engine.geometry import Geometry

NO_PUSH = (np.empty(0, np.float32), np.float32(0.0))
"""Velocities and push where oscillators have no inertia."""
ROUNDING_CORES = 0.3
"""A core that is idle but for this share counts as idle."""

# How long a waiting OpenMP thread spins before it sleeps. The default (300,000 turns)
# burns a core that a neighbour needs; 10,000 cost nothing on an idle machine and made
# a step on two busy cores five times faster (benchmarks/README.md). Read when Numba
# loads its threads, so a value set by the user before the start wins.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def count_allowed_cores() -> int:
    """Count the cores that this process may run on [-]."""
    return (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else (os.cpu_count() or 1)
    )


def name_processor() -> str:
    """Return the processor's name in words."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _take_formula(bridges: MatchingArrays) -> tuple[Any, ...]:
    """Return what decides ends and success, as the kernels take it."""
    matching = bridges.matching
    bits = (np.uint32(matching.high_bits), np.uint32(matching.low_bits))
    flag = np.uint32(DIRECTED_FLAG * matching.is_directed)
    return (bridges.keys, *bits, *matching.law.words, flag)


def _take_field(lattice: LatticeState) -> tuple[Any, ...]:
    """Return what events move, as the kernels take it."""
    if lattice.velocities is None:
        return (lattice.phases, *NO_PUSH)
    return (lattice.phases, lattice.velocities, find_push(lattice.motion))


def _find_gains(lattice: LatticeState, dt_s: float) -> tuple[np.float32, ...]:
    """Return K / 2 pi [1/s] and 2^32 dt [s]; with a lag, its cosine and sine as well.

    The increment is wanted in units of the binary angle; a power of two keeps every bit
    of it.
    """
    gains = (np.float32(lattice.coupling_turns), np.float32(dt_s) * TURN_F)
    lag = lattice.motion.lag_rad
    return (
        (*gains, np.float32(math.cos(lag)), np.float32(math.sin(lag))) if lag else gains
    )


def _take_kick(
    lattice: LatticeState,
) -> tuple[np.uint32, tuple[np.uint32, np.uint32]]:
    """Count a kick of noise; return its number and its key."""
    kick, (seed, stream) = np.uint32(lattice.kicks), lattice.motion.noise_key
    lattice.kicks = (lattice.kicks + 1) % 2**32
    return kick, (np.uint32(seed), np.uint32(stream))


class CpuBackend(BinaryBackend):
    """Numba on binary angles; equal to `cuda` to the bit."""

    name = "cpu"

    def __init__(self, threads: int | None = None) -> None:
        """Choose the number of threads.

        Args:
            threads: Threads to use, >= 1; None takes every allowed core.

        Raises:
            ConfigError: More threads than this process can use.
        """
        most = int(numba.config.NUMBA_NUM_THREADS)
        self.threads = min(count_allowed_cores(), most) if threads is None else threads
        if self.threads > most:
            raise ConfigError(
                f"backend.threads is {threads}; this process can use {most}. Lower it, "
                "or set NUMBA_NUM_THREADS before the start."
            )
        self.device = f"{name_processor()}, {count_noun(self.threads, 'thread')}"
        self._most_threads = self.threads
        self._is_fixed = threads is not None
        self._successes = 0

    def share_cores(self, idle_cores: float) -> None:
        """Use no more threads than there are idle cores, unless a number was set.

        Threads meet after every step. Where others keep a core busy, each meeting
        would last until the scheduler lets the second thread run, some milliseconds.

        Args:
            idle_cores: Cores that this process can use without waiting, >= 0.
        """
        if not self._is_fixed:
            whole = int(idle_cores + ROUNDING_CORES)
            self.threads = min(max(whole, 1), self._most_threads)

    def build_lattice(
        self,
        geometry: Geometry,
        phases: U32Array,
        detunings_hz: F32Array,
        coupling_rad_s: float,
        motion: Motion = FOLLOWING,
    ) -> LatticeState:
        """Take the oscillators as they are.

        Args:
            geometry: Shape and neighbours.
            phases: Binary angles, shape (nodes,).
            detunings_hz: Natural frequency minus frame [Hz], shape (nodes,).
            coupling_rad_s: K per edge, or of the mean field [rad/s].
            motion: Lag, range, inertia and noise.

        Returns:
            The lattice in host memory.
        """
        work = {"spare": np.empty_like(phases), "loops": build_loops(geometry)}
        turns = coupling_rad_s / (2.0 * np.pi)
        velocities = np.zeros_like(detunings_hz) if motion.inertia_s else None
        return LatticeState(
            geometry, turns, phases.copy(), detunings_hz, work, motion, velocities
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
        numba.set_num_threads(self.threads)
        return int(sum_thresholds(lattice.detunings, _take_formula(bridges)))

    def step_lattice(
        self, lattice: LatticeState, tableau: Tableau, dt_s: float, count: int = 1
    ) -> None:
        """Advance all oscillators by `count` equal time steps of their rate alone.

        Several steps are worked per pass over memory, as many as the caches hold.

        Args:
            lattice: Oscillators, changed in place.
            tableau: Integrator.
            dt_s: Time step [s].
            count: Number of steps, >= 1.
        """
        numba.set_num_threads(self.threads)
        if lattice.motion.is_global:
            for _ in range(count):
                self._step_to_mean(lattice, tableau, dt_s)
            return
        box, periodic, offsets = box_arguments(lattice.geometry)
        gains = _find_gains(lattice, dt_s)
        while count:
            plan = plan_pass(
                box,
                len(tableau.weights),
                count,
                self.threads,
                is_chain=len(offsets) == 2,
            )
            scratch = self._take_scratch(lattice, plan)
            out = lattice.work["spare"]
            step_lattice(
                (lattice.phases, lattice.detunings, out),
                scratch,
                plan.rings,
                box,
                periodic,
                offsets,
                gains,
                tableau_arrays(tableau),
            )
            lattice.phases, lattice.work["spare"] = out, lattice.phases
            count -= plan.steps

    def _step_to_mean(
        self, lattice: LatticeState, tableau: Tableau, dt_s: float
    ) -> None:
        """Advance all oscillators by one step in their mean field."""
        bases, out, work = lattice.phases, lattice.work["spare"], lattice.work
        feeds, weights = tableau_arrays(tableau)
        last = len(weights) - 1
        size = bases.size if last else 0
        if "totals" not in work or work["totals"].size < size:
            work["totals"] = np.empty(size, np.float32)
        gains = _find_gains(lattice, dt_s)[:2]
        for k in range(last + 1):
            inputs = (lattice.phases, bases, lattice.detunings)
            stage = (feeds[k], weights[k], k == 0, k == last)
            mean = self.find_mean(lattice)
            motion.move_to_mean(*inputs, mean, gains, stage, work["totals"], out)
            lattice.phases = out
        work["spare"] = bases

    @staticmethod
    def _take_scratch(lattice: LatticeState, plan: Pass) -> U32Array:
        """Return the planes of a pass, in one memory that is as large as any needed.

        What an earlier pass left there does not matter.
        """
        size = plan.parts * plan.rings.size
        if "scratch" not in lattice.work or lattice.work["scratch"].size < size:
            lattice.work["scratch"] = build_scratch(plan.rings, plan.parts).ravel()
        scratch: U32Array = lattice.work["scratch"][:size]
        return scratch.reshape(plan.parts, plan.rings.size)

    def kick(self, lattice: LatticeState, dt_s: float) -> None:
        """Add the noise of a time step to the phases, and count the kick."""
        width = np.float32(find_kick_turns(lattice.motion, dt_s))
        numba.set_num_threads(self.threads)
        motion.kick_phases(lattice.phases, width, *_take_kick(lattice))

    def drift(self, lattice: LatticeState, ahead_s: float) -> None:
        """Move the phases by their velocities for a time [s]."""
        numba.set_num_threads(self.threads)
        gain = np.float32(ahead_s) * TURN_F
        phases = lattice.phases
        motion.drift_phases(phases, lattice.velocities, gain, phases)

    def coast(self, lattice: LatticeState, dt_s: float, ahead_s: float) -> None:
        """Turn a plain step into one with inertia."""
        keep, take, noise_hz = find_relaxation(lattice.motion, dt_s)
        velocities, starts = lattice.velocities, lattice.work["spare"]
        numba.set_num_threads(self.threads)
        motion.relax_velocities(
            velocities,
            starts,
            lattice.phases,
            np.float32(keep),
            np.float32(take / (dt_s * TURN)),
        )
        if noise_hz:
            motion.kick_velocities(
                velocities, np.float32(noise_hz), *_take_kick(lattice)
            )
        gain = np.float32(ahead_s) * TURN_F
        motion.drift_phases(starts, velocities, gain, lattice.phases)

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
        numba.set_num_threads(self.threads)
        self._successes += run_tunnel_events(
            _take_field(lattice),
            bridges.columns,
            segments,
            np.uint32(tick),
            np.float32(period.dt_s),
            (np.uint32(period.key[0]), np.uint32(period.key[1])),
            self.threads,
        )

    def step_matchings(
        self,
        lattice: LatticeState,
        bridges: MatchingArrays,
        period: Period,
        segments: npt.NDArray[np.int64],
        tick: int,
    ) -> None:
        """Let the bridges in `segments`, whose ends are computed, attempt likewise."""
        numba.set_num_threads(self.threads)
        self._successes += run_matching_events(
            _take_field(lattice),
            lattice.detunings,
            (*_take_formula(bridges), *bridges.state_columns),
            segments,
            np.uint32(tick),
            np.float32(period.dt_s),
            (np.uint32(period.key[0]), np.uint32(period.key[1])),
            self.threads,
        )

    def take_successes(self) -> int:
        """Return the successes since the last call."""
        count, self._successes = self._successes, 0
        return int(count)

    def read_phases(self, lattice: LatticeState) -> U32Array:
        """Copy the phases, shape (nodes,)."""
        phases: U32Array = lattice.phases.copy()
        return phases

    def read_probe(
        self, lattice: LatticeState, nodes: npt.NDArray[np.int64]
    ) -> U32Array:
        """Copy the phases of some nodes, shape of `nodes`."""
        probe: U32Array = lattice.phases[nodes]
        return probe

    def count_turns(self, lattice: LatticeState) -> None:
        """Add the way since the last look to the sums, and mark where nodes stand."""
        count = lattice.turn_count
        assert count is not None
        numba.set_num_threads(self.threads)
        observables.count_turns(lattice.phases, count.marks, count.sums)
        count.moved_turns = 0.0

    def write_phases(self, lattice: LatticeState, phases: U32Array) -> None:
        """Replace the phases by binary angles, shape (nodes,)."""
        lattice.phases[:] = phases

    def write_detunings(self, lattice: LatticeState, detunings_hz: F32Array) -> None:
        """Replace the detunings by others [Hz], shape (nodes,)."""
        lattice.detunings = detunings_hz.astype(lattice.detunings.dtype)

    def to_host(self, array: Any) -> npt.NDArray[Any]:
        """Copy an array."""
        return np.array(array)

    def sum_order(self, lattice: LatticeState) -> tuple[int, int]:
        """Sum cos and sin of all phases [1 / ORDER_UNIT]."""
        cosine, sine = observables.sum_order(lattice.phases)
        return int(cosine), int(sine)

    def _sum_edges(
        self, lattice: LatticeState, offsets: npt.NDArray[np.int64], is_cosine: bool
    ) -> int:
        box, periodic, _ = box_arguments(lattice.geometry)
        sums = observables.sum_edges(lattice.phases, box, periodic, offsets, is_cosine)
        return int(sums)

    def sum_edge_cosines(self, lattice: LatticeState) -> int:
        """Sum the cosines of phase differences over all edges [1 / EDGE_UNIT]."""
        _, _, offsets = box_arguments(lattice.geometry)
        return self._sum_edges(lattice, offsets[::2], True)

    def sum_axis_gaps(self, lattice: LatticeState, axis: int) -> int:
        """Sum the wrapped phase differences along an axis [binary angle]."""
        units = build_units(lattice.geometry)
        return self._sum_edges(lattice, units[axis : axis + 1], False)

    def vortex_count(self, lattice: LatticeState) -> int:
        """Return the number of plaquettes around which the phase winds [-]."""
        box, periodic, _ = box_arguments(lattice.geometry)
        loops = lattice.work["loops"]
        if not len(loops):
            return 0
        return int(observables.count_vortices(lattice.phases, box, periodic, loops))
