"""Whole runs: by load level and by size, at fixed maximum frequency and adaptive.

The load is a synthetic source: deterministic, and it leaves the machine alone.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from .cases import BACKENDS, LOG2_NODES, require, split_axes

if TYPE_CHECKING:
    from engine.config import RunConfig
    from engine.system import ScribbleSystem

CONTROLS = ["fixed_maximum", "headroom", "floor"]
LOAD_LEVELS = [0.0, 0.4, 0.8]
LOADED_LOG2_NODES = 12
SETTLING_S = 3.0
"""Simulated time in which a small network settles and the law comes down [s]."""
CHECKED_S = 0.02
"""Simulated time of the run that checks the threads [s]."""
PERIODS = 2
"""Control periods of a run by size."""


def build_config(
    backend: str, log2_nodes: int, control: str, *, load: float, duration_s: float
) -> RunConfig:
    """Describe a run on a square lattice with the default bridges."""
    from engine.config import (
        BackendConfig,
        ControllerConfig,
        DynamicsConfig,
        LatticeConfig,
        LoadConfig,
        RunConfig,
        TunnelConfig,
    )

    top_hz = TunnelConfig().maximum_frequency_hz
    objective = "fixed" if control == "fixed_maximum" else control
    return RunConfig(
        lattice=LatticeConfig(shape=split_axes(log2_nodes, 2)),
        dynamics=DynamicsConfig(duration_s=duration_s),
        controller=ControllerConfig(objective=objective, fixed_frequency_hz=top_hz),
        backend=BackendConfig(backend),
        load=LoadConfig(kind="synthetic", level=load),
    )


def build_system(config: RunConfig) -> ScribbleSystem:
    """Build a system.

    Raises:
        NotImplementedError: It does not fit into memory, so the case is skipped.
    """
    from engine.errors import ResourceError
    from engine.system import ScribbleSystem

    try:
        return ScribbleSystem(config)
    except ResourceError as error:
        raise NotImplementedError(str(error)) from error


@cache  # asv calls setup again before every sample
def check_threads(backend: str, control: str, load: float) -> None:
    """Run a small network on one thread and on all: the digests must agree."""
    from dataclasses import replace

    from .validation import check_same

    config = build_config(
        backend, LOADED_LOG2_NODES, control, load=load, duration_s=CHECKED_S
    )

    def digest(threads: int | None) -> str:
        changed = replace(config.backend, threads=threads)
        with build_system(replace(config, backend=changed)) as system:
            return system.run().state_digest

    check_same("A run", digest)


class RunByLoad:
    """Three simulated seconds of 2^12 nodes under a simulated load."""

    params = (LOAD_LEVELS, CONTROLS)
    param_names = ("load", "control")
    duration_s = SETTLING_S
    number = 1
    warmup_time = 0.0

    def setup(self, load: float, control: str) -> None:
        check_threads("cpu", control, load)
        self.system = build_system(
            build_config(
                "cpu",
                LOADED_LOG2_NODES,
                control,
                load=load,
                duration_s=self.duration_s,
            )
        )

    def teardown(self, load: float, control: str) -> None:
        self.system.close()

    def time_run(self, load: float, control: str) -> None:
        self.system.run()

    def track_events_saved(self, load: float, control: str) -> float:
        return self.system.run().events_saved_factor

    track_events_saved.unit = "times fewer events"


class RunBySize:
    """Two control periods at each size, under a load of 0.4."""

    params = (LOG2_NODES, CONTROLS[:2], BACKENDS)
    param_names = ("log2_nodes", "control", "backend")
    number = 1
    warmup_time = 0.0

    def setup(self, log2_nodes: int, control: str, backend: str) -> None:
        from engine.config import ControllerConfig, DynamicsConfig

        require(backend, log2_nodes)
        check_threads(backend, control, 0.4)
        steps = PERIODS * ControllerConfig().period_steps
        duration_s = steps * DynamicsConfig().dt_s
        self.system = build_system(
            build_config(backend, log2_nodes, control, load=0.4, duration_s=duration_s)
        )

    def teardown(self, log2_nodes: int, control: str, backend: str) -> None:
        if hasattr(self, "system"):
            self.system.close()

    def time_run(self, log2_nodes: int, control: str, backend: str) -> None:
        self.system.run()

    def track_node_steps(self, log2_nodes: int, control: str, backend: str) -> float:
        self.system.run()  # the first periods meet cold caches
        return self.system.run().node_steps_per_second

    track_node_steps.unit = "node-steps/s"
