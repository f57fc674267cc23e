"""Bravais lattices as index boxes: offsets, neighbour tables, plaquettes.

Holds no state and imports nothing of the engine but errors.
Every single-site Bravais lattice is an index box plus primitive offsets, so one
table of offsets drives all back ends.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.errors import ShapeError

Offset = tuple[int, ...]

_HALF_OFFSETS: dict[str, tuple[Offset, ...]] = {
    "chain": ((1,),),
    "square": ((1, 0), (0, 1)),
    "triangular": ((1, 0), (0, 1), (1, -1)),
    "cubic": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "bcc": ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)),
    "fcc": ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, -1, 0), (1, 0, -1), (0, 1, -1)),
}
"""One offset of each +- pair, in units of the primitive vectors."""

_PRIMITIVE_VECTORS: dict[str, tuple[tuple[float, ...], ...]] = {
    "chain": ((1.0,),),
    "square": ((1.0, 0.0), (0.0, 1.0)),
    "triangular": ((1.0, 0.0), (0.5, math.sqrt(0.75))),
    "cubic": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "bcc": tuple(
        tuple(x / math.sqrt(3.0) for x in row)
        for row in ((-1.0, 1.0, 1.0), (1.0, -1.0, 1.0), (1.0, 1.0, -1.0))
    ),
    "fcc": tuple(
        tuple(x / math.sqrt(2.0) for x in row)
        for row in ((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.0))
    ),
}
"""Rows are the primitive vectors in units of the nearest-neighbour distance."""


@dataclass(frozen=True)
class Geometry:
    """Shape, boundaries and neighbour offsets of a lattice."""

    kind: str
    """Bravais lattice name."""
    shape: tuple[int, ...]
    """Cells along each axis."""
    periodic: tuple[bool, ...]
    """Whether each axis closes on itself."""
    offsets: tuple[Offset, ...]
    """All neighbour offsets, + and - alternating; sums run in this order."""

    def __post_init__(self) -> None:
        """Hold the offsets to the next slab, row and column, as the kernels do.

        Raises:
            ShapeError: An offset reaches further.
        """
        if any(abs(step) > 1 for offset in self.offsets for step in offset):
            raise ShapeError(
                f"{self.kind}: a neighbour offset reaches beyond the next cell of an "
                "axis; each entry must be -1, 0 or 1."
            )

    @property
    def node_count(self) -> int:
        """Number of sites [-]."""
        return math.prod(self.shape)

    @property
    def half_offsets(self) -> tuple[Offset, ...]:
        """One offset of each pair, so that every edge is met once."""
        return self.offsets[::2]

    @property
    def edge_count(self) -> int:
        """Number of lattice edges [-]."""
        return sum(
            math.prod(
                cells if closed else cells - abs(step)
                for cells, closed, step in zip(
                    self.shape, self.periodic, offset, strict=True
                )
            )
            for offset in self.half_offsets
        )

    @property
    def box(self) -> tuple[int, int, int]:
        """Shape padded to (slabs, rows, columns) for the kernels."""
        return _to_three_axes(self.shape, 1)

    @property
    def box_periodic(self) -> tuple[bool, bool, bool]:
        """Boundaries of `box`; padded axes count as periodic."""
        return _to_three_axes(self.periodic, True)

    def to_box(self, offset: Offset) -> tuple[int, int, int]:
        """Convert an offset of the lattice to an offset of `box`."""
        return _to_three_axes(offset, 0)

    @property
    def primitive_vectors(self) -> npt.NDArray[np.float64]:
        """Rows are primitive vectors [nearest-neighbour distance], shape (d, d)."""
        return np.array(_PRIMITIVE_VECTORS[self.kind], dtype=np.float64)


def _to_three_axes(values: tuple, fill: object) -> tuple:  # type: ignore[type-arg]
    """Pad to three axes: (x,) -> (fill, fill, x) and (x, y) -> (x, fill, y)."""
    if len(values) == 1:
        return (fill, fill, values[0])
    if len(values) == 2:
        return (values[0], fill, values[1])
    return tuple(values)


def build_geometry(
    kind: str, shape: Sequence[int], periodic: Sequence[bool] = (True,)
) -> Geometry:
    """Build a lattice of a kind, shape and boundaries.

    Args:
        kind: One of `_HALF_OFFSETS`.
        shape: Cells along each axis.
        periodic: Whether each axis closes; a single value counts for every axis.

    Returns:
        The geometry; no arrays are allocated.
    """
    offsets = tuple(
        tuple(sign * step for step in offset)
        for offset in _HALF_OFFSETS[kind]
        for sign in (1, -1)
    )
    closed = tuple(bool(periodic[a % len(periodic)]) for a in range(len(shape)))
    return Geometry(kind, tuple(shape), closed, offsets)


def shift_sites(
    geometry: Geometry, offset: Offset
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Find the site that lies at `offset` from each site.

    Args:
        geometry: The lattice.
        offset: Displacement in index units, one entry per axis.

    Returns:
        Flat site ids, shape (nodes,), and whether each exists, shape (nodes,); an
        id across an open boundary is 0 and does not exist.
    """
    flat = np.zeros(geometry.shape, dtype=np.int64)
    exists = np.ones(geometry.shape, dtype=np.bool_)
    for axis, (cells, closed, step) in enumerate(
        zip(geometry.shape, geometry.periodic, offset, strict=True)
    ):
        moved = np.arange(cells) + step
        inside = np.ones(cells, np.bool_) if closed else (moved >= 0) & (moved < cells)
        stretch = [1] * len(geometry.shape)
        stretch[axis] = cells
        stride = math.prod(geometry.shape[axis + 1 :])
        flat += ((moved % cells) * stride).reshape(stretch)
        exists &= inside.reshape(stretch)
    return np.where(exists, flat, 0).ravel(), exists.ravel()


def build_neighbour_table(geometry: Geometry) -> npt.NDArray[np.int64]:
    """List each site's neighbours in summation order.

    Args:
        geometry: The lattice.

    Returns:
        Flat site ids, shape (nodes, offsets); -1 where an open boundary ends.
    """
    columns = []
    for offset in geometry.offsets:
        sites, exists = shift_sites(geometry, offset)
        columns.append(np.where(exists, sites, -1))
    return np.stack(columns, axis=1)


def list_plaquettes(geometry: Geometry) -> list[tuple[Offset, ...]]:
    """List the elementary closed loops at a site, as offsets of their corners.

    Two axes whose difference is itself a neighbour offset make two triangles;
    otherwise they make one parallelogram.

    Args:
        geometry: The lattice.

    Returns:
        Corner offsets of each loop in order; empty for a chain.
    """
    axes = len(geometry.shape)
    loops: list[tuple[Offset, ...]] = []
    for first, second in itertools.combinations(range(axes), 2):
        origin = (0,) * axes
        a = tuple(int(axis == first) for axis in range(axes))
        b = tuple(int(axis == second) for axis in range(axes))
        far = tuple(x + y for x, y in zip(a, b, strict=True))
        diagonal = tuple(x - y for x, y in zip(a, b, strict=True))
        if diagonal in geometry.offsets:
            loops += [(origin, a, b), (a, far, b)]
        else:
            loops.append((origin, a, far, b))
    return loops
