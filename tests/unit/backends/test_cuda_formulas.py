"""formulas.cuh and noise.cuh, compiled for the host, give the bits of their twins."""

import ctypes
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from engine.backends import formulas, noise
from engine.backends.cpu_observables import FIXED_POINT
from engine.backends.kernels import read_source
from tests.host_cuda.compiler import build_library

U32_MAX = 2**32 - 1
EDGE_ANGLES = np.array(
    [
        (turn * 2**30 + step) % 2**32
        for turn in range(4)
        for step in (-(2**29), -129, -2, -1, 0, 1, 2, 127, 2**29)
    ],
    dtype=np.uint32,
)


@njit
def sine_cosine_all(angle, sine, cosine):
    for k in range(angle.size):
        sine[k], cosine[k] = formulas.sine_cosine(angle[k])


@njit
def rotate_all(sine, cosine, lag_sine, lag_cosine, turned_sine, turned_cosine):
    for k in range(sine.size):
        turned_sine[k], turned_cosine[k] = formulas.rotate(
            sine[k], cosine[k], lag_cosine[k], lag_sine[k]
        )


@njit
def log_all(share, logarithm):
    for k in range(share.size):
        logarithm[k] = noise.log_share(share[k])


@njit
def pair_all(first, second, cosine, sine):
    for k in range(first.size):
        cosine[k], sine[k] = noise.normal_pair(first[k], second[k])


@njit
def decay_all(dose, kept, lost):
    for k in range(dose.size):
        kept[k], lost[k] = formulas.decay(dose[k])


@njit
def pair_shift_all(difference, dose, shift, sine, cosine):
    for k in range(difference.size):
        shift[k], sine[k], cosine[k] = formulas.pair_shift(difference[k], dose[k])


@njit
def split_rate_all(rate, turn, size):
    for k in range(rate.size):
        half, size[k] = formulas.split_rate(rate[k])
        turn[k] = np.uint32(half)


@njit
def round_all(turns, binary):
    for k in range(turns.size):
        binary[k] = formulas.to_binary_increment(turns[k])


@njit
def fix_all(value, fixed):
    for k in range(value.size):
        fixed[k] = np.int64(np.rint(value[k] * FIXED_POINT))


@njit
def philox_all(counter0, counter1, key0, key1, word):
    for k in range(word.size):
        word[k] = formulas.philox_word(counter0[k], counter1[k], key0[k], key1[k])


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    source = read_source("noise.cuh") + '#include "formulas_host.h"\n'
    return build_library(source, tmp_path_factory.mktemp("formulas"), "formulas")


def assert_same_bits(library, kernel, inputs, dtypes):
    """Run both twins over the same inputs and compare every bit."""
    outputs = [[np.zeros(inputs[0].size, dtype) for dtype in dtypes] for _ in "ab"]
    kernel(*inputs, *outputs[0])
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in inputs]
    results = [array.ctypes.data_as(ctypes.c_void_p) for array in outputs[1]]
    call = getattr(library, kernel.__name__)
    call(*pointers, ctypes.c_int64(inputs[0].size), *results)
    for numba, host in zip(*outputs, strict=True):
        word = np.uint64 if numba.itemsize == 8 else np.uint32
        np.testing.assert_array_equal(numba.view(word), host.view(word))


def test_constants_are_the_same_floats():
    pairs = re.findall(
        r"constexpr float (\w+) = (-?[\d.e-]+)f;", read_source("noise.cuh")
    )
    for name, text in pairs:
        home = formulas if hasattr(formulas, name) else noise
        twin = FIXED_POINT if name == "FIXED_POINT" else getattr(home, name)
        assert np.float32(text) == twin, name
    names = {name for name, _ in pairs}
    assert names >= {"S4", "C4", "A8", "E5", "TWO_LOG2_E", "TINY", "L8", "LN_2"}


def test_sine_cosine(library):
    angles = np.arange(0, 2**32, 1021, dtype=np.uint64).astype(np.uint32)
    angles = np.concatenate([angles, EDGE_ANGLES])
    dtypes = (np.float32, np.float32)
    assert_same_bits(library, sine_cosine_all, [angles], dtypes)


def test_turning_by_a_lag(library):
    rng = np.random.default_rng(2)
    values = rng.uniform(-1.0, 1.0, (4, 10_000)).astype(np.float32)
    edges = np.array([0.0, -0.0, 1.0, -1.0], np.float32)
    edges = [axis.ravel() for axis in np.meshgrid(edges, edges, edges, edges)]
    inputs = [np.concatenate(pair) for pair in zip(edges, values, strict=True)]
    assert_same_bits(library, rotate_all, inputs, (np.float32, np.float32))


