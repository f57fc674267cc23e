"""Waves on lattices: how fast modes decay, and which twists stand still."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from engine.backends.stepping import SteppingBackend
from engine.geometry import Geometry, build_geometry
from engine.verification.check import Check, Row
from engine.verification.specimen import (
    F64,
    build_specimen,
    find_angles,
    find_eigenvalue,
    move,
    project,
    read_radians,
    wrap,
)

COUPLING_RAD_S = 10.0
MODES = (
    ("chain", (16,), (3,)),
    ("square", (8, 10), (1, 2)),
    ("triangular", (8, 10), (1, 2)),
    ("triangular", (8, 10), (1, -2)),
    ("cubic", (6, 8, 5), (1, 2, 1)),
    ("bcc", (6, 8, 5), (1, 2, 1)),
    ("bcc", (6, 8, 5), (1, -1, 0)),
    ("fcc", (6, 8, 5), (1, 2, 1)),
    ("fcc", (6, 8, 5), (0, 1, -1)),
)
"""Lattice, shape and turns along each axis; (1, 2) and (1, -2) tell offsets apart that
one of them alone would not."""
RING = build_geometry("chain", (64,))


def measure_decay(
    backend: SteppingBackend,
    geometry: Geometry,
    mode: tuple[int, ...],
    amplitude_rad: float,
    *,
    twist: F64 | float = 0.0,
    lifetime_s: float = 1.0,
) -> float:
    """Return the decay rate of a cosine on top of a twist [1/s].

    Args:
        backend: Where.
        geometry: Lattice.
        mode: Turns along each axis.
        amplitude_rad: Amplitude of the cosine [rad].
        twist: Phases below it [rad].
        lifetime_s: How long it is watched [s], about one decay time.
    """
    pattern = np.cos(find_angles(geometry, mode))
    start = twist + amplitude_rad * pattern
    lattice = build_specimen(backend, geometry, start, COUPLING_RAD_S)
    before = project(wrap(read_radians(backend, lattice) - twist), pattern)
    # K lambda dt is 1/20 for this mode, and below 1/2 for the fastest.
    move(backend, lattice, lifetime_s, min(lifetime_s / 20.0, 0.5 / 240.0))
    after = project(wrap(read_radians(backend, lattice) - twist), pattern)
    return math.log(before / after) / lifetime_s


def measure_modes(backend: SteppingBackend) -> Iterator[Row]:
    """Measure the decay of one or two modes on every kind of lattice."""
    # The sine's cubic term takes (slope * amplitude)^2 / 8, averaged over the decay,
    # from a rate: at slopes up to 2 some 2e-7 at 1e-3. Binary angles ask for 0.01,
    # where it takes 2e-5; of a difference of sines of 0.01 float32 keeps five digits,
    # and such errors average out over the wave. rk4 adds (1/20)^4 / 120 = 5e-8.
    is_reference = backend.name == "reference"
    amplitude, share = (1e-3, 1e-5) if is_reference else (1e-2, 1e-4)
    for kind, shape, mode in MODES:
        geometry = build_geometry(kind, shape)
        exact = COUPLING_RAD_S * find_eigenvalue(geometry, mode)
        rate = measure_decay(backend, geometry, mode, amplitude, lifetime_s=1.0 / exact)
        label = " ".join(map(str, mode))
        yield Row(f"{kind}, mode {label} [1/s]", exact, rate, share * exact)


def measure_twists(backend: SteppingBackend) -> Iterator[Row]:
    """Hold twists for a thousand steps, then weigh modes on top of them."""
    for turns in (3, -15):
        twist = find_angles(RING, (turns,))
        lattice = build_specimen(backend, RING, twist, COUPLING_RAD_S)
        move(backend, lattice, 1.0, 0.001, "euler")
        drift = np.abs(wrap(read_radians(backend, lattice) - twist)).max()
        winding = backend.winding_numbers(lattice)[0]
        # Windings are sums of wrapped integers or float64 differences.
        yield Row(f"{turns} turns on 64 sites: winding", turns, winding, 1e-12)
        # 64 sines that cancel, each off by 4 * 2^-24.
        order = abs(backend.order_parameter(lattice))
        yield Row(f"{turns} turns: r", 0.0, order, 1e-6)
        # A pull is off by 4e-7 in float32: over 1000 steps of K dt = 0.01 at most 4e-6
        # rad, were it always to one side.
        yield Row(f"{turns} turns: drift [rad]", 0.0, float(drift), 4e-6)


def measure_twisted_decay(backend: SteppingBackend) -> Iterator[Row]:
    """Measure decay, and beyond a quarter turn per site growth, on top of twists."""
    # Beside the twist the sine has a square term too, tan(2 pi q / 64) times the slope
    # 0.2 * amplitude; it makes mode 4 and, from it, mode 2 again: (5 * 2e-4)^2 = 1e-6.
    # The fastest mode, of one sign on every second site, is its own third harmonic; it
    # starts five times smaller and grows by e.
    # float32 adds what it does to modes: 2^-22 of sines of order 1, averaged over 64
    # sites, beside 0.2 * 0.01 in a difference.
    is_reference = backend.name == "reference"
    amplitude, share = (1e-3, 1e-5) if is_reference else (1e-2, 1e-4)
    for turns, mode in ((3, 2), (14, 2), (20, 32)):
        twist = find_angles(RING, (turns,))
        slope = math.cos(2.0 * math.pi * turns / RING.node_count)
        exact = COUPLING_RAD_S * find_eigenvalue(RING, (mode,)) * slope
        size = amplitude if exact > 0.0 else 0.2 * amplitude
        rate = measure_decay(
            backend, RING, (mode,), size, twist=twist, lifetime_s=1.0 / abs(exact)
        )
        label = f"{turns} turns, mode {mode} decays [1/s]"
        yield Row(label, exact, rate, share * abs(exact))


def measure_unwinding(backend: SteppingBackend) -> Iterator[Row]:
    """Let a twist of 20 turns on 64 sites fall into a stable state."""
    noise = 1e-3 * np.random.default_rng(0).standard_normal(RING.node_count)
    twist = find_angles(RING, (20,)) + noise
    lattice = build_specimen(backend, RING, twist, COUPLING_RAD_S)
    # The fastest disturbance grows by 4 K abs(cos(2 pi 20 / 64)) = 15 per second.
    move(backend, lattice, 60.0, 0.02, "euler")
    left = abs(backend.winding_numbers(lattice)[0])
    # Any abs(q) below a quarter of the sites is stable, and no other is.
    yield Row("20 turns on 64 sites: |q| left", 0.0, left, 15.5)


CHECKS = (
    Check(
        "mode-decay",
        "A small cosine decays at K lambda_k, lambda_k = sum of 2 (1 - cos k.a)",
        "linear stability of the aligned state",
        measure_modes,
    ),
    Check(
        "twisted-ring",
        "q turns over a ring are a fixed point with r = 0",
        "Wiley, Strogatz, Girvan 2006, doi:10.1063/1.2165594",
        measure_twists,
    ),
    Check(
        "twisted-decay",
        "On q turns modes decay at K lambda_k cos(2 pi q/L); they grow beyond L/4",
        "Wiley, Strogatz, Girvan 2006, doi:10.1063/1.2165594",
        measure_twisted_decay,
    ),
    Check(
        "unwinding",
        "More than L/4 turns over a ring unwind",
        "Wiley, Strogatz, Girvan 2006, doi:10.1063/1.2165594",
        measure_unwinding,
    ),
)
