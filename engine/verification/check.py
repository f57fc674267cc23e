"""A check: an exact result, and what a back end makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from engine.backends.protocol import Backend
from engine.backends.stepping import SteppingBackend
from engine.errors import BackendUnavailableError

EVERY_BACKEND: Final = ("reference", "cpu", "cuda")
"""Where most checks are measured."""
BINARY_BACKENDS: Final = ("cpu", "cuda")
"""Back ends of binary angles, which are also the quick ones."""


@dataclass(frozen=True)
class Row:
    """One figure of a check beside its exact value."""

    quantity: str
    """What was measured, with its unit unless it is dimensionless."""
    exact: float
    """What theory says."""
    measured: float
    """What the back end gave."""
    tolerance: float
    """Largest allowed distance of the two, >= 0, in the same unit."""

    @property
    def error(self) -> float:
        """Measured minus exact."""
        return self.measured - self.exact

    @property
    def is_held(self) -> bool:
        """Whether the figure is within its tolerance; never where it is no number."""
        return abs(self.error) <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """Return plain figures, ready for JSON; what is no number becomes None."""
        figures = {**vars(self), "error": self.error}
        for name in ("measured", "error"):
            figures[name] = figures[name] if math.isfinite(figures[name]) else None
        return {**figures, "is_held": self.is_held}


Measure = Callable[[SteppingBackend], Iterable[Row]]
"""Measures all figures of a check on a back end."""


@dataclass(frozen=True)
class Check:
    """An exact result of the field, and how to measure it."""

    name: str
    """Lower-case words joined by hyphens."""
    statement: str
    """What holds, in one line."""
    source: str
    """Where it is derived."""
    measure_rows: Measure
    """Measures it."""
    is_long: bool = False
    """Whether it takes too long for the quick round."""
    backends: tuple[str, ...] = EVERY_BACKEND
    """Names of the back ends that it is measured on."""

    def measure(self, backend: Backend) -> tuple[Row, ...]:
        """Measure every figure.

        Args:
            backend: Where; one of `backends`.

        Raises:
            BackendUnavailableError: It is not measured there.
        """
        is_known = backend.name in self.backends
        if not is_known or not isinstance(backend, SteppingBackend):
            raise BackendUnavailableError(
                f"The check {self.name} is not measured on {backend.name}; take "
                f"backend={' or backend='.join(self.backends)}."
            )
        return tuple(self.measure_rows(backend))
