"""What a run will need, computed before anything is allocated.

Memory so far; the coherence forecast belongs here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.backends.philox import PART
from engine.config import RunConfig
from engine.errors import ResourceError
from engine.geometry import build_geometry

_STATE_BYTES_PER_NODE = {"reference": 48, "cpu": 12, "cuda": 12}
"""Phases, spare phases and detunings that live through the run."""
_STAGE_BYTES_PER_NODE = {"reference": 24, "cpu": 8, "cuda": 4}
"""Second stage buffer and collector of rk2 and rk4; `cuda` keeps those of neighbours
on the chip, but not the mean field's."""
_VELOCITY_BYTES_PER_NODE = {"reference": 48, "cpu": 4, "cuda": 4}
"""Velocities of phases with inertia; `reference` works with temporaries beside them."""
_LARGEST_STATE_BYTES, _LARGEST_STAGE_BYTES, _LARGEST_VELOCITY_BYTES = 48, 24, 48
"""For back ends registered from outside, the most that one of ours takes."""
_FILE_BYTES_PER_BRIDGE = 12
"""A row of an edge list on disk."""
_WORK_BYTES_PER_NODE = {"reference": 130, "cpu": 40, "cuda": 40}
"""Sort keys, an order and random words while phases and frequencies are drawn;
`reference` takes more later, when it looks for vortices."""
_LARGEST_WORK_BYTES = 130
_DRAW_BYTES_PER_NODE = 110
"""64-bit random words of the nodes that are drawn at a time."""
_LAW_BYTES_PER_NODE = 160
"""small_world: every displacement, its images and its share."""
_COLOUR_BYTES_PER_BRIDGE = 200
"""small_world: edges as Python numbers while they are coloured."""
_COLUMN_BYTES_PER_BRIDGE = 40
"""Columns in the memory of the back end where all of them are stored."""
_STATE_BYTES_PER_BRIDGE = 20
"""Columns that a run changes: all that lies there where ends are computed."""
_LIST_BYTES_PER_BRIDGE = 29
"""On the host: edge list, probability, rung and slot where ends are stored."""
_BUILD_BYTES_PER_BRIDGE = 24
"""Orders and host columns on their way while a network is laid out."""
_PAIR_BYTES_PER_BRIDGE = 60
"""Scores, orders and keys of pairs while bridges are placed by natural frequency."""
_ALIGN_BYTES_PER_EDGE = 60
"""Gaps, weights and vectors of the solves by which bridges are aligned or rewired."""
_MOVE_BYTES_PER_BRIDGE = 110
"""Order, law and membership of a rollout, and host columns while it moves bridges."""
_LOOK_BYTES_PER_BRIDGE = 70
"""Order by source and share of a mesh, and its traces, cells and orders at a look."""
_COUNT_BYTES_PER_NODE = {"reference": 16, "cpu": 12, "cuda": 12}
"""Turns so far and phases at the last look, where frequencies are measured."""
_LARGEST_COUNT_BYTES = 16
_END_BYTES_PER_NODE = 36
"""On the host at the end of an observed run: phases, frequencies, sorted copies."""
_ROW_BYTES = 80
"""Rows of `nodes.parquet` that are written at a time."""
_DRIFT_BYTES_PER_NODE = 56
"""Two scores that stay, and the shares, ranks and keys that they are drawn from."""
_PAIR_BYTES = 64
"""Two sums, a sample and a matrix for every pair of the probe set."""
_PLAN_BYTES = 170
"""Of a control period's plan, per slice and group of bridges: places passed and taken,
and both halves of the piece of slots between them."""
_READING_BYTES = 40
"""A coherence that an error window or a stage of a rollout keeps until its end."""

SIZE_CURE = "shrink lattice.shape or bridges.per_node"
PERIOD_CURE = (
    "lower controller.period_steps, bridges.per_node, mesh.shares or the length of "
    "controller.error_window_s or rollout.window_s"
)
MAX_RUN_EDGES = 2**21
"""Lattice edges plus bridges up to which coherence is forecast in passing."""
_FORECAST_BYTES_PER_EDGE = 120
"""Gaps, weights and pulls of every edge while coherence is forecast."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory that a run takes."""

    host_bytes: int
    """Peak on the host, while the network is built [byte]."""
    device_bytes: int
    """On the GPU [byte]; 0 where none is used."""


