"""Procedural matchings: perfect, spread like random ones, equal in three twins."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from engine.backends import cpu_matching, formulas, matching
from engine.backends.kernels import read_source
from engine.backends.matching import ROUNDS, Matching, SuccessLaw
from tests.host_cuda.compiler import build_library

LAW = SuccessLaw(1.0 / 60.0, 0.9, 120.0)
SIZES = [2, 4, 6, 16, 18, 62, 64, 1000, 4096, 4098, 65_536, 98_306]
LEAST_P = 1e-6
"""Seeds are fixed: a correct permutation fails once in a million choices of them."""

# permute and success_law over arrays, to be called through ctypes.
HOST_CALLS = """
#include <stdint.h>
using namespace scribble;
extern "C" void permute_all(
    const uint32_t* word, int64_t n, uint32_t node_count, uint32_t high_bits,
    uint32_t low_bits, const uint32_t* keys, uint32_t* out)
{
    const Permutation layer = {node_count, high_bits, low_bits, keys};
    for (int64_t k = 0; k < n; ++k) {
        out[k] = permute(word[k], layer);
    }
}
extern "C" void law_all(
    const float* gap, int64_t n, const float* law, float* rate, uint32_t* threshold)
{
    for (int64_t k = 0; k < n; ++k) {
        const Success success = success_law(gap[k], law[0], law[1], law[2]);
        rate[k] = success.dose_rate;
        threshold[k] = success.threshold;
    }
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder: Path = tmp_path_factory.mktemp("matching")
    return build_library(read_source("matching.cuh") + HOST_CALLS, folder, "matching")


def point(array: npt.NDArray[np.generic]) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


def compute_all(nodes: int, layers: int, seed: int = 0) -> tuple[Matching, list]:
    built = Matching(nodes, layers, seed, LAW)
    return built, list(built.compute_ends(np.arange(built.bridge_count)))


@pytest.mark.parametrize("nodes", SIZES)
def test_layer_is_a_perfect_matching(nodes: int) -> None:
    _, ends = compute_all(nodes, 3)
    for layer in np.stack(ends, axis=1).reshape(3, nodes):
        assert np.array_equal(np.sort(layer), np.arange(nodes))


@given(st.integers(1, 400), st.integers(0, 2**32 - 1))
def test_any_size_and_seed(half: int, seed: int) -> None:
    _, ends = compute_all(2 * half, 1, seed)
    assert np.array_equal(np.sort(np.concatenate(ends)), np.arange(2 * half))


@pytest.mark.parametrize("nodes", [2**31, 2**31 - 2, 2**30 + 2, 2**30])
def test_largest_lattices(nodes: int) -> None:
    built = Matching(nodes, 4, 7, LAW)
    count = built.bridge_count
    ids = np.concatenate([np.arange(1000), np.arange(count - 1000, count)])
    ends = np.concatenate(built.compute_ends(ids))
    assert ends.max() < nodes
    for node, bridge in ((ends[0], ids[0]), (ends[-1], ids[-1])):
        assert bridge in built.find_bridges(int(node))


@pytest.mark.parametrize("nodes", [2, 6, 64, 1000])
def test_bridges_of_a_node_are_found_backwards(nodes: int) -> None:
    built, (sources, targets) = compute_all(nodes, 4)
    for node in range(nodes):
        wanted = np.flatnonzero((sources == node) | (targets == node))
        assert np.array_equal(built.find_bridges(node), wanted)


@pytest.mark.parametrize("nodes", [64, 1000, 4096])
def test_displacements_are_uniform(nodes: int) -> None:
    counts = np.zeros(nodes, np.int64)
    for seed in range(40):
        _, (sources, targets) = compute_all(nodes, 64, seed)
        gaps = (targets.astype(np.int64) - sources) % nodes
        counts += np.bincount(gaps, minlength=nodes)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > LEAST_P
    # Chi-square is dull for single cells: neighbours along a row and a column.
    expected = counts.sum() / (nodes - 1)
    side = round(nodes**0.5)
    for near in (1, side):
        excess = counts[near] + counts[-near] - 2 * expected
        assert abs(excess) < 4.9 * np.sqrt(2 * expected)


@pytest.mark.parametrize("nodes", [1000, 4096])
def test_a_window_of_slots_is_spread_over_the_sites(nodes: int) -> None:
    counts = np.zeros(25, np.int64)
    width = nodes // 50  # bridges, of one layer
    for seed in range(400):
        built = Matching(nodes, 1, seed, LAW)
        ends = np.concatenate(built.compute_ends(np.arange(width)))
        counts += np.histogram(ends, bins=25, range=(0, nodes))[0]
    expected = np.diff(np.histogram_bin_edges([], 25, (0, nodes)).round())
    expected = expected / expected.sum() * counts.sum()
    assert stats.chisquare(counts, expected).pvalue > LEAST_P


def test_layers_and_seeds_are_uncorrelated() -> None:
    _, (first, second) = compute_all(4096, 2, 0)
    _, (other, _) = compute_all(4096, 1, 1)
    bound = 4.9 / np.sqrt(2048)
    for one, two in (
        (first[:2048], first[2048:]),
        (second[:2048], second[2048:]),
        (first[:2048], second[:2048]),
        (first[:2048], other),
    ):
        assert abs(np.corrcoef(one, two)[0, 1]) < bound
    # Two random layers share a pair with expectation 1/2.
    pairs = [set(map(frozenset, zip(a, b, strict=True))) for a, b in (
        (first[:2048].tolist(), second[:2048].tolist()),
        (first[2048:].tolist(), second[2048:].tolist()),
    )]  # fmt: skip
    assert len(pairs[0] & pairs[1]) < 8


@pytest.mark.parametrize("nodes", SIZES)
def test_three_twins_agree(nodes: int, library: ctypes.CDLL) -> None:
    layers = 2
    built, (sources, targets) = compute_all(nodes, layers, 5)
    rng = np.random.default_rng(1)
    detunings = rng.normal(0.0, 80.0, nodes).astype(np.float32)
    rates, thresholds = LAW.apply(detunings[targets] - detunings[sources])
    bits = (np.uint32(built.high_bits), np.uint32(built.low_bits))
    formula = (built.keys, *bits, *LAW.words, np.uint32(0))
    words = np.empty((5, cpu_matching.ENDS_PER_BLOCK), np.uint32)
    reals = np.empty((2, cpu_matching.EVENT_BLOCK), np.float32)
    for layer in range(layers):
        lo = layer * built.layer_size
        hi = min(lo + cpu_matching.EVENT_BLOCK, lo + built.layer_size)
        block = cpu_matching.compute_block(detunings, formula, lo, hi, words, reals)
        wanted = (np.arange(lo, hi), sources[lo:hi], targets[lo:hi])
        for ours, theirs in zip(block[:3], wanted, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(block[3], rates[lo:hi])
        np.testing.assert_array_equal(block[4], thresholds[lo:hi])
        places = np.arange(nodes, dtype=np.uint32)
        images, keys = np.empty_like(places), built.keys[layer].copy()
        shape = [ctypes.c_uint32(int(n)) for n in (nodes, *bits)]
        library.permute_all(
            point(places), ctypes.c_int64(nodes), *shape, point(keys), point(images)
        )
        end = lo + built.layer_size
        np.testing.assert_array_equal(images[0::2], sources[lo:end])
        np.testing.assert_array_equal(images[1::2], targets[lo:end])


@pytest.mark.parametrize(
    "law",
    [
        LAW,
        SuccessLaw(0.0, 1.0, 108.0),
        SuccessLaw(1e3, 1e-3, 0.0),
        SuccessLaw(1, 1, 1),
        SuccessLaw(1.0 / 60.0, 0.9, -120.0),
    ],
)
def test_success_law_of_three_twins(law: SuccessLaw, library: ctypes.CDLL) -> None:
    gaps = np.concatenate([[0.0, 1e-40, 1e30, -1e30], np.geomspace(1e-6, 1e12, 5000)])
    gaps = np.concatenate([gaps, -gaps]).astype(np.float32)
    rates, thresholds = law.apply(gaps)
    words = np.array(law.words, np.float32)
    host = np.empty_like(rates), np.empty_like(thresholds)
    library.law_all(
        point(gaps), ctypes.c_int64(gaps.size), point(words), *map(point, host)
    )
    np.testing.assert_array_equal(host[0], rates)
    np.testing.assert_array_equal(host[1], thresholds)
    for gap, rate, threshold in zip(gaps, rates, thresholds, strict=True):
        ours = formulas.success_law(gap, *law.words)
        assert (np.float32(ours[0]), int(ours[1])) == (rate, threshold)
    assert np.isfinite(rates).all()


def test_success_law_is_that_of_stored_bridges() -> None:
    gaps = np.linspace(-400.0, 400.0, 1001).astype(np.float32)
    rates, thresholds = LAW.apply(gaps)
    exact = 0.9 / (1.0 + (gaps.astype(np.float64) / 60.0) ** 2)
    # Six roundings of float32, and one word of 2^32.
    np.testing.assert_allclose((thresholds + 1.0) / 2**32, exact, rtol=6 * 2.0**-24)
    np.testing.assert_allclose(rates, 108.0 / exact, rtol=6 * 2.0**-24)


def test_certain_success_takes_every_word() -> None:
    law = SuccessLaw(0.0, 1.0, 108.0)
    rates, thresholds = law.apply(np.array([0.0, 5.0, 1e20], np.float32))
    assert (thresholds == 2**32 - 1).all()
    assert (rates == 108.0).all()


def test_constants_of_the_twins() -> None:
    text = read_source("matching.cuh")
    found = dict(re.findall(r"constexpr [a-z ]+ (\w+) = ([\w.]+?)[uf]?;", text))
    assert int(found["ROUNDS"]) == ROUNDS
    assert int(found["FEISTEL_M0"], 16) == matching.MIX_0
    assert int(found["FEISTEL_M1"], 16) == matching.MIX_1
    assert int(found["FEISTEL_SHIFT"]) == matching.MIX_SHIFT
    assert float(found["WIDEST_F"]) == matching.WIDEST
    assert float(found["MOST_WORDS_F"]) == matching.MOST_WORDS
