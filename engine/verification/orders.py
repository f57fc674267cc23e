"""Orders of convergence, fitted: halving the step divides the error by 2^order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.backends.protocol import TABLEAUS, Motion
from engine.backends.stepping import SteppingBackend
from engine.bridge import BridgeNetwork, EdgeList, build_matchings
from engine.config import BridgesConfig, TunnelConfig
from engine.geometry import build_geometry, build_neighbour_table
from engine.tunnel import TunnelSchedule
from engine.verification.check import Check, Row
from engine.verification.specimen import (
    F64,
    TWO_PI,
    build_specimen,
    draw_rates,
    move,
    read_radians,
    wrap,
)

GEOMETRY = build_geometry("square", (6, 6))
COUPLING_RAD_S = 1.0
RATES = draw_rates("gaussian", GEOMETRY.shape, TWO_PI * 0.3)
"""Natural frequencies [rad/s]."""
NEIGHBOURS = build_neighbour_table(GEOMETRY)
SECONDS = 1.0
FINE_STEPS = 512
"""Steps of the exact solution; rk4 is off by 1e-10 rad with so many."""
STARTS = TWO_PI * np.random.default_rng(4).random(GEOMETRY.node_count)
INERTIA_S = 0.3


def find_rates(edges: EdgeList | None, phases: F64) -> F64:
    """Return d theta / dt of the network, bridges as continuous couplings [rad/s]."""
    gaps = phases[NEIGHBOURS] - phases[:, None]
    rates: F64 = RATES + COUPLING_RAD_S * np.sin(gaps).sum(axis=1)
    if edges is not None:
        pull = np.sin(phases[edges.targets] - phases[edges.sources])
        np.add.at(rates, edges.sources, edges.strengths_rad_s * pull)
        np.add.at(rates, edges.targets, -edges.strengths_rad_s * pull)
    return rates


def integrate_finely(edges: EdgeList | None = None, inertia_s: float = 0.0) -> F64:
    """Integrate by the textbook's Runge-Kutta scheme of order 4 in fine steps.

    Args:
        edges: Bridges, or None.
        inertia_s: m [s]; 0: phases follow their rate.

    Returns:
        Phases after `SECONDS` [rad], shape (nodes,).
    """
    count = GEOMETRY.node_count

    def slope(state: F64) -> F64:
        phases, velocities = state[:count], state[count:]
        if not inertia_s:
            return np.concatenate([find_rates(edges, phases), velocities])
        pull = (find_rates(edges, phases) - velocities) / inertia_s
        return np.concatenate([velocities, pull])

    state, dt = np.concatenate([STARTS, np.zeros(count)]), SECONDS / FINE_STEPS
    for _ in range(FINE_STEPS):
        first = slope(state)
        second = slope(state + 0.5 * dt * first)
        third = slope(state + 0.5 * dt * second)
        fourth = slope(state + dt * third)
        state = state + dt / 6.0 * (first + 2.0 * second + 2.0 * third + fourth)
    return state[:count]


def fit_order(step_counts: tuple[int, ...], errors: list[float]) -> float:
    """Fit the order to the errors at numbers of steps."""
    return float(-np.polyfit(np.log(step_counts), np.log(errors), 1)[0])


def measure_miss(
    backend: SteppingBackend, integrator: str, steps: int, exact: F64
) -> float:
    """Return the largest error of a phase after `SECONDS` [rad]."""
    motion = Motion(inertia_s=INERTIA_S if integrator == "leapfrog" else 0.0)
    lattice = build_specimen(
        backend, GEOMETRY, STARTS, COUPLING_RAD_S, rates_rad_s=RATES, motion=motion
    )
    move(backend, lattice, SECONDS, SECONDS / steps, integrator)
    return float(np.abs(wrap(read_radians(backend, lattice) - exact)).max())


COUNTS = {
    "euler": (128, 256, 512), "rk2": (32, 64, 128), "rk4": (8, 12, 16),
    "leapfrog": (32, 64, 128),
}  # fmt: skip
"""Steps by integrator. Their errors stay above 3e-5 rad, a hundred times what float32
and binary angles add, and the next order is smaller by dt times a few per second."""
ORDERS = {"euler": 1.0, "rk2": 2.0, "rk4": 4.0, "leapfrog": 2.0}


def measure_integrators(backend: SteppingBackend) -> Iterator[Row]:
    """Fit the order of every integrator of the lattice."""
    plain, inert = integrate_finely(), integrate_finely(inertia_s=INERTIA_S)
    for name, counts in COUNTS.items():
        exact = inert if name == "leapfrog" else plain
        errors = [measure_miss(backend, name, steps, exact) for steps in counts]
        # Between 32 and 128 steps the next order changes the slope by a tenth.
        yield Row(f"{name}: order", ORDERS[name], fit_order(counts, errors), 0.15)


def measure_splitting_miss(
    backend: SteppingBackend, edges: EdgeList, steps: int, exact: F64
) -> float:
    """Return the largest error of a phase where every bridge acts every step [rad]."""
    tunnel = TunnelConfig(base_frequency=steps / SECONDS)
    network = BridgeNetwork(edges, np.ones(len(edges)), backend, tunnel)
    network.follow(steps / SECONDS)
    schedule = TunnelSchedule(network, SECONDS / steps, seed=0)
    period, _ = schedule.plan_period(steps, TABLEAUS["rk4"])
    lattice = build_specimen(
        backend, GEOMETRY, STARTS, COUPLING_RAD_S, rates_rad_s=RATES
    )
    backend.advance(lattice, network.arrays, period)
    return float(np.abs(wrap(read_radians(backend, lattice) - exact)).max())


def measure_splitting(backend: SteppingBackend) -> Iterator[Row]:
    """Fit the order in which lattice and tunnel events, taken in turns, converge."""
    counts = (32, 64, 128, 256)
    for layers in (1, 2, 4):
        config = BridgesConfig(per_node=layers, strength_rad_s=1.0)
        edges = build_matchings(GEOMETRY.node_count, config, 0)
        exact = integrate_finely(edges)
        errors = [
            measure_splitting_miss(backend, edges, steps, exact) for steps in counts
        ]
        # Lattice and events are split symmetrically (Strang); layers that share nodes
        # follow each other forwards and backwards in turns, so two steps are symmetric
        # too. Errors are of either sign and may cancel in part.
        order = fit_order(counts, errors)
        yield Row(f"{layers} layers: order", 2.0, order, 0.25)
        yield Row(f"{layers} layers, 256 steps: error [rad]", 0.0, errors[-1], 1e-3)


CHECKS = (
    Check(
        "integrator-orders",
        "euler is of order 1, rk2 of 2, rk4 of 4, leapfrog of 2",
        "Butcher tableaus; symmetric splitting",
        measure_integrators,
    ),
    Check(
        "splitting-order",
        "Tunnel events in every step are of order 2 against continuous couplings",
        "Strang 1968, doi:10.1137/0705041",
        measure_splitting,
    ),
)
