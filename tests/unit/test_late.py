"""Late parts leave a quarter to half of a run out; spreads are exact for constants."""

from __future__ import annotations

import numpy as np
import pytest

from engine.late import LatePart, Spread


class Diary:
    def __init__(self) -> None:
        self.seen: list[int] = []

    def add(self, value: int) -> None:
        self.seen.append(value)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8, 9, 100, 1000, 1024])
def test_a_quarter_to_half_is_left_out(count: int) -> None:
    part = LatePart(Diary)
    for value in range(count):
        part.add(value)
    first = part.sums.seen[0]
    assert part.sums.seen == list(range(first, count))
    if count > 3:
        assert count / 4 <= first <= count / 2


def test_nothing_has_no_sums() -> None:
    assert LatePart(Diary).sums.seen == []


def test_spread_is_that_of_numpy() -> None:
    values = np.random.default_rng(0).normal(3.0, 0.1, 500)
    spread = Spread()
    for value in values:
        spread.add(float(value))
    assert spread.mean == pytest.approx(values.mean(), rel=1e-13)
    assert spread.deviation == pytest.approx(values.std(), rel=1e-12)


def test_equal_values_have_no_spread_at_all() -> None:
    spread = Spread()
    assert spread.deviation is None
    for _ in range(1000):
        spread.add(0.9 + 1e-9)
    assert spread.deviation == 0.0
