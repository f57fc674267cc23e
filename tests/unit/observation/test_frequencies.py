"""Clusters of equal frequencies, and histograms."""

from __future__ import annotations

import numpy as np
import pytest

from engine.observation import build_histogram, find_cluster


def test_largest_set_within_half_a_turn() -> None:
    # Over 2 s, half a turn is 0.25 Hz.
    frequencies = np.array([5.0, 10.2, 10.0, 10.1, 10.24, 10.26, 7.0, 7.1])
    cluster = find_cluster(frequencies, 2.0)
    assert cluster.width_hz == 0.25
    assert cluster.share == 4 / 8
    assert cluster.frequency_hz == pytest.approx(np.mean([10.0, 10.1, 10.2, 10.24]))


def test_longer_windows_tell_more_apart() -> None:
    frequencies = np.linspace(0.0, 1.0, 101)
    shares = [find_cluster(frequencies, window).share for window in (0.4, 4.0, 40.0)]
    assert shares == [1.0, 13 / 101, 2 / 101]


@pytest.mark.parametrize("hz", [0.0, 432.0, 1e9, -1e-3])
def test_equal_frequencies_are_one_cluster(hz: float) -> None:
    # 1e9 Hz over 1e9 s: the width is lost in rounding, and the nodes still count.
    cluster = find_cluster(np.full(10, hz), 1e9)
    assert (cluster.share, cluster.frequency_hz) == (1.0, pytest.approx(hz))


def test_histogram_holds_every_node() -> None:
    frequencies = np.random.default_rng(1).normal(432.0, 5.0, 1000)
    found = build_histogram(frequencies, 20)
    assert found.counts.sum() == 1000
    assert (found.edges_hz[0], found.edges_hz[-1]) == (
        frequencies.min(),
        frequencies.max(),
    )


def test_locked_nodes_fall_into_the_middle_bin() -> None:
    frequencies = 432.0 + np.random.default_rng(1).uniform(-1e-6, 1e-6, 1000)
    found = build_histogram(frequencies, 9, least_width_hz=0.5)
    assert found.counts.tolist() == [0, 0, 0, 0, 1000, 0, 0, 0, 0]
    assert found.edges_hz[-1] - found.edges_hz[0] == pytest.approx(4.5)