def test_logarithm(library):
    shares = np.geomspace(2.0**-33, 1.0, 200_001).astype(np.float32)
    near_one = 1.0 - np.arange(2000, dtype=np.float32) * np.float32(2.0**-24)
    shares = np.concatenate([shares, near_one, 2.0 ** -np.arange(34.0)])
    inputs = [np.minimum(shares, 1.0).astype(np.float32)]
    assert_same_bits(library, log_all, inputs, (np.float32,))


def test_normal_pair(library):
    rng = np.random.default_rng(4)
    words = rng.integers(0, 2**32, (2, 100_000), dtype=np.uint32)
    few = np.array([0, 1, 127, 2**31, U32_MAX - 128, U32_MAX], np.uint32)
    edges = [axis.ravel() for axis in np.meshgrid(few, EDGE_ANGLES)]
    inputs = [np.concatenate(pair) for pair in zip(edges, words, strict=True)]
    assert_same_bits(library, pair_all, inputs, (np.float32, np.float32))


def test_rounding_breaks_ties_to_even(library):
    ties = np.arange(-4097, 4098, dtype=np.float32) / np.float32(2.0**33)
    spread = np.linspace(-0.4999, 0.4999, 100_001, dtype=np.float32)
    turns = np.concatenate([ties, spread])
    assert_same_bits(library, round_all, [turns], (np.int32,))
    out = np.zeros(3, np.int32)
    round_all(np.array([0.5, 1.5, -2.5], np.float32) * np.float32(2.0**-32), out)
    assert out.tolist() == [0, 2, -2]


def test_fixed_point(library):
    ties = np.arange(-4097, 4098, dtype=np.float32) / np.float32(2.0**31)
    spread = np.linspace(-1.0000002, 1.0000002, 100_001, dtype=np.float32)
    assert_same_bits(library, fix_all, [np.concatenate([ties, spread])], (np.int64,))


def list_doses():
    """From nothing over subnormals to far beyond complete decay [-]."""
    exact = [0.0, 1e-45, 1e-38, 1e-30, 2.0**-24, 43.6, 43.7, 44.0, 1e6, 3e38, np.inf]
    ties = (np.arange(0, 260, dtype=np.float32) / 2) / np.float32(2.8853900817779268)
    smooth = np.geomspace(1e-12, 200.0, 500)
    return np.concatenate([exact, ties, smooth]).astype(np.float32)


def test_decay(library):
    doses = np.concatenate(
        [list_doses(), np.linspace(0, 50, 200_001, dtype=np.float32)]
    )
    assert_same_bits(library, decay_all, [doses], (np.float32, np.float32))


def test_pair_shift_on_a_grid(library):
    angles = np.arange(0, 2**32, 2**22 + 12345, dtype=np.uint64).astype(np.uint32)
    angles = np.concatenate([angles, EDGE_ANGLES]).view(np.int32)
    difference, dose = (a.ravel() for a in np.meshgrid(angles, list_doses()))
    dtypes = (np.int32, np.float32, np.float32)
    inputs = [np.ascontiguousarray(difference), np.ascontiguousarray(dose)]
    assert_same_bits(library, pair_shift_all, inputs, dtypes)


def test_split_rate(library):
    rates = np.concatenate([list_doses(), -list_doses()])
    assert_same_bits(library, split_rate_all, [rates], (np.uint32, np.float32))


@given(
    st.lists(
        st.tuples(
            st.integers(-(2**31), 2**31 - 1),
            st.floats(0.0, width=32, allow_nan=False, allow_infinity=False),
        ),
        min_size=1,
        max_size=64,
    )
)
def test_pair_shift_anywhere(library, pairs):
    inputs = [
        np.array([difference for difference, _ in pairs], np.int32),
        np.array([dose for _, dose in pairs], np.float32),
    ]
    dtypes = (np.int32, np.float32, np.float32)
    assert_same_bits(library, pair_shift_all, inputs, dtypes)


def test_philox(library):
    rng = np.random.default_rng(7)
    edges = np.array([0, 1, 2**31, U32_MAX], np.uint32)
    edges = [axis.ravel() for axis in np.meshgrid(edges, edges, edges, edges)]
    inputs = [
        np.concatenate([edge, rng.integers(0, 2**32, 10_000, dtype=np.uint32)])
        for edge in edges
    ]
    assert_same_bits(library, philox_all, inputs, (np.uint32,))


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        # Known answers of Random123 1.14, kat_vectors, philox4x32 10.
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        (
            [U32_MAX] * 4,
            [U32_MAX] * 2,
            [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD],
        ),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_known_answers(library, counter, key, words):
    arrays = [np.array(numbers, np.uint32) for numbers in (counter, key, [0] * 4)]
    library.philox_known(*(array.ctypes.data_as(ctypes.c_void_p) for array in arrays))
    assert arrays[2].tolist() == words
