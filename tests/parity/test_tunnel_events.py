"""Tunnel events: the same successes everywhere, the same shifts within rounding."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from engine.backends.matching import DIRECTED_FLAG
from engine.backends.philox import draw_words
from engine.backends.protocol import (
    FOLLOWING,
    TABLEAUS,
    Backend,
    LatticeState,
    Motion,
)
from engine.bridge import BridgeNetwork, MatchingNetwork, Network, build_matchings
from engine.config import BridgesConfig, TunnelConfig
from engine.geometry import build_geometry
from engine.tunnel import TunnelSchedule
from tests.parity.bounds import EVENT_ERROR, U, distance_turns

NODES = 600
LAYERS = 3
STEPS = 20
DT_S = 0.001
KAPPA = 5.0
TUNNEL = TunnelConfig(base_frequency=600.0, max_probability=0.5)


def build_stored(backend: Backend, *, is_mixed: bool = False) -> Network:
    """Build matchings with P between 0.05 and 1; mixed ones repel or lead, or both."""
    edges = build_matchings(NODES, BridgesConfig(per_node=LAYERS), 1)
    edges.strengths_rad_s[:] = KAPPA
    if is_mixed:
        words, others, _, _ = draw_words(5, 1, len(edges))
        edges.strengths_rad_s[words % 3 == 0] = -KAPPA
        edges = replace(edges, directed=others % 3 == 0)
    probabilities = np.linspace(0.05, 1.0, len(edges))
    return BridgeNetwork(edges, probabilities, backend, TUNNEL)


def build_computed(backend: Backend, lattice: LatticeState, kind: str) -> Network:
    """Build matchings whose ends are computed; without detuning all P are p_max."""
    config = BridgesConfig(
        "procedural",
        per_node=LAYERS,
        strength_rad_s=-KAPPA if "repulsive" in kind else KAPPA,
        directed="directed" in kind,
    )
    return MatchingNetwork(config, lattice, backend, TUNNEL, seed=1)


def run_events(
    backend: Backend,
    frequency_hz: float,
    kind: str = "stored",
    motion: Motion = FOLLOWING,
) -> tuple[LatticeState, Network, int]:
    """Run tunnel events alone: no coupling, no detuning."""
    geometry = build_geometry("square", (20, 30))
    detunings = np.zeros(NODES, np.float32)
    phases = draw_words(3, 1, NODES)[0]
    lattice = backend.build_lattice(geometry, phases, detunings, 0.0, motion)
    if kind in ("stored", "mixed"):
        network = build_stored(backend, is_mixed=kind == "mixed")
    else:
        network = build_computed(backend, lattice, kind)
    network.follow(frequency_hz)
    schedule = TunnelSchedule(network, DT_S, seed=7)
    integrator = "leapfrog" if motion.inertia_s else "euler"
    period, _ = schedule.plan_period(STEPS, TABLEAUS[integrator])
    result = backend.advance(lattice, network.arrays, period)
    return lattice, network, result.successes


KINDS = ["stored", "mixed", "procedural", "procedural repulsive directed"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frequency_hz", [130.0, 437.0, 1000.0])
def test_events_agree(
    binary_backend: Backend, reference: Backend, frequency_hz: float, kind: str
) -> None:
    exact, exact_network, exact_successes = run_events(reference, frequency_hz, kind)
    lattice, network, successes = run_events(binary_backend, frequency_hz, kind)
    assert successes == exact_successes

    host, exact_host = network.columns_by_id(), exact_network.columns_by_id()
    for name in ("attempts", "successes", "last_ticks"):
        assert np.array_equal(getattr(host, name), getattr(exact_host, name)), name

    # An event amplifies a difference by at most exp(2 h). Successful doses of a
    # bridge add up to at most its attempts' share kappa t / P, but rare bridges
    # succeed rarely: bound each bridge by its own successes. A directed target moves
    # by twice the shift, and twice its error.
    longest_s = 1.0 / frequency_hz + DT_S
    doses = np.abs(host.dose_rates) * longest_s * host.successes
    per_node = np.zeros(NODES)
    np.add.at(per_node, host.sources % DIRECTED_FLAG, doses)
    np.add.at(per_node, host.targets, doses)
    events = LAYERS * STEPS * DT_S * frequency_hz + LAYERS
    bound = EVENT_ERROR * events * math.exp(2.0 * per_node.max())
    bound *= 2.0 if kind.endswith(("mixed", "directed")) else 1.0
    moved = distance_turns(
        binary_backend.read_phases(lattice), reference.read_phases(exact)
    )
    assert moved < bound
    # Twice the phase error, and the running mean's own roundings.
    for name in ("locking_cos", "locking_sin"):
        gap = np.abs(getattr(host, name) - getattr(exact_host, name)).max()
        assert gap < 4.0 * math.pi * bound + 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_pushes_agree(binary_backend: Backend, reference: Backend, kind: str) -> None:
    motion = Motion(inertia_s=0.05)
    exact, _, exact_successes = run_events(reference, 437.0, kind, motion)
    lattice, _, successes = run_events(binary_backend, 437.0, kind, motion)
    assert successes == exact_successes
    velocities = binary_backend.to_host(lattice.velocities)
    # Each push is off by the error of its shift over m; while phases hardly move, no
    # error grows, and each velocity is rounded STEPS times below its final size.
    most = 4.0 * LAYERS * (STEPS * DT_S * 437.0 + 1.0) * EVENT_ERROR / motion.inertia_s
    rounding = 4 * STEPS * U * np.abs(velocities).max()
    assert np.abs(velocities - exact.velocities).max() < most + rounding
    assert np.abs(exact.velocities).max() > 500.0 * (most + rounding)
    if "directed" not in kind and kind != "mixed":
        # Pushes are opposite, and every rounding is one of a velocity.
        pushes = 2 * successes * U * np.abs(velocities).max()
        assert abs(velocities.sum(dtype=np.float64)) < pushes


def test_bound_is_far_below_what_events_do(reference: Backend) -> None:
    # The parity test above can fail: events move phases by much more than its bound.
    start = draw_words(3, 1, NODES)[0]
    lattice, _, successes = run_events(reference, 1000.0)
    assert successes > 1000
    assert distance_turns(reference.read_phases(lattice), start) > 0.05


def test_no_bridges_do_nothing(backend: Backend) -> None:
    geometry = build_geometry("chain", (5,), (False,))
    phases = draw_words(3, 1, 5)[0]
    lattice = backend.build_lattice(geometry, phases, np.zeros(5, np.float32), 0.0)
    edges = build_matchings(0, BridgesConfig(), 0)
    network = BridgeNetwork(edges, np.ones(0), backend)
    period, attempts = TunnelSchedule(network, DT_S, 0).plan_period(
        3, TABLEAUS["euler"]
    )
    result = backend.advance(lattice, network.arrays, period)
    assert (attempts, result.successes) == (0, 0)
    assert np.array_equal(backend.read_phases(lattice), phases)
