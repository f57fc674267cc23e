"""The observer of a run: looks at the end of every control period, changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from engine.config import RunConfig
from engine.constants import SNAPSHOTS_FILE
from engine.crystal import CrystalLattice
from engine.late import LatePart
from engine.observation.frequencies import F64Array, build_histogram, find_cluster
from engine.observation.locking import Locking, LockingSums, choose_probe
from engine.observation.nodes import write_nodes
from engine.observation.snapshots import SnapshotWriter
from engine.state import State, keep_array, keep_fields, take_fields

OBSERVER_FIELDS = (
    *("_step", "_last_step", "_next_snapshot", "_snapshot_count"),
    *("_counted_from", "window_s"),
)
"""What an observer counts."""
EVENT_TURNS = 0.25
"""Longest way that a tunnel event moves an end, both of which meet halfway [turn]."""
DIRECTED_EVENT_TURNS = 0.5
"""Likewise where one end alone goes all the way [turn]."""


class Observer:
    """Takes snapshots, counts turns and samples the probe set as a run goes on."""

    def __init__(self, config: RunConfig, lattice: CrystalLattice) -> None:
        """Prepare what the configuration asks for; nothing is written or counted yet.

        Args:
            config: The run.
            lattice: Its oscillators.
        """
        self._config, self._lattice = config, lattice
        self._dt_s = config.dynamics.dt_s
        self._period_steps = config.controller.period_steps
        observe = config.observe
        self._is_idle = observe.is_idle
        self._snapshot_steps = self._to_steps(observe.snapshot_every_s)
        self._window_steps = self._to_steps(observe.frequency_window_s)
        self._probe = choose_probe(lattice.node_count, observe.probe_count)
        self._locking = LatePart(partial(LockingSums, observe.probe_count))
        self._snapshots: SnapshotWriter | None = None
        self._next_snapshot = self._snapshot_count = 0
        self._step = self._last_step = 0
        self._counted_from: int | None = None
        self.effective_frequencies_hz: F64Array | None = None
        """Mean d theta/dt / 2 pi of every node over the last part of the run [Hz],
        shape (nodes,); None before the end, or where it was not asked for."""
        self.window_s: float | None = None
        """Time over which they were measured [s]."""

    def _to_steps(self, span_s: float | None) -> int | None:
        return None if span_s is None else max(1, round(span_s / self._dt_s))

    @property
    def locking(self) -> Locking | None:
        """The phase-locking matrix so far; None without a probe set or a sample."""
        sums = self._locking.sums
        if not self._probe.size or not sums.count:
            return None
        return Locking(self._probe, sums.matrix, sums.count)

    def begin(self, step: int, last_step: int, coherence: float) -> None:
        """Open the files, and look at the state before the first step.

        Args:
            step: Lattice steps so far.
            last_step: Lattice steps at the end of the run.
            coherence: Order parameter r [-].

        Raises:
            RecordError: A file cannot be written.
        """
        self._step, self._last_step = step, last_step
        self._next_snapshot, self._snapshot_count = step, 0
        self._counted_from = self.effective_frequencies_hz = self.window_s = None
        self.reopen()
        self._look(coherence)

    def reopen(self) -> None:
        """Open the files where a run begins, or goes on after `from_state`.

        Raises:
            RecordError: A file cannot be written, or has lost what it held.
        """
        folder = self._config.record.folder
        if folder is not None and self._snapshot_steps is not None:
            path, kept = Path(folder) / SNAPSHOTS_FILE, self._snapshot_count
            self._snapshots = SnapshotWriter(path, self._lattice, kept)

    def to_state(self) -> State:
        """Return what was seen so far; snapshots are safe on the disk by then.

        Raises:
            RecordError: The disk takes no more.
        """
        if self._snapshots is not None:
            self._snapshots.sync()
        found = self.effective_frequencies_hz
        return {
            **keep_fields(self, *OBSERVER_FIELDS),
            "locking": self._locking.to_state() if self._probe.size else None,
            "frequencies": None
            if found is None
            else keep_array(found, ("node",), "Hz"),
        }

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; `reopen` opens the files.

        Raises:
            CheckpointError: It is not one of such an observer.
        """
        take_fields(self, state, *OBSERVER_FIELDS)
        if self._probe.size:
            self._locking.from_state(state["locking"])
        found = state["frequencies"]
        if found is not None:
            shape = (self._lattice.node_count,)
            found = found.load("Frequencies", np.float64, shape)
        self.effective_frequencies_hz = found

    def observe(self, step: int, coherence: float) -> None:
        """Look at the end of a control period.

        Args:
            step: Lattice steps so far.
            coherence: Order parameter r [-].

        Raises:
            RecordError: The disk takes no more.
        """
        if self._is_idle or not self._last_step:
            return
        self._step = step
        if self._probe.size:
            state = self._lattice.state
            self._locking.add(self._lattice.backend.read_probe(state, self._probe))
        self._look(coherence)

    def _look(self, coherence: float) -> None:
        """Take a snapshot if one is due, and begin to count turns in time."""
        step = self._step
        if self._snapshots is not None and step >= self._next_snapshot:
            phases = self._lattice.phases
            self._snapshots.add(step, step * self._dt_s, coherence, phases)
            self._snapshot_count = self._snapshots.count
            every = self._snapshot_steps or 1
            self._next_snapshot += every * ((step - self._next_snapshot) // every + 1)
        if self._window_steps is None or self._counted_from is not None:
            return
        # The last chance before the window: counting begins between control periods.
        if step + self._period_steps > self._last_step - self._window_steps:
            self._start_counting()

    def _start_counting(self) -> None:
        lattice, bridges = self._lattice, self._config.bridges
        may_be_directed = bridges.directed or bridges.kind == "file"
        event_turns = DIRECTED_EVENT_TURNS if may_be_directed else EVENT_TURNS
        lattice.backend.start_counting(
            lattice.state, lattice.fastest_rate_hz, event_turns
        )
        self._counted_from = self._step

    def finish(self) -> None:
        """Sum up, write what belongs to the end of a run, and look no more.

        Raises:
            RecordError: The disk takes no more.
        """
        if self._is_idle or not self._last_step:
            return
        self._measure_frequencies()
        self._rest()
        folder = self._config.record.folder
        if folder is None:
            return
        frequencies = self.effective_frequencies_hz
        write_nodes(Path(folder), self._lattice, frequencies, self.window_s)
        if self.locking is not None:
            self.locking.save(Path(folder))

    def _measure_frequencies(self) -> None:
        """Turn turns into frequencies, unless the run ended before any were counted."""
        if self._counted_from is None or self._step == self._counted_from:
            return
        lattice = self._lattice
        self.window_s = (self._step - self._counted_from) * self._dt_s
        frequencies = lattice.backend.read_turns(lattice.state)
        frequencies /= self.window_s
        frequencies += lattice.resonance_frequency
        self.effective_frequencies_hz = frequencies

    def close(self) -> None:
        """Close the files and stop counting, however the run ended.

        Raises:
            RecordError: The disk takes no more.
        """
        self._rest()
        if self._snapshots is not None:
            self._snapshots.close()

    def _rest(self) -> None:
        """Let the run go on unobserved."""
        self._last_step = 0
        if self._counted_from is not None:
            self._lattice.state.turn_count = None

    def to_dict(self) -> dict[str, Any] | None:
        """Return the entry `observation` of `summary.json`; None if nothing is seen."""
        if self._is_idle:
            return None
        locking = self.locking
        return {
            "snapshots": self._snapshot_count,
            "frequency": self._describe_frequencies(),
            "locking": locking
            and {
                "probe_count": int(locking.nodes.size),
                "samples": locking.sample_count,
                "mean": locking.mean,
            },
        }

    def _describe_frequencies(self) -> dict[str, Any] | None:
        frequencies, window_s = self.effective_frequencies_hz, self.window_s
        if frequencies is None or window_s is None:
            return None
        cluster = find_cluster(frequencies, window_s)
        histogram = build_histogram(frequencies, least_width_hz=cluster.width_hz)
        return {
            "window_s": window_s,
            "mean_hz": float(frequencies.mean()),
            "standard_deviation_hz": float(np.std(frequencies)),
            "cluster": asdict(cluster),
            "histogram": {
                "low_hz": float(histogram.edges_hz[0]),
                "high_hz": float(histogram.edges_hz[-1]),
                "counts": histogram.counts.tolist(),
            },
        }
