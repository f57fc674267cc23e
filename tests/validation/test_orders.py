"""Orders of convergence, fitted: halving the step divides the error by 2^order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.backends.protocol import TABLEAUS, Backend, LatticeState, Tableau
from engine.backends.reference import wrap_angle
from engine.bridge import BridgeNetwork, EdgeList, build_matchings
from engine.config import BridgesConfig, TunnelConfig
from engine.crystal import LatticeConfig, draw_detunings, draw_phases
from engine.geometry import build_geometry, build_neighbour_table
from engine.tunnel import TunnelSchedule

CONFIG = LatticeConfig(shape=(6, 6), spread_hz=0.3, coupling_rad_s=1.0)
GEOMETRY = build_geometry("square", CONFIG.shape)
SECONDS = 1.0


def build_lattice(backend: Backend) -> LatticeState:
    phases, detunings = draw_phases(CONFIG, 0), draw_detunings(CONFIG, 0)
    return backend.build_lattice(GEOMETRY, phases, detunings, CONFIG.coupling_rad_s)


def fit_order(step_counts: list[int], errors: list[float]) -> float:
    return float(-np.polyfit(np.log(step_counts), np.log(errors), 1)[0])


def largest_error(state: LatticeState, exact: LatticeState) -> float:
    return float(np.abs(wrap_angle(state.phases - exact.phases)).max())


def integrate(backend: Backend, tableau: Tableau, steps: int) -> LatticeState:
    state = build_lattice(backend)
    for _ in range(steps):
        backend.step_lattice(state, tableau, SECONDS / steps)
    return state


@pytest.mark.parametrize("name", TABLEAUS)
def test_lattice_order(name: str, reference: Backend) -> None:
    tableau = TABLEAUS[name]
    # 1024 steps of rk4 are exact to 1e-12, far below every error here.
    exact = integrate(reference, TABLEAUS["rk4"], 1024)
    counts = [32, 64, 128] if name == "rk4" else [64, 128, 256, 512]
    errors = [
        largest_error(integrate(reference, tableau, steps), exact) for steps in counts
    ]
    # The next term of the error is smaller by dt times a rate of a few per second.
    assert fit_order(counts, errors) == pytest.approx(tableau.order, abs=0.1)


def build_edges(layers: int) -> EdgeList:
    config = BridgesConfig(per_node=layers, strength_rad_s=1.0)
    return build_matchings(36, config, 0)


def run_with_bridges(backend: Backend, layers: int, steps: int) -> LatticeState:
    """Every bridge acts in every step: what is left is the splitting error."""
    edges = build_edges(layers)
    tunnel = TunnelConfig(base_frequency=steps / SECONDS)
    network = BridgeNetwork(edges, np.ones(len(edges)), backend, tunnel)
    network.follow(steps / SECONDS)
    schedule = TunnelSchedule(network, SECONDS / steps, seed=0)
    period, _ = schedule.plan_period(steps, TABLEAUS["rk4"])
    state = build_lattice(backend)
    backend.advance(state, network.arrays, period)
    return state


def run_continuous(backend: Backend, layers: int) -> LatticeState:
    """The same network with its bridges as ordinary couplings, by fine rk4 steps."""
    edges, state = build_edges(layers), build_lattice(backend)
    table = build_neighbour_table(GEOMETRY)
    drift = 2.0 * np.pi * state.detunings

    def rate(phases: np.ndarray) -> np.ndarray:
        total = drift + np.sin(phases[table] - phases[:, None]).sum(axis=1)
        pull = np.sin(phases[edges.targets] - phases[edges.sources])
        np.add.at(total, edges.sources, pull)
        np.add.at(total, edges.targets, -pull)
        return total

    phases, dt = state.phases, SECONDS / 1024
    for _ in range(1024):
        first = rate(phases)
        second = rate(phases + 0.5 * dt * first)
        third = rate(phases + 0.5 * dt * second)
        fourth = rate(phases + dt * third)
        phases = phases + dt / 6.0 * (first + 2.0 * second + 2.0 * third + fourth)
    return replace(state, phases=phases)


@pytest.mark.parametrize(("layers", "order"), [(1, 2), (2, 2), (4, 2)])
def test_tunnel_events_converge_to_the_continuous_network(
    layers: int, order: int, reference: Backend
) -> None:
    # Lattice and events are split symmetrically (Strang); layers that share nodes
    # follow each other within a step, in turns forwards and backwards, so two steps
    # are symmetric too.
    exact = run_continuous(reference, layers)
    counts = [64, 128, 256, 512]
    errors = [
        largest_error(run_with_bridges(reference, layers, steps), exact)
        for steps in counts
    ]
    assert fit_order(counts, errors) > order - 0.1
    assert errors[-1] < 0.01
