"""The control law: two demands, resources and coherence, one tunnel frequency.

Pure arithmetic on what it is handed: no clock, no sensor, no array. Inside, a
frequency is its height on the ladder, in (fractional) rungs above the slowest,
because coherence is nearly linear in the logarithm of the frequency. The rotating
windows realise any frequency exactly, so the network glides between rungs;
alternating two rungs in time was measured to cost half as many events again
(benchmarks/README.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.config import ControllerConfig, TunnelConfig
from engine.state import State, keep_fields, take_fields

NOISE_PERIODS = 50
"""Control periods over which the noise of the coherence is estimated."""
MAX_MARGIN = 0.03
"""Cap of the margin above the floor [-]: transients are not noise."""
FLOOR_BAND = 0.02
"""Coherence within this of the target counts as bound by the floor [-]."""
PATIENCE_S = 2.0
"""Simulated time at the top below the floor before it counts as unreachable [s]."""
LOCKED_COHERENCE = 0.8
"""Local coherence above which a network of low r is locked, not incoherent [-]."""

LAW_FIELDS = ("_height", "_used_height", "_quiet_periods", "_short_s", "_held_hz")
"""What a law remembers from one decision to the next, its noise apart."""

NOMINAL, FLOOR_BOUND = "nominal", "floor-bound"
UNREACHABLE, STALE = "unreachable", "stale"


@dataclass(frozen=True)
class Observation:
    """What the law is told at the end of a control period."""

    elapsed_s: float
    """Simulated time since the last decision [s], >= 0."""
    coherence: float
    """Order parameter r [-], in [0, 1]."""
    affordable_hz: float
    """Frequency that the resources permit [Hz], > 0."""
    sensor_age_s: float = 0.0
    """Age of the resource sample [s]."""
    is_stale: bool = False
    """Whether the sensor is lost."""
    local_coherence: float | None = None
    """Mean cosine over lattice edges [-]; None if it was not measured."""
    defect_count: int = 0
    """Vortices plus winding turns [-]."""


@dataclass(frozen=True)
class Decision:
    """What the law decides for the next control period."""

    frequency_hz: float
    """max(required, min(offered, maximum)), for the next period [Hz]."""
    offered_hz: float
    """Frequency that objective and resources ask for [Hz]."""
    required_hz: float
    """Lowest frequency that is known to hold the floor [Hz]."""
    margin: float
    """Coherence kept above the floor against noise [-]."""
    state: str
    """nominal, floor-bound, unreachable or stale."""
    reason: str
    """One sentence for the user."""


class CoherenceNoise:
    """Running standard deviation of the coherence."""

    def __init__(self) -> None:
        """Start without a sample."""
        self.mean = math.nan
        self.variance = 0.0

    def add(self, value: float) -> float:
        """Take a sample and return the standard deviation [-]."""
        if math.isnan(self.mean):
            self.mean = value
        weight = 1.0 / NOISE_PERIODS
        gap = value - self.mean
        self.mean += weight * gap
        self.variance = (1.0 - weight) * (self.variance + weight * gap * gap)
        return math.sqrt(self.variance)

    def to_state(self) -> State:
        """Return mean and variance; the mean is None before the first sample."""
        return {
            "mean": None if math.isnan(self.mean) else self.mean,
            "variance": self.variance,
        }

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one of such noise.
        """
        mean = math.nan if state["mean"] is None else state["mean"]
        take_fields(self, {**state, "mean": mean}, "mean", "variance")


