"""Bars and sparklines as text, with plain ASCII where a terminal knows no better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final


@dataclass(frozen=True)
class Glyphs:
    """Characters of one terminal alphabet."""

    levels: str
    """Sparkline levels, lowest first."""
    full: str
    """Filled part of a bar."""
    empty: str
    """Empty part of a bar."""
    separator: str
    """Between two facts on one line."""


UNICODE: Final = Glyphs("▁▂▃▄▅▆▇█", "━", "─", " · ")
"""For any modern terminal."""
ASCII: Final = Glyphs("_.-=+*#@", "#", "-", ", ")
"""For terminals and pipes whose encoding lacks block characters."""


def choose_glyphs(encoding: str | None) -> Glyphs:
    """Choose the alphabet that an output encoding can carry.

    Args:
        encoding: Name of the encoding, such as ``utf-8``.
    """
    try:
        f"{UNICODE.levels}{UNICODE.full}{UNICODE.empty}".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def draw_bar(share: float, width: int, glyphs: Glyphs = UNICODE) -> tuple[str, str]:
    """Draw a bar as its filled and its empty part.

    Args:
        share: Filled share [-]; what lies outside [0, 1] is clipped.
        width: Characters, >= 1.
        glyphs: The alphabet.
    """
    filled = round(min(1.0, max(0.0, share)) * width)
    return glyphs.full * filled, glyphs.empty * (width - filled)


def draw_sparkline(
    values: Sequence[float],
    width: int,
    *,
    low: float,
    high: float,
    glyphs: Glyphs = UNICODE,
) -> str:
    """Draw values as one line of block characters.

    Args:
        values: Oldest first; with more values than characters, means are drawn.
        width: Most characters, >= 1.
        low: Value of the lowest level.
        high: Value of the highest level.
        glyphs: The alphabet.
    """
    span, top = high - low, len(glyphs.levels) - 1
    shares = [
        (value - low) / span if span > 0 else 0.0 for value in _resample(values, width)
    ]
    return "".join(
        glyphs.levels[round(min(1.0, max(0.0, share)) * top)] for share in shares
    )


def _resample(values: Sequence[float], width: int) -> list[float]:
    """Average values into at most `width` buckets of nearly equal size."""
    count = len(values)
    if count <= width:
        return list(values)
    edges = [index * count // width for index in range(width + 1)]
    return [sum(values[start:stop]) / (stop - start) for start, stop in pairwise(edges)]


class History:
    """The whole course of one figure in bounded space.

    When full, neighbours are averaged in pairs and every later point stands for twice
    as many values, so a long run stays as cheap to draw as a short one.

    Args:
        capacity: Most points kept, even, >= 2.
    """

    def __init__(self, capacity: int = 256) -> None:
        self._capacity = capacity
        self._points: list[float] = []
        self._stride = 1
        self._sum = 0.0
        self._pending = 0

    @property
    def points(self) -> list[float]:
        """Points so far, oldest first, with the unfinished one at the end."""
        if not self._pending:
            return list(self._points)
        return [*self._points, self._sum / self._pending]

    def append(self, value: float) -> None:
        """Take in one more value.

        Args:
            value: Any finite number.
        """
        self._sum += value
        self._pending += 1
        if self._pending < self._stride:
            return
        self._points.append(self._sum / self._stride)
        self._sum, self._pending = 0.0, 0
        if len(self._points) >= self._capacity:
            pairs = zip(self._points[::2], self._points[1::2], strict=True)
            self._points = [(first + second) / 2 for first, second in pairs]
            self._stride *= 2
