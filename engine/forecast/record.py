"""What a run will write: the files of its folder and their sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from engine.config import RunConfig
from engine.constants import LOCKING_FILE, NODES_FILE, SNAPSHOTS_FILE
from engine.forecast.memory import count_bridges

TIMESERIES_FILE: Final = "timeseries.parquet"
TRACE_FILE: Final = "trace.parquet"
TOLERANCE: Final = 0.25
"""Share of its forecast by which a folder may be larger or smaller [-]; a live run's
trace grows by about a kilobyte per second of wall time besides."""
_TEXT_BYTES: Final = 6_500
"""Configuration, environment and summary."""
_ROWS_PER_GROUP: Final = 1024
_ROW_BYTES: Final = MappingProxyType({TIMESERIES_FILE: 51, TRACE_FILE: 43})
"""A compressed row: what never repeats takes eight bytes a column."""
_AGE_BYTES: Final = 8
"""Age of the sample in a row of a live run's trace."""
_GROUP_BYTES: Final = MappingProxyType({TIMESERIES_FILE: 3_100, TRACE_FILE: 5_100})
"""What the footer says of a group of rows, the file's own head shared out."""
_SNAPSHOT_BYTES: Final = 380
"""Of a snapshot beside its phases."""
_PHASE_BYTES: Final = 4
_NODE_BYTES: Final = 19
_NODES_BYTES: Final = 2_500
_LOCKING_BYTES: Final = 770
_CHECKPOINT_BYTES: Final = 12_000
"""Configuration and plain values of a checkpoint."""
_STATE_BYTES_PER_BRIDGE: Final = 21
_LOOK_BYTES_PER_BRIDGE: Final = 5
"""Rank and share that a mesh adds."""
_TURN_BYTES_PER_NODE: Final = 12
"""Turns so far and phases at the last look."""
_PAIR_BYTES: Final = 32
"""Two complex sums of every pair of the probe set."""


@dataclass(frozen=True)
class RecordEstimate:
    """Files of a run folder."""

    files: Mapping[str, int]
    """Size of each file of the finished run by name [byte]; the texts are one."""
    checkpoint_bytes: int
    """Size of one checkpoint [byte]; 0 where none is kept."""
    kept_count: int
    """Checkpoints that lie there at most while the run goes on [-]."""

    @property
    def total_bytes(self) -> int:
        """Size of the folder of a finished run [byte]."""
        return sum(self.files.values())

    @property
    def peak_bytes(self) -> int:
        """Room that the run needs on the disk at most [byte].

        Parts of tables lie there twice while they are put together, and once more
        where a checkpoint that is kept relies on them.
        """
        tables = self.files[TIMESERIES_FILE] + self.files[TRACE_FILE]
        copies = 2 if self.kept_count else 0
        kept = (self.kept_count + 1) * self.checkpoint_bytes
        return self.total_bytes + copies * tables + kept


def estimate_record(config: RunConfig) -> RecordEstimate:
    """Estimate what a run writes if it has a folder, to within `TOLERANCE`.

    Args:
        config: A validated configuration.
    """
    kept = config.record.checkpoints_kept
    return RecordEstimate(
        MappingProxyType(_list_files(config)),
        _estimate_checkpoint(config) if kept else 0,
        kept + 1 if kept else 0,
    )


def _list_files(config: RunConfig) -> dict[str, int]:
    observe, nodes = config.observe, config.lattice.node_count
    decisions = _count_periods(config)
    rows = decisions // config.record.every_periods
    is_live = config.load.kind in ("none", "real")
    files = {
        "texts": _TEXT_BYTES,
        TIMESERIES_FILE: _estimate_table(TIMESERIES_FILE, rows),
        TRACE_FILE: _estimate_table(TRACE_FILE, decisions)
        + is_live * _AGE_BYTES * decisions,
    }
    if observe.snapshot_every_s is not None:
        count = math.ceil(config.dynamics.duration_s / observe.snapshot_every_s) + 1
        files[SNAPSHOTS_FILE] = count * (_PHASE_BYTES * nodes + _SNAPSHOT_BYTES)
    if not observe.is_idle:
        files[NODES_FILE] = _NODE_BYTES * nodes + _NODES_BYTES
    if observe.probe_count:
        pairs = observe.probe_count * (observe.probe_count + 1)
        files[LOCKING_FILE] = 8 * pairs + _LOCKING_BYTES
    return files


def _count_periods(config: RunConfig) -> int:
    """Count the control periods of a run, error windows included."""
    dynamics, controller = config.dynamics, config.controller
    span_s = controller.error_window_s or dynamics.duration_s / 8.0
    steps = dynamics.step_count
    steps += round(2 * controller.error_windows * span_s / dynamics.dt_s)
    return math.ceil(steps / controller.period_steps)


def _estimate_table(name: str, rows: int) -> int:
    groups = math.ceil(rows / _ROWS_PER_GROUP)
    return _ROW_BYTES[name] * rows + _GROUP_BYTES[name] * (groups + 1)


def _estimate_checkpoint(config: RunConfig) -> int:
    nodes, bridges = config.lattice.node_count, count_bridges(config)
    per_node = 2 * _PHASE_BYTES if config.dynamics.inertia_s else _PHASE_BYTES
    if config.observe.frequency_window_s is not None:
        per_node += _TURN_BYTES_PER_NODE
    per_bridge = _STATE_BYTES_PER_BRIDGE
    if not config.acting_mesh.is_idle:
        per_bridge += _LOOK_BYTES_PER_BRIDGE
    pairs = config.observe.probe_count**2
    state = per_node * nodes + per_bridge * bridges + _PAIR_BYTES * pairs
    return _CHECKPOINT_BYTES + state
