"""Hysteresis: coherence against a coupling that rises and falls, its state kept.

One system lives through the whole sweep. At each value it settles, then its order
parameter is averaged; where both ways differ, the network remembers.
"""

from experiments.hysteresis.command import (
    check_plan,
    list_findings,
    run_hysteresis,
    sweep_system,
    write_folder,
)
from experiments.hysteresis.loop import HysteresisLoop, Jump, Point, SweepPlan

__all__ = [
    "HysteresisLoop",
    "Jump",
    "Point",
    "SweepPlan",
    "check_plan",
    "list_findings",
    "run_hysteresis",
    "sweep_system",
    "write_folder",
]
