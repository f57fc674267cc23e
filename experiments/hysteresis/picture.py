"""The picture of a hysteresis sweep, light and dark."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from experiments import pictures

if TYPE_CHECKING:
    from experiments.hysteresis.loop import HysteresisLoop

INCHES: Final = (6.4, 4.0)
"""Width and height of the picture [inch]."""
LABELS: Final = (
    ("lattice.coupling_rad_s", "coupling K [rad/s]"),
    ("bridges.strength_rad_s", r"bridge strength $\kappa$ [rad/s]"),
)
"""Axis label of each parameter."""


def draw_pictures(folder: Path, loop: HysteresisLoop) -> list[str]:
    """Draw a sweep in every theme; nothing without Matplotlib (extra `report`).

    Args:
        folder: Where the SVG files go.
        loop: The finished sweep.

    Returns:
        Names of the files.
    """
    if importlib.util.find_spec("matplotlib") is None:
        return []
    names = [f"hysteresis-{theme}.svg" for theme in pictures.THEMES]
    for theme, name in zip(pictures.THEMES, names, strict=True):
        with pictures.open_picture(
            folder / name, theme, grid=(1, 1), inches=INCHES
        ) as (axes, colours):
            _draw_loop(axes, loop, colours)
    return names


def _draw_loop(axes: Any, loop: HysteresisLoop, colours: dict[str, str]) -> None:
    """Draw both ways with the area between them, jumps as upright lines."""
    up, down = loop.select("up"), loop.select("down")
    values = [point.value_rad_s for point in up]
    axes.fill_between(
        values,
        [point.coherence for point in up],
        [point.coherence for point in down],
        color=colours["faint"], alpha=0.2, linewidth=0,
    )  # fmt: skip
    for way, points, colour, marker in (
        ("up", up, colours["accent"], "^"),
        ("down", down, colours["hot"], "v"),
    ):
        jump = loop.find_jump(way)
        label = (
            f"{way}, no jump"
            if jump is None
            else (f"{way}, jump at {jump.value_rad_s:.4g}")
        )
        axes.errorbar(
            values,
            [point.coherence for point in points],
            [point.coherence_deviation for point in points],
            fmt=f"{marker}-", color=colour, markersize=4, linewidth=1.4, elinewidth=0.8,
            label=label,
        )  # fmt: skip
        if jump is not None:
            axes.axvline(jump.value_rad_s, color=colour, linewidth=0.8, linestyle=":")
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(values[0], values[-1])
    axes.set_xlabel(dict(LABELS)[loop.plan.parameter])
    axes.set_ylabel("coherence r (bars: deviation in time)")
    axes.set_title(f"Area of the loop: {loop.area_rad_s:.4g} rad/s")
    axes.legend(loc="best")
