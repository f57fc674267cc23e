"""AdvancedNeuralMesh: spends a given budget of tunnel events where it buys most."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.bridge import BareLattice, BridgeNetwork, Network
from engine.config import MeshConfig
from engine.crystal import CrystalLattice
from engine.errors import ConfigError
from engine.monitor import ResourceMetrics
from engine.state import State, check_inputs, digest_inputs, keep_fields, take_fields
from engine.wanda.census import Census, Kinds, find_kinds, take_census
from engine.wanda.paths import RETIRED_SHARE, Law, PathReport, optimize_paths
from engine.wanda.rules import Learned, Rule, build_rule, rank_cells

LEAST_MOVES: Final = 1.0 / 32.0
"""Share of the bridges below which it is not worth to lay all of them out anew."""
CALM_MOVES: Final = 1.0 / 8.0
"""Share of the bridges below which the network counts as settled."""
CALM_FACTOR: Final = 4
"""How much longer the longest wait may be there."""


@dataclass(frozen=True)
class Allotment:
    """How a budget is shared after a look at the bridges."""

    budget_hz: float
    """Mean frequency of all bridges that share it [Hz]."""
    frequencies_hz: tuple[float, ...]
    """Frequency of each share [Hz], the largest first."""
    shares: tuple[float, ...]
    """Share of the bridges on each [-], of sum 1."""
    mean_gap: float
    """Mean lasting gap of the bridges, (1 - mean(cos d)) times their locking [-]."""
    moved: float
    """Share of the bridges that changed their frequency [-]."""


class AdvancedNeuralMesh:
    """Homeostatic plasticity over the bridges: whose events move much, acts often.

    The sum of all frequencies stays what resources and controller grant; pinned
    bridges stay outside. Shares are relative, so a budget may change at any time.

    Example:
        >>> from engine.config import RunConfig, LatticeConfig
        >>> from engine.system import ScribbleSystem
        >>> config = RunConfig(lattice=LatticeConfig(shape=(16, 16)))
        >>> with ScribbleSystem(config) as system:
        ...     mesh = AdvancedNeuralMesh(
        ...         system.network, system.lattice, MeshConfig("plastic"))
        ...     system.advance(0.1)
        ...     found = mesh.adjust_tunnel_frequencies(system.monitor.update())
        >>> round(float(system.network.frequencies_hz.mean() / found.budget_hz), 6)
        1.0
    """

    def __init__(
        self,
        network: Network,
        lattice: CrystalLattice,
        config: MeshConfig,
        read_turns: Callable[[], npt.NDArray[np.uint16]] | None = None,
    ) -> None:
        """Look at nothing yet.

        Args:
            network: The bridges; their ends must lie in memory.
            lattice: Gives the natural frequencies of their ends.
            config: The rule, and when to look.
            read_turns: Tells when each bridge is to act next, as a schedule knows; so
                that no bridge that moves misses its turn.

        Raises:
            ConfigError: The ends of the bridges are computed.
            RecordError: The weights of a learned policy cannot be read.
        """
        if not isinstance(network, BridgeNetwork):
            raise ConfigError(
                "A mesh needs bridges that can have frequencies of their own; those of "
                "bridges=procedural all act alike. Use bridges=matchings."
            )
        self.network, self.lattice, self.config = network, lattice, config
        self.allotment: Allotment | None = None
        """What the last look led to; None before the first."""
        self.looks = 0
        """Looks at the bridges so far [-]."""
        self.seconds = 0.0
        """Wall time spent so far [s]."""
        self._rule: Rule | None = build_rule(config)
        self._read_turns = read_turns
        self._kinds: Kinds | None = None
        self._edges = network.edges
        self._seen: npt.NDArray[np.float32] | None = None
        self._wait = float(config.period)
        self._left = config.period if self._needs_traces else 1

    @property
    def _needs_traces(self) -> bool:
        return self._rule is not None and self._rule.needs_traces

    def pass_period(self, resource_metrics: ResourceMetrics, budget_hz: float) -> bool:
        """Count a control period, and look at the bridges when it is time.

        Args:
            resource_metrics: What the machine has left.
            budget_hz: Mean frequency that the controller has granted [Hz].

        Returns:
            Whether this was a look.
        """
        self._left -= 1
        if self._left > 0:
            return False
        moved = self.adjust_tunnel_frequencies(resource_metrics, budget_hz).moved
        calm = CALM_FACTOR if moved < CALM_MOVES else 1
        longest = calm * self.config.longest_period
        self._wait = min(self._wait * self.config.growth, longest)
        self._left = int(self._wait)
        return True

    def adjust_tunnel_frequencies(
        self, resource_metrics: ResourceMetrics, budget_hz: float | None = None
    ) -> Allotment:
        """Share the budget among the bridges by what they have done so far.

        Args:
            resource_metrics: Without a controller, what they permit is the budget.
            budget_hz: Mean frequency to share out [Hz], > 0.

        Returns:
            Who gets how much.

        Raises:
            ConfigError: The budget is not above 0.
        """
        began_s = time.perf_counter()
        network = self.network
        granted_hz = (
            resource_metrics.tunnel_frequency if budget_hz is None else budget_hz
        )
        network.apply_requests()
        network.follow(granted_hz)
        census, cells = take_census(network, self._find_kinds(), self.config.shares)
        moved = self._share_out(census, cells)
        self.allotment = self._describe(census.mean_gap, moved)
        self.looks += 1
        self.seconds += time.perf_counter() - began_s
        return self.allotment

    def _find_kinds(self) -> Kinds:
        """Return the kinds of bridges, found again if ends or frequencies changed."""
        rule, now = self._rule, self.lattice.detunings_hz
        if self._edges is not self.network.edges:
            self._edges, self._kinds = self.network.edges, None
        if self._kinds is None or self._seen is not now:
            needs_them = rule is not None and rule.needs_detunings
            if self._kinds is None or needs_them:
                self._kinds = find_kinds(
                    self.network.edges, now if needs_them else None
                )
            self._seen = now
        return self._kinds

    def _share_out(self, census: Census, cells: npt.NDArray[np.int64]) -> float:
        """Move bridges to the shares that the rule wants; return how many [-]."""
        network = self.network
        if self._rule is None or not census.total:
            return 0.0
        ratio = network.tunnel.phi_coefficient
        table = rank_cells(self._rule.weigh(census), census.counts, ratio)
        ranks_now = np.arange(len(table))[:, None, None]
        moving = int(census.counts[table != ranks_now].sum())
        if network.ranks is not None and moving < LEAST_MOVES * census.total:
            return 0.0
        by_slot = np.append(table, np.int8(0))[cells]
        ranks = np.empty(len(by_slot), np.int8)
        ranks[network.backend.to_host(network.arrays.ids)] = by_slot
        turns = self._read_turns() if self._read_turns else None
        network.share_budget(ranks, self.config.shares, turns)
        return moving / census.total

    def _describe(self, mean_gap: float, moved: float) -> Allotment:
        network = self.network
        counts = np.array(network.share_counts, dtype=np.float64)
        return Allotment(
            budget_hz=network.frequency_hz,
            frequencies_hz=tuple(network.spread_budget().tolist()),
            shares=tuple((counts / max(counts.sum(), 1.0)).tolist()),
            mean_gap=mean_gap,
            moved=moved,
        )

    def optimize_paths(
        self, law: Law, *, tick: int, share: float = RETIRED_SHARE
    ) -> PathReport:
        """Move bridges to where they gain most coherence, at the frequencies of now.

        `ScribbleSystem.optimize_paths` does so in a run. To be called between two
        control periods.

        Args:
            law: Gives the success probability of new bridges.
            tick: Lattice steps so far [-].
            share: Share of each layer that is retired at most [-], in (0, 1].

        Returns:
            What it has brought.

        Raises:
            ConfigError: The share is out of range, or a bridge repels or is directed.
        """
        lattice = self.lattice
        bare = BareLattice(
            lattice.geometry, lattice.detunings_hz, lattice.coupling_rad_s
        )
        return optimize_paths(self.network, bare, law, tick=tick, share=share)

    def to_state(self) -> State:
        """Return when the next look is due, and what the last one led to."""
        found = self.allotment
        return {
            **keep_fields(self, "looks", "seconds", "_wait", "_left"),
            "allotment": None if found is None else asdict(found),
            "inputs": self._inputs_digest,
        }

    @cached_property
    def _inputs_digest(self) -> str:
        rule = self._rule
        return digest_inputs(rule.weights) if isinstance(rule, Learned) else ""

    def from_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; the network keeps the shares themselves.

        Raises:
            CheckpointError: It is not one of a mesh.
        """
        check_inputs("learned weights", self._inputs_digest, state["inputs"])
        take_fields(self, state, "looks", "seconds", "_wait", "_left")
        self.allotment = None
        if state["allotment"] is not None:
            found = dict(state["allotment"])
            for name in ("frequencies_hz", "shares"):
                found[name] = tuple(map(float, found[name]))
            self.allotment = Allotment(**found)

    def to_trace(self) -> dict[str, Any]:
        """Return the columns that a mesh adds to a row of the trace."""
        found = self.allotment
        return {
            "mesh_looks": self.looks,
            "mesh_shares": json.dumps(found.shares) if found else None,
            "mesh_gap": found.mean_gap if found else None,
            "mesh_moved": found.moved if found else None,
        }

    def to_dict(self, wall_s: float) -> dict[str, Any]:
        """Return the entry `mesh` of `summary.json`.

        Args:
            wall_s: Wall time of the loop [s].
        """
        found = self.allotment
        return {
            "rule": self.config.rule,
            "looks": self.looks,
            "seconds": self.seconds,
            "wall_share": self.seconds / wall_s if wall_s else None,
            "budget_hz": found.budget_hz if found else None,
            "frequencies_hz": list(found.frequencies_hz) if found else [],
            "shares": list(found.shares) if found else [],
            "mean_gap": found.mean_gap if found else None,
        }


def build_mesh(
    network: Network,
    lattice: CrystalLattice,
    config: MeshConfig,
    read_turns: Callable[[], npt.NDArray[np.uint16]],
) -> AdvancedNeuralMesh | None:
    """Build the mesh that a configuration asks for.

    Args:
        network: The bridges.
        lattice: The oscillators.
        config: The mesh.
        read_turns: Tells when each bridge is to act next.

    Returns:
        The mesh; None where every bridge acts alike, or there is none.

    Raises:
        ConfigError: The ends of the bridges are computed.
        RecordError: The weights of a learned policy cannot be read.
    """
    if config.is_idle or not len(network):
        return None
    return AdvancedNeuralMesh(network, lattice, config, read_turns)
