"""The noise is normal: its logarithm is exact, its words are the generator's."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from scipy import special

from engine.backends import noise
from engine.backends.formulas import philox_words
from engine.backends.philox import draw_kick_words
from engine.constants import FARTHEST_NORMAL

U = 2.0**-24


@njit
def log_all(shares, out):
    for k in range(shares.size):
        out[k] = noise.log_share(shares[k])


@njit
def pair_all(first, second, out):
    for k in range(first.size):
        out[k, 0], out[k, 1] = noise.normal_pair(first[k], second[k])


@njit
def words_of(counter, kick, key, out):
    out[0], out[1], out[2], out[3] = philox_words(counter, kick, key[0], key[1])


def draw_pairs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    out = np.empty((len(first), 2), np.float32)
    pair_all(first.astype(np.uint32), second.astype(np.uint32), out)
    return out.astype(np.float64)


def test_logarithm() -> None:
    shares = np.unique(np.geomspace(2.0**-33, 1.0, 300_001).astype(np.float32))
    found = np.empty_like(shares)
    log_all(shares, found)
    exact = np.log(shares.astype(np.float64))
    # The fit, Horner's last steps and two products; next to 1 it is f p(f) alone.
    assert (
        np.abs(found / np.where(exact, exact, 1.0) - 1.0)[exact < 0] < 4.0 * U
    ).all()
    assert found[-1] == 0.0


def test_farthest_normal_number() -> None:
    farthest = np.abs(draw_pairs(np.array([0, 0]), np.array([0, 2**30]))).max()
    assert farthest == np.float32(math.sqrt(2.0 * 33.0 * math.log(2.0)))
    assert farthest < FARTHEST_NORMAL
    # The nearest: u = 1 makes length 0, not the root of a negative number.
    assert (draw_pairs(np.array([2**32 - 1]), np.array([5])) == 0.0).all()


def test_quantiles_are_those_of_the_normal_law() -> None:
    # A grid over both words: the midpoints of 512 x 512 cells of the unit square.
    cells = (np.arange(512, dtype=np.uint64) * 2**23 + 2**22).astype(np.uint32)
    first, second = (words.ravel() for words in np.meshgrid(cells, cells))
    values = np.sort(draw_pairs(first, second)[:, 0])
    shares = (np.arange(values.size) + 0.5) / values.size
    # The discrepancy of such a grid is of the order of one row, 1 / 512.
    gap = np.abs(special.ndtr(values) - shares)
    assert gap.max() < 2.0 / 512
    assert abs(np.mean(values**2) - 1.0) < 0.02


def test_words_are_those_of_the_array_generator() -> None:
    out = np.empty(4, np.uint32)
    words = draw_kick_words((3, 6), 9, 77)
    assert words.shape == (3, 4)
    for quad in range(3):
        words_of(np.uint32(quad), np.uint32(77), (np.uint32(3), np.uint32(6)), out)
        assert (words[quad] == out).all()
