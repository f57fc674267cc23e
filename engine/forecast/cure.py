"""What would bring a floor into reach that no rung of the ladder holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from engine.config import RunConfig
from engine.constants import MAX_INCREMENT_TURNS
from engine.errors import ConfigError, ForecastError
from engine.forecast.coherence import Forecaster, build_forecaster
from engine.geometry import build_geometry

CURE_MARGIN: Final = 0.01
"""Coherence above the floor that a cure aims at: the error of the forecast [-]."""
LARGEST_FACTOR: Final = 64.0
"""Most by which the coupling is raised [-]."""
MOST_PER_NODE: Final = 32
"""Most bridge ends per node that are tried."""


@dataclass(frozen=True)
class Cure:
    """Changes, each of which alone lets the top of the ladder hold the floor."""

    coupling_rad_s: float | None
    """lattice.coupling_rad_s [rad/s]; None where no coupling suffices."""
    per_node: int | None
    """bridges.per_node; None where no number suffices, or none is drawn."""


def find_cure(config: RunConfig) -> Cure:
    """Find the least coupling, and the fewest bridges, that bring the floor into reach.

    Args:
        config: A validated configuration whose floor is out of reach.

    Returns:
        Both, where they exist; the coupling is rounded up to three digits.

    Raises:
        RecordError: An input cannot be read.
        ShapeError: An input does not fit the lattice.
    """
    return Cure(_find_coupling(config), _find_per_node(config))


def _holds(forecaster: Forecaster) -> bool:
    """Tell whether the top of the ladder holds the floor with a margin, trusted."""
    tunnel = forecaster.config.tunnel
    found = forecaster.forecast(tunnel.maximum_frequency_hz)
    goal = min(tunnel.min_coherence + CURE_MARGIN, 0.5 + 0.5 * tunnel.min_coherence)
    return found.is_trusted and found.coherence >= goal


def _find_coupling(config: RunConfig) -> float | None:
    lattice = config.lattice
    low = lattice.coupling_rad_s
    high = min(max(low, 1.0) * LARGEST_FACTOR, _largest_coupling(config))

    def holds(coupling_rad_s: float, phases: str = "aligned") -> bool:
        trial = replace(lattice, coupling_rad_s=coupling_rad_s, initial_phases=phases)
        return _holds(build_forecaster(replace(config, lattice=trial)))

    if high <= low or not holds(high):
        return None
    low = max(low, 1e-3 * high)
    while high / low > 1.01:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    found = _round_up(high)
    # A stiff lattice may keep random phases wound up, so that is asked last.
    return found if holds(found, lattice.initial_phases) else None


def _largest_coupling(config: RunConfig) -> float:
    """Return the coupling up to which a step is short enough: z K dt <= 1."""
    lattice, dt_s = config.lattice, config.dynamics.dt_s
    geometry = build_geometry(lattice.kind, lattice.shape, lattice.periodic)
    reach = min(1.0, 2.0 * math.pi * MAX_INCREMENT_TURNS)
    return reach / (len(geometry.offsets) * dt_s)


def _round_up(value: float) -> float:
    """Round up to three digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return math.ceil(value / unit - 1e-9) * unit


def _find_per_node(config: RunConfig) -> int | None:
    bridges = config.bridges
    if bridges.kind not in ("matchings", "procedural", "small_world"):
        return None

    def holds(per_node: int) -> bool:
        trial = replace(bridges, per_node=per_node)
        try:
            return _holds(build_forecaster(config, trial))
        except (ConfigError, ForecastError):
            # Too many distinct links for the lattice, or one was drawn that repels.
            return False

    return _find_least(holds, bridges.per_node, MOST_PER_NODE)


def _find_least(holds: Callable[[int], bool], low: int, most: int) -> int | None:
    """Find the least number above `low` that holds, by doubling and bisection."""
    high = 2 * low
    while high <= most and not holds(high):
        low, high = high, 2 * high
    if high > most:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
