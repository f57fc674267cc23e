"""Placing matchings by natural frequency instead of by chance.

`balanced` joins low natural frequencies to high ones. `aligned` joins nodes whose
bridge lowers J of `alignment.py` most: layer by layer it solves for the locked state of
what stands so far, the layers to come acting as a pull towards the mean of all, and
pairs opposite ends of that state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.backends.philox import Stream, draw_permutation, draw_uniform
from engine.bridge.alignment import Alignment, BareLattice
from engine.bridge.drawing import check_even, draw_strengths
from engine.bridge.edges import EdgeList, I64Array, spread_flag
from engine.bridge.operator import F64
from engine.bridge.pairing import avoid_repeats, match_opposites, to_keys
from engine.config import BridgesConfig
from engine.errors import ConfigError

JITTER: Final = 0.1
"""Width of the noise on ranks that tells balanced layers apart, as a share of all
nodes. Noise of up to 0.3 standard deviations of the frequencies left r as it was."""
WORKING_MISALIGNMENT: Final = 0.21
"""J of the state that aligned bridges are placed for [rad^2]: r = 0.9. A bridge that
acts f times a second is no stiffer than f/2, so those worth placing are soft; between
0.1 and 0.33 the frequency that holds a floor of 0.87 changed by a fifth at most, for
three laws of frequencies and couplings of 0.5 to 2 sigma."""
SOFTEST_SHARE: Final = 1.0 / 64.0
"""Least stiffness that bridges are placed for, as a share of their strength [-]."""
STIFFNESS_ROUNDS: Final = 7
"""Halvings of the interval of that stiffness on a logarithmic scale: to 3%."""
PLACING_TOLERANCE: Final = 1e-3
"""Residual of the solves that only rank nodes [-]."""
MAX_PLACED_EDGES: Final = 2**24
"""Lattice edges plus bridges up to which bridges are aligned: a minute, 1.2 GiB."""
FLIP_ROW, JITTER_ROW = 64, 128
"""Rows of the random numbers beside those of the permutations, one per layer."""

Scorer = Callable[[int, I64Array], F64]
"""Returns the score of every node for a layer, given the ends so far, (2, pairs)."""


def place_matchings(lattice: BareLattice, config: BridgesConfig, seed: int) -> EdgeList:
    """Place `per_node` perfect matchings, each one a layer, by natural frequency.

    Args:
        lattice: What they span; an even number of nodes.
        config: Layers, strength and placement, which is not random.
        seed: Key of the random numbers: ties, jitter, strengths and which end is first.

    Returns:
        per_node * node_count / 2 bridges; no pair occurs twice where that is possible.

    Raises:
        ConfigError: The node count is odd, a strength that was drawn is too large, or
            one repels or the network is too large where the placement is aligned.
    """
    nodes = lattice.geometry.node_count
    check_even(nodes)
    size, layers = nodes // 2, config.per_node
    strengths = draw_strengths(size * layers, config, seed)
    find_scores = _SCORERS[config.placement](lattice, strengths, config, seed)
    ends = np.empty((2, layers, size), dtype=np.uint32)
    taken = np.zeros(0, dtype=np.int64)
    for layer in range(layers):
        so_far = ends[:, :layer].reshape(2, -1).astype(np.int64)
        order = draw_permutation(seed, Stream.BRIDGES, nodes, layer)
        first, second = match_opposites(order, find_scores(layer, so_far)[order])
        second = avoid_repeats(first, second, taken, nodes)
        taken = np.sort(np.concatenate([taken, to_keys(first, second, nodes)]))
        # Low ends are not always first: of a directed bridge only the second moves.
        is_flipped = draw_uniform(seed, Stream.BRIDGES, size, FLIP_ROW + layer) < 0.5
        ends[:, layer] = np.where(is_flipped, (second, first), (first, second))
    return EdgeList(
        ends[0].ravel(),
        ends[1].ravel(),
        strengths,
        np.repeat(np.arange(layers, dtype=np.int32), size),
        spread_flag(config.directed, len(strengths)),
    )


def _balance(
    lattice: BareLattice,
    strengths: npt.NDArray[np.float32],
    config: BridgesConfig,
    seed: int,
) -> Scorer:
    """Score nodes by the rank of their natural frequency, with a jitter per layer."""
    nodes = lattice.geometry.node_count
    ranks = np.empty(nodes)
    # Equal frequencies have no order of their own.
    order = draw_permutation(seed, Stream.BRIDGES, nodes, JITTER_ROW + config.per_node)
    ranks[order[np.argsort(lattice.rates[order], kind="stable")]] = np.arange(nodes)

    def find_scores(layer: int, ends: I64Array) -> F64:
        noise = draw_uniform(seed, Stream.BRIDGES, nodes, JITTER_ROW + layer) - 0.5
        return np.asarray(ranks + JITTER * nodes * noise)

    return find_scores


def _align(
    lattice: BareLattice,
    strengths: npt.NDArray[np.float32],
    config: BridgesConfig,
    seed: int,
) -> Scorer:
    """Score nodes by the locked state of all bridges that stand."""
    _check_alignable(lattice, strengths)
    stiffnesses = find_working_stiffnesses(
        lattice, strengths.astype(np.float64)
    ).reshape(config.per_node, -1)
    states: list[Alignment] = []

    def find_scores(layer: int, ends: I64Array) -> F64:
        states[:] = [
            lattice.align(
                ends[0],
                ends[1],
                stiffnesses[:layer].ravel(),
                anchor_rad_s=float(stiffnesses[layer:].mean(axis=1).sum()),
                start=states[0] if states else None,
                tolerance=PLACING_TOLERANCE,
            )
        ]
        return states[0].scores

    return find_scores


def find_working_stiffnesses(lattice: BareLattice, strengths: F64) -> F64:
    """Return how stiff bridges are where a floor makes them work, not at their best.

    Bridges that act rarely are equally soft, however strong they are. So strengths are
    cut to one at which bridges that pull towards the mean of all would leave
    `WORKING_MISALIGNMENT`.

    Args:
        lattice: What they span.
        strengths: kappa [rad/s], > 0, shape (bridges,).

    Returns:
        Stiffnesses [rad/s], at most kappa, shape (bridges,).
    """
    if not len(strengths):
        return strengths
    share = 2.0 / lattice.geometry.node_count

    def is_too_soft(limit: float) -> bool:
        anchor = share * float(np.minimum(strengths, limit).sum())
        left = lattice.find_misalignment(anchor, tolerance=PLACING_TOLERANCE)
        return left > WORKING_MISALIGNMENT

    high = float(strengths.max())
    if is_too_soft(high):
        return strengths
    low = SOFTEST_SHARE * high
    for _ in range(STIFFNESS_ROUNDS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if is_too_soft(middle) else (low, middle)
    return np.minimum(strengths, high)


def _check_alignable(lattice: BareLattice, strengths: npt.NDArray[np.float32]) -> None:
    """Refuse what the linearised locked state does not know."""
    repelling = int(np.count_nonzero(strengths < 0.0))
    if repelling:
        raise ConfigError(
            f"bridges.placement is 'aligned', but {repelling:,} of {len(strengths):,} "
            "bridges that were drawn repel, and only attraction has a locked state to "
            "align with; lower bridges.strength_spread_rad_s, or use "
            "bridges.placement=balanced."
        )
    count = lattice.geometry.edge_count + len(strengths)
    if count > MAX_PLACED_EDGES:
        raise ConfigError(
            f"bridges.placement is 'aligned', which solves for all {count:,} edges of "
            f"lattice and bridges at once, and at most {MAX_PLACED_EDGES:,} are taken; "
            "shrink lattice.shape, or use bridges.placement=balanced."
        )


_SCORERS: Mapping[
    str,
    Callable[
        [BareLattice, npt.NDArray[np.float32], BridgesConfig, int],
        Scorer,
    ],
] = {"balanced": _balance, "aligned": _align}
