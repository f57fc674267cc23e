"""The weighted Laplacian of lattice plus bridges, never stored as a matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.geometry import Geometry

F64 = npt.NDArray[np.float64]

MAX_ITERATIONS = 400
"""Conjugate-gradient steps per solve; a lattice without bridges needs the most."""
MIN_CURVATURE = 1e-200
"""Stiffness along a direction below which nothing holds it."""
FREE_DRIFT_S = 1.0
"""Time of free drift that stands for the phases of oscillators nothing holds [s]."""


class CouplingOperator:
    """Edges of a lattice and its bridges: gaps of phases, and the pull of fluxes.

    With the weight w_e of each edge, (L x)_i = sum_j w_ij (x_i - x_j). Edges are the
    lattice's, one block of nodes per half offset, then the bridges.
    """

    def __init__(
        self,
        geometry: Geometry,
        sources: npt.NDArray[np.integer],
        targets: npt.NDArray[np.integer],
    ) -> None:
        """Note which edges exist.

        Args:
            geometry: The lattice.
            sources: First ends of the bridges, node ids, shape (bridges,).
            targets: Second ends, shape (bridges,).
        """
        self.geometry = geometry
        self.sources = np.asarray(sources, dtype=np.int64)
        self.targets = np.asarray(targets, dtype=np.int64)
        self.node_count = geometry.node_count
        self.lattice_count = geometry.node_count * len(geometry.half_offsets)
        """Rows of lattice edges, those across an open boundary included."""
        self._axes = tuple(range(len(geometry.shape)))

    @property
    def bridge_count(self) -> int:
        """Number of bridges [-]."""
        return len(self.sources)

    def mark_edges(self) -> npt.NDArray[np.bool_]:
        """Tell edges from the places where an open boundary has none.

        Returns:
            Whether each edge exists, shape (edges,).
        """
        exists = np.ones(self.lattice_count + self.bridge_count, dtype=np.bool_)
        shape = self.geometry.shape
        for row, offset in enumerate(self.geometry.half_offsets):
            block = exists[row * self.node_count : (row + 1) * self.node_count]
            box = block.reshape(shape)
            for axis, step in enumerate(offset):
                if step and not self.geometry.periodic[axis]:
                    side = -1 if step > 0 else 0
                    np.moveaxis(box, axis, 0)[side] = False
        return exists

    def find_gaps(self, phases: F64) -> F64:
        """Return x_j - x_i along every edge (i, j).

        Args:
            phases: x [rad], shape (nodes,).

        Returns:
            Gaps [rad], shape (edges,), unwrapped; meaningless where no edge exists.
        """
        gaps = np.empty(self.lattice_count + self.bridge_count)
        box = phases.reshape(self.geometry.shape)
        for row, offset in enumerate(self.geometry.half_offsets):
            block = gaps[row * self.node_count : (row + 1) * self.node_count]
            back = tuple(-step for step in offset)
            block.reshape(box.shape)[...] = np.roll(box, back, self._axes) - box
        bridges = gaps[self.lattice_count :]
        np.subtract(phases[self.targets], phases[self.sources], out=bridges)
        return gaps

    def sum_pulls(self, fluxes: F64, *, other_sign: float = -1.0) -> F64:
        """Add each edge's flux to its first end and take it from its second.

        Args:
            fluxes: Shape (edges,); 0 where no edge exists.
            other_sign: -1 takes it from the second end, 1 adds it there too.

        Returns:
            Sums, shape (nodes,).
        """
        shape = self.geometry.shape
        total = np.zeros(shape)
        for row, offset in enumerate(self.geometry.half_offsets):
            block = fluxes[row * self.node_count : (row + 1) * self.node_count]
            box = block.reshape(shape)
            total += box
            total += other_sign * np.roll(box, offset, self._axes)
        sums = total.ravel()
        if self.bridge_count:
            bridges = fluxes[self.lattice_count :]
            count = self.node_count
            sums += np.bincount(self.sources, bridges, count)
            sums += other_sign * np.bincount(self.targets, bridges, count)
        return sums

    def apply(self, weights: F64, phases: F64) -> F64:
        """Return L x.

        Args:
            weights: w [rad/s], shape (edges,); 0 where no edge exists.
            phases: x [rad], shape (nodes,).
        """
        return -self.sum_pulls(weights * self.find_gaps(phases))

    def solve(
        self,
        weights: F64,
        rates: F64,
        start: F64,
        *,
        tolerance: float,
        anchor_rad_s: float = 0.0,
    ) -> tuple[F64, bool]:
        """Solve (L + anchor) x = rates by preconditioned conjugate gradients.

        The preconditioner is the diagonal; without an anchor, L x = rates.

        Args:
            weights: w [rad/s], >= 0, shape (edges,); 0 where no edge exists.
            rates: Right-hand side [rad/s], shape (nodes,), of mean 0.
            start: First guess [rad], shape (nodes,).
            tolerance: Largest residual relative to `rates` [-].
            anchor_rad_s: Pull of every node towards the mean of all [rad/s], >= 0.

        Returns:
            x [rad], of mean 0, and whether the tolerance was met; free drift where
            nothing holds the oscillators.
        """
        degree = self.sum_pulls(weights, other_sign=1.0) + anchor_rad_s
        inverse = 1.0 / np.where(degree > 0.0, degree, 1.0)
        solution = start.copy()
        residual = rates - self.apply(weights, start) - anchor_rad_s * start
        direction = scaled = inverse * residual
        power = find_product(residual, scaled)
        goal = tolerance**2 * find_product(rates, rates)
        for _ in range(MAX_ITERATIONS):
            if find_product(residual, residual) <= goal:
                return solution - solution.mean(), True
            image = self.apply(weights, direction)
            if anchor_rad_s:
                image += anchor_rad_s * direction
            curvature = find_product(direction, image)
            if not curvature > MIN_CURVATURE:
                return FREE_DRIFT_S * rates, False
            stride = power / curvature
            solution += stride * direction
            residual -= stride * image
            scaled = inverse * residual
            before, power = power, find_product(residual, scaled)
            direction = scaled + power / before * direction
        is_finite = bool(np.isfinite(solution).all())
        return solution - solution.mean() if is_finite else FREE_DRIFT_S * rates, False


def find_product(first: F64, second: F64) -> float:
    """Return the scalar product; threads of a BLAS would wait on a busy machine."""
    return float(np.einsum("i,i->", first, second))
