"""Phase fields on paper: averaged to what a picture resolves, on their real places.

Shared by the picture and the animation; imports Matplotlib only when it draws.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.constants import TURN
from engine.observation import Snapshots

MOST_CELLS: Final = 512
"""Cells along an axis that a picture resolves; more are averaged in blocks [-]."""
PHASE_COLOURS: Final = "twilight"
"""Cyclic, perceptually uniform, even in lightness for colour-blind readers."""
PHASE_TICKS: Final = ("0", "π/2", "π", "3π/2", "2π")

F64Array = npt.NDArray[np.float64]


def find_edges(cells: int, most: int = MOST_CELLS) -> npt.NDArray[np.int64]:
    """Cut an axis into at most `most` blocks of equal size, the last may be smaller.

    Args:
        cells: Cells of the axis.
        most: Blocks at most.

    Returns:
        First cell of each block, and the number of cells last.
    """
    size = -(-cells // most)
    return np.array([*range(0, cells, size), cells])


def sum_blocks(values: npt.NDArray[Any], most: int = MOST_CELLS) -> npt.NDArray[Any]:
    """Sum an array over the blocks of `find_edges` along every axis."""
    for axis, cells in enumerate(values.shape):
        if cells > most:
            starts = find_edges(cells, most)[:-1]
            values = np.add.reduceat(values, starts, axis=axis)
    return values


def average_phases(phases: npt.NDArray[np.uint32], most: int = MOST_CELLS) -> F64Array:
    """Return the direction of the mean exp(i theta) of each block.

    Args:
        phases: Binary angles, any shape.
        most: Blocks along an axis at most.

    Returns:
        Phases [rad], in [0, 2 pi).
    """
    if max(phases.shape) <= most:
        return np.multiply(phases, 2.0 * np.pi / TURN, dtype=np.float64)
    points = np.exp(phases * (2j * np.pi / TURN))
    return np.asarray(np.angle(sum_blocks(points, most)) % (2.0 * np.pi))


def average_values(values: F64Array, most: int = MOST_CELLS) -> F64Array:
    """Return the mean of each block, shape as `average_phases`."""
    if max(values.shape) <= most:
        return values
    return np.asarray(sum_blocks(values, most) / sum_blocks(np.ones_like(values), most))


def take_plane(values: npt.NDArray[Any], level: int | None = None) -> npt.NDArray[Any]:
    """Return a plane across the last of three axes, or two axes as they are.

    Args:
        values: Values of all sites, two or three axes.
        level: Index along the third axis; the middle by default.
    """
    if values.ndim < 3:
        return values
    return values[..., values.shape[-1] // 2 if level is None else level]


def find_plane_vectors(snapshots: Snapshots) -> F64Array:
    """Return the first two primitive vectors within their plane, rows, shape (2, 2)."""
    first, second = snapshots.primitive_vectors[:2]
    length = float(np.linalg.norm(first))
    along = float(first @ second) / length
    across = math.sqrt(max(float(second @ second) - along**2, 0.0))
    return np.array([[length, 0.0], [along, across]])


def draw_plane(
    axes: Any, values: F64Array, snapshots: Snapshots, **options: Any
) -> Any:
    """Draw values on the places of their sites: a square, or a sheared one.

    Args:
        axes: Where to draw.
        values: Averaged values, shape as the blocks of the first two axes.
        snapshots: Gives shape and primitive vectors.
        **options: For `pcolormesh`.

    Returns:
        What was drawn, for a colour bar.
    """
    edges = [find_edges(cells) - 0.5 for cells in snapshots.shape[:2]]
    corners = np.stack(np.meshgrid(*edges, indexing="ij"), axis=-1)
    places = corners @ find_plane_vectors(snapshots)
    mesh = axes.pcolormesh(
        places[..., 0], places[..., 1], values, rasterized=True, **options
    )
    axes.set_aspect("equal")
    is_sheared = abs(find_plane_vectors(snapshots)[1, 0]) > 1e-9
    unit = "spacings" if is_sheared else "sites"
    axes.set_xlabel(f"x [{unit}]")
    axes.set_ylabel(f"y [{unit}]")
    for spine in axes.spines.values():
        spine.set_visible(False)
    return mesh


def phase_options() -> dict[str, Any]:
    """Return how phases are coloured, for `pcolormesh`."""
    return {"cmap": PHASE_COLOURS, "vmin": 0.0, "vmax": 2.0 * np.pi}


def add_bar(
    figure: Any, mesh: Any, axes: Any, *, width: float = 0.045, extend: str = "neither"
) -> Any:
    """Add a colour bar of the height of the axes, whatever their aspect.

    Args:
        figure: Figure of the axes.
        mesh: What was drawn.
        axes: Where it was drawn.
        width: Width of the bar [widths of the axes].
        extend: Ends beyond which there are values, as Matplotlib names them.

    Returns:
        The colour bar, without a label.
    """
    place = axes.inset_axes([1.0 + 0.7 * width, 0.0, width, 1.0])
    bar = figure.colorbar(mesh, cax=place, extend=extend)
    bar.outline.set_visible(False)
    return bar


def add_phase_bar(figure: Any, mesh: Any, axes: Any, *, width: float = 0.045) -> None:
    """Say which colour is which phase; arguments as those of `add_bar`."""
    bar = add_bar(figure, mesh, axes, width=width)
    bar.set_ticks(np.linspace(0.0, 2.0 * np.pi, 5), labels=PHASE_TICKS)
    bar.set_label("phase [rad]")


def describe_moment(snapshots: Snapshots, index: int) -> str:
    """Write the time and the coherence of a snapshot."""
    time_s, coherence = snapshots.times_s[index], snapshots.coherence[index]
    return f"t = {time_s:.4g} s,  r = {coherence:.3f}"
