"""Thinned series keep their peaks and dips; bands keep their stretches."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.report.thinning import build_bands, find_kept_rows, round_values


@given(
    st.integers(1, 5000), st.integers(10, 400), st.integers(1, 3), st.integers(0, 99)
)
def test_extremes_survive_within_the_bound(
    count: int, most: int, width: int, seed: int
) -> None:
    columns = list(np.random.default_rng(seed).normal(size=(width, count)))
    kept = find_kept_rows(columns, most)
    assert len(kept) <= most
    assert list(kept) == sorted(set(kept))
    assert (kept[0], kept[-1]) == (0, count - 1)
    # A bucket for each extreme of each column must fit; below that nothing is promised.
    if most >= 2 + 2 * width:
        for column in columns:
            assert column[kept].min() == column.min()
            assert column[kept].max() == column.max()


def test_gaps_do_not_hide_what_is_known() -> None:
    column = np.full(1000, np.nan)
    column[[400, 401]] = 1.0, 2.0
    kept = find_kept_rows([column], 50)
    assert {400, 401} <= set(kept.tolist())


def test_rounding_keeps_six_digits_and_drops_what_is_not_finite() -> None:
    found = round_values(np.array([0.123456789, np.nan, np.inf, 1234567.8]))
    assert found == (0.123457, None, None, 1234570.0)


def test_bands_join_equal_rows_and_leave_the_quiet_state_out() -> None:
    states = np.array(["a", "a", "quiet", "b", "a"], dtype=object)
    bands = build_bands(np.arange(1.0, 6.0), states, "quiet")
    found = [(band.start, band.end, band.label) for band in bands]
    assert found == [(0.0, 2.0, "a"), (3.0, 4.0, "b"), (4.0, 5.0, "a")]


@pytest.mark.parametrize("most", [1, 7, 300])
def test_flickering_is_bounded_and_covers_the_same_time(most: int) -> None:
    states = np.array(["a", "quiet"] * 1000, dtype=object)
    bands = build_bands(np.arange(1.0, 2001.0), states, "quiet", most)
    assert 1 <= len(bands) <= most
    assert (bands[0].start, bands[-1].end) == (0.0, 1999.0)
    assert all(a.end <= b.start for a, b in pairwise(bands))
