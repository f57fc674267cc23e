"""How oscillators move when they do not simply follow their rate: inertia and noise.

Noise: a stretch of steps is
    kick dt/2, [step dt, kick dt] ..., step dt, kick dt/2
with kicks of variance 2 D dt. So means over the noise are of second order in dt with
rk2 and rk4, and of first order with euler (which is then Euler and Maruyama's scheme).
Inertia, m theta'' + theta' = rate: a stretch of steps is the symmetric splitting
    drift dt/2, [relax dt, drift dt] ..., relax dt, drift dt/2
in which phases drift with their velocities, and velocities relax towards the rate at
standing phases, exactly: v = rate + (v - rate) exp(-dt/m). It is of second order in dt
and asks for the rate once per step. Noise then kicks velocities, with the variance
D (1 - exp(-2 dt/m)) / m of the exact process.

Either takes the rate from a plain lattice step: `spare` holds the phases before it.

Tunnel events push velocities by shift / m instead of moving phases: the phase has moved
by the shift once the push has faded, as it would have moved at once without inertia.

References:
    Bussi and Parrinello 2007, doi:10.1103/PhysRevE.75.056707 (splittings of the
    Langevin equation).
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import NamedTuple

import numpy as np

from engine.backends.counting import CountingBackend
from engine.backends.protocol import LatticeState, Motion, Tableau
from engine.constants import FARTHEST_NORMAL, TURN

TWO_PI = 2.0 * math.pi


class Relaxation(NamedTuple):
    """What one step of inertia does to a velocity."""

    keep: float
    """exp(-dt/m), the share of a velocity that is kept [-]."""
    take: float
    """1 - exp(-dt/m), the share of the rate that is taken [-]."""
    noise_hz: float
    """Standard deviation of the kick [Hz]."""


def find_relaxation(motion: Motion, dt_s: float) -> Relaxation:
    """Return the exact relaxation over a time step.

    Args:
        motion: With inertia above 0.
        dt_s: Time step [s].
    """
    ratio = dt_s / motion.inertia_s
    variance = -math.expm1(-2.0 * ratio) * motion.diffusion_rad2_s / motion.inertia_s
    return Relaxation(
        math.exp(-ratio), -math.expm1(-ratio), math.sqrt(variance) / TWO_PI
    )


def find_kick_turns(motion: Motion, dt_s: float) -> float:
    """Return the standard deviation of a kick of phases [turn].

    With inertia noise comes as velocities of variance D / m or less, which move phases
    by less in a step, for m is no shorter than dt.

    Args:
        motion: Gives the diffusion.
        dt_s: Time step [s].
    """
    return math.sqrt(2.0 * motion.diffusion_rad2_s * dt_s) / TWO_PI


def find_push(motion: Motion) -> np.float32:
    """Return the change of velocity per unit of an event's shift [Hz]; 0: it moves.

    A shift is a binary angle, 2^-32 turn a unit.
    """
    return np.float32(1.0 / (TURN * motion.inertia_s) if motion.inertia_s else 0.0)


def bound_step_turns(motion: Motion, fastest_hz: float, dt_s: float) -> float:
    """Return the longest way of a node in one lattice step [turn].

    Kicked velocities have no bound; they are taken to stay within `FARTHEST_NORMAL`
    standard deviations sqrt(D/m) of their stationary law.

    Args:
        motion: Inertia and noise.
        fastest_hz: Largest rate of a phase [Hz].
        dt_s: Time step [s].
    """
    if not motion.inertia_s:
        return fastest_hz * dt_s + FARTHEST_NORMAL * find_kick_turns(motion, dt_s)
    spread_hz = math.sqrt(motion.diffusion_rad2_s / motion.inertia_s) / TWO_PI
    return (fastest_hz + FARTHEST_NORMAL * spread_hz) * dt_s


class MovingBackend(CountingBackend):
    """Puts drifts, kicks and relaxations around plain lattice steps."""

    @abstractmethod
    def step_lattice(
        self, lattice: LatticeState, tableau: Tableau, dt_s: float, count: int = 1
    ) -> None:
        """Advance all oscillators by `count` equal time steps of their rate alone."""

    @abstractmethod
    def kick(self, lattice: LatticeState, dt_s: float) -> None:
        """Add the noise of a time step to the phases, and count the kick."""

    @abstractmethod
    def drift(self, lattice: LatticeState, ahead_s: float) -> None:
        """Move the phases by their velocities for a time [s]."""

    @abstractmethod
    def coast(self, lattice: LatticeState, dt_s: float, ahead_s: float) -> None:
        """Turn a plain step into one with inertia.

        Velocities relax for `dt_s` towards the rate that the step has shown, with the
        noise of that time; phases go on from where they were before it for `ahead_s`.
        """

    def move_lattice(
        self, lattice: LatticeState, tableau: Tableau, dt_s: float, count: int
    ) -> None:
        """Advance all oscillators by `count` equal time steps without bridges.

        Args:
            lattice: Oscillators, changed in place.
            tableau: Integrator.
            dt_s: Time step [s].
            count: Number of steps, >= 1.
        """
        if lattice.motion.inertia_s:
            self._move_inertly(lattice, tableau, dt_s, count)
        elif lattice.motion.diffusion_rad2_s:
            self._reserve(lattice, 0.5 * dt_s)
            self.kick(lattice, 0.5 * dt_s)
            for left in reversed(range(count)):
                self._reserve(lattice, dt_s)
                self.step_lattice(lattice, tableau, dt_s)
                self.kick(lattice, dt_s if left else 0.5 * dt_s)
        else:
            while count:
                steps = self._reserve(lattice, dt_s, count)
                self.step_lattice(lattice, tableau, dt_s, steps)
                count -= steps

    def _reserve(self, lattice: LatticeState, dt_s: float, count: int = 1) -> int:
        """Return how many of the next steps may run before turns are counted."""
        turns = lattice.turn_count
        if turns is None:
            return count
        fastest_hz = turns.fastest_hz + turns.pushed_hz
        step_turns = bound_step_turns(lattice.motion, fastest_hz, dt_s)
        return self.reserve_steps(lattice, step_turns, count)

    def _move_inertly(
        self, lattice: LatticeState, tableau: Tableau, dt_s: float, count: int
    ) -> None:
        self._reserve(lattice, 0.5 * dt_s)
        self.drift(lattice, 0.5 * dt_s)
        for left in reversed(range(count)):
            self._reserve(lattice, dt_s)
            self.step_lattice(lattice, tableau, dt_s)
            self.coast(lattice, dt_s, dt_s if left else 0.5 * dt_s)
            if lattice.turn_count is not None:
                lattice.turn_count.pushed_hz *= math.exp(
                    -dt_s / lattice.motion.inertia_s
                )
