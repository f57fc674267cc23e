"""Staged rollout: a new tunnel policy for a part of the bridges, then for more.

`gates.py` judges a window, `machine.py` moves through the stages, both pure: no clock,
no sensor, no array. `cohort.py` says which bridges a stage takes, `pilot.py` joins them
with a network and its controller. Layer 5 (README, "The house").
"""

from engine.rollout.cohort import Cohort
from engine.rollout.gates import Gate, Outcomes, Sample
from engine.rollout.machine import RolloutMachine, Stage
from engine.rollout.pilot import RolloutPilot

__all__ = [
    "Cohort",
    "Gate",
    "Outcomes",
    "RolloutMachine",
    "RolloutPilot",
    "Sample",
    "Stage",
]
