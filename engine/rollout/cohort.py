"""The cohort: which bridges follow the new policy, and what they have done."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.backends.philox import Stream, draw_permutation
from engine.bridge import BridgeNetwork
from engine.rollout.gates import Outcomes


class Cohort:
    """A part of the bridges, drawn by their ids: a larger part holds every smaller one.

    Example:
        >>> from engine.backends import select_backend
        >>> from engine.bridge import build_matchings
        >>> from engine.config import BackendConfig, BridgesConfig
        >>> backend = select_backend(BackendConfig("reference"), 16).backend
        >>> edges = build_matchings(16, BridgesConfig(per_node=2), seed=0)
        >>> network = BridgeNetwork(edges, np.ones(16), backend)
        >>> Cohort(network, np.full(16, 0.5), seed=0).assign(0.25)
        >>> int(network.members.sum())
        4
    """

    def __init__(
        self, network: BridgeNetwork, probabilities: npt.NDArray[np.float64], seed: int
    ) -> None:
        """Draw the order in which bridges join; none has joined yet.

        Args:
            network: All bridges.
            probabilities: Success probability of every bridge under the new policy
                [-], shape (bridges,).
            seed: Key of the draw.
        """
        self.network = network
        self._old = network.probabilities
        self._new = probabilities
        self._order = draw_permutation(seed, Stream.ROLLOUT, len(network))

    def assign(self, share: float) -> None:
        """Give a share of the bridges to the new policy, and all others to the old.

        Args:
            share: Of the bridges [-], in [0, 1]; at least one bridge unless it is 0.
        """
        count = len(self._order)
        members = np.zeros(count, dtype=np.bool_)
        members[self._order[: int(np.ceil(share * count))]] = True
        probabilities = np.where(members, self._new, self._old)
        self.network.assign_cohort(members, probabilities)

    def count_outcomes(self) -> Outcomes:
        """Count what the bridges of the new policy have done since the run began.

        Successes are expected, and vary, as the old policy's law has it.
        """
        network = self.network
        ids, tried, succeeded = (
            network.backend.to_host(getattr(network.arrays, name))
            for name in ("ids", "attempts", "successes")
        )
        is_member = network.members[ids]
        attempts = tried[is_member].astype(np.int64)
        law = self._old[ids[is_member]]
        return Outcomes(
            attempts=int(attempts.sum()),
            successes=int(succeeded[is_member].sum(dtype=np.int64)),
            expected=float(attempts @ law),
            variance=float(attempts @ (law * (1.0 - law))),
        )