class ControlLaw:
    """PI on missing coherence, raised fast and lowered slowly.

    The required height starts at the top. It integrates down only while it binds
    (while the offer is lower), so it always stands at the lowest height that was
    seen to hold the floor, and a sudden loss of resources cannot drop the network
    below it. It integrates up from the height in use whenever coherence is short.
    """

    def __init__(self, tunnel: TunnelConfig, config: ControllerConfig) -> None:
        """Start at the top of the ladder.

        Args:
            tunnel: Ladder and floor.
            config: Objective, gains and limits.
        """
        self.tunnel = tunnel
        self.config = config
        self._noise = CoherenceNoise()
        self._height = float(tunnel.rungs)
        self._used_height = float(tunnel.rungs)
        self._quiet_periods = 0
        self._short_s = 0.0
        self._held_hz = tunnel.maximum_frequency_hz

    def to_state(self) -> State:
        """Return the heights, what is counted, the last offer and the noise."""
        return {**keep_fields(self, *LAW_FIELDS), "noise": self._noise.to_state()}

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            CheckpointError: It is not one of a law.
        """
        take_fields(self, state, *LAW_FIELDS)
        self._noise.from_state(state["noise"])

    def take_over(self, frequency_hz: float) -> None:
        """Require a frequency from here on, as a law that has found it would.

        Args:
            frequency_hz: Frequency known to hold the floor [Hz], > 0.
        """
        self._height = self._height_of(frequency_hz)

    def decide(self, seen: Observation) -> Decision:
        """Turn an observation into the next frequency.

        Args:
            seen: Coherence, resources and simulated time since the last call.

        Returns:
            The decision with its reason.
        """
        config, tunnel = self.config, self.tunnel
        if config.objective == "fixed":
            return self._fixed_decision()
        margin = min(config.margin_sigmas * self._noise.add(seen.coherence), MAX_MARGIN)
        missing = tunnel.min_coherence + margin - seen.coherence
        offered = self._height_of(self._offer(seen))
        self._integrate(missing, offered, seen)
        is_locked = self._is_locked(seen)
        required = 0.0 if is_locked else self._height
        chosen = max(required, offered)
        self._used_height = chosen
        state, reason = self._explain(seen, missing, required, offered, is_locked)
        return Decision(
            frequency_hz=self._frequency_of(chosen),
            offered_hz=self._frequency_of(offered),
            required_hz=self._frequency_of(required),
            margin=margin,
            state=state,
            reason=reason,
        )

    def _fixed_decision(self) -> Decision:
        hz = self.config.fixed_frequency_hz
        reason = "The frequency is fixed by the configuration."
        return Decision(hz, hz, hz, 0.0, NOMINAL, reason)

    def _height_of(self, frequency_hz: float) -> float:
        """Convert a frequency to a height, within the ladder."""
        height = self.tunnel.rungs - self.tunnel.frequency_rung(frequency_hz)
        return min(max(height, 0.0), float(self.tunnel.rungs))

    def _frequency_of(self, height: float) -> float:
        return self.tunnel.rung_frequency_hz(self.tunnel.rungs - height)

    def _offer(self, seen: Observation) -> float:
        """Return the frequency that resources permit; hold, then go safe, if lost."""
        if self.config.objective == "floor":
            return self._frequency_of(0.0)
        if not seen.is_stale:
            self._held_hz = seen.affordable_hz
        elif seen.sensor_age_s > self.config.hold_stale_s:
            self._held_hz = self.tunnel.maximum_frequency_hz
        return self._held_hz

    def _integrate(self, missing: float, offered: float, seen: Observation) -> None:
        """Move the required height by the PI law and its limits."""
        config, top = self.config, float(self.tunnel.rungs)
        # Only what there is too much of has a dead band: one below the target would
        # eat the margin, and the floor was seen to be missed several times as often.
        error = missing if missing > 0.0 or missing < -config.dead_band else 0.0
        rate = config.integral_gain_per_s * error
        if error > 0.0:
            start = max(self._height, self._used_height)
            kick = config.proportional_gain * error * seen.elapsed_s
            self._height = min(start + rate * seen.elapsed_s + kick, top)
            self._quiet_periods = 0
            return
        self._quiet_periods += 1
        is_binding = self._height > offered
        if is_binding and self._quiet_periods > config.dwell_periods:
            fall = max(rate, -config.descent_rungs_per_s) * seen.elapsed_s
            self._height = max(self._height + fall, 0.0)

    def _is_locked(self, seen: Observation) -> bool:
        """Tell twisted waves and vortices from incoherence; count the patience."""
        is_short = seen.coherence < self.tunnel.min_coherence
        at_top = self._height >= self.tunnel.rungs
        self._short_s = self._short_s + seen.elapsed_s if is_short and at_top else 0.0
        local = seen.local_coherence
        is_ordered = local is not None and local > LOCKED_COHERENCE
        return self._is_out_of_patience and is_ordered and seen.defect_count > 0

    @property
    def _is_out_of_patience(self) -> bool:
        return self._short_s > PATIENCE_S + 1e-6  # sums of periods round

    def _explain(
        self,
        seen: Observation,
        missing: float,
        required: float,
        offered: float,
        is_locked: bool,
    ) -> tuple[str, str]:
        """Name the state and say why."""
        floor = self.tunnel.min_coherence
        if is_locked:
            return UNREACHABLE, (
                f"Locked with {seen.defect_count} vortices or windings: neighbours "
                f"agree ({seen.local_coherence:.2f}) but r is {seen.coherence:.2f}; "
                "more tunnelling does not unwind them, other initial phases would."
            )
        if self._is_out_of_patience:
            return UNREACHABLE, (
                f"r stays at {seen.coherence:.2f}, below {floor:.2f}, at the highest "
                "frequency; raise bridges.strength_rad_s, bridges.per_node or "
                "lattice.coupling_rad_s, or lower lattice.spread_hz."
            )
        if seen.is_stale and self.config.objective != "floor":
            return STALE, (
                f"The resource sensor is silent for {seen.sensor_age_s:.1f} s; holding "
                "the last offer, then the safe maximum."
            )
        if required > offered and missing <= -FLOOR_BAND:
            return NOMINAL, (
                f"Coherence {seen.coherence:.3f} is more than its floor {floor:.2f} "
                "needs: coming down to what the resources ask for."
            )
        if required > offered:
            where = "below" if seen.coherence < floor else "near"
            return FLOOR_BOUND, (
                f"Coherence {seen.coherence:.3f} is {where} its floor {floor:.2f}: "
                "tunnelling faster than the resources ask for."
            )
        return NOMINAL, f"Tunnelling as the {self.config.objective} objective asks."