def estimate_memory(config: RunConfig, backend: str) -> MemoryEstimate:
    """Estimate the memory of a run.

    Args:
        config: A validated configuration.
        backend: Name of the chosen back end.

    Returns:
        Peak bytes on host and device; bridges of a file are guessed from its size.
    """
    nodes = config.lattice.node_count
    bridges = count_bridges(config)
    is_stored = config.bridges.kind != "procedural"
    per_node = _STATE_BYTES_PER_NODE.get(backend, _LARGEST_STATE_BYTES)
    if config.dynamics.inertia_s:
        per_node += _VELOCITY_BYTES_PER_NODE.get(backend, _LARGEST_VELOCITY_BYTES)
    elif config.dynamics.integrator != "euler":
        per_node += _STAGE_BYTES_PER_NODE.get(backend, _LARGEST_STAGE_BYTES)
    if backend == "reference":
        per_node += 8 * len(build_geometry(*_lattice_words(config)).offsets)
    per_bridge = _COLUMN_BYTES_PER_BRIDGE if is_stored else _STATE_BYTES_PER_BRIDGE
    state = nodes * per_node + bridges * per_bridge
    if config.observe.frequency_window_s is not None:
        state += nodes * _COUNT_BYTES_PER_NODE.get(backend, _LARGEST_COUNT_BYTES)
    build = nodes * _WORK_BYTES_PER_NODE.get(backend, _LARGEST_WORK_BYTES)
    build += min(nodes, PART) * _DRAW_BYTES_PER_NODE
    if config.lattice.drift_period_s is not None:
        build += nodes * _DRIFT_BYTES_PER_NODE
    if is_stored:
        build += bridges * (_LIST_BYTES_PER_BRIDGE + _BUILD_BYTES_PER_BRIDGE)
        build += _estimate_forecast(config, bridges)
        build += _estimate_placement(config, bridges)
    if not config.rollout.is_idle:
        state += bridges * _COLUMN_BYTES_PER_BRIDGE  # old columns beside the new
        build += bridges * _MOVE_BYTES_PER_BRIDGE
    if not config.acting_mesh.is_idle:
        state += bridges * _COLUMN_BYTES_PER_BRIDGE
        build += bridges * _LOOK_BYTES_PER_BRIDGE
    if config.bridges.kind == "small_world":
        closed = build_geometry(*_lattice_words(config)).periodic
        steps = nodes * 2 ** closed.count(False)  # open axes reach both ways in full
        build += steps * _LAW_BYTES_PER_NODE + bridges * _COLOUR_BYTES_PER_BRIDGE
    if config.bridges.kind == "file":
        build += bridges * _COLOUR_BYTES_PER_BRIDGE
    build = max(build, _estimate_observation(config))
    build = max(build, estimate_period(config, _guess_layers(config)))
    if backend != "cuda":
        return MemoryEstimate(state + build, 0)
    passing = bridges * per_bridge if is_stored else 0  # columns pass through the host
    return MemoryEstimate(build + passing, state)


def estimate_period(config: RunConfig, layers: int) -> int:
    """Return the bytes that planning a control period takes, and what windows keep.

    Args:
        config: A validated configuration.
        layers: Layers of the bridges [-].
    """
    controller, rollout = config.controller, config.rollout
    groups = layers * (1 if config.acting_mesh.is_idle else config.mesh.shares)
    groups *= 1 if rollout.is_idle else 2
    plan = _PLAN_BYTES * groups * controller.period_steps
    window_s = 0.0 if rollout.is_idle else rollout.window_s
    if controller.error_windows:
        window_s = controller.error_window_s or config.dynamics.duration_s / 8.0
    samples = window_s / (config.dynamics.dt_s * controller.period_steps)
    return plan + _READING_BYTES * int(samples)


def _guess_layers(config: RunConfig) -> int:
    """Return the layers of bridges; random ends take up to twice as many as nodes."""
    kind, per_node = config.bridges.kind, config.bridges.per_node
    if kind in ("matchings", "procedural"):
        return per_node
    return 2 * per_node if kind == "small_world" else 0


