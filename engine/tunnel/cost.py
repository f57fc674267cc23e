"""The cost model: what a node step and a tunnel event take on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.state import State, keep_fields, take_fields

MEMORY = 1.0 / 16.0
"""Weight of the newest period in the running means."""

OUTLIER = 16.0
"""Largest factor by which one period counts for more than the mean [-]; one in which
the process was stopped, or the machine slept, says nothing of what a step costs."""


@dataclass
class CostModel:
    """Measured seconds per node step and per event, updated every period."""

    node_count: int
    """Oscillators [-]."""
    bridge_count: int
    """Bridges [-]."""
    dt_s: float
    """Lattice time step [s]."""
    node_step_s: float | None = None
    """Wall time per node and lattice step [s]; None before the first period."""
    event_s: float | None = None
    """Wall time per tunnel event [s]; None before the first event."""

    def update(
        self, lattice_s: float, tunnel_s: float, steps: int, events: int
    ) -> None:
        """Learn from a period.

        Args:
            lattice_s: Wall time in lattice steps [s].
            tunnel_s: Wall time in tunnel events [s].
            steps: Lattice steps.
            events: Tunnel attempts.
        """
        self.node_step_s = _blend(self.node_step_s, lattice_s, steps * self.node_count)
        self.event_s = _blend(self.event_s, tunnel_s, events)

    def to_state(self) -> State:
        """Return what has been learnt."""
        return keep_fields(self, "node_step_s", "event_s")

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on with what has been learnt.

        Raises:
            CheckpointError: It is not one of costs.
        """
        take_fields(self, state, "node_step_s", "event_s")

    def affordable_hz(self, pace: float) -> float | None:
        """Return the frequency at which a pace is just held.

        Args:
            pace: Simulated seconds per wall second [-], > 0.

        Returns:
            Frequency [Hz], possibly negative; None before anything was measured.
        """
        if self.node_step_s is None or not self.event_s or not self.bridge_count:
            return None
        lattice = self.node_step_s * self.node_count / self.dt_s
        return (1.0 / pace - lattice) / (self.event_s * self.bridge_count)


def _blend(mean: float | None, seconds: float, count: int) -> float | None:
    if count == 0:
        return mean
    value = seconds / count
    if not mean:
        return value
    return mean + MEMORY * (min(value, OUTLIER * mean) - mean)
