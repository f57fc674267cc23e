"""Geometry as the flat integers that kernels take; shared by `cpu` and `cuda`."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from engine.geometry import Geometry, list_plaquettes

Box = tuple[int, int, int]


@lru_cache(maxsize=16)
def box_arguments(
    geometry: Geometry,
) -> tuple[Box, tuple[bool, bool, bool], npt.NDArray[np.int64]]:
    """Return box, boundaries and neighbour offsets, int64, shape (z, 3)."""
    offsets = [geometry.to_box(offset) for offset in geometry.offsets]
    return geometry.box, geometry.box_periodic, np.array(offsets, dtype=np.int64)


@lru_cache(maxsize=16)
def build_units(geometry: Geometry) -> npt.NDArray[np.int64]:
    """Return the step to the next cell of each axis, int64, shape (axes, 3)."""
    axes = range(len(geometry.shape))
    units = [geometry.to_box(tuple(int(a == axis) for a in axes)) for axis in axes]
    return np.array(units, dtype=np.int64)


def build_loops(geometry: Geometry) -> npt.NDArray[np.int64]:
    """Return the corners of the plaquettes, int64, shape (m, 4, 3).

    A triangle repeats its last corner, which adds a difference of zero.
    """
    loops = [
        [geometry.to_box(corner) for corner in (*loop, loop[-1])[:4]]
        for loop in list_plaquettes(geometry)
    ]
    return np.array(loops, dtype=np.int64).reshape(len(loops), 4, 3)
