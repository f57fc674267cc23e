"""Philox gives Random123's known answers, and draws that are what they say."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from engine.backends.formulas import philox_word
from engine.backends.philox import (
    Stream,
    draw_attempt_words,
    draw_permutation,
    draw_uniform,
    draw_words,
)

MASK = 2**32 - 1
ONES, PI = (MASK,) * 4, (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
# kat_vectors of Random123 1.14, philox4x32 with 10 rounds.
KNOWN_ANSWERS = [
    ((0,) * 4, (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    (ONES, (MASK, MASK), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (PI, (0xA4093822, 0x299F31D0), "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
SPLIT = [(0, 0), (1, 0), (0, 1), (5, 7), (MASK, MASK), (12345, 2**31)]


def philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    """Salmon et al. 2011, written with Python's integers."""
    x, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [
            (second >> 32) ^ x[1] ^ k[0],
            second & MASK,
            (first >> 32) ^ x[3] ^ k[1],
            first & MASK,
        ]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return tuple(x)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_plain_philox_gives_the_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], answer: str
) -> None:
    assert philox(counter, key) == tuple(int(word, 16) for word in answer.split())


def test_known_answer_of_the_engine() -> None:
    words = [int(word[0]) for word in draw_words(0, 0, 1)]
    assert words == [int(word, 16) for word in KNOWN_ANSWERS[0][2].split()]


@pytest.mark.parametrize("key", SPLIT)
def test_engine_equals_plain_philox(key: tuple[int, int]) -> None:
    words = draw_words(*key, count=5, row=9)
    for i in range(5):
        assert tuple(int(word[i]) for word in words) == philox((i, 9, 0, 0), key)


@pytest.mark.parametrize(("key", "counter"), list(itertools.product(SPLIT, SPLIT)))
def test_kernels_draw_the_same_word(
    key: tuple[int, int], counter: tuple[int, int]
) -> None:
    ident, attempt = (np.array([value], np.uint32) for value in counter)
    expected = philox((*counter, 0, 0), key)[0]
    assert draw_attempt_words(key, ident, attempt)[0] == expected
    assert philox_word(ident[0], attempt[0], *map(np.uint32, key)) == expected


def test_streams_seeds_and_rows_are_independent() -> None:
    count = 10_000
    draws = [
        draw_uniform(seed, stream, count, row)
        for seed, stream, row in [
            (0, Stream.PHASES, 0),
            (0, Stream.FREQUENCIES, 0),
            (0, Stream.BRIDGES, 0),
            (0, Stream.BRIDGES, 1),
            (1, Stream.PHASES, 0),
        ]
    ]
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    # Five standard errors of a sample correlation.
    assert np.abs(correlation).max() < 5.0 / np.sqrt(count)


def test_neighbouring_draws_are_independent() -> None:
    values = draw_uniform(0, 1, 10_001)
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 5.0 / 100.0


def test_uniform_is_uniform_and_strictly_inside() -> None:
    count = 100_000
    values = draw_uniform(2, Stream.PHASES, count)
    assert values.min() > 0.0
    assert values.max() < 1.0
    # Kolmogorov-Smirnov: 1.95 / sqrt(N) is passed by 999 of 1000 true samples.
    distance = np.abs(np.sort(values) - (np.arange(count) + 0.5) / count).max()
    assert distance < 1.95 / np.sqrt(count)


def test_uniform_is_strictly_inside_at_the_extreme_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for word, least, most in ((0, 0.0, 2.0**-52), (MASK, 1.0 - 2.0**-52, 1.0)):
        words = (np.array([word], np.uint32),) * 4
        monkeypatch.setattr(
            "engine.backends.philox._mix", lambda *_, words=words: words
        )
        assert least < draw_uniform(0, 0, 1)[0] < most


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_permutation_is_a_permutation(count: int) -> None:
    order = draw_permutation(5, Stream.BRIDGES, count)
    assert np.array_equal(np.sort(order), np.arange(count))


def test_permutation_differs_by_seed_and_leaves_few_in_place() -> None:
    first, second = (draw_permutation(seed, 3, 1000) for seed in (0, 1))
    assert not np.array_equal(first, second)
    # Fixed points are Poisson with mean 1: more than 8 in one of a million.
    assert (first == np.arange(1000)).sum() <= 8
