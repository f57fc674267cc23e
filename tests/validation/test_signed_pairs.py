"""Pairs whose bridge repels, leads one way, or pushes phases that have inertia."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from engine.backends.protocol import TABLEAUS, Backend, LatticeState, Motion
from engine.bridge import BridgeNetwork, take_edges
from engine.config import TunnelConfig
from engine.geometry import build_geometry
from engine.tunnel import TunnelSchedule

GAP = 1.0
RESOLUTION = 2.0 * np.pi / 2.0**32
KINDS = [(1.0, True), (-1.0, False), (-1.0, True)]
"""kappa [rad/s] and direction; the attractive, undirected pair is in test_pairs.py."""


def build_pairs(
    backend: Backend, count: int, motion: Motion | None = None
) -> LatticeState:
    """`count` pairs (2i, 2i + 1) that are GAP apart, without any other coupling."""
    geometry = build_geometry("chain", (2 * count,), (False,))
    phases = (np.arange(2 * count) % 2 * round(GAP / RESOLUTION)).astype(np.uint32)
    zeros = np.zeros(2 * count, np.float32)
    return backend.build_lattice(geometry, phases, zeros, 0.0, motion or Motion())


def build_schedule(
    backend: Backend,
    count: int,
    frequency_hz: float,
    dt_s: float,
    *,
    kappa: float,
    directed: bool,
    probability: float = 1.0,
) -> TunnelSchedule:
    """Every second pair has its source at its higher node."""
    ends = np.arange(0, 2 * count, 2)
    swap = np.arange(count) % 2
    strengths = np.full(count, kappa)
    edges = take_edges(
        ends + swap, ends + 1 - swap, strengths, 2 * count, directed=directed
    )
    tunnel = TunnelConfig(base_frequency=1.0 / dt_s)
    network = BridgeNetwork(edges, np.full(count, probability), backend, tunnel)
    network.follow(frequency_hz)
    return TunnelSchedule(network, dt_s, seed=1)


def read_gaps(backend: Backend, state: LatticeState) -> np.ndarray:
    """Return the gaps of all pairs [rad], the higher node minus the lower."""
    phases = backend.read_phases(state)
    return (phases[1::2] - phases[::2]).astype(np.int32) * RESOLUTION


@pytest.mark.parametrize(("kappa", "directed"), KINDS)
@pytest.mark.parametrize("frequency_hz", [7.0, 100.0, 1000.0])
def test_certain_events_are_exact_at_every_frequency(
    frequency_hz: float, kappa: float, directed: bool, backend: Backend
) -> None:
    # tan(d/2) goes with exp(-2 kappa t), or exp(-kappa t) if only the target moves.
    schedule = build_schedule(
        backend, 16, frequency_hz, 0.001, kappa=kappa, directed=directed
    )
    state = build_pairs(backend, 16)
    before = backend.read_phases(state)
    for _ in range(25):
        period, _ = schedule.plan_period(40, TABLEAUS["euler"])
        backend.advance(state, schedule.network.arrays, period)
    host = schedule.network.columns_by_id()
    elapsed = host.last_ticks * 0.001
    rate = kappa * (1.0 if directed else 2.0)
    exact = 2.0 * np.arctan(math.tan(GAP / 2.0) * np.exp(-rate * elapsed))
    # As in test_pairs.py; a target that moves alone doubles its shift's rounding, and
    # on its way to antiphase a gap error grows by at most 1 / sin(GAP) = 1.19.
    error = 2.0 * 1.19 * (GAP * 10 * 2.0**-24 + host.attempts * RESOLUTION)
    assert (np.abs(read_gaps(backend, state) - exact) < error).all()
    assert elapsed.max() > 0.9
    sources = np.array([bridge.source for bridge in schedule.network])
    stays = backend.read_phases(state)[sources] == before[sources]
    assert stays.all() if directed else not stays.any()
    # The mean gap that the bridge has seen is that of its ends, not of their images.
    turned = np.where(np.arange(16) % 2, -1.0, 1.0) * host.locking_sin
    assert (turned > 0.0).all()


@pytest.mark.parametrize("directed", [False, True])
def test_repelled_pairs_end_in_antiphase(directed: bool, backend: Backend) -> None:
    schedule = build_schedule(backend, 4, 50.0, 0.02, kappa=-1.0, directed=directed)
    state = build_pairs(backend, 4)
    period, _ = schedule.plan_period(2000, TABLEAUS["euler"])
    backend.advance(state, schedule.network.arrays, period)
    # The polynomials of sine and cosine are off by 4 * 2^-24 near a quarter turn.
    assert np.abs(np.abs(read_gaps(backend, state)) - np.pi).max() < 2e-6
    host = schedule.network.columns_by_id()
    assert (host.locking_cos < -0.999).all()


@pytest.mark.parametrize(("kappa", "directed"), KINDS)
def test_uncertain_events_follow_the_law_of_the_mean(
    kappa: float, directed: bool, backend: Backend
) -> None:
    # exact_results.md, with exp(-h) where only the target moves: after n ticks
    # E[tan(d/2)] = tan(d0/2) (1 - P + P exp(-2h))^n, h = kappa / (f P).
    count, probability, ticks, hz = 4096, 0.5, 8, 16.0
    schedule = build_schedule(
        backend,
        count,
        hz,
        1.0 / hz,
        kappa=kappa,
        directed=directed,
        probability=probability,
    )
    state = build_pairs(backend, count)
    period, attempts = schedule.plan_period(ticks, TABLEAUS["euler"])
    backend.advance(state, schedule.network.arrays, period)
    assert attempts == ticks * count
    dose = kappa / (hz * probability) * (1.0 if directed else 2.0)
    factor = 1.0 + probability * math.expm1(-dose)
    found = np.tan(read_gaps(backend, state) / 2.0)
    error = 5.0 * found.std() / math.sqrt(count)  # five standard errors of the mean
    expected = math.tan(GAP / 2.0) * factor**ticks
    assert error < 0.1 * abs(expected - math.tan(GAP / 2.0))
    assert found.mean() == pytest.approx(expected, abs=error)


def solve_inert_pair(rate: float, inertia_s: float, end_s: float) -> float:
    """Solve m d'' + d' = -rate sin d from rest; return d [rad]."""

    def slope(_: float, state: np.ndarray) -> tuple[float, float]:
        return state[1], -(rate * math.sin(state[0]) + state[1]) / inertia_s

    solved = solve_ivp(slope, (0.0, end_s), (GAP, 0.0), rtol=1e-10, atol=1e-12)
    return float(solved.y[0, -1])


