"""How the `cuda` back end takes a lattice and its bridges through a control period.

A lattice that fits the shared memory of one block runs the whole period in a single
launch. Larger ones are worked tile by tile; their launches are captured as a graph and
repeated. Lattices with a mean field, noise or inertia take plain launches. In each case
the host waits once per period.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.cuda_clock import EventClock, StageShares
from engine.backends.cuda_graphs import GraphCache
from engine.backends.cuda_motion import (
    CudaMotion,
    box_scalars,
    find_variant,
    offset_codes,
    scale_gains,
    tile_shape,
)
from engine.backends.cuda_plan import (
    LEAST_CAPACITY,
    PeriodPlan,
    plan_launches,
    round_capacity,
)
from engine.backends.cuda_tiles import WHOLE_THREADS, find_whole_bytes
from engine.backends.motion import find_push
from engine.backends.protocol import (
    BridgeArrays,
    Bridges,
    LatticeState,
    MatchingArrays,
    Period,
    PeriodResult,
)


def take_formula(lattice: LatticeState, bridges: MatchingArrays) -> tuple[Any, ...]:
    """Return what decides ends and success of computed bridges, for a launch."""
    matching = bridges.matching
    layout = (matching.node_count, matching.high_bits, matching.low_bits)
    words = (np.uint32(number) for number in layout)
    is_directed = np.uint32(matching.is_directed)
    return (bridges.keys, lattice.detunings, *words, *matching.law.words, is_directed)


def take_movable(lattice: LatticeState) -> tuple[Any, ...]:
    """Return what events move, for a launch; a null pointer without inertia."""
    velocities = lattice.velocities
    pushed = np.uint64(0) if velocities is None else velocities
    return (lattice.phases, pushed, find_push(lattice.motion))


def list_stops(
    lattice: LatticeState, period: Period, plan: PeriodPlan
) -> Sequence[int]:
    """List the slices of a period before whose events the lattice steps stop.

    A graph is the same for every period, so a steady lattice stops in each slice. Kicks
    and drifts are halved at either end of a stretch, which must be the same on every
    back end: an unsteady lattice stops where something is due.
    """
    if lattice.motion.is_steady:
        return range(period.slice_count if plan.launches_per_slice else 0)
    stops: list[int] = np.flatnonzero(np.diff(period.segment_bounds)).tolist()
    return stops


class CudaStepping(CudaMotion):
    """Runs periods on a CUDA device; what lies in its memory is another's concern."""

    def __init__(self, device: int) -> None:
        """Take a device and compile the kernels that every run needs.

        Args:
            device: CUDA device index as CuPy counts them, >= 0.

        Raises:
            BackendUnavailableError: CuPy, a driver or a device is missing, or the
                kernels do not compile.
            ConfigError: There is no device of that index.
        """
        super().__init__(device)
        cupy = self._cupy
        self._device.load("tunnel.cu")
        self._device.load("matching.cu")
        with self._device.working():
            # Successes so far and the cycles of both stages, read in one copy.
            self._totals = cupy.zeros(3, dtype=np.uint64)
            self._plan_words = cupy.zeros(LEAST_CAPACITY, dtype=np.uint64)
        self._success_total, self._stage_clocks = self._totals[:1], self._totals[1:]
        self._last_clocks: list[Any] = [0, 0]
        self._clock = EventClock(cupy.cuda.Event, cupy.cuda.get_elapsed_time)
        self._shares = StageShares()
        self._graphs = GraphCache(self._device)
        self._device.on_shortage = self._graphs.clear
        self._owners: tuple[Any, ...] = (None,) * (1 + len(fields(BridgeArrays)))
        self._successes_taken = 0

    def advance(
        self, lattice: LatticeState, bridges: Bridges, period: Period
    ) -> PeriodResult:
        """Run one control period.

        Bridges with computed ends take plain launches, and so do lattices whose motion
        is not steady: kicks are numbered, and a graph would repeat their numbers. So
        does everything while turns are counted, which happens between launches.

        Args:
            lattice: Oscillators, changed in place.
            bridges: Bridges, changed in place.
            period: Steps, windows and integrator.

        Returns:
            Wall time of both stages [s], split by a sample of the steps, and the
            number of successes.

        Raises:
            ResourceError: A tile does not fit the shared memory of the device.
            DeviceMemoryError: The device has no memory left, also after a second try.
            DeviceError: It failed; what it holds is lost.
        """
        work = partial(self._advance, lattice, bridges, period)
        return self._device.attempt(work, is_repeatable=False)

    def _advance(
        self, lattice: LatticeState, bridges: Bridges, period: Period
    ) -> PeriodResult:
        """Choose how to run a period, and run it."""
        if isinstance(bridges, MatchingArrays) or lattice.turn_count is not None:
            self._clock.start(int(np.count_nonzero(np.diff(period.segment_bounds))))
            return self._clock.complete(super().advance(lattice, bridges, period))
        plan = plan_launches(period)
        shape = tile_shape(lattice.geometry, len(period.tableau.weights))
        whole_bytes = find_whole_bytes(shape, self._device.limits)
        self._upload_plan(plan)
        issue = partial(self._issue, lattice, bridges, period, plan)
        if not lattice.motion.is_steady:
            return self._advance_sampled(lattice, period, plan, issue)
        if whole_bytes:
            return self._advance_whole(lattice, bridges, period, plan, whole_bytes)
        key, kept = self._name_launches(lattice, bridges, period, plan)
        self._clock.start(0)
        self._clock.mark()
        if not self._graphs.run(key, kept, lattice, issue):
            return self._advance_sampled(lattice, period, plan, issue)
        whole_s, successes = self._finish()
        shares = self._shares.split(whole_s, period.step_count, plan.events)
        return PeriodResult(*shares, successes)

    def mark(self) -> int:
        """Record a point in time on the device if its stage is in the sample."""
        return self._clock.mark()

    def seconds_between(self, first: int, second: int) -> float:
        """Return the time between two marks [s], 0 outside the sample."""
        return self._clock.measure(first, second)

    def _finish(self) -> tuple[float, int]:
        """Wait for a period that is timed as a whole; return seconds and successes."""
        self._clock.mark()
        successes = self.take_successes()
        return self._clock.measure(0, 1), successes

    def _advance_sampled(
        self,
        lattice: LatticeState,
        period: Period,
        plan: PeriodPlan,
        issue: Callable[..., None],
    ) -> PeriodResult:
        """Run a period launch by launch, with events between some of its stages."""
        slices = len(list_stops(lattice, period, plan))
        self._clock.start(slices)
        issue(self._clock.mark)
        successes = self.take_successes()
        marks = range(2 * slices + 1)
        spans = [self._clock.measure(mark, mark + 1) for mark in marks]
        sums = sum(spans[::2]), sum(spans[1::2])
        result = self._clock.complete(PeriodResult(*sums, successes))
        self._shares.learn(result, period.step_count, plan.events)
        return result

    def _advance_whole(
        self,
        lattice: LatticeState,
        bridges: BridgeArrays,
        period: Period,
        plan: PeriodPlan,
        shared_bytes: int,
    ) -> PeriodResult:
        """Run a period of a small lattice in one launch of one block.

        Its own clock splits the time: the block counts the cycles of both stages.
        """
        geometry, tableau = lattice.geometry, period.tableau
        shape = tile_shape(geometry, len(tableau.weights))
        terms = (self._plan_words, np.float32(period.dt_s), lattice.phases)
        pads = (np.uint32(reach) for reach in shape.reaches[:2])
        slices = (np.int32(period.slice_count), np.int32(period.slice_steps))
        scheme = self._take_scheme(tableau)
        arguments = (
            *(*bridges.columns, *terms, self._success_total),
            *(lattice.detunings, scheme, *box_scalars(geometry)),
            *(offset_codes(geometry), *pads, np.int32(shape.stages), *slices),
            np.uint32(plan.launches_per_slice),
            *scale_gains(lattice, period.dt_s),
            self._stage_clocks,
        )
        self._clock.start(0)
        self._clock.mark()
        self._device.launch(
            "run_period",
            (1, WHOLE_THREADS),
            arguments,
            variant=find_variant(geometry, lattice.motion),
            shared_bytes=shared_bytes,
        )
        whole_s, successes = self._finish()
        steps, events = (int(clocks) for clocks in self._last_clocks)
        tunnel_s = whole_s * events / max(steps + events, 1)
        return PeriodResult(whole_s - tunnel_s, tunnel_s, successes)

    def _upload_plan(self, plan: PeriodPlan) -> None:
        """Copy what is due to the device; a larger array makes old graphs useless."""
        if plan.words.size > self._plan_words.size:
            self._graphs.clear()
            capacity = round_capacity(plan.words.size)
            self._plan_words = self._cupy.zeros(capacity, dtype=np.uint64)
        words = np.zeros(self._plan_words.size, np.uint64)
        words[: plan.words.size] = plan.words
        self._plan_words.set(words, stream=self._device.stream)

    def _name_launches(
        self,
        lattice: LatticeState,
        bridges: BridgeArrays,
        period: Period,
        plan: PeriodPlan,
    ) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return the key of a period's launches and the arrays they refer to."""
        arrays = (lattice.phases, lattice.work["spare"], lattice.detunings)
        kept = (*arrays, *bridges.columns, self._plan_words)
        owners = (lattice.detunings, *bridges.columns)
        if any(a is not b for a, b in zip(owners, self._owners, strict=True)):
            self._graphs.clear()
            self._owners = owners
        addresses = tuple(map(id, kept))
        steps = (period.step_count, period.slice_steps, period.tableau, period.dt_s)
        grid = self._device.fill_grid(round_capacity(plan.most_events, 1))
        lattice_terms = (lattice.geometry, lattice.coupling_turns, lattice.motion)
        launches = (plan.launches_per_slice, grid)
        return (*steps, *lattice_terms, *launches, addresses), kept

    def _issue(
        self,
        lattice: LatticeState,
        bridges: BridgeArrays,
        period: Period,
        plan: PeriodPlan,
        mark: Callable[[], object] = lambda: None,
    ) -> None:
        """Ask for the launches of a period; the same for every period of a key."""
        mark()
        launches, last = plan.launches_per_slice, 0
        grid = self._device.fill_grid(round_capacity(plan.most_events, 1))
        stops = list_stops(lattice, period, plan)
        for index in stops:
            waiting = (index - last) * period.slice_steps
            self._step_between(lattice, period, waiting, is_first=index == stops[0])
            mark()
            first, ticks = index * launches, index * period.slice_steps
            for launch in range(first, first + launches):
                self._run_events(lattice, bridges, period, (launch, ticks), grid)
            mark()
            last = index
        waiting = (period.slice_count - 1 - last) * period.slice_steps
        self._step_between(lattice, period, waiting, is_first=not stops)
        self._step_half(lattice, period)
        mark()

    def _run_events(
        self,
        lattice: LatticeState,
        bridges: BridgeArrays,
        period: Period,
        place: tuple[int, int],
        grid: tuple[int, int],
    ) -> None:
        """Ask for one launch of events; `place` is its number and its ticks."""
        numbers = (*(np.uint32(word) for word in place), np.float32(period.dt_s))
        outputs = (*take_movable(lattice), self._success_total)
        arguments = (*bridges.columns, self._plan_words, *numbers, *outputs)
        self._device.launch("run_tunnel_events", grid, arguments)

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
            segments: Contiguous slots that are due, shape (m, 2), in host memory.
            tick: Number of this tunnel step, counted from 1.
        """
        alone = replace(
            period,
            step_count=period.slice_steps,
            first_tick=tick,
            segments=segments,
            segment_bounds=np.array([0, len(segments)]),
            segment_layers=None,
        )
        plan = plan_launches(alone)
        grid = self._device.fill_grid(max(plan.most_events, 1))
        with self._device.working():
            self._upload_plan(plan)
            for launch in range(plan.launches_per_slice):
                self._run_events(lattice, bridges, alone, (launch, 0), grid)

    def step_matchings(
        self,
        lattice: LatticeState,
        bridges: MatchingArrays,
        period: Period,
        segments: npt.NDArray[np.int64],
        tick: int,
    ) -> None:
        """Let the bridges in `segments`, whose ends are computed, attempt likewise."""
        seed, stream = (np.uint32(word) for word in period.key)
        scalars = (np.uint32(tick), np.float32(period.dt_s), seed, stream)
        formula = take_formula(lattice, bridges)
        state = (*bridges.state_columns, self._success_total)
        outputs = (*take_movable(lattice), *state)
        with self._device.working():
            for lo, hi in segments.tolist():
                if lo < hi:
                    span = (np.uint64(lo), np.uint64(hi))
                    arguments = (*formula, *span, *scalars, *outputs)
                    grid = self._device.fill_grid(hi - lo)
                    self._device.launch("run_matching_events", grid, arguments)

    def take_successes(self) -> int:
        """Return the successes since the last call; waits for the device."""
        with self._device.working():
            total, *clocks = self._totals.get().tolist()
        self._last_clocks = clocks
        count, self._successes_taken = int(total) - self._successes_taken, int(total)
        return count
