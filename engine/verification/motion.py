"""Lag, inertia and noise on lattices: what they do where everything is linear."""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator

import numpy as np

from engine.backends.philox import Stream
from engine.backends.protocol import Motion
from engine.backends.stepping import SteppingBackend
from engine.geometry import build_geometry
from engine.verification.check import Check, Row
from engine.verification.specimen import (
    build_specimen,
    find_angles,
    find_eigenvalue,
    list_neighbours,
    move,
    project,
    read_radians,
    wrap,
)

COUPLING_RAD_S = 10.0
LAG_RAD = 0.7
KINDS = (("chain", (16,)), ("square", (8, 10)), ("fcc", (4, 6, 5)))


def measure_lag(backend: SteppingBackend) -> Iterator[Row]:
    """Measure the common frequency of aligned oscillators, and a mode's decay."""
    for kind, shape in KINDS:
        geometry = build_geometry(kind, shape)
        mode = (1, 2, 1)[: len(shape)]
        pattern = np.cos(find_angles(geometry, mode))
        # The square and the cubic term of the lagged sine count the square of a slope,
        # up to (1.7 * amplitude)^2: 3e-6 at 1e-3 and 3e-4 at 1e-2, of which a decaying
        # wave keeps a third on the average.
        is_reference = backend.name == "reference"
        amplitude, share = (1e-3, 1e-5) if is_reference else (1e-2, 2e-4)
        lattice = build_specimen(
            backend,
            geometry,
            amplitude * pattern,
            COUPLING_RAD_S,
            motion=Motion(lag_rad=LAG_RAD),
        )
        rate = COUPLING_RAD_S * math.cos(LAG_RAD) * find_eigenvalue(geometry, mode)
        before = project(read_radians(backend, lattice), pattern)
        move(backend, lattice, 1.0 / rate, 1.0 / 2000.0)
        phases = read_radians(backend, lattice)
        turn = float(np.angle(np.exp(1j * phases).mean()))
        left = project(wrap(phases - turn), pattern)
        shift = -COUPLING_RAD_S * len(list_neighbours(geometry)) * math.sin(LAG_RAD)
        turns = round((shift / rate - turn) / (2.0 * math.pi))
        found = (turn + 2.0 * math.pi * turns) * rate
        # A frequency that is off by a whole turn over 1/rate is found by the rate too.
        yield Row(f"{kind}: shift [rad/s]", shift, found, share * abs(shift))
        decay = math.log(before / left) * rate
        yield Row(f"{kind}: mode decay [1/s]", rate, decay, share * rate)


def find_swing(inertia_s: float, rate: float, at_s: float) -> float:
    """Return x(t) / x(0) of m x'' + x' + rate x = 0, let go at rest.

    Args:
        inertia_s: m [s].
        rate: K lambda [1/s].
        at_s: t [s].
    """
    root = cmath.sqrt(1.0 - 4.0 * inertia_s * rate)
    slow, fast = (-1.0 + root) / (2.0 * inertia_s), (-1.0 - root) / (2.0 * inertia_s)
    swing = slow * cmath.exp(fast * at_s) - fast * cmath.exp(slow * at_s)
    return float((swing / (slow - fast)).real)


def measure_inertia(backend: SteppingBackend) -> Iterator[Row]:
    """Watch a mode creep back, and swing through its rest."""
    geometry = build_geometry("triangular", (8, 10))
    pattern = np.cos(find_angles(geometry, (1, 2)))
    rate = COUPLING_RAD_S * find_eigenvalue(geometry, (1, 2))
    amplitude = 0.01
    for label, inertia_s in (("creeping", 0.2 / rate), ("swinging", 5.0 / rate)):
        lattice = build_specimen(
            backend,
            geometry,
            amplitude * pattern,
            COUPLING_RAD_S,
            motion=Motion(inertia_s=inertia_s),
        )
        before = project(read_radians(backend, lattice), pattern)
        for part in (1, 2, 3):
            at_s = (1.0 if inertia_s * rate < 0.25 else 2.2) / rate
            move(backend, lattice, at_s, at_s / 500.0, "leapfrog")
            found = project(read_radians(backend, lattice), pattern) / before
            exact = find_swing(inertia_s, rate, part * at_s)
            # Second order in dt: (dt / m)^2 / 12 and (K lambda dt)^2 / 24 per unit of
            # time are 1e-5 at most; the cubic term of sines up to 2 * 0.01 apart is
            # 5e-5 of the rate, and float32 has as much noise.
            yield Row(f"{label}, t = {part * at_s:.3f} s: x/x0", exact, found, 2e-4)


def measure_diffusion(backend: SteppingBackend) -> Iterator[Row]:
    """Watch free oscillators diffuse, by steps of two lengths and with inertia."""
    count = 2**14 if backend.name == "reference" else 2**17
    geometry = build_geometry("chain", (count,))
    diffusion, seconds, inertia_s = 0.5, 1.0, 0.4
    decayed = inertia_s * -math.expm1(-seconds / inertia_s)
    again = 0.5 * inertia_s * -math.expm1(-2.0 * seconds / inertia_s)
    variances = {0.0: seconds, inertia_s: seconds - 2.0 * decayed + again}
    for mass_s, dt_s in ((0.0, 0.01), (0.0, 0.25), (inertia_s, 0.01)):
        motion = Motion(
            inertia_s=mass_s,
            diffusion_rad2_s=diffusion,
            noise_key=(7, Stream.NOISE),
        )
        lattice = build_specimen(backend, geometry, np.zeros(count), 0.0, motion=motion)
        move(backend, lattice, seconds, dt_s, "leapfrog" if mass_s else "euler")
        variance = 2.0 * diffusion * variances[mass_s]
        exact = math.exp(-0.5 * variance)
        found = backend.order_parameter(lattice)
        # Five standard errors of a mean of cosines: their variance is
        # (1 - exp(-v))^2 / 2. Inertia adds (dt / m)^2 / 12 = 5e-5.
        error = 5.0 * (1.0 - math.exp(-variance)) / math.sqrt(2.0 * count)
        label = f"m = {mass_s:g} s, dt = {dt_s:g} s: mean cosine"
        yield Row(label, exact, found.real, error + 5e-5)
        # Likewise of sines: (1 - exp(-2 v)) / 2.
        error = 5.0 * math.sqrt(-math.expm1(-2.0 * variance) / (2.0 * count))
        yield Row(
            f"m = {mass_s:g} s, dt = {dt_s:g} s: mean sine", 0.0, found.imag, error
        )


CHECKS = (
    Check(
        "lag-shift",
        "Lag alpha turns a lattice by -K z sin alpha and weakens it by cos alpha",
        "Sakaguchi, Kuramoto 1986, doi:10.1143/PTP.76.576",
        measure_lag,
    ),
    Check(
        "inertia",
        "A mode with inertia obeys m s^2 + s + K lambda_k = 0, let go at rest",
        "linear stability of the aligned state",
        measure_inertia,
    ),
    Check(
        "free-noise",
        "Free noise leaves exp(-D t) of the mean, at any time step",
        "Wiener process; Ornstein-Uhlenbeck process with inertia",
        measure_diffusion,
    ),
)
