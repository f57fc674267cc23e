"""Tunnel statistics per node, computed when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.bridge import Network
from engine.monitor import TunnelStatistics


class NodeStatistics(Mapping[int, TunnelStatistics]):
    """Node -> what the bridges that end there have done; a live view.

    Each look-up reads the bridge columns from the back end: meant for a handful of
    nodes between control periods, not for every node of a large lattice.
    """

    def __init__(self, network: Network, node_count: int) -> None:
        """View a network.

        Args:
            network: The bridges.
            node_count: Number of nodes of the lattice.
        """
        self._network = network
        self._node_count = node_count

    def __getitem__(self, node: int) -> TunnelStatistics:
        """Gather the statistics of one node.

        Raises:
            KeyError: There is no such node.
        """
        if not 0 <= node < self._node_count:
            raise KeyError(node)
        bridges = [self._network[int(i)] for i in self._network.touching(node)]
        count = max(len(bridges), 1)
        return TunnelStatistics(
            attempts=sum(bridge.attempts for bridge in bridges),
            successes=sum(bridge.successes for bridge in bridges),
            mean_frequency_hz=sum(bridge.frequency for bridge in bridges) / count,
            coherence=sum(bridge.coherence for bridge in bridges) / count,
        )

    def __iter__(self) -> Iterator[int]:
        """Iterate over all node ids."""
        return iter(range(self._node_count))

    def __len__(self) -> int:
        """Return the number of nodes."""
        return self._node_count
