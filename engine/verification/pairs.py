"""Pairs of nodes joined by a bridge: the exact results for tunnel events."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import optimize

from engine.backends.protocol import TABLEAUS, LatticeState
from engine.backends.stepping import SteppingBackend
from engine.bridge import BridgeNetwork, take_edges
from engine.config import TunnelConfig
from engine.geometry import build_geometry
from engine.tunnel import TunnelSchedule
from engine.verification.check import Check, Row
from engine.verification.specimen import (
    F64,
    RADIANS_PER_UNIT,
    build_specimen,
    read_radians,
    wrap,
)

KAPPA = 1.0
"""Strength of a bridge [rad/s]."""
GAP = 1.0
"""Distance of its ends at the start [rad]."""
MANY = 2**16
"""Pairs over which a mean is taken."""
SHOWN_HZ = 8.0
"""Frequency whose mean is shown as it is [Hz]."""


def build_pairs(
    backend: SteppingBackend, count: int, detuning_rad_s: float = 0.0
) -> LatticeState:
    """Build `count` pairs (2i, 2i + 1) that are `GAP` apart, otherwise uncoupled."""
    is_second = np.arange(2 * count) % 2
    return build_specimen(
        backend,
        build_geometry("chain", (2 * count,), (False,)),
        GAP * is_second,
        0.0,
        rates_rad_s=detuning_rad_s * is_second,
    )


def build_schedule(
    backend: SteppingBackend,
    strengths: npt.NDArray[np.floating],
    frequency_hz: float,
    dt_s: float,
    *,
    probability: float = 1.0,
) -> TunnelSchedule:
    """Join every pair by a bridge that tunnels at one frequency."""
    ends = np.arange(0, 2 * len(strengths), 2)
    edges = take_edges(ends, ends + 1, strengths, 2 * len(strengths))
    tunnel = TunnelConfig(base_frequency=1.0 / dt_s)
    law = np.full(len(strengths), probability)
    network = BridgeNetwork(edges, law, backend, tunnel)
    network.follow(frequency_hz)
    return TunnelSchedule(network, dt_s, seed=1)


def run_steps(
    backend: SteppingBackend,
    lattice: LatticeState,
    schedule: TunnelSchedule,
    steps: int,
) -> None:
    """Run one period of a schedule."""
    period, _ = schedule.plan_period(steps, TABLEAUS["euler"])
    backend.advance(lattice, schedule.network.arrays, period)


def read_gaps(backend: SteppingBackend, lattice: LatticeState) -> F64:
    """Read theta_target - theta_source of every pair [rad], in [-pi, pi)."""
    phases = read_radians(backend, lattice)
    return wrap(phases[1::2] - phases[::2])


def measure_certain(backend: SteppingBackend) -> Iterator[Row]:
    """Let P = 1 bridges act at frequencies that fit their steps and that do not."""
    for frequency_hz in (1.0, 7.0, 33.3, 640.0, 1000.0):
        schedule = build_schedule(backend, np.full(16, KAPPA), frequency_hz, 0.001)
        lattice = build_pairs(backend, 16)
        for _ in range(25):
            run_steps(backend, lattice, schedule, 40)
        host = schedule.network.columns_by_id()
        elapsed_s = host.last_ticks * 0.001
        exact = 2.0 * np.arctan(math.tan(0.5 * GAP) * np.exp(-2.0 * KAPPA * elapsed_s))
        found = read_gaps(backend, lattice)
        worst = int(np.argmax(np.abs(found - exact)))
        # float32: an event's shift is rounded to 2^-24 of itself, and the shifts add
        # up to less than GAP; elapsed time and dose are rounded likewise; each event
        # adds half a unit of the binary angle at either end.
        error = GAP * 10.0 * 2.0**-24 + float(host.attempts.max()) * RADIANS_PER_UNIT
        label = f"f = {frequency_hz:g} Hz: worst gap [rad]"
        yield Row(label, float(exact[worst]), float(found[worst]), error)
    # At 1000 Hz every bridge acts in every step of a millisecond, the last included.
    yield Row("f = 1000 Hz: time reached [s]", 1.0, float(elapsed_s.min()), 1e-12)


def find_effective_coupling(frequency_hz: float, probability: float) -> float:
    """Return K_eff = -(f/2) ln(1 - P (1 - exp(-2h))), h = kappa / (f P) [rad/s]."""
    dose = KAPPA / (frequency_hz * probability)
    loss = probability * -math.expm1(-2.0 * dose)
    return -0.5 * frequency_hz * math.log1p(-loss)


def measure_uncertain(backend: SteppingBackend) -> Iterator[Row]:
    """Average tan(d/2) over many P = 1/2 pairs after one second."""
    for frequency_hz in (1.0, 2.0, 8.0, 32.0):
        schedule = build_schedule(
            backend,
            np.full(MANY, KAPPA),
            frequency_hz,
            1.0 / frequency_hz,
            probability=0.5,
        )
        lattice = build_pairs(backend, MANY)
        run_steps(backend, lattice, schedule, int(frequency_hz))
        tangents = np.tan(0.5 * read_gaps(backend, lattice))
        coupling = find_effective_coupling(frequency_hz, 0.5)
        # Four standard errors of the mean; half of them, relative, in its logarithm.
        mean = float(tangents.mean())
        error = 4.0 * float(tangents.std()) / math.sqrt(MANY)
        if frequency_hz == SHOWN_HZ:
            exact = math.tan(0.5 * GAP) * math.exp(-2.0 * coupling)
            label = f"f = {frequency_hz:g} Hz, t = 1 s: mean tan(d/2)"
            yield Row(label, exact, mean, error)
        found = -0.5 * math.log(mean / math.tan(0.5 * GAP))
        label = f"f = {frequency_hz:g} Hz: K_eff [rad/s]"
        yield Row(label, coupling, found, 0.5 * error / mean)


def find_threshold(frequency_hz: float) -> float:
    """Return kappa where cosh(kappa/f) cos(1/(2f)) = 1: detuned by 1 rad/s."""

    def excess(kappa: float) -> float:
        trace = math.cosh(kappa / frequency_hz) * math.cos(0.5 / frequency_hz)
        return trace - 1.0

    return float(optimize.brentq(excess, 0.1, 2.0))


def turn_pairs(
    backend: SteppingBackend, strengths: F64, frequency_hz: float, steps: int
) -> F64:
    """Return how far pairs detuned by 1 rad/s turn, one event a step [rad]."""
    schedule = build_schedule(backend, strengths, frequency_hz, 1.0 / frequency_hz)
    lattice = build_pairs(backend, len(strengths), 1.0)
    before, total = read_gaps(backend, lattice), np.zeros(len(strengths))
    for _ in range(steps):
        run_steps(backend, lattice, schedule, 1)
        after = read_gaps(backend, lattice)
        total += wrap(after - before)
        before = after
    return total


def measure_locking(backend: SteppingBackend) -> Iterator[Row]:
    """Find the weakest bridge that holds a detuned pair, and its beat below."""
    for frequency_hz in (1.0, 2.0, 16.0):
        exact = find_threshold(frequency_hz)
        strengths = exact + np.linspace(-0.01, 0.01, 81)
        seconds = 300.0
        turned = turn_pairs(
            backend, strengths, frequency_hz, int(seconds * frequency_hz)
        )
        is_free = np.abs(turned) > 2.0 * math.pi
        found = 0.5 * float(strengths[is_free].max() + strengths[~is_free].min())
        # One step of strengths is 0.00025. A pair that is weaker by x beats with
        # sqrt(4 kappa_c x) rad/s at least: one turn in 300 s shows x = 0.0002.
        label = f"f = {frequency_hz:g} Hz"
        yield Row(f"{label}: locks from kappa [rad/s]", exact, found, 6e-4)
    for frequency_hz in (1.0, 2.0):
        kappa = 0.4
        trace = math.cosh(kappa / frequency_hz) * math.cos(0.5 / frequency_hz)
        beat = 2.0 * frequency_hz * math.acos(trace)
        turned = turn_pairs(
            backend, np.full(4, kappa), frequency_hz, int(400 * frequency_hz)
        )
        # Less than one turn is missed at the ends.
        found = float(turned.mean()) / 400.0
        label = f"f = {frequency_hz:g} Hz, kappa = 0.4"
        yield Row(f"{label}: beat [rad/s]", beat, found, 2.0 * math.pi / 400.0)


CHECKS = (
    Check(
        "certain-pair",
        "P = 1 events shrink tan(d/2) by exp(-2 kappa t), whatever their frequency",
        "exact flow of two coupled phases",
        measure_certain,
    ),
    Check(
        "uncertain-pair",
        "P < 1 events shrink its mean by (1 - P + P exp(-2h))^n: K_eff saturates",
        "independent attempts of dose h = kappa/(f P)",
        measure_uncertain,
    ),
    Check(
        "detuned-pair",
        "P = 1 locks if cosh(kappa/f) cos(dw/2f) >= 1, else beats at 2f acos of it",
        "Floquet trace of rotation and event",
        measure_locking,
    ),
)
