"""What the back ends of binary angles measure alike, from exact integer sums.

`cpu` and `cuda` differ in how they sum; what the sums mean is said once, here.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np

from engine.backends.protocol import LatticeState
from engine.backends.stepping import SteppingBackend
from engine.constants import EDGE_UNIT, ORDER_UNIT, TURN


class BinaryBackend(SteppingBackend):
    """A back end whose phases are binary angles."""

    @abstractmethod
    def sum_order(self, lattice: LatticeState) -> tuple[int, int]:
        """Sum cos and sin of all phases [1 / ORDER_UNIT]."""

    def find_mean(self, lattice: LatticeState) -> tuple[np.float32, np.float32]:
        """Return the means of sine and cosine, turned back by the phase lag [-].

        In float64 and in this order, as the CUDA kernel does.
        """
        cosine, sine = self.sum_order(lattice)
        scale = 1.0 / (lattice.geometry.node_count * ORDER_UNIT)
        mean_sine, mean_cosine = sine * scale, cosine * scale
        lag = lattice.motion.lag_rad
        if lag:
            turned = math.cos(lag), math.sin(lag)
            mean_sine, mean_cosine = (
                mean_sine * turned[0] - mean_cosine * turned[1],
                mean_cosine * turned[0] + mean_sine * turned[1],
            )
        return np.float32(mean_sine), np.float32(mean_cosine)

    @abstractmethod
    def sum_edge_cosines(self, lattice: LatticeState) -> int:
        """Sum the cosines of phase differences over all edges [1 / EDGE_UNIT]."""

    @abstractmethod
    def sum_axis_gaps(self, lattice: LatticeState, axis: int) -> int:
        """Sum the wrapped phase differences along an axis [binary angle]."""

    def order_parameter(self, lattice: LatticeState) -> complex:
        """Return mean exp(i theta) [-], summed in fixed point."""
        cosine, sine = self.sum_order(lattice)
        scale = 1.0 / (lattice.geometry.node_count * ORDER_UNIT)
        return complex(cosine * scale, sine * scale)

    def local_coherence(self, lattice: LatticeState) -> float:
        """Return the mean cosine over lattice edges [-], summed in fixed point."""
        total = self.sum_edge_cosines(lattice)
        return float(total / (lattice.geometry.edge_count * EDGE_UNIT))

    def winding_numbers(self, lattice: LatticeState) -> tuple[float, ...]:
        """Return the mean turns of phase along each axis; 0 for an open axis."""
        geometry = lattice.geometry
        turns = []
        for axis, cells in enumerate(geometry.shape):
            is_closed = geometry.periodic[axis]
            total = self.sum_axis_gaps(lattice, axis) if is_closed else 0
            turns.append(float(total) / TURN / (geometry.node_count // cells))
        return tuple(turns)
