"""Numbers that several rooms share; nothing here depends on a configuration."""

from __future__ import annotations

from typing import Final

TURN: Final = 2**32
"""Binary angle units in one full turn."""

GOLDEN_RATIO: Final = 1.618033988749895
"""(1 + sqrt 5) / 2, the upper step of the frequency ladder."""

PHI_COEFFICIENT: Final = 0.618033988749895
"""1 / golden ratio, the ratio of neighbouring ladder rungs [-]."""

BASE_FREQUENCY_HZ: Final = 432.0
"""Base tunnel frequency; the ladder's top is this over `PHI_COEFFICIENT` [Hz]."""

COHERENCE_FLOOR: Final = 0.87
"""Default floor of the order parameter [-]."""

MAX_INCREMENT_TURNS: Final = 0.25
"""Largest phase change of one lattice step [turn]; beyond it motion is undersampled."""

MAX_NODES: Final = 2**31
"""Node ids are 32-bit; one bit is kept so that signed readers agree."""
