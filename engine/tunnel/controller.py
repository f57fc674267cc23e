"""TunnelController: joins the monitor, the control law and the bridges.

The decision itself is made by `ControlLaw`, which is pure; this class gathers what
the law needs and hands its answer on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

from engine.bridge import Network, QuantumBridge
from engine.config import ControllerConfig, TunnelConfig
from engine.monitor import ResourceMonitor
from engine.state import State, build_record, keep_fields, take_fields
from engine.tunnel.cost import CostModel
from engine.tunnel.law import NOMINAL, ControlLaw, Decision, Observation
from engine.tunnel.probability import mean_probability


def find_affordable_hz(
    tunnel: TunnelConfig,
    controller: ControllerConfig,
    optimal_hz: float,
    cost: CostModel | None,
) -> float:
    """Find what objective and resources permit.

    Args:
        tunnel: The ladder.
        controller: The objective.
        optimal_hz: Top of the ladder times the availability [Hz].
        cost: Measured costs, needed by the pace objective.

    Returns:
        Frequency [Hz], at least that of the slowest rung.
    """
    offered = optimal_hz
    if controller.objective == "pace" and cost is not None:
        affordable = cost.affordable_hz(controller.target_pace)
        if affordable is not None:
            offered = affordable
    return max(offered, tunnel.rung_frequency_hz(tunnel.rungs))


class QuantumTunnel:
    """An active bridge with its rung, probability and counts: a view, not a copy."""

    __slots__ = ("_network", "bridge")

    def __init__(self, network: Network, bridge_id: int) -> None:
        """View bridge `bridge_id` of a network."""
        self._network = network
        self.bridge: QuantumBridge = network[bridge_id]

    @property
    def rung(self) -> int | None:
        """Ladder rung the bridge is pinned to (0 is the top); None if it follows."""
        rung = self._network.rung(self.bridge.bridge_id)
        return None if rung < 0 else rung

    @property
    def frequency(self) -> float:
        """Attempt frequency [Hz]."""
        return self.bridge.frequency

    @property
    def probability(self) -> float:
        """Success probability of an attempt [-]."""
        return self.bridge.probability

    @property
    def attempts(self) -> int:
        """Attempts so far [-]."""
        return self.bridge.attempts

    @property
    def successes(self) -> int:
        """Successful attempts so far [-]."""
        return self.bridge.successes


class ActiveTunnels(Sequence[QuantumTunnel]):
    """All bridges that attempt events, as a lazy sequence of views."""

    def __init__(self, network: Network | None) -> None:
        """View a network; None has no tunnels."""
        self._network = network

    def __len__(self) -> int:
        """Return the number of active tunnels."""
        return 0 if self._network is None else len(self._network)

    @overload
    def __getitem__(self, index: int) -> QuantumTunnel: ...

    @overload
    def __getitem__(self, index: slice) -> list[QuantumTunnel]: ...

    def __getitem__(self, index: int | slice) -> QuantumTunnel | list[QuantumTunnel]:
        """Return one view, or a list of views for a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if self._network is None or not 0 <= position < len(self):
            raise IndexError(f"tunnel {index} of {len(self)}")
        return QuantumTunnel(self._network, position)


