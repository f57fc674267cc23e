"""The shape of r over tunnel frequency: its knee, and where it crosses a level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

POINTS_OF_KNEE: Final = 4
"""Fewest points of a curve with a knee."""
Point = tuple[float, float]
"""Frequency [Hz] and r [-]."""


def find_knee(places: Sequence[Point]) -> Point | None:
    """Find the point farthest above the chord of r over log f.

    The chord joins the ends; a parabola through the farthest point and its neighbours
    places the knee between them. It depends on where the ends are.

    Args:
        places: Points, frequencies ascending and different.

    Returns:
        The knee; None of fewer than `POINTS_OF_KNEE` points, or where none lies above.
    """
    if len(places) < POINTS_OF_KNEE:
        return None
    x = [math.log(hz) for hz, _ in places]
    y = [r for _, r in places]
    slope = (y[-1] - y[0]) / (x[-1] - x[0])
    above = [r - y[0] - slope * (at - x[0]) for at, r in zip(x, y, strict=True)]
    top = max(range(len(above)), key=lambda index: above[index])
    if above[top] <= 0.0:
        return None
    near = slice(top - 1, top + 2)
    at, height = _find_vertex(x[near], above[near])
    return math.exp(at), height + y[0] + slope * (at - x[0])


def _find_vertex(x: Sequence[float], y: Sequence[float]) -> Point:
    """Find the top of the parabola through three points, the middle one highest."""
    left, right = x[0] - x[1], x[2] - x[1]
    down, up = (y[0] - y[1]) / left, (y[2] - y[1]) / right
    curvature = (up - down) / (right - left)
    if curvature == 0.0:
        return x[1], y[1]
    tilt = down - curvature * left
    shift = -0.5 * tilt / curvature
    return x[1] + shift, y[1] + 0.5 * tilt * shift


def find_crossing(places: Sequence[Point], floor: float) -> float | None:
    """Find the least frequency from which on r holds a floor.

    Between the last rung below and the next one, r is taken as linear in log f.

    Args:
        places: Points, frequencies ascending and different.
        floor: Level to hold [-].

    Returns:
        The frequency [Hz], that of the lowest rung if all hold; None if the highest
        one does not.
    """
    if not places or places[-1][1] < floor:
        return None
    below = [index for index, (_, r) in enumerate(places) if r < floor]
    if not below:
        return places[0][0]
    (low_hz, low), (high_hz, high) = places[below[-1] : below[-1] + 2]
    share = (floor - low) / (high - low)
    return float(low_hz * (high_hz / low_hz) ** share)
