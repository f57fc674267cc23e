"""Observation: what a run shows of single nodes.

`observer.py` looks at the end of every control period, `snapshots.py` keeps phase
fields, `frequencies.py` tells which nodes turn at one frequency, `locking.py` which
stay together, `nodes.py` writes a row per node. Layer 5 (README, "The house").
"""

from engine.observation.frequencies import (
    Cluster,
    Histogram,
    build_histogram,
    find_cluster,
)
from engine.observation.locking import Locking, choose_probe, open_locking
from engine.observation.nodes import NodeTable, open_nodes
from engine.observation.observer import Observer
from engine.observation.snapshots import Snapshots, SnapshotWriter, open_snapshots

__all__ = [
    "Cluster",
    "Histogram",
    "Locking",
    "NodeTable",
    "Observer",
    "SnapshotWriter",
    "Snapshots",
    "build_histogram",
    "choose_probe",
    "find_cluster",
    "open_locking",
    "open_nodes",
    "open_snapshots",
]
