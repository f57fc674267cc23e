"""Means with their uncertainty, fitted powers and ratios, for a study's sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

CONFIDENCE: Final = 0.95
"""Probability with which an interval holds what it estimates [-]."""
DIGITS_SHOWN: Final = 4
"""Digits of a number at most."""
POINTS_OF_FIT: Final = 3
"""Fewest points of a fit; any line runs through fewer."""


@dataclass(frozen=True)
class Estimate:
    """A mean and how well it is known."""

    mean: float
    """Arithmetic mean."""
    half_width: float | None
    """Half the interval of `CONFIDENCE`, by Student's t; None of a single value."""
    count: int
    """Values that it rests on, > 0."""

    @property
    def is_positive(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.half_width is not None and self.mean - self.half_width > 0.0

    @property
    def is_negative(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.half_width is not None and self.mean + self.half_width < 0.0

    def format(self, unit: str = "", *, factor: float = 1.0) -> str:
        """Write the mean, with the interval where there is one.

        Args:
            unit: Follows the number.
            factor: Multiplies it, such as 100 for percent.

        Example:
            >>> Estimate(46.84, 0.512, 3).format("Hz")
            '46.8 ± 0.5 Hz'
            >>> Estimate(46.84, None, 1).format("Hz")
            '46.84 Hz'
        """
        tail = f" {unit}" if unit else ""
        return format_value(self.mean, self.half_width, factor=factor) + tail


def format_value(value: float, half_width: float | None, *, factor: float = 1) -> str:
    """Write a number to the place that its uncertainty leaves standing.

    At most to `DIGITS_SHOWN` digits, however small that is.

    Args:
        value: The number.
        half_width: Half its interval; None where that is not known.
        factor: Multiplies both.

    Example:
        >>> format_value(0.91834, 0.00127)
        '0.918 ± 0.001'
        >>> format_value(349.4953, 0.0002)
        '349.5 ± 0.0002'
    """
    value *= factor
    if half_width is None or half_width == 0.0 or not math.isfinite(half_width):
        return f"{value:.{DIGITS_SHOWN}g}"
    width = half_width * factor
    places = max(0, -math.floor(math.log10(width)))
    size = math.floor(math.log10(abs(value))) if value else 0
    if places > DIGITS_SHOWN - 1 - size and abs(value) > width:
        return f"{value:.{DIGITS_SHOWN}g} ± {width:.1g}"
    return f"{value:.{places}f} ± {width:.{places}f}"


def find_t(degrees: int) -> float:
    """Return Student's t of a two-sided interval of `CONFIDENCE`.

    Args:
        degrees: Degrees of freedom, > 0.
    """
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 * (1.0 + CONFIDENCE)))


def estimate_mean(values: Sequence[float | None]) -> Estimate | None:
    """Estimate a mean from independent values.

    Args:
        values: Values such as one of each seed; None is left out.

    Returns:
        The estimate; None without a value.
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    mean = float(np.mean(known))
    if len(known) == 1:
        return Estimate(mean, None, 1)
    error = float(np.std(known, ddof=1)) / math.sqrt(len(known))
    return Estimate(mean, find_t(len(known) - 1) * error, len(known))


def divide(value: float | None, by: float | None) -> float | None:
    """Divide one figure of a job by another.

    Args:
        value: The dividend; None where it is not known.
        by: The divisor; likewise.

    Returns:
        The ratio; None where one of them is not known, or the divisor is not above 0.
    """
    return None if value is None or by is None or by <= 0.0 else value / by


def center_of(estimate: Estimate | None) -> float | None:
    """Return the mean of an estimate, None where there is none.

    Args:
        estimate: What is known.
    """
    return None if estimate is None else estimate.mean


def width_of(estimate: Estimate | None) -> float | None:
    """Return half the interval of an estimate, None where it is not known.

    Args:
        estimate: What is known.
    """
    return None if estimate is None else estimate.half_width


@dataclass(frozen=True)
class PowerFit:
    """y = factor x^exponent, by least squares of the logarithms."""

    exponent: float
    """Slope of the logarithms [-]."""
    standard_error: float
    """Its standard error from the residuals [-]."""
    factor: float
    """y at x = 1."""
    points: int
    """Points fitted, >= `POINTS_OF_FIT`."""
    low: float
    """Least x."""
    high: float
    """Greatest x."""

    @property
    def half_width(self) -> float:
        """Half the interval of `CONFIDENCE` of the exponent [-]."""
        return find_t(self.points - 2) * self.standard_error

    def evaluate(self, x: float) -> float:
        """Return y at x.

        Args:
            x: > 0.
        """
        return float(self.factor * x**self.exponent)


def fit_power(x: Sequence[float], y: Sequence[float]) -> PowerFit | None:
    """Fit y = a x^b by least squares of the logarithms.

    Args:
        x: Abscissae, > 0.
        y: Ordinates, > 0, as many.

    Returns:
        The fit; None with fewer than three different x, through which any line runs.
    """
    if len(set(x)) < POINTS_OF_FIT:
        return None
    across, up = np.log(x), np.log(y)
    deviation = across - across.mean()
    spread = float(deviation @ deviation)
    slope = float(deviation @ up) / spread
    residual = up - up.mean() - slope * deviation
    variance = float(residual @ residual) / (len(across) - 2)
    return PowerFit(
        exponent=slope,
        standard_error=math.sqrt(variance / spread),
        factor=math.exp(float(up.mean() - slope * across.mean())),
        points=len(across),
        low=float(min(x)),
        high=float(max(x)),
    )
