"""How well a network locks, and what each bridge adds to it, in closed form.

With the Laplacian L of lattice and bridges and the natural frequencies omega, the
phases of the linearised locked state are x = L^+ omega. Their mean square J is the
synchrony alignment function: r = 1 - J/2 as long as J is small. A bridge of stiffness k
between s and t changes it by

    dJ/dk = -(2/N) (x_s - x_t) (y_s - y_t),      y = L^+ x,

so two solves give the worth of every bridge that exists, and of every one that might.
All of it is computed on the host in float64, whatever the back end.

References:
    Skardal, Taylor, Sun 2014, "Optimal synchronization of complex networks",
    doi:10.1103/PhysRevLett.113.144101. Taylor, Skardal, Sun 2016, "Synchronization of
    heterogeneous oscillators under network modifications", doi:10.1137/16M1075181.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.bridge.operator import F64, CouplingOperator, find_product
from engine.geometry import Geometry

Ends = npt.NDArray[np.integer]

TOLERANCE: Final = 1e-5
"""Residual of both solves relative to their right-hand side [-]."""
SCORE_LEVELS: Final = 256
"""Scores that are told apart per standard deviation [-]."""


@dataclass(frozen=True)
class Alignment:
    """The linearised locked state, and its answer to more stiffness."""

    phases: F64
    """x [rad], of mean 0, shape (nodes,)."""
    answers: F64
    """y = L^+ x [rad s], of mean 0, shape (nodes,)."""
    is_solved: bool
    """Whether both solves met their tolerance."""

    @property
    def misalignment(self) -> float:
        """J, mean square phase [rad^2]."""
        return find_product(self.phases, self.phases) / len(self.phases)

    @property
    def coherence(self) -> float:
        """Order parameter r of the linearised state [-]."""
        return float(abs(np.exp(1j * self.phases).mean()))

    @property
    def scores(self) -> F64:
        """Sum of x and y, each by its deviation: pairs far apart in it gain most [-].

        The product of two differences is a quarter of the square of their sum, less a
        quarter of that of their difference, which is small because x and y are alike.
        Scores are whole numbers of `SCORE_LEVELS` to a deviation, so that the last bits
        of a sum, which processors round differently, hardly ever change an order.
        """
        both = _normalise(self.phases) + _normalise(self.answers)
        return np.rint(SCORE_LEVELS * both)

    def find_gains(self, first: Ends, second: Ends) -> F64:
        """Return -dJ/dk of bridges between given nodes.

        Args:
            first: One end of each, node ids, shape (bridges,).
            second: The other end, shape (bridges,).

        Returns:
            Fall of J per stiffness [rad s], shape (bridges,).
        """
        phase_gaps = self.phases[first] - self.phases[second]
        answer_gaps = self.answers[first] - self.answers[second]
        return np.asarray(2.0 / len(self.phases) * phase_gaps * answer_gaps)


def _normalise(values: F64) -> F64:
    """Divide by the root mean square; zeros stay zeros."""
    deviation = float(np.sqrt(find_product(values, values) / len(values)))
    return values / deviation if deviation else values


class BareLattice:
    """The lattice that bridges span, as far as their alignment needs it."""

    def __init__(
        self,
        geometry: Geometry,
        detunings_hz: npt.NDArray[np.floating],
        coupling_rad_s: float,
    ) -> None:
        """Take the lattice in.

        Args:
            geometry: Its sites and edges.
            detunings_hz: Natural frequencies minus a common one [Hz], shape (nodes,).
            coupling_rad_s: K of every edge [rad/s].
        """
        self.geometry = geometry
        self.coupling_rad_s = coupling_rad_s
        detunings = np.asarray(detunings_hz, dtype=np.float64)
        self.rates: F64 = 2.0 * np.pi * (detunings - detunings.mean())
        """omega, natural frequencies about their mean [rad/s], shape (nodes,)."""

    def align(
        self,
        sources: Ends,
        targets: Ends,
        stiffnesses: F64,
        *,
        anchor_rad_s: float = 0.0,
        start: Alignment | None = None,
        tolerance: float = TOLERANCE,
    ) -> Alignment:
        """Solve for the locked state with bridges, and for its answer.

        Args:
            sources: First ends, node ids, shape (bridges,).
            targets: Second ends, shape (bridges,).
            stiffnesses: Mean pull per gap [rad/s], >= 0, shape (bridges,).
            anchor_rad_s: Pull of every node towards the mean of all [rad/s], which
                stands for bridges that are still to come.
            start: A similar state, to begin with.
            tolerance: Residual of both solves [-].

        Returns:
            The state.
        """
        operator, weights = self._weigh(sources, targets, stiffnesses)
        zeros = np.zeros_like(self.rates)
        phases, has_phases = operator.solve(
            weights,
            self.rates,
            start.phases if start else zeros,
            tolerance=tolerance,
            anchor_rad_s=anchor_rad_s,
        )
        answers, has_answers = operator.solve(
            weights,
            phases,
            start.answers if start else zeros,
            tolerance=tolerance,
            anchor_rad_s=anchor_rad_s,
        )
        return Alignment(phases, answers, has_phases and has_answers)

    def find_misalignment(self, anchor_rad_s: float, *, tolerance: float) -> float:
        """Return J [rad^2] where nothing but a mean pull acts beside neighbours.

        Args:
            anchor_rad_s: Pull of every node towards the mean of all [rad/s], > 0.
            tolerance: Residual of the solve [-].
        """
        none = np.zeros(0, dtype=np.int64)
        operator, weights = self._weigh(none, none, np.zeros(0))
        phases, _ = operator.solve(
            weights,
            self.rates,
            np.zeros_like(self.rates),
            tolerance=tolerance,
            anchor_rad_s=anchor_rad_s,
        )
        return find_product(phases, phases) / len(phases)

    def _weigh(
        self, sources: Ends, targets: Ends, stiffnesses: F64
    ) -> tuple[CouplingOperator, F64]:
        """Return the Laplacian's stencil and the weight of every edge [rad/s]."""
        operator = CouplingOperator(self.geometry, sources, targets)
        weights = np.where(operator.mark_edges(), self.coupling_rad_s, 0.0)
        weights[operator.lattice_count :] = stiffnesses
        return operator, weights
