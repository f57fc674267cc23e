"""How the `cuda` back end moves oscillators between the events of bridges.

Neighbours pull tile by tile, several steps per launch; the mean field pulls by one
launch per stage, which also sums what the next stage needs. Noise and inertia go around
plain steps (`motion.py`). Nothing here waits for the device.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from engine.backends.binary import BinaryBackend
from engine.backends.cuda_device import THREADS_PER_BLOCK, CudaDevice
from engine.backends.cuda_tiles import (
    TILE_THREADS,
    LatticeShape,
    find_reaches,
    pack_offsets,
    plan_steps,
)
from engine.backends.kernels import Variant
from engine.backends.layout import box_arguments
from engine.backends.motion import find_kick_turns, find_relaxation
from engine.backends.protocol import LatticeState, Motion, Tableau
from engine.constants import ORDER_UNIT, TURN
from engine.geometry import Geometry

TURN_F = np.float32(TURN)
"""One turn in units of the binary angle, as the kernels take increments [-]."""
SUM_PAIRS = 3
"""Pairs of order sums that take turns in `mean.cu` [-]."""
PART_BYTES = THREADS_PER_BLOCK // 32 * 16
"""Shared memory of a block of it: two sums of 8 bytes for each warp [byte]."""
QUAD = 4
"""Nodes that a thread of `motion.cu` kicks, from one random counter [-]."""


@lru_cache(maxsize=16)
def box_scalars(geometry: Geometry) -> tuple[np.uint32, ...]:
    """Return (slabs, rows, columns, bit mask of the closed axes) for a launch."""
    box, periodic, _ = box_arguments(geometry)
    mask = sum(int(closed) << axis for axis, closed in enumerate(periodic))
    return (*(np.uint32(cells) for cells in box), np.uint32(mask))


@lru_cache(maxsize=16)
def tile_shape(geometry: Geometry, stages: int) -> LatticeShape:
    """Return what the plan of the lattice kernel needs."""
    _, _, table = box_arguments(geometry)
    return LatticeShape(geometry.box, find_reaches(table.tolist()), stages)


@lru_cache(maxsize=16)
def offset_codes(geometry: Geometry) -> np.uint64:
    """Return the neighbour offsets as the kernels take them."""
    return np.uint64(pack_offsets(box_arguments(geometry)[2].tolist()))


def find_variant(geometry: Geometry, motion: Motion) -> Variant:
    """Return what the lattice kernels are compiled for."""
    return Variant(len(geometry.offsets), motion.lag_rad != 0.0)


def scale_gains(lattice: LatticeState, dt_s: float) -> tuple[np.float32, ...]:
    """Return K / 2 pi [1/s], 2^32 dt [s], and sine and cosine of the phase lag [-].

    A power of two keeps every bit of dt.
    """
    gains = np.float32(lattice.coupling_turns), scale_time(dt_s)
    lag = lattice.motion.lag_rad
    return (*gains, np.float32(math.sin(lag)), np.float32(math.cos(lag)))


def scale_time(time_s: float) -> np.float32:
    """Return 2^32 times a time [s], which takes Hz to binary angles."""
    return np.float32(time_s) * TURN_F


class CudaMotion(BinaryBackend):
    """Moves the oscillators of a lattice on a CUDA device."""

    def __init__(self, device: int) -> None:
        """Take a device.

        Args:
            device: CUDA device index as CuPy counts them, >= 0.

        Raises:
            BackendUnavailableError: CuPy, a driver or a device is missing, or the
                kernels do not compile.
            ConfigError: There is no device of that index.
        """
        self._device = CudaDevice(device)
        self._cupy = self._device.cupy
        self._device.load("observables.cu")
        self._schemes: dict[Tableau, Any] = {}

    def load_kernels(self, geometry: Geometry, motion: Motion) -> None:
        """Compile and load the kernels that a lattice needs, each of them once.

        Args:
            geometry: The lattice.
            motion: Lag, range, inertia and noise.

        Raises:
            BackendUnavailableError: They do not compile.
        """
        if motion.inertia_s or motion.diffusion_rad2_s:
            self._device.load("motion.cu")
        if motion.is_global:
            self._device.load("mean.cu")
            return
        variant = find_variant(geometry, motion)
        for source, kernel in (
            ("lattice.cu", "step_lattice"),
            ("period.cu", "run_period"),
        ):
            self._device.load(source, variant)
            self._device.allow_shared(kernel, variant)

    def step_lattice(
        self, lattice: LatticeState, tableau: Tableau, dt_s: float, count: int = 1
    ) -> None:
        """Advance all oscillators by `count` equal time steps of their rate alone.

        Args:
            lattice: Oscillators, changed in place.
            tableau: Integrator.
            dt_s: Time step [s].
            count: Number of steps, >= 1.

        Raises:
            ResourceError: A tile does not fit the shared memory of the device, or the
                stages of a mean field its memory.
        """
        with self._device.working():
            if lattice.motion.is_global:
                self._step_in_mean_field(lattice, tableau, dt_s, count)
            else:
                self._step_tiles(lattice, tableau, dt_s, count)

    def _step_tiles(
        self, lattice: LatticeState, tableau: Tableau, dt_s: float, count: int
    ) -> None:
        """Let neighbours pull, for several steps per launch."""
        geometry, stages = lattice.geometry, len(tableau.weights)
        box, codes = box_scalars(geometry), offset_codes(geometry)
        gains, scheme = scale_gains(lattice, dt_s), self._take_scheme(tableau)
        variant = find_variant(geometry, lattice.motion)
        shape = tile_shape(geometry, stages)
        for plan in plan_steps(shape, count, self._device.limits):
            extents = (np.uint32(cells) for cells in (*plan.tile, *plan.halo))
            inputs = (lattice.phases, lattice.detunings, scheme, *box, codes)
            counts = (np.int32(stages), np.int32(plan.steps))
            wide, out = np.int32(shape.is_wide), lattice.work["spare"]
            self._device.launch(
                "step_lattice",
                (plan.blocks, TILE_THREADS),
                (*inputs, *extents, *counts, *gains, wide, out),
                variant=variant,
                shared_bytes=plan.shared_bytes,
            )
            lattice.phases, lattice.work["spare"] = out, lattice.phases

    def _step_in_mean_field(
        self, lattice: LatticeState, tableau: Tableau, dt_s: float, count: int
    ) -> None:
        """Let the mean of all pull: one launch to start with, then one per stage."""
        nodes, stages = np.uint64(lattice.phases.size), len(tableau.weights)
        lag = lattice.motion.lag_rad
        scales = 1.0 / (lattice.phases.size * ORDER_UNIT), math.sin(lag), math.cos(lag)
        means = (*scale_gains(lattice, dt_s)[:2], *map(np.float64, scales))
        inputs = (lattice.detunings, self._take_scheme(tableau), nodes)
        totals = self._take_totals(lattice, stages)
        sums = self._cupy.zeros(2 * SUM_PAIRS, dtype=np.uint64)
        grid = self._device.fill_grid(lattice.phases.size)
        self._device.launch("sum_order", grid, (lattice.phases, nodes, sums))
        for level in range(count * stages):
            starts, out = lattice.phases, lattice.work["spare"]
            counts = stages, level, level + 1 < count * stages
            numbers = (*map(np.int32, counts), *means)
            arguments = (starts, *inputs, *numbers, totals, out, sums)
            self._device.launch(
                "step_mean_field", grid, arguments, shared_bytes=PART_BYTES
            )
            if level % stages == stages - 1:
                lattice.phases, lattice.work["spare"] = out, starts

    def _take_totals(self, lattice: LatticeState, stages: int) -> Any:
        """Return the weighted increments of a mean field; empty for a single stage."""
        size = lattice.phases.size if stages > 1 else 0
        totals = lattice.work.get("totals")
        if totals is None or totals.size < size:
            cure = "Take dynamics.integrator=euler,"
            with self._device.allocating("The stages of a step", 4 * size, cure):
                totals = self._cupy.empty(size, dtype=np.float32)
            lattice.work["totals"] = totals
        return totals

    def _take_scheme(self, tableau: Tableau) -> Any:
        """Return feeds, with a zero for the last stage, and weights on the device."""
        if tableau not in self._schemes:
            rows = np.array((*tableau.feeds, 0.0, *tableau.weights), np.float32)
            with self._device.working():
                self._schemes[tableau] = self._cupy.asarray(rows)
        return self._schemes[tableau]

    def kick(self, lattice: LatticeState, dt_s: float) -> None:
        """Add the noise of a time step to the phases, and count the kick.

        Args:
            lattice: Oscillators, changed in place.
            dt_s: Time step [s].
        """
        width = np.float32(find_kick_turns(lattice.motion, dt_s))
        nodes = np.uint64(lattice.phases.size)
        arguments = (nodes, *take_kick(lattice), width, lattice.phases)
        with self._device.working():
            self._device.launch("kick_phases", self._fill_quads(lattice), arguments)

    def drift(self, lattice: LatticeState, ahead_s: float) -> None:
        """Move the phases by their velocities for a time.

        Args:
            lattice: Oscillators with inertia, changed in place.
            ahead_s: The time [s].
        """
        nodes = np.uint64(lattice.phases.size)
        arguments = (lattice.velocities, nodes, scale_time(ahead_s), lattice.phases)
        with self._device.working():
            grid = self._device.fill_grid(lattice.phases.size)
            self._device.launch("drift_phases", grid, arguments)

    def coast(self, lattice: LatticeState, dt_s: float, ahead_s: float) -> None:
        """Turn a plain step into one with inertia.

        Args:
            lattice: Oscillators with inertia after a plain step, changed in place.
            dt_s: Time step [s].
            ahead_s: How far phases drift from where they were before it [s].
        """
        keep, take, noise_hz = find_relaxation(lattice.motion, dt_s)
        none = (np.uint32(0),) * 3
        drawn = take_kick(lattice) if noise_hz else none
        reals = map(np.float32, (keep, take / (dt_s * TURN), noise_hz))
        inputs = (lattice.work["spare"], np.uint64(lattice.phases.size), *drawn)
        outputs = (lattice.velocities, lattice.phases)
        arguments = (*inputs, *reals, scale_time(ahead_s), *outputs)
        with self._device.working():
            self._device.launch("coast_phases", self._fill_quads(lattice), arguments)

    def _fill_quads(self, lattice: LatticeState) -> tuple[int, int]:
        """Return a grid with a thread for every four nodes."""
        return self._device.fill_grid(-(-lattice.phases.size // QUAD))


def take_kick(lattice: LatticeState) -> tuple[np.uint32, np.uint32, np.uint32]:
    """Count a kick of noise; return its number and both words of its key."""
    kick, (seed, stream) = lattice.kicks, lattice.motion.noise_key
    lattice.kicks = (kick + 1) % 2**32
    return np.uint32(kick), np.uint32(seed), np.uint32(stream)
