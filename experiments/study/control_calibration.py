"""Yardsticks of a sweep: computed once when its jobs have ended, and kept beside them.

``yardsticks.json`` has an entry per network, however many jobs share it, and one per
job under a real load: the best fixed frequency beside the same load, for its wall time.
What is there is not computed again, so a sweep that is resumed adds what it lacks.
Yardsticks are computed on the CPU, whose bits are those of CUDA.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from engine.config import FaultConfig, MetricsConfig, RecordConfig, RunConfig
from engine.errors import ConfigError, EngineError
from experiments.report.jobs import Job, SweepRecord
from experiments.report.records import dig, read_json
from experiments.schema import run_config_from_dict
from experiments.study.base import write_json
from experiments.study.control_yardsticks import Oracle, find_best_fixed

YARDSTICKS_FILE: Final = "yardsticks.json"
"""In the folder of the sweep."""
NETWORKS: Final = "networks"
"""Its entries by network."""
WALLS: Final = "walls"
"""Its entries by job under a real load."""
LARGEST_RUN: Final = 2 * 10**10
"""Nodes times steps of the largest run that is measured, some twenty times over."""
LEAST_PERIODS: Final = 24
"""Control periods of the shortest run that is measured; half of them count [-]."""
Tell = Callable[[str], None]
"""Takes a sentence on what is being done."""


def read_job_config(job: Job) -> RunConfig | None:
    """Read what a job ran; None where that cannot be read.

    Args:
        job: Any job.
    """
    if not job.record.config:
        return None
    with suppress(ConfigError):
        return run_config_from_dict(job.record.config)
    return None


def name_network(config: RunConfig) -> str:
    """Name what a network's answer to a frequency depends on.

    Args:
        config: Any run.

    Returns:
        Sixteen hex digits, the same for runs that differ in load, fault or controller.
    """
    groups = (config.lattice, config.bridges, config.dynamics, config.tunnel)
    values = [asdict(group) for group in groups]
    parts = [config.seed, config.controller.period_steps, *values]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def read_yardsticks(folder: Path) -> dict[str, Any]:
    """Read what is known; empty where nothing is, or nothing can be read.

    Args:
        folder: Folder of the sweep.
    """
    return read_json(folder / YARDSTICKS_FILE, [])


def calibrate(record: SweepRecord, tell: Tell) -> None:
    """Compute what is missing for the jobs that are done, and keep it.

    Args:
        record: The sweep.
        tell: Is told what is being computed.

    Raises:
        RecordError: The sweep's folder cannot be written.
    """
    known, path = read_yardsticks(record.folder), record.folder / YARDSTICKS_FILE
    networks = dict(dig(known, NETWORKS) or {})
    walls = dict(dig(known, WALLS) or {})
    for config in list_networks(record):
        name = name_network(config)
        if name not in networks:
            tell(f"yardsticks of network {name}: best fixed frequency and oracle")
            networks[name] = measure_network(config)
            write_json(path, {NETWORKS: networks, WALLS: walls})
    for job, config in _list_real(record):
        best_hz = dig(networks, name_network(config), "fixed", "late_hz")
        if job.name not in walls and best_hz is not None:
            tell(f"job {job.name} again at {best_hz:.4g} Hz under its load")
            walls[job.name] = measure_wall(config, best_hz)
            write_json(path, {NETWORKS: networks, WALLS: walls})


def list_networks(record: SweepRecord) -> list[RunConfig]:
    """List the runs of the jobs that are done, one per network.

    Args:
        record: The sweep.
    """
    configs = (read_job_config(job) for job in record.done)
    found = {name_network(config): config for config in configs if config is not None}
    return list(found.values())


def _list_real(record: SweepRecord) -> Iterator[tuple[Job, RunConfig]]:
    """List the jobs that sought the cheapest frequency under a real load."""
    for job in record.done:
        config = read_job_config(job)
        if config is None or config.load.kind != "real":
            continue
        if config.controller.objective == "floor":
            yield job, config


def measure_network(config: RunConfig) -> dict[str, Any]:
    """Find both yardsticks of a network; where that fails, say why.

    Args:
        config: A run of it.

    Returns:
        Entries ``fixed`` and ``oracle``, None where there is none, and ``reason``.
    """
    entry: dict[str, Any] = {"fixed": None, "oracle": None, "reason": ""}
    reason = _find_refusal(config)
    if reason:
        return entry | {"reason": reason}
    try:
        best = find_best_fixed(config)
        if best is None:
            top_hz = config.tunnel.maximum_frequency_hz
            return entry | {"reason": f"not even {top_hz:.4g} Hz holds the floor"}
        oracle = Oracle(config, best.late_hz).run()
    except EngineError as error:
        return entry | {"reason": str(error)}
    return entry | {"fixed": best.to_dict(), "oracle": oracle.to_dict()}


def _find_refusal(config: RunConfig) -> str:
    """Say why a network cannot be measured; empty if it can."""
    size = config.lattice.node_count * config.dynamics.step_count
    periods = config.dynamics.step_count // config.controller.period_steps
    if config.bridges.kind == "none":
        return "without bridges no frequency matters"
    if periods < LEAST_PERIODS:
        return f"the run has {periods} control periods, of {LEAST_PERIODS} needed"
    if size > LARGEST_RUN:
        return f"{size:.2g} node steps are too many, {LARGEST_RUN:.2g} at most"
    return ""


def measure_wall(config: RunConfig, frequency_hz: float) -> dict[str, Any]:
    """Run a fixed frequency under the load of a run, for its wall time.

    Args:
        config: The run, with its load.
        frequency_hz: The fixed frequency [Hz].

    Returns:
        Entries ``wall_s`` and ``frequency_hz``, or a ``reason``.
    """
    from engine.system import ScribbleSystem

    fixed = replace(
        config,
        controller=replace(
            config.controller, objective="fixed", fixed_frequency_hz=frequency_hz
        ),
        fault=FaultConfig(),
        metrics=MetricsConfig(),
        record=RecordConfig(forecast=False),
    )
    try:
        with ScribbleSystem(fixed) as system:
            summary = system.run()
    except EngineError as error:
        return {"reason": str(error)}
    return {
        "wall_s": summary.wall_seconds,
        "frequency_hz": summary.average_frequency_hz,
    }
