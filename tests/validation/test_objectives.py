"""What the objectives of the controller save, and what they hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.config import RunConfig
from engine.recording import RunSummary
from engine.system import ScribbleSystem

pytestmark = pytest.mark.validation


def run_objective(
    build_config: Callable[..., RunConfig], objective: str, level: float
) -> RunSummary:
    """The default run on a quarter of its lattice, for 20 simulated seconds."""
    config = build_config(
        lattice={"shape": (128, 128)},
        dynamics={"duration_s": 20.0},
        controller={"objective": objective},
        load={"level": level},
        backend={"threads": 1},
    )
    with ScribbleSystem(config) as system:
        return system.run()


def test_floor_objective_saves_fifty_times(
    build_config: Callable[..., RunConfig],
) -> None:
    summary = run_objective(build_config, "floor", 0.0)
    assert summary.coherence["violation_fraction"] == 0.0
    assert summary.events_saved_factor >= 50.0


def test_headroom_runs_near_the_top_when_idle_and_gives_way_under_load(
    build_config: Callable[..., RunConfig],
) -> None:
    idle = run_objective(build_config, "headroom", 0.0)
    loaded = run_objective(build_config, "headroom", 1.0)
    for summary in (idle, loaded):
        assert summary.coherence["violation_fraction"] == 0.0
        assert summary.coherence["minimum_after_settling"] >= 0.87
    # 4000 steps per second over 699 Hz is 5.7: the default run's "above 5".
    assert 5.0 < idle.events_saved_factor < 6.0
    assert loaded.average_frequency_hz < 0.2 * idle.average_frequency_hz
