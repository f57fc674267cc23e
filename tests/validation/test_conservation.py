"""What is conserved: the sum of phases, to the last bit in tunnel events."""

from __future__ import annotations

import numpy as np
import pytest

from engine.backends.philox import draw_words
from engine.backends.protocol import TABLEAUS, Backend
from engine.bridge import BridgeNetwork, build_matchings
from engine.config import LATTICE_AXES, BridgesConfig
from engine.geometry import build_geometry
from engine.tunnel import TunnelSchedule


@pytest.mark.parametrize("repulsive_share", [0.0, 0.4])
def test_a_hundred_thousand_events_conserve_the_sum_to_the_bit(
    repulsive_share: float, binary_backend: Backend
) -> None:
    nodes = 4096
    geometry = build_geometry("square", (64, 64))
    phases = draw_words(1, 1, nodes)[0]
    zeros = np.zeros(nodes, np.float32)
    lattice = binary_backend.build_lattice(geometry, phases, zeros, 0.0)
    config = BridgesConfig(per_node=4, repulsive_share=repulsive_share)
    edges = build_matchings(nodes, config, 0)
    probabilities = np.linspace(0.2, 1.0, len(edges))
    network = BridgeNetwork(edges, probabilities, binary_backend)
    schedule = TunnelSchedule(network, 0.001, seed=0)
    total = 0
    while total < 100_000:
        period, attempts = schedule.plan_period(10, TABLEAUS["euler"])
        total += attempts
        binary_backend.advance(lattice, network.arrays, period)
    after = binary_backend.read_phases(lattice)
    assert after.sum(dtype=np.uint32) == phases.sum(dtype=np.uint32)
    assert (after != phases).mean() > 0.9


def test_events_conserve_the_sum_of_radians(reference: Backend) -> None:
    geometry = build_geometry("square", (16, 16))
    phases, zeros = draw_words(1, 1, 256)[0], np.zeros(256, np.float32)
    lattice = reference.build_lattice(geometry, phases, zeros, 0.0)
    before = lattice.phases.sum()
    edges = build_matchings(256, BridgesConfig(per_node=4), 0)
    network = BridgeNetwork(edges, np.full(len(edges), 0.8), reference)
    period, attempts = TunnelSchedule(network, 0.001, 0).plan_period(
        100, TABLEAUS["euler"]
    )
    reference.advance(lattice, network.arrays, period)
    # Both ends of an event are rounded: 2^-53 of a phase below 2 pi + pi each.
    assert abs(lattice.phases.sum() - before) < attempts * 2 * 10.0 * 2.0**-53


@pytest.mark.parametrize("integrator", TABLEAUS)
@pytest.mark.parametrize("kind", LATTICE_AXES)
def test_lattice_steps_conserve_the_sum_without_detuning(
    kind: str, integrator: str, backend: Backend
) -> None:
    # Neighbours pull each other equally, whatever the phases and boundaries are.
    shape = {1: (120,), 2: (10, 12), 3: (4, 5, 6)}[LATTICE_AXES[kind]]
    geometry = build_geometry(kind, shape, (False,))
    nodes, steps = geometry.node_count, 100
    phases, zeros = draw_words(1, 1, nodes)[0], np.zeros(nodes, np.float32)
    lattice = backend.build_lattice(geometry, phases, zeros, 20.0)
    for _ in range(steps):
        backend.step_lattice(lattice, TABLEAUS[integrator], 0.001)
    after = backend.read_phases(lattice)
    gained = (after - phases).sum(dtype=np.uint32).astype(np.int32) / 2.0**32
    # [turn]: each node's pull is off by z times the errors of sine and cosine
    # (4 * 2^-24 each), its binary angle by half a unit per step. The sum of the
    # reference is rounded to binary angles once, at the end.
    z = len(geometry.offsets)
    pull = 20.0 / (2.0 * np.pi) * 0.001 * z * 20.0 * 2.0**-24
    per_step = 0.0 if backend.name == "reference" else pull + 2.0**-33
    assert abs(gained) < nodes * (steps * per_step + 2.0**-32)
    # ... although single phases have moved by much more.
    moved = np.abs((after - phases).astype(np.int32)) / 2.0**32
    assert moved.max() > 0.1
