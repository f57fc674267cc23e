"""What is conserved: the sum of phases, to the last bit in tunnel events."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from engine.backends.philox import draw_words
from engine.backends.protocol import TABLEAUS
from engine.backends.stepping import SteppingBackend
from engine.bridge import BridgeNetwork, build_matchings
from engine.config import LATTICE_AXES, BridgesConfig
from engine.constants import TURN
from engine.geometry import build_geometry
from engine.tunnel import TunnelSchedule
from engine.verification.check import BINARY_BACKENDS, Check, Row

EVENTS = 100_000
SHAPES = {1: (120,), 2: (10, 12), 3: (4, 5, 6)}
"""Shape of a small open lattice, by axes."""
INTEGRATORS = ("euler", "rk2", "rk4")


def sum_change(before: npt.NDArray[np.uint32], after: npt.NDArray[np.uint32]) -> float:
    """Return by how much the sum of phases has changed [turn], modulo one."""
    return float((after - before).sum(dtype=np.uint32).astype(np.int32)) / TURN


def run_events(
    backend: SteppingBackend, side: int
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], int]:
    """Run events alone; return the phases before and after, and their number."""
    nodes = side * side
    phases = draw_words(1, 1, nodes)[0]
    zeros = np.zeros(nodes, np.float32)
    geometry = build_geometry("square", (side, side))
    lattice = backend.build_lattice(geometry, phases, zeros, 0.0)
    config = BridgesConfig(per_node=4, repulsive_share=0.4)
    edges = build_matchings(nodes, config, 0)
    network = BridgeNetwork(edges, np.linspace(0.2, 1.0, len(edges)), backend)
    schedule = TunnelSchedule(network, 0.001, seed=0)
    total = 0
    while total < EVENTS:
        period, attempts = schedule.plan_period(10, TABLEAUS["euler"])
        total += attempts
        backend.advance(lattice, network.arrays, period)
    return phases, backend.read_phases(lattice), total


def measure_events(backend: SteppingBackend) -> Iterator[Row]:
    """Compare the sum of phases before and after 10^5 attempts."""
    before, after, total = run_events(backend, 64)
    # A shift is added to one end and taken from the other: nothing may be left. The
    # reference rounds both in float64, 2^-53 of at most 2 turns each.
    is_binary = backend.name in BINARY_BACKENDS
    bound = 0.0 if is_binary else total * 4.0 * 2.0**-53 + len(after) / TURN
    change = sum_change(before, after)
    yield Row(f"{total:,} attempts: change [turn]", 0.0, change, bound)
    # Random phases meet by chance only; every node had six successful events.
    moved = float((after != before).mean())
    yield Row("share of phases that moved", 1.0, moved, 0.01)


def measure_steps(backend: SteppingBackend) -> Iterator[Row]:
    """Compare likewise for 100 steps of every integrator on every open lattice."""
    steps, dt_s, coupling = 100, 0.001, 20.0
    moves = []
    for kind, axes in LATTICE_AXES.items():
        geometry = build_geometry(kind, SHAPES[axes], (False,))
        nodes, changes = geometry.node_count, []
        phases, zeros = draw_words(1, 1, nodes)[0], np.zeros(nodes, np.float32)
        for name in INTEGRATORS:
            lattice = backend.build_lattice(geometry, phases, zeros, coupling)
            backend.move_lattice(lattice, TABLEAUS[name], dt_s, steps)
            after = backend.read_phases(lattice)
            changes.append(sum_change(phases, after))
            moves.append(float((after != phases).mean()))
        # Each node's pull is off by z times the errors of sine and cosine (4 * 2^-24
        # each), its binary angle by half a unit per step, to either side. The sum of
        # the reference is rounded to binary angles once, at the end.
        pull = coupling * dt_s / (2.0 * np.pi) * len(geometry.offsets) * 8.0 * 2.0**-24
        per_step = pull + 0.5 / TURN if backend.name in BINARY_BACKENDS else 0.0
        bound = 4.0 * math.sqrt(nodes * steps) * per_step + nodes / TURN
        yield Row(f"{kind}, open: change [turn]", 0.0, max(changes, key=abs), bound)
    yield Row("least share of phases that moved", 1.0, min(moves), 0.01)


CHECKS = (
    Check(
        "event-sum",
        "A tunnel event moves its two ends by opposite amounts, to the last bit",
        "integer arithmetic on binary angles",
        measure_events,
    ),
    Check(
        "lattice-sum",
        "Neighbours pull each other equally: without detuning the sum of phases stays",
        "Newton's third law",
        measure_steps,
    ),
)