class TunnelController:
    """Decides the tunnel frequency of a network every control period.

    Example:
        >>> from engine.monitor import ResourceMonitor
        >>> with ResourceMonitor() as monitor:
        ...     decision = TunnelController(monitor).adjust_frequencies(coherence=0.95)
        >>> 0.0 < decision.frequency_hz <= 432.0 * 1.618034
        True
    """

    def __init__(
        self,
        monitor: ResourceMonitor,
        config: TunnelConfig | None = None,
        *,
        controller: ControllerConfig | None = None,
        network: Network | None = None,
        cost: CostModel | None = None,
    ) -> None:
        """Join a monitor and a network.

        Args:
            monitor: Tells what the resources permit.
            config: Ladder, floor and success law.
            controller: Objective, gains and limits.
            network: The bridges to steer, if there are any.
            cost: Measured costs, needed by the pace objective.
        """
        self.monitor = monitor
        self.config = config or TunnelConfig()
        self.controller_config = controller or ControllerConfig()
        self.network = network
        self.cost = cost
        self.active_tunnels: Sequence[QuantumTunnel] = ActiveTunnels(network)
        self._law = ControlLaw(self.config, self.controller_config)
        self._last_s = 0.0
        self._coherence = self.config.min_coherence
        self._held_hz: float | None = None
        self.decision: Decision | None = None
        """The last decision; None before the first."""
        self.observation: Observation | None = None
        """What it rested on; None before the first."""

    @property
    def frequency_hz(self) -> float:
        """Frequency of the coming control period [Hz]."""
        if self.decision is None:
            return self.config.maximum_frequency_hz
        return self.decision.frequency_hz

    def to_state(self) -> State:
        """Return the law's state, the last decision, and what is held."""
        fields = keep_fields(self, "_last_s", "_coherence", "_held_hz")
        decision = vars(self.decision) if self.decision else None
        return {**fields, "law": self._law.to_state(), "decision": decision}

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; bridges are told at the next decision.

        Raises:
            CheckpointError: It is not one of a controller.
        """
        take_fields(self, state, "_last_s", "_coherence", "_held_hz")
        self._law.from_state(state["law"])
        decision = state["decision"]
        self.decision = build_record(Decision, decision) if decision else None

    def hold(self, frequency_hz: float | None) -> None:
        """Hold a frequency from the next decision on; the control law rests meanwhile.

        Args:
            frequency_hz: Frequency to hold [Hz], > 0; None lets the law decide again.
        """
        self._held_hz = frequency_hz

    def take_over(self, frequency_hz: float) -> None:
        """Require at least a frequency from the next decision on.

        Args:
            frequency_hz: Frequency known to hold the floor [Hz], > 0.
        """
        required = self.decision.required_hz if self.decision else 0.0
        self._law.take_over(max(required, frequency_hz))

    def adjust_frequencies(
        self,
        coherence: float | None = None,
        simulated_s: float = 0.0,
        *,
        local_coherence: float | None = None,
        defect_count: int = 0,
    ) -> Decision:
        """Decide the next frequency and set it on every bridge that follows.

        Args:
            coherence: Order parameter r [-]; None if it was not measured again.
            simulated_s: Simulated time now [s].
            local_coherence: Mean cosine over lattice edges [-], if measured.
            defect_count: Vortices plus winding turns [-].

        Returns:
            The decision with its state and reason.
        """
        metrics = self.monitor.update(simulated_s)
        if coherence is not None:
            self._coherence = coherence
        seen = Observation(
            elapsed_s=max(simulated_s - self._last_s, 0.0),
            coherence=self._coherence,
            affordable_hz=self._affordable_hz(),
            sensor_age_s=metrics.age_s,
            is_stale=metrics.is_stale,
            local_coherence=local_coherence,
            defect_count=defect_count,
        )
        self._last_s = simulated_s
        self.observation = seen
        self.decision = self._decide(seen)
        if self.network is not None:
            self.network.follow(self.decision.frequency_hz)
        return self.decision

    def _decide(self, seen: Observation) -> Decision:
        """Ask the law, unless a frequency is held: its state stays as it was."""
        if self.network is not None and not len(self.network):
            hz, reason = seen.affordable_hz, "Without bridges no frequency matters."
            return Decision(hz, hz, hz, 0.0, NOMINAL, reason)
        if self._held_hz is None or self.decision is None:
            return self._law.decide(seen)
        return replace(
            self.decision,
            frequency_hz=self._held_hz,
            reason=f"Held at {self._held_hz:.4g} Hz for a measurement.",
        )

    def _affordable_hz(self) -> float:
        """Return what objective and resources permit [Hz], always above 0."""
        return find_affordable_hz(
            self.config,
            self.controller_config,
            self.monitor.get_optimal_tunnel_frequency(),
            self.cost,
        )

    def calculate_probability(self) -> float:
        """Return the frequency-weighted mean success probability [-].

        It agrees with the counted share of successes within binomial error; 0
        without bridges.
        """
        return 0.0 if self.network is None else mean_probability(self.network)
