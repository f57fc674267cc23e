"""Runs of offline searches: small networks at a fixed budget of events, on one thread.

The training of the mesh's learned policy and the search of the best frequencies of
single bridges share them, as they share their strategy (evolution.py).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.config import (
    BackendConfig,
    ControllerConfig,
    DynamicsConfig,
    LatticeConfig,
    LoadConfig,
    MeshConfig,
    RecordConfig,
    RunConfig,
)
from engine.system import ScribbleSystem

DT_S: Final = 0.0005
"""Time step [s]; twice that of the default run."""
PERIOD: Final = 16
"""Control periods before a rule's first look: as much time as by default."""


def build_budget_run(
    lattice: LatticeConfig, mesh: MeshConfig, budget_hz: float, seed: int
) -> RunConfig:
    """Build a run at a fixed budget that nothing of this machine changes.

    Args:
        lattice: The network.
        mesh: Its rule.
        budget_hz: Mean tunnel frequency [Hz].
        seed: Key of its random numbers.
    """
    return RunConfig(
        seed=seed,
        lattice=lattice,
        dynamics=DynamicsConfig(dt_s=DT_S),
        controller=ControllerConfig("fixed", fixed_frequency_hz=budget_hz),
        mesh=mesh,
        backend=BackendConfig("cpu", threads=1),
        load=LoadConfig("synthetic", level=0.0),
        record=RecordConfig(forecast=False),
    )


def measure_coherence(
    system: ScribbleSystem, settle_s: float, measure_s: float
) -> float:
    """Advance a system; return its mean r over the last part of that [-].

    Args:
        system: Where it stands.
        settle_s: Simulated time before r is measured [s].
        measure_s: Simulated time over which it is averaged [s].
    """
    marks: list[float] = []
    system.advance(settle_s)
    system.advance(measure_s, lambda at: marks.append(at.coherence))
    return float(np.mean(marks))
