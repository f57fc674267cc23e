"""The outlook of a run: what is expected of it, and what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

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
    find_obstacle,
)
from engine.late import LatePart
from engine.state import State, keep_fields, take_fields
from engine.system.pricing import ROLLOUT_REFUSAL
from engine.system.visits import Visit

MESH_REASON: Final = "the theory is for bridges that all act alike"
"""Why a run with a mesh is forecast without limit only."""
MAX_VISITS: Final = 8
"""Frequencies that are forecast after a run; between them coherence is interpolated."""


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

    def to_state(self) -> State:
        """Return the sums."""
        return keep_fields(self, *vars(self))

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        take_fields(self, state, *vars(self))


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

    def to_state(self) -> State:
        """Return the sums of the later part."""
        return self._part.to_state()

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one of such means.
        """
        self._part.from_state(state)

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

    def __init__(
        self,
        forecaster: Forecaster | None,
        reason: str = "",
        *,
        is_shared: bool = False,
    ) -> None:
        """Forecast the run, if that is possible.

        Args:
            forecaster: Knows the network; None where no forecast is made.
            reason: Why none is made.
            is_shared: Whether a mesh shares the budget out unevenly, which only the
                forecast without limit takes no notice of.
        """
        self._is_shared = is_shared
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
        if self._is_shared and is_fixed:
            text += ", if all bridges acted alike"
        return text if found.is_trusted else f"{text} (not trusted: {found.reason})"

    def withdraw(self, reason: str) -> None:
        """Forget the forecast, because the network is no longer what it was.

        Args:
            reason: What has changed.
        """
        self._forecaster, self._reason = None, reason

    def compare(
        self,
        late: LateMeans,
        bridge_count: int,
        dt_s: float,
        visits: Sequence[Visit] = (),
    ) -> dict[str, Any]:
        """Compare the forecast, averaged over what was visited, with what came.

        Args:
            late: Means over the later part of the run.
            bridge_count: Number of bridges.
            dt_s: Lattice time step [s].
            visits: Frequencies in use then; the mean frequency if there are none.

        Returns:
            The entry `forecast` of `summary.json`.
        """
        if self._forecaster is None:
            return _to_entry(None, None, None, None, self._reason)
        hz = late.frequency_hz(bridge_count, dt_s)
        unlimited = self._forecaster.unlimited
        if self._is_shared:
            reason = unlimited.reason or MESH_REASON
            entry = _to_entry(None, unlimited, hz or None, late.coherence, reason)
            return entry | {"is_trusted": unlimited.is_trusted}
        found = unlimited
        if hz > 0.0:
            found = average_forecasts(self._forecaster, visits or [Visit(hz, 1.0)])
        return _to_entry(found, unlimited, hz or None, late.coherence, found.reason)


def average_forecasts(
    forecaster: Forecaster, visits: Sequence[Visit]
) -> CoherenceForecast:
    """Average forecasts over visited frequencies; r is far from linear in f.

    Args:
        forecaster: Knows the network.
        visits: At least one, the lowest frequency first.

    Returns:
        The forecast at the highest frequency, with the mean coherence of all, trusted
        if every forecast is.
    """
    visited = np.array([visit.frequency_hz for visit in visits])
    shares = np.array([visit.share for visit in visits])
    asked = visited
    if len(visits) > MAX_VISITS:
        asked = np.geomspace(visited[0], visited[-1], MAX_VISITS)
    # Downwards, as each state is the start of the next.
    found = [forecaster.forecast(float(hz)) for hz in asked[::-1]][::-1]
    values = np.array([each.coherence for each in found])
    mean = float(shares @ np.interp(np.log(visited), np.log(asked), values))
    doubt = next((each.reason for each in found if each.reason), "")
    return replace(found[-1], coherence=mean, is_trusted=not doubt, reason=doubt)


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
        The outlook, with a reason where there are no bridges, or the network is too
        large for a forecast in passing or beyond its theory; None where
        `record.forecast` is off.
    """
    if not config.record.forecast:
        return None
    if not len(network):
        return Outlook(None, "without bridges no tunnel frequency changes the outcome")
    edges = network.edges if isinstance(network, BridgeNetwork) else None
    is_steady = config.rollout.is_idle
    obstacle = find_obstacle(config, edges) if is_steady else ROLLOUT_REFUSAL
    if obstacle:
        return Outlook(None, obstacle)
    count = count_lattice_edges(config) + len(network)
    if count > MAX_RUN_EDGES:
        return Outlook(
            None,
            f"{count:,} edges are more than the {MAX_RUN_EDGES:,} that are forecast "
            "before a run; scribble forecast takes the time",
        )
    if edges is None:
        return Outlook(
            None,
            "the ends of procedural bridges are not stored; scribble forecast computes "
            "them",
        )
    forecaster = Forecaster(config, edges, detunings_hz)
    return Outlook(forecaster, is_shared=not config.acting_mesh.is_idle)