@pytest.mark.parametrize(("kappa", "directed"), [(1.0, False), *KINDS])
def test_pushed_pairs_follow_the_equation_of_motion(
    kappa: float, directed: bool, backend: Backend
) -> None:
    # With a bridge that acts in every step, pushes are its pull: underdamped, as
    # 4 m rate > 1. A push comes half a step early or late: the error is of first order
    # in dt, by about kappa dt = 0.013 of what the gap does.
    inertia_s, end_s = 1.5, 4.0
    exact = solve_inert_pair(kappa * (1.0 if directed else 2.0), inertia_s, end_s)
    errors = []
    for steps in (150, 300):
        dt_s = end_s / steps
        schedule = build_schedule(
            backend, 2, 1.0 / dt_s, dt_s, kappa=kappa, directed=directed
        )
        state = build_pairs(backend, 2, Motion(inertia_s=inertia_s))
        period, _ = schedule.plan_period(steps, TABLEAUS["leapfrog"])
        backend.advance(state, schedule.network.arrays, period)
        gaps = read_gaps(backend, state)
        errors.append(np.abs((gaps - exact + np.pi) % (2.0 * np.pi) - np.pi).max())
    assert errors[1] < 0.01
    assert errors[1] < 0.6 * errors[0]
    assert abs(exact - GAP) > 0.5
