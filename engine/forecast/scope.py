"""Which networks the forecast of coherence knows, and which it does not.

Its theory is linear around a locked state: a lattice whose edges pull both ends towards
each other, bridges that do so too, and nothing that keeps phases moving.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from engine.bridge import EdgeList
from engine.config import RunConfig

SCOPE = (
    "coherence is forecast for attractive, undirected bridges on a lattice of "
    "neighbours, without drift, lag, inertia or noise"
)


def find_obstacle(config: RunConfig, edges: EdgeList | None = None) -> str:
    """Say why no coherence can be forecast.

    Args:
        config: The run.
        edges: Its bridges, as far as they have been drawn or read.

    Returns:
        The reason, without a full stop; empty where a forecast can be made.
    """
    found = (*_list_motions(config), *_list_bridges(config, edges))
    return f"{_join(found)}, but {SCOPE}" if found else ""


def _join(found: Sequence[str]) -> str:
    """Join phrases as a sentence does: a, b and c."""
    *first, last = found
    return f"{', '.join(first)} and {last}" if first else last


def _list_motions(config: RunConfig) -> Iterator[str]:
    """Name what moves oscillators in another way."""
    lattice, dynamics = config.lattice, config.dynamics
    if lattice.coupling_range != "nearest":
        yield f"lattice.coupling_range is {lattice.coupling_range}"
    for key, value in (
        ("lattice.drift_period_s", lattice.drift_period_s),
        ("lattice.phase_lag_rad", lattice.phase_lag_rad),
        ("dynamics.inertia_s", dynamics.inertia_s),
        ("dynamics.diffusion_rad2_s", dynamics.diffusion_rad2_s),
    ):
        if value:
            yield f"{key} is {value:g}"


def _list_bridges(config: RunConfig, edges: EdgeList | None) -> Iterator[str]:
    """Name what bridges do in another way."""
    if edges is None and config.bridges.kind == "procedural":
        if config.bridges.strength_rad_s < 0.0:
            yield "all bridges repel"
        if config.bridges.directed:
            yield "all bridges are directed"
    elif edges is not None:
        repelling = np.count_nonzero(edges.strengths_rad_s < 0.0)
        if repelling:
            yield f"{repelling:,} of {len(edges):,} bridges repel"
        directed = np.count_nonzero(edges.directed)
        if directed:
            yield f"{directed:,} of {len(edges):,} bridges are directed"
