"""MatchingNetwork: random perfect matchings whose ends are computed, not stored.

A bridge takes 20 bytes, what a run changes of it, and lies in the back end's memory
alone. Slots are bridge ids: the ends of consecutive bridges are spread like random
sites already, so that windows of them need no golden-ratio order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Never

import numpy as np
import numpy.typing as npt

from engine.backends.matching import DIRECTED_FLAG, Matching, SuccessLaw
from engine.backends.protocol import Backend, BridgeArrays, LatticeState, MatchingArrays
from engine.bridge.base import FOLLOW, Group, Network, locking_value
from engine.config import BridgesConfig, TunnelConfig
from engine.errors import ConfigError

CHUNK = 2**20
"""Bridges copied to the host at a time [-]."""


def build_law(config: BridgesConfig, tunnel: TunnelConfig) -> SuccessLaw:
    """Build the success law of bridges of equal strength.

    Args:
        config: Strength, and whether half of its dose moves the target twice as far.
        tunnel: p_max and linewidth.
    """
    share = 0.5 if config.directed else 1.0
    return SuccessLaw(
        per_linewidth=1.0 / tunnel.linewidth_hz,
        max_probability=tunnel.max_probability,
        full_rate_rad_s=share * config.strength_rad_s / tunnel.max_probability,
    )


def build_matching(
    node_count: int, config: BridgesConfig, tunnel: TunnelConfig, seed: int
) -> Matching:
    """Build the formula of `per_node` random perfect matchings, each one a layer.

    Args:
        node_count: Even number of nodes.
        config: Layers, strength and direction.
        tunnel: p_max and linewidth.
        seed: Key of the permutations.

    Returns:
        per_node * node_count / 2 bridges; two layers may join the same pair.

    Raises:
        ConfigError: The node count is odd.
    """
    if node_count % 2:
        raise ConfigError(
            f"{node_count} nodes is an odd number, so no perfect matching exists; make "
            "one axis of lattice.shape even, or use bridges=small_world."
        )
    law = build_law(config, tunnel)
    return Matching(node_count, config.per_node, seed, law, config.directed)


class MatchingNetwork(Network):
    """All bridges of a run as a formula and five columns.

    Example:
        >>> from engine.backends import select_backend
        >>> from engine.config import BackendConfig, LatticeConfig
        >>> from engine.crystal import CrystalLattice
        >>> backend = select_backend(BackendConfig("reference"), 16).backend
        >>> lattice = CrystalLattice(LatticeConfig(shape=(4, 4)), backend)
        >>> len(MatchingNetwork(BridgesConfig(), lattice.state, backend))
        32
    """

    def __init__(
        self,
        config: BridgesConfig,
        lattice: LatticeState,
        backend: Backend,
        tunnel: TunnelConfig | None = None,
        *,
        seed: int = 0,
    ) -> None:
        """Allocate the bridges in the back end's memory.

        Args:
            config: Layers and strength.
            lattice: The nodes and their detunings, in the same back end.
            backend: Where the arrays live.
            tunnel: The frequency ladder and the success law.
            seed: Key of the permutations.

        Raises:
            ConfigError: The node count is odd.
            ResourceError: The back end has too little free memory.
        """
        super().__init__(backend, tunnel)
        nodes = lattice.geometry.node_count
        self.matching = build_matching(nodes, config, self.tunnel, seed)
        self._own_rate_rad_s = self.matching.law.full_rate_rad_s
        self._lattice = lattice
        self._strength_rad_s = config.strength_rad_s
        size = self.matching.layer_size
        self._groups = tuple(
            Group(layer, FOLLOW, layer * size, (layer + 1) * size)
            for layer in range(self.matching.layer_count)
        )
        self._arrays = backend.build_matchings(self.matching)
        self._mean_probability: float | None = None

    def __len__(self) -> int:
        """Return the number of bridges."""
        return self.matching.bridge_count

    @property
    def arrays(self) -> MatchingArrays:
        """The columns in the back end's memory; the slot is the bridge id."""
        return self._arrays

    @property
    def groups(self) -> tuple[Group, ...]:
        """One run of slots per layer."""
        return self._groups

    def pin(self, bridge_id: int, frequency_hz: float) -> None:
        """Refuse: a pinned bridge would need another slot.

        Raises:
            ConfigError: Always, if there is such a bridge.
            IndexError: There is no such bridge.
        """
        self._refuse(bridge_id, f"pinned to {frequency_hz:g} Hz")

    def release(self, bridge_id: int) -> None:
        """Refuse: no bridge is ever pinned.

        Raises:
            ConfigError: Always, if there is such a bridge.
            IndexError: There is no such bridge.
        """
        self._refuse(bridge_id, "released")

    def _refuse(self, bridge_id: int, what: str) -> Never:
        self._check_id(bridge_id)
        raise ConfigError(
            f"Bridge {bridge_id} cannot be {what}: the ends of bridges=procedural "
            "follow from their slots, so every bridge follows the network; use "
            "bridges=matchings to pin single bridges."
        )

    def rung(self, bridge_id: int) -> int:
        """Return `FOLLOW`, for every bridge follows the network."""
        return FOLLOW

    def apply_requests(self) -> bool:
        """Return False: nothing can be asked for."""
        return False

    def find_ends(self, bridge_id: int) -> tuple[int, int]:
        """Return source and target of one bridge, node ids."""
        sources, targets = self.matching.compute_ends(np.array([bridge_id]))
        return int(sources[0]), int(targets[0])

    def find_strength_rad_s(self, bridge_id: int) -> float:
        """Return kappa [rad/s], equal for all bridges."""
        return self._strength_factor * self._strength_rad_s

    def _apply_strengths(self) -> None:
        """Write another rate into the success law, which all bridges share."""
        rate_rad_s = self._strength_factor * self._own_rate_rad_s
        law = replace(self.matching.law, full_rate_rad_s=rate_rad_s)
        self.matching = self._arrays.matching = replace(self.matching, law=law)

    def is_directed(self, bridge_id: int) -> bool:
        """Return whether only targets move, equal for all bridges."""
        return self.matching.is_directed

    def find_probability(self, bridge_id: int) -> float:
        """Return the success probability of an attempt of one bridge [-]."""
        detunings = self._lattice.detunings
        source, target = (
            self.backend.to_host(detunings[node : node + 1]).astype(np.float32)
            for node in self.find_ends(bridge_id)
        )
        _, thresholds = self.matching.law.apply(target - source)
        return float((int(thresholds[0]) + 1) * 2.0**-32)

    def notice_detunings(self) -> None:
        """Forget the mean success probability, which follows from the detunings."""
        self._mean_probability = None

    def mean_probability(self) -> float:
        """Return the mean success probability of all bridges [-]; 0 if empty.

        Exact: the back end sums the thresholds of all bridges as integers, once for
        the same natural frequencies, for ends do not change.
        """
        if self._mean_probability is None:
            total = self.backend.sum_thresholds(self._lattice, self._arrays)
            mean = total / len(self) + 1.0 if len(self) else 0.0
            self._mean_probability = mean * 2.0**-32
        return self._mean_probability

    def read(self, column: str, bridge_id: int) -> float:
        """Read one entry of a column that a run changes, for one bridge."""
        array = getattr(self._arrays, column)
        return float(self.backend.to_host(array[bridge_id : bridge_id + 1])[0])

    def read_column(self, name: str) -> Iterator[npt.NDArray[Any]]:
        """Copy a column that a run changes to the host, in pieces."""
        column = getattr(self._arrays, name)
        for lo in range(0, len(self), CHUNK):
            yield self.backend.to_host(column[lo : lo + CHUNK])

    def _fill_column(self, name: str, values: npt.NDArray[Any]) -> None:
        """Replace a column that a run changes."""
        self.backend.fill(getattr(self._arrays, name), values)

    def read_columns(self, lo: int, hi: int) -> BridgeArrays:
        """Copy bridges lo .. hi - 1 to the host, with all that their formula says.

        Args:
            lo: First bridge id.
            hi: One past the last bridge id.

        Returns:
            Columns in host memory, shape (hi - lo,) each.
        """
        ids = np.arange(lo, hi, dtype=np.uint32)
        sources, targets = self.matching.compute_ends(ids)
        detunings = self.backend.to_host(self._lattice.detunings)
        detunings = detunings.astype(np.float32, copy=False)
        rates, thresholds = self.matching.law.apply(
            detunings[targets] - detunings[sources]
        )
        sources |= np.uint32(DIRECTED_FLAG * self.matching.is_directed)
        columns = (column[lo:hi] for column in self._arrays.state_columns)
        state = (self.backend.to_host(column) for column in columns)
        return BridgeArrays(ids, sources, targets, rates, thresholds, *state)

    def columns_by_id(self) -> BridgeArrays:
        """Copy all bridges to the host: 40 bytes each, for small networks."""
        return self.read_columns(0, len(self))

    def coherences(self) -> npt.NDArray[np.float64]:
        """Return the phase-locking value by bridge id [-], shape (bridges,)."""
        values = np.empty(len(self))
        names = ("locking_cos", "locking_sin", "attempts")
        columns = [getattr(self._arrays, name) for name in names]
        for lo in range(0, len(self), CHUNK):
            part = slice(lo, min(lo + CHUNK, len(self)))
            host = (self.backend.to_host(column[part]) for column in columns)
            values[part] = locking_value(*host)
        return values

    def touching(self, node: int) -> npt.NDArray[np.int64]:
        """Return the ids of the bridges that end at a node, one per layer."""
        return self.matching.find_bridges(node)
