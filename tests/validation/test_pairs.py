"""Pairs of nodes joined by a bridge: the exact results for tunnel events."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.backends.protocol import TABLEAUS, Backend, LatticeState
from engine.bridge import BridgeNetwork, take_edges
from engine.config import TunnelConfig
from engine.geometry import build_geometry
from engine.tunnel import TunnelSchedule

KAPPA = 1.0
GAP = 1.0
RESOLUTION = 2.0 * np.pi / 2.0**32


def build_pairs(backend: Backend, count: int, detuning_hz: float = 0.0) -> LatticeState:
    """`count` pairs (2i, 2i + 1) that are GAP apart, without any other coupling."""
    geometry = build_geometry("chain", (2 * count,), (False,))
    gap = round(GAP / RESOLUTION)
    phases = (np.arange(2 * count) % 2 * gap).astype(np.uint32)
    detunings = (np.arange(2 * count) % 2 * detuning_hz).astype(np.float32)
    return backend.build_lattice(geometry, phases, detunings, 0.0)


def build_schedule(
    backend: Backend, count: int, frequency_hz: float, dt_s: float, **law: float
) -> TunnelSchedule:
    probability = law.get("probability", 1.0)
    strength = np.full(count, law.get("kappa", KAPPA))
    ends = np.arange(0, 2 * count, 2)
    edges = take_edges(ends, ends + 1, strength, 2 * count)
    tunnel = TunnelConfig(base_frequency=1.0 / dt_s)
    network = BridgeNetwork(edges, np.full(count, probability), backend, tunnel)
    network.follow(frequency_hz)
    return TunnelSchedule(network, dt_s, seed=1)


def read_gaps(backend: Backend, state: LatticeState) -> np.ndarray:
    phases = backend.read_phases(state)
    return (phases[1::2] - phases[::2]).astype(np.int32) * RESOLUTION


@pytest.mark.parametrize("frequency_hz", [1.0, 7.0, 33.3, 100.0, 640.0, 1000.0])
def test_certain_events_are_exact_at_every_frequency(
    frequency_hz: float, backend: Backend
) -> None:
    # tan(d/2) falls by exp(-2 kappa t), t being the time of the last attempt,
    # however many attempts it was split into.
    schedule = build_schedule(backend, 16, frequency_hz, dt_s=0.001)
    state = build_pairs(backend, 16)
    network = schedule.network
    for _ in range(25):
        period, _ = schedule.plan_period(40, TABLEAUS["euler"])
        backend.advance(state, network.arrays, period)
    host = network.columns_by_id()
    elapsed = host.last_ticks * 0.001
    exact = 2.0 * np.arctan(math.tan(GAP / 2.0) * np.exp(-2.0 * KAPPA * elapsed))
    # float32: an event's shift is rounded to 2^-24 of itself, and the shifts add up
    # to less than GAP; elapsed time and dose are rounded likewise; each event adds
    # half a unit of the binary angle.
    error = GAP * 10 * 2.0**-24 + host.attempts * RESOLUTION
    assert (np.abs(read_gaps(backend, state) - exact) < error).all()
    assert elapsed.max() > 0.9


def test_uncertain_events_follow_the_law_of_the_mean(backend: Backend) -> None:
    # exact_results.md: kappa = 1, f = 8, P = 1/2, t = 1: .094690, where the
    # continuous pair has .073934.
    count = 4096
    schedule = build_schedule(backend, count, 8.0, dt_s=0.125, probability=0.5)
    state = build_pairs(backend, count)
    period, attempts = schedule.plan_period(8, TABLEAUS["euler"])
    backend.advance(state, schedule.network.arrays, period)
    assert attempts == 8 * count
    found = np.tan(read_gaps(backend, state) / 2.0)
    # Five standard errors of the mean.
    error = 5.0 * found.std() / math.sqrt(count)
    assert error < 0.01
    assert found.mean() == pytest.approx(0.094690, abs=error)
    assert abs(found.mean() - 0.073934) > error


@pytest.mark.parametrize("frequency_hz", [1.0, 2.0])
@pytest.mark.parametrize("side", [-0.01, 0.01])
def test_detuned_pair_locks_at_its_threshold(
    side: float, frequency_hz: float, reference: Backend
) -> None:
    # Detuned by 1 rad/s: locked iff cosh(kappa/f) cos(1/(2f)) >= 1, that is for
    # kappa >= .52224 at f = 1 and .50529 at f = 2.
    threshold = {1.0: 0.52224, 2.0: 0.50529}[frequency_hz]
    kappa = threshold + side
    step_s = 1.0 / frequency_hz
    schedule = build_schedule(reference, 1, frequency_hz, step_s, kappa=kappa)
    state = build_pairs(reference, 1, detuning_hz=1.0 / (2.0 * np.pi))
    steps = 4000
    period, _ = schedule.plan_period(steps, TABLEAUS["euler"])
    reference.advance(state, schedule.network.arrays, period)
    turned = state.phases[1] - state.phases[0]
    trace = math.cosh(kappa / frequency_hz) * math.cos(1.0 / (2.0 * frequency_hz))
    if side > 0:
        assert trace > 1.0
        assert abs(turned) < 2.0 * np.pi
        return
    # Below it the pair beats at 2 f arccos(...); a few beats are lost at the ends.
    beat = 2.0 * frequency_hz * math.acos(trace)
    assert turned == pytest.approx(beat * steps * step_s, abs=2.0 * np.pi)
    assert turned > 6.0 * np.pi


@pytest.mark.parametrize("frequency_hz", [4.0, 8.0, 32.0])
def test_effective_coupling(frequency_hz: float, backend: Backend) -> None:
    # K_eff = -(f/2) ln(1 - P (1 - exp(-2h))), h = kappa / (f P): the mean of
    # tan(d/2) falls by exp(-2 K_eff t).
    count, probability = 4096, 0.5
    schedule = build_schedule(
        backend, count, frequency_hz, 1.0 / frequency_hz, probability=probability
    )
    state = build_pairs(backend, count)
    period, _ = schedule.plan_period(int(frequency_hz), TABLEAUS["euler"])
    backend.advance(state, schedule.network.arrays, period)
    dose = KAPPA / (frequency_hz * probability)
    loss = probability * -math.expm1(-2.0 * dose)
    coupling = -0.5 * frequency_hz * math.log1p(-loss)
    found = np.tan(read_gaps(backend, state) / 2.0)
    expected = math.tan(GAP / 2.0) * math.exp(-2.0 * coupling)
    error = 5.0 * found.std() / math.sqrt(count)
    assert found.mean() == pytest.approx(expected, abs=error)
