"""Procedural matchings: which nodes a bridge joins, computed instead of stored.

Bridge k in [0, N/2) of layer l joins pi_l(2 k) and pi_l(2 k + 1), where pi_l is a keyed
permutation of the N nodes: a Feistel network over the smallest whole number of bits
that holds N nodes, walked along its cycle until it lands below N. So a layer is a
perfect matching whatever the keys are. Integers only; `formulas.py` and
`kernels/matching.cuh` hold the same network and the same success law for single
bridges, to the bit. This file holds them over NumPy arrays.

References:
    Luby and Rackoff 1988, doi:10.1137/0217022 (a Feistel network of keyed functions is
    a pseudorandom permutation); Black and Rogaway 2002, doi:10.1007/3-540-45760-7_9
    (cycle walking onto a domain of any size).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from engine.backends.philox import Stream, draw_words

DIRECTED_FLAG = 2**31
"""Top bit of a source in the columns of bridges, free for node ids are below 2^31."""

U32Array = npt.NDArray[np.uint32]
F32Array = npt.NDArray[np.float32]

ROUNDS = 8
"""Feistel rounds, four for each half. Six leave the ends of a bridge too often near
each other on the smallest lattices (by 1% at 64 nodes); at eight nothing was found."""
MIX_0, MIX_1 = 0x7FEB352D, 0x846CA68B
"""Odd multipliers of the round function (Wellons' lowbias32)."""
MIX_SHIFT = 15
WIDEST = 2.0**64
"""Largest p_max / P [-]: float32 holds its product with any strength."""
TURN_F = np.float32(2.0**32)
MOST_WORDS = np.float32(2.0**32 - 256.0)
"""Largest float32 below 2^32."""


@dataclass(frozen=True)
class SuccessLaw:
    """How dose and success follow from the natural detuning g of both ends.

    In float32 and in this order, on every back end:
        ratio = g * per_linewidth;  widening = min(1 + ratio * ratio, 2^64)
        dose rate = full_rate * widening                                   [rad/s]
        words = ceil((max_probability / widening) * 2^32)
        threshold = min(max(words, 1), 2^32) - 1
    An attempt succeeds if its random word is at most the threshold.
    """

    per_linewidth: float
    """1 / linewidth [1/Hz]; 0 for an infinite linewidth."""
    max_probability: float
    """p_max [-], in (0, 1]."""
    full_rate_rad_s: float
    """kappa / p_max, the dose rate at zero detuning [rad/s]: negative where bridges
    repel, half of it where they are directed."""

    @cached_property
    def words(self) -> tuple[np.float32, np.float32, np.float32]:
        """The three numbers as the kernels take them."""
        with np.errstate(over="ignore", under="ignore"):
            return (
                np.float32(self.per_linewidth),
                np.float32(self.max_probability),
                np.float32(self.full_rate_rad_s),
            )

    def apply(self, gaps_hz: F32Array) -> tuple[F32Array, U32Array]:
        """Compute what the detunings of both ends decide.

        Args:
            gaps_hz: Detuning of the target minus that of the source [Hz], any shape.

        Returns:
            Dose rates kappa / P [rad/s] and thresholds, shape of `gaps_hz`.
        """
        per_linewidth, max_probability, full_rate = self.words
        with np.errstate(over="ignore", under="ignore"):
            ratio = gaps_hz * per_linewidth
            widening = np.minimum(np.float32(1.0) + ratio * ratio, np.float32(WIDEST))
            words = np.ceil((max_probability / widening) * TURN_F)
            rates = full_rate * widening
        held = np.clip(words, np.float32(1.0), MOST_WORDS)
        thresholds = held.astype(np.uint32) - np.uint32(1)
        return rates, np.where(words >= TURN_F, np.uint32(2**32 - 1), thresholds)


@dataclass(frozen=True)
class Matching:
    """Random perfect matchings as a formula: all that there is to know of the ends."""

    node_count: int
    """N, even, in 2..2^31."""
    layer_count: int
    """Matchings, each a layer of N / 2 bridges, >= 1."""
    seed: int
    """First key word, in [0, 2^32)."""
    law: SuccessLaw
    """Dose and success of every bridge."""
    is_directed: bool = False
    """Whether only the target of a bridge moves."""

    @property
    def layer_size(self) -> int:
        """Bridges of a layer [-]."""
        return self.node_count // 2

    @property
    def bridge_count(self) -> int:
        """Bridges of all layers [-]."""
        return self.layer_count * self.layer_size

    @property
    def high_bits(self) -> int:
        """Bits of the upper half of a Feistel word [-], >= 1."""
        return max((self.node_count - 1).bit_length(), 2) // 2

    @property
    def low_bits(self) -> int:
        """Bits of the lower half [-], as many or one more."""
        return max((self.node_count - 1).bit_length(), 2) - self.high_bits

    @cached_property
    def keys(self) -> U32Array:
        """Round keys, Philox words, uint32, shape (layers, `ROUNDS`)."""
        rows = range(self.layer_count)
        words = [
            draw_words(self.seed, Stream.MATCHINGS, ROUNDS, row)[0] for row in rows
        ]
        return np.array(words, dtype=np.uint32).reshape(self.layer_count, ROUNDS)

    def _run_rounds(
        self, values: U32Array, layers: npt.NDArray[np.int64], order: range
    ) -> U32Array:
        """Run Feistel rounds in an order; backwards they undo themselves."""
        low_bits = np.uint32(self.low_bits)
        high = values >> low_bits
        low = values & ((np.uint32(1) << low_bits) - np.uint32(1))
        for index in order:
            keys = self.keys[layers, index]
            if index % 2:
                low = low ^ (mix_word(high, keys) >> np.uint32(32 - self.low_bits))
            else:
                high = high ^ (mix_word(low, keys) >> np.uint32(32 - self.high_bits))
        return (high << low_bits) | low

    def _walk(
        self, values: U32Array, layers: npt.NDArray[np.int64], order: range
    ) -> U32Array:
        """Follow the cycles of the rounds until every value lies below N."""
        out = self._run_rounds(values, layers, order)
        outside = np.flatnonzero(out >= self.node_count)
        while len(outside):
            out[outside] = self._run_rounds(out[outside], layers[outside], order)
            outside = outside[out[outside] >= self.node_count]
        return out

    def compute_ends(self, ids: npt.NDArray[np.integer]) -> tuple[U32Array, U32Array]:
        """Compute which nodes bridges join.

        Args:
            ids: Bridge ids, layer * N / 2 + k, shape (n,).

        Returns:
            Sources and targets, node ids, uint32, shape (n,) each.
        """
        layers, places = np.divmod(np.asarray(ids, dtype=np.int64), self.layer_size)
        first = (2 * places).astype(np.uint32)
        sources = self._walk(first, layers, range(ROUNDS))
        return sources, self._walk(first + np.uint32(1), layers, range(ROUNDS))

    def find_bridges(self, node: int) -> npt.NDArray[np.int64]:
        """Find the bridge that ends at a node in each layer.

        Args:
            node: Node id, in [0, N).

        Returns:
            Bridge ids, one per layer, shape (layers,).
        """
        layers = np.arange(self.layer_count)
        nodes = np.full(self.layer_count, node, dtype=np.uint32)
        places = self._walk(nodes, layers, range(ROUNDS)[::-1])
        return layers * self.layer_size + places // np.uint32(2)


def mix_word(half: U32Array, key: U32Array) -> U32Array:
    """Return the round function's word; its highest bits are the best mixed.

    Args:
        half: One half of a Feistel word, shape (n,).
        key: Round keys, shape (n,).

    Returns:
        Words, uint32, shape (n,).
    """
    word: U32Array = (half ^ key) * np.uint32(MIX_0)
    word ^= word >> np.uint32(MIX_SHIFT)
    word *= np.uint32(MIX_1)
    return word