def _estimate_observation(config: RunConfig) -> int:
    """Return the bytes that observing takes on the host, the count of turns apart."""
    observe, nodes = config.observe, config.lattice.node_count
    if observe.is_idle:
        return 0
    pairs = observe.probe_count**2
    rows = min(nodes, PART) * _ROW_BYTES
    return nodes * _END_BYTES_PER_NODE + rows + pairs * _PAIR_BYTES


def _estimate_forecast(config: RunConfig, bridges: int) -> int:
    """Return the bytes of a forecast in passing; 0 where none is made."""
    edges = build_geometry(*_lattice_words(config)).edge_count + bridges
    is_made = config.record.forecast and config.rollout.is_idle
    is_made = is_made and bridges > 0 and edges <= MAX_RUN_EDGES
    return _FORECAST_BYTES_PER_EDGE * edges if is_made else 0


def _estimate_placement(config: RunConfig, bridges: int) -> int:
    """Return the bytes that placing or rewiring takes; 0 where bridges are drawn."""
    placement = config.bridges.placement
    pairing = 0 if placement == "random" else _PAIR_BYTES_PER_BRIDGE * bridges
    if placement != "aligned" and config.bridges.rewire_every_s is None:
        return pairing
    edges = build_geometry(*_lattice_words(config)).edge_count + bridges
    return pairing + _ALIGN_BYTES_PER_EDGE * edges


def _lattice_words(config: RunConfig) -> tuple[str, Sequence[int], Sequence[bool]]:
    lattice = config.lattice
    return lattice.kind, lattice.shape, lattice.periodic


def count_bridges(config: RunConfig) -> int:
    """Count the bridges that are drawn or computed, or guess those of a file."""
    if config.bridges.kind in ("matchings", "procedural", "small_world"):
        return config.bridges.per_node * config.lattice.node_count // 2
    return _count_rows(config)


def _count_rows(config: RunConfig) -> int:
    """Guess how many bridges an edge list holds from the size of its file."""
    if config.bridges.kind != "file" or config.bridges.path is None:
        return 0
    try:
        return Path(config.bridges.path).stat().st_size // _FILE_BYTES_PER_BRIDGE
    except OSError:
        return 0  # the reader says what is wrong


def check_memory(
    config: RunConfig, backend: str, host_free_bytes: int, device_free_bytes: int | None
) -> MemoryEstimate:
    """Check that a run fits before anything is allocated.

    Args:
        config: A validated configuration.
        backend: Name of the chosen back end.
        host_free_bytes: Memory that may still be taken on the host [byte].
        device_free_bytes: Likewise on the GPU; None where it is unknown or unused.

    Returns:
        The estimate.

    Raises:
        ResourceError: It does not fit; names the bytes and what to shrink.
    """
    need = estimate_memory(config, backend)
    period = estimate_period(config, _guess_layers(config))
    cure = PERIOD_CURE if 2 * period > need.host_bytes else SIZE_CURE
    for place, bytes_needed, free in (
        ("host", need.host_bytes, host_free_bytes),
        ("GPU", need.device_bytes, device_free_bytes),
    ):
        if free is not None and bytes_needed > free:
            raise ResourceError(
                f"The run needs {bytes_needed} bytes ({bytes_needed / 2**30:.1f} GiB) "
                f"of {place} memory, but {free} bytes ({free / 2**30:.1f} GiB) are "
                f"free; {cure if place == 'host' else SIZE_CURE}."
            )
    return need


def check_period(config: RunConfig, layers: int, host_free_bytes: int) -> None:
    """Check that control periods fit, once the layers of the bridges are known.

    Args:
        config: A validated configuration.
        layers: Layers of the bridges [-].
        host_free_bytes: Memory that may still be taken on the host [byte].

    Raises:
        ResourceError: They do not; names the bytes and what to shrink.
    """
    need = estimate_period(config, layers)
    if need > host_free_bytes:
        raise ResourceError(
            f"A control period of {config.controller.period_steps} steps over {layers} "
            f"layers of bridges needs {need} bytes ({need / 2**30:.1f} GiB) of host "
            f"memory, but {host_free_bytes} bytes ({host_free_bytes / 2**30:.1f} GiB) "
            f"are free; {PERIOD_CURE}."
        )
