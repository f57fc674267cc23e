"""Philox4x32-10 over NumPy arrays, for everything that is drawn once.

The kernels hold the same generator for single words; there is no generator
state anywhere, only (seed, stream) keys and counters.

References:
    Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3",
    doi:10.1145/2063384.2063405.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import numpy as np
import numpy.typing as npt

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW, _WORD = np.uint64(0xFFFFFFFF), np.uint64(32)

PART = 2**16
"""Counters worked at a time: their 64-bit words take some 6 MB, not the memory [-]."""


class Stream(IntEnum):
    """Second key word: one independent stream for each use."""

    PHASES = 1
    FREQUENCIES = 2
    BRIDGES = 3
    TUNNELS = 4
    MATCHINGS = 5
    NOISE = 6
    STRENGTHS = 7
    ROLLOUT = 8
    LOAD = 9


def draw_words(
    seed: int, stream: int, count: int, row: int = 0
) -> tuple[npt.NDArray[np.uint32], ...]:
    """Draw four 32-bit words for each of `count` counters (i, row, 0, 0).

    Args:
        seed: First key word, in [0, 2^32).
        stream: Second key word, in [0, 2^32).
        count: Number of counters, < 2^32.
        row: Second counter word, in [0, 2^32).

    Returns:
        Four arrays of uint32, shape (count,).
    """
    words = tuple(np.empty(count, dtype=np.uint32) for _ in range(4))
    for part, drawn in _draw_parts(seed, stream, count, row):
        for whole, piece in zip(words, drawn, strict=True):
            whole[part] = piece
    return words


def _draw_parts(
    seed: int, stream: int, count: int, row: int
) -> Iterator[tuple[slice, tuple[npt.NDArray[np.uint32], ...]]]:
    """Draw the words of all counters in pieces that stay in the cache."""
    for low in range(0, count, PART):
        high = min(low + PART, count)
        counter = np.arange(low, high, dtype=np.uint64)
        rows = np.full(high - low, row, dtype=np.uint64)
        yield slice(low, high), _mix(counter, rows, seed, stream)


def _mix(
    counter0: npt.NDArray[np.uint64],
    counter1: npt.NDArray[np.uint64],
    key0: int,
    key1: int,
) -> tuple[npt.NDArray[np.uint32], ...]:
    """Run the ten rounds on counters (counter0, counter1, 0, 0)."""
    zeros = np.zeros_like(counter0)
    x = [counter0, counter1, zeros, zeros]
    for _ in range(10):
        product0, product1 = _M0 * x[0], _M1 * x[2]
        x = [
            (product1 >> _WORD) ^ x[1] ^ np.uint64(key0),
            product1 & _LOW,
            (product0 >> _WORD) ^ x[3] ^ np.uint64(key1),
            product0 & _LOW,
        ]
        key0, key1 = (key0 + _W0) % 2**32, (key1 + _W1) % 2**32
    return tuple(word.astype(np.uint32) for word in x)


def draw_attempt_words(
    key: tuple[int, int],
    ids: npt.NDArray[np.uint32],
    attempts: npt.NDArray[np.uint32],
) -> npt.NDArray[np.uint32]:
    """Draw the word that decides each attempt.

    Args:
        key: (seed, stream).
        ids: Bridge ids, shape (n,).
        attempts: Attempts made before, shape (n,).

    Returns:
        First Philox words, uint32, shape (n,).
    """
    return _mix(ids.astype(np.uint64), attempts.astype(np.uint64), *key)[0]


def draw_kick_words(
    key: tuple[int, int], count: int, kick: int
) -> npt.NDArray[np.uint32]:
    """Draw the words of a kick of noise: four nodes share a counter.

    Args:
        key: (seed, stream).
        count: Number of nodes.
        kick: Kicks before this one, in [0, 2^32).

    Returns:
        Words, uint32, shape (ceil(count / 4), 4).
    """
    return np.stack(draw_words(*key, -(-count // 4), kick), axis=1)


def draw_uniform(
    seed: int, stream: int, count: int, row: int = 0
) -> npt.NDArray[np.float64]:
    """Draw uniform numbers strictly inside (0, 1) [-], shape (count,)."""
    shares = np.empty(count)
    for part, (high, low, _, _) in _draw_parts(seed, stream, count, row):
        bits = (high.astype(np.uint64) << np.uint64(20)) | (low >> np.uint32(12))
        shares[part] = (bits.astype(np.float64) + 0.5) * 2.0**-52
    return shares


def draw_permutation(
    seed: int, stream: int, count: int, row: int = 0
) -> npt.NDArray[np.int64]:
    """Draw a random permutation of range(count) by sorting 64-bit keys."""
    keys = np.empty(count, dtype=np.uint64)
    for part, (high, low, _, _) in _draw_parts(seed, stream, count, row):
        keys[part] = (high.astype(np.uint64) << _WORD) | low
    return np.argsort(keys, kind="stable")
