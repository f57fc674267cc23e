"""The outlook of a run: what is expected of it, and what came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.bridge import BridgeNetwork
from engine.bridge.base import Network
from engine.config import RunConfig
from engine.forecast import (
    MAX_RUN_EDGES,
    CoherenceForecast,
    Forecaster,
    count_lattice_edges,
)
from engine.late import LatePart


@dataclass
class _Sums:
    """Sums over control periods."""

    coherence: float = 0.0
    periods: int = 0
    attempts: int = 0
    steps: int = 0

    def add(self, coherence: float, attempts: int, steps: int) -> None:
        """Take in a control period."""
        self.coherence += coherence
        self.periods += 1
        self.attempts += attempts
        self.steps += steps


class LateMeans:
    """Means over a run without its first part, where phases still settle."""

    def __init__(self) -> None:
        """Start before the first control period."""
        self._part = LatePart(_Sums)

    def add(self, coherence: float, attempts: int, steps: int) -> None:
        """Take in a control period.

        Args:
            coherence: Order parameter r at its end [-].
            attempts: Tunnel attempts in it.
            steps: Lattice steps in it.
        """
        self._part.add(coherence, attempts, steps)

    @property
    def coherence(self) -> float | None:
        """Mean order parameter r [-]; None before the first period."""
        sums = self._part.sums
        return sums.coherence / sums.periods if sums.periods else None

    def frequency_hz(self, bridge_count: int, dt_s: float) -> float:
        """Return the attempts per bridge and simulated second [Hz]; 0 for none.

        Args:
            bridge_count: Number of bridges.
            dt_s: Lattice time step [s].
        """
        sums = self._part.sums
        if not sums.attempts:
            return 0.0
        return sums.attempts / (bridge_count * sums.steps * dt_s)


class Outlook:
    """The forecast of a run, compared with its outcome."""

    def __init__(self, forecaster: Forecaster | None, reason: str = "") -> None:
        """Forecast the run, if that is possible.

        Args:
            forecaster: Knows the network; None where no forecast is made.
            reason: Why none is made.
        """
        self._forecaster = forecaster
        self._reason = reason

    def describe(self) -> str:
        """Say in one line what the run can reach."""
        if self._forecaster is None:
            return f"none: {self._reason}"
        config = self._forecaster.config
        floor = config.tunnel.min_coherence
        is_fixed = config.controller.objective == "fixed"
        fixed_hz = config.controller.fixed_frequency_hz
        hz = fixed_hz if is_fixed else config.tunnel.maximum_frequency_hz
        found = self._forecaster.forecast(hz)
        where = "the fixed" if is_fixed else "at most"
        text = (
            f"r {found.coherence:.3f} at {where} {hz:.4g} Hz, "
            f"{self._forecaster.unlimited.coherence:.3f} without limit"
        )
        if found.coherence < floor:
            text += f"; the floor of {floor:g} is out of reach, see scribble forecast"
        return text if found.is_trusted else f"{text} (not trusted: {found.reason})"

    def compare(
        self, late: LateMeans, bridge_count: int, dt_s: float
    ) -> dict[str, Any]:
        """Compare the forecast at the mean frequency with what came.

        Args:
            late: Means over the later part of the run.
            bridge_count: Number of bridges.
            dt_s: Lattice time step [s].

        Returns:
            The entry `forecast` of `summary.json`.
        """
        if self._forecaster is None:
            return _to_entry(None, None, None, None, self._reason)
        hz = late.frequency_hz(bridge_count, dt_s)
        unlimited = self._forecaster.unlimited
        found = self._forecaster.forecast(hz) if hz > 0.0 else unlimited
        return _to_entry(found, unlimited, hz or None, late.coherence, found.reason)


def _to_entry(
    found: CoherenceForecast | None,
    unlimited: CoherenceForecast | None,
    frequency_hz: float | None,
    outcome: float | None,
    reason: str,
) -> dict[str, Any]:
    difference = None
    if found is not None and outcome is not None:
        difference = outcome - found.coherence
    return {
        "coherence_unlimited": unlimited.coherence if unlimited else None,
        "coherence": found.coherence if found else None,
        "frequency_hz": frequency_hz,
        "outcome": outcome,
        "difference": difference,
        "is_trusted": found is not None and found.is_trusted,
        "reason": reason,
    }


def build_outlook(
    config: RunConfig, network: Network, detunings_hz: npt.NDArray[np.floating]
) -> Outlook | None:
    """Prepare the forecast of a run that has been drawn.

    Args:
        config: The run.
        network: Its bridges.
        detunings_hz: Natural frequencies minus a common one [Hz], shape (nodes,).

    Returns:
        The outlook, with a reason where there are no bridges or the network is too
        large for a forecast in passing; None where `record.forecast` is off.
    """
    if not config.record.forecast:
        return None
    if not len(network):
        return Outlook(None, "without bridges no tunnel frequency changes the outcome")
    count = count_lattice_edges(config) + len(network)
    if count > MAX_RUN_EDGES:
        return Outlook(
            None,
            f"{count:,} edges are more than the {MAX_RUN_EDGES:,} that are forecast "
            "before a run; scribble forecast takes the time",
        )
    if not isinstance(network, BridgeNetwork):
        return Outlook(
            None,
            "the ends of procedural bridges are not stored; scribble forecast computes "
            "them",
        )
    return Outlook(Forecaster(config, network.edges, detunings_hz))
