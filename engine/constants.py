"""Numbers that several rooms share; nothing here depends on a configuration."""

from __future__ import annotations

from typing import Final

TURN: Final = 2**32
"""Binary angle units in one full turn."""

PHI_COEFFICIENT: Final = 0.618033988749895
"""1 / golden ratio 1.618..., the ratio of neighbouring ladder rungs [-]."""

BASE_FREQUENCY_HZ: Final = 432.0
"""Base tunnel frequency; the ladder's top is this over `PHI_COEFFICIENT` [Hz]."""

COHERENCE_FLOOR: Final = 0.87
"""Default floor of the order parameter [-]."""

MAX_INCREMENT_TURNS: Final = 0.25
"""Largest phase change of one lattice step [turn]; beyond it motion is undersampled."""

FARTHEST_NORMAL: Final = 6.8
"""No normal number of the noise lies farther out: its words have 32 bits [-]."""

LOCKING_MEMORY: Final = 1.0 / 16.0
"""Weight of the newest attempt in a bridge's phase-locking value [-]."""

ORDER_UNIT: Final = 2.0**30
"""Fixed-point units of a cosine in sums over nodes."""

EDGE_UNIT: Final = 2.0**28
"""Fixed-point units of a cosine in sums over edges: 6 x 2^31 of them fit 64 bits."""

MAX_NODES: Final = 2**31
"""Node ids are 32-bit; one bit is kept so that signed readers agree."""

MAX_BRIDGES: Final = 2**32
"""Bridge ids are 32-bit: each is a counter word of its random numbers."""

SNAPSHOTS_FILE: Final = "snapshots.arrow"
"""Phase fields in a run folder."""

NODES_FILE: Final = "nodes.parquet"
"""A row per node in a run folder."""

LOCKING_FILE: Final = "locking.npz"
"""Phase-locking matrix in a run folder."""
