"""The outlook of a run: what is expected of it, and what came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.bridge import BridgeNetwork
from engine.bridge.base import Network
from engine.bridge.operator import F64
from engine.bridge.shares import Shares
from engine.config import RunConfig
from engine.forecast import (
    MAX_RUN_EDGES,
    WINDING_DOUBT,
    CoherenceForecast,
    Forecaster,
    count_lattice_edges,
    find_obstacle,
)
from engine.late import LatePart
from engine.state import State, keep_fields, take_fields
from engine.system.pricing import ROLLOUT_REFUSAL
from engine.system.visits import Visit

CUT_OFF: Final = "the run was cut off; it is compared at its end"
"""Why a run that was interrupted or has failed is not compared: forecasts of a large
network take up to a minute, which a run that is stopped may not have."""
MAX_MOVEMENT: Final = 0.05
"""Share of the bridges that moved at the last look, times what the mesh gains in r, up
to which r was seen to be that of the last shares to 0.01 [-]."""
MAX_VISITS: Final = 8
"""Frequencies that are forecast after a run; between them coherence is interpolated."""
MAX_SHARED_VISITS: Final = 4
"""Likewise where bridges act at various frequencies, which takes longer to settle and
depends less on their mean: r was seen to be 0.001 below that of 50."""


@dataclass
class _Sums:
    """Sums over control periods."""

    coherence: float = 0.0
    periods: int = 0
    attempts: int = 0
    steps: int = 0
    wound: int = 0

    def add(self, coherence: float, attempts: int, steps: int, wound: int) -> None:
        """Take in a control period."""
        self.coherence += coherence
        self.periods += 1
        self.attempts += attempts
        self.steps += steps
        self.wound += wound

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
        self._is_wound = True

    def add(
        self, coherence: float, attempts: int, steps: int, *, defect_count: int = 0
    ) -> None:
        """Take in a control period.

        Args:
            coherence: Order parameter r at its end [-].
            attempts: Tunnel attempts in it.
            steps: Lattice steps in it.
            defect_count: Vortices and windings when they were last looked for [-].
        """
        self._is_wound = self._is_wound and defect_count > 0
        self._part.add(coherence, attempts, steps, int(self._is_wound))

    def to_state(self) -> State:
        """Return the sums of the later part."""
        return {**self._part.to_state(), **keep_fields(self, "_is_wound")}

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one of such means.
        """
        take_fields(self, state, "_is_wound")
        self._part.from_state(state)

    @property
    def is_unwound(self) -> bool:
        """Whether what random initial phases had wound up was gone before."""
        return not self._part.sums.wound

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
            is_shared: Whether a mesh will share the budget out unevenly, in a way that
                nobody knows before the run.
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
        found, unlimited = self._forecaster.forecast(hz), self._forecaster.unlimited
        where = "the fixed" if is_fixed else "up to"
        text = (
            f"r {found.coherence:.3f} at {where} {hz:.4g} Hz, "
            f"{unlimited.coherence:.3f} without limit"
        )
        if self._is_shared:
            gain = "reaches more" if is_fixed else "needs less"
            text += f", if all bridges acted alike; the mesh {gain}"
        best = unlimited if self._is_shared else found
        if best.coherence < floor:
            text += f"; the floor of {floor:g} is out of reach, see scribble forecast"
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
        network: Network,
        dt_s: float,
        visits: Sequence[Visit] = (),
        *,
        moved: float = 0.0,
        is_done: bool = True,
    ) -> dict[str, Any]:
        """Compare the forecast, averaged over what was visited, with what came.

        Which bridge has which share of the budget, or a rung of its own, is taken as it
        stands now: late in a run few bridges move, and those little.

        Args:
            late: Means over the later part of the run.
            network: The bridges.
            dt_s: Lattice time step [s].
            visits: Frequencies in use then; the mean frequency if there are none.
            moved: Share of the bridges whose share of the budget changed last [-].
            is_done: Whether the run has come to its end; else nothing is forecast.

        Returns:
            The entry `forecast` of `summary.json`.
        """
        if self._forecaster is None:
            return _to_entry(None, None, None, None, self._reason)
        hz = late.frequency_hz(len(network), dt_s)
        if not is_done:
            return _to_entry(None, None, hz or None, late.coherence, CUT_OFF)
        unlimited = self._forecaster.unlimited
        found = unlimited
        if hz > 0.0:
            at = visits or [Visit(hz, 1.0)]
            found = average_forecasts(
                self._forecaster, at, network, is_unwound=late.is_unwound
            )
            if moved:
                found = _doubt_movement(found, self._forecaster.forecast(hz), moved)
        return _to_entry(found, unlimited, hz or None, late.coherence, found.reason)


def _doubt_movement(
    found: CoherenceForecast, alike: CoherenceForecast, moved: float
) -> CoherenceForecast:
    """Distrust a forecast by shares that were found too late to have acted for long."""
    is_found = moved * abs(found.coherence - alike.coherence) <= MAX_MOVEMENT
    if found.reason or is_found:
        return found
    reason = (
        f"the mesh moved {moved:.0%} of the bridges when it looked last, so they acted "
        "in another way for much of the run"
    )
    return replace(found, is_trusted=False, reason=reason)


def average_forecasts(
    forecaster: Forecaster,
    visits: Sequence[Visit],
    network: Network,
    *,
    is_unwound: bool = False,
) -> CoherenceForecast:
    """Average forecasts over visited frequencies; r is far from linear in f.

    Args:
        forecaster: Knows the network.
        visits: At least one, the lowest frequency first.
        network: Tells which bridge acts how often at a network's frequency.
        is_unwound: Whether random initial phases are known to have unwound.

    Returns:
        The forecast at the highest frequency, with the mean coherence of all, trusted
        if every forecast is.
    """
    visited = np.array([visit.frequency_hz for visit in visits])
    shares = np.array([visit.share for visit in visits])
    is_shared = isinstance(spread_frequency(network, float(visited[0])), np.ndarray)
    asked, most = visited, MAX_SHARED_VISITS if is_shared else MAX_VISITS
    if len(visits) > most:
        asked = np.geomspace(visited[0], visited[-1], most)
    # Downwards, as each state is the start of the next.
    found = [
        forecaster.forecast(spread_frequency(network, float(hz))) for hz in asked[::-1]
    ][::-1]
    values = np.array([each.coherence for each in found])
    mean = float(shares @ np.interp(np.log(visited), np.log(asked), values))
    reasons = [each.reason for each in found if each.reason]
    if is_unwound:
        reasons = [reason for reason in reasons if reason != WINDING_DOUBT]
    doubt = reasons[0] if reasons else ""
    return replace(found[-1], coherence=mean, is_trusted=not doubt, reason=doubt)


def spread_frequency(network: Network, frequency_hz: float) -> float | F64:
    """Find how often each bridge would act at another frequency of the network.

    Args:
        network: The bridges, with pins and shares of the budget as they are.
        frequency_hz: Frequency of the network [Hz], > 0.

    Returns:
        That frequency where all bridges follow it, else those of the bridges by id
        [Hz], shape (bridges,).
    """
    if not isinstance(network, BridgeNetwork):
        return frequency_hz
    ranks, is_pinned = network.ranks, network.rungs >= 0
    if ranks is None and not is_pinned.any():
        return frequency_hz
    ladder, spread = network.tunnel, np.full(len(network), frequency_hz)
    if ranks is not None:
        shares = Shares(network.share_counts, ladder.phi_coefficient)
        top_hz = ladder.maximum_frequency_hz
        spread = shares.spread(frequency_hz, top_hz)[ranks]
    frequencies: F64 = np.where(is_pinned, network.frequencies_hz, spread)
    return frequencies


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
