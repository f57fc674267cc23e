"""The formulas of the kernels keep the errors that formulas.py states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from engine.backends import formulas
from engine.backends.reference import pair_shift as exact_shift

TURN = 2.0**32
U = 2.0**-24
SINE_ERROR = 4.0 * U
"""The angle [turn], the two outer steps of Horner's scheme and the last product are
rounded, by at most U of a result below 1 each; the fit itself is 4e-9 off."""
ANGLES = np.unique(
    np.concatenate(
        [
            np.linspace(0, 2**32 - 1, 200_001).astype(np.uint32),
            # Around every fold of the range reduction.
            (np.arange(8)[:, None] * 2**29 + np.arange(-300, 300)).ravel()
            .astype(np.uint64).astype(np.uint32),
        ]
    )
)  # fmt: skip
DOSES = np.concatenate([[0.0], np.geomspace(1e-6, 100.0, 60)]).astype(np.float32)


@njit
def sine_cosine_all(angles, sine, cosine):
    for k in range(angles.size):
        sine[k], cosine[k] = formulas.sine_cosine(angles[k])


@njit
def decay_all(doses, kept, lost):
    for k in range(doses.size):
        kept[k], lost[k] = formulas.decay(doses[k])


@njit
def pair_shift_all(differences, doses, shift, sine, cosine):
    for k in range(differences.size):
        moved, s, c = formulas.pair_shift(differences[k], doses[k])
        shift[k], sine[k], cosine[k] = moved, s, c


def shift_pairs(
    differences: np.ndarray, doses: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shift = np.empty(differences.size, np.int32)
    sine, cosine = np.empty((2, differences.size), np.float32)
    pair_shift_all(differences, doses, shift, sine, cosine)
    return shift, sine, cosine


def pair_grid() -> tuple[np.ndarray, np.ndarray]:
    edges = [-(2**31), -(2**31) + 1, -(2**30), -1, 0, 1, 2**30, 2**31 - 1]
    line = np.linspace(-(2**31), 2**31 - 1, 4001).astype(np.int32)
    differences = np.concatenate([line, np.array(edges, np.int32)])
    grid = np.meshgrid(differences, DOSES)
    return grid[0].ravel(), grid[1].ravel()


def test_sine_and_cosine() -> None:
    sine, cosine = np.empty((2, ANGLES.size), np.float32)
    sine_cosine_all(ANGLES, sine, cosine)
    radians = ANGLES.astype(np.float64) * (2.0 * np.pi / TURN)
    assert np.abs(sine - np.sin(radians)).max() < SINE_ERROR
    assert np.abs(cosine - np.cos(radians)).max() < SINE_ERROR


def test_sine_is_odd_and_exact_at_zero() -> None:
    sine, cosine = np.empty((2, ANGLES.size), np.float32)
    mirrored_sine, mirrored_cosine = np.empty((2, ANGLES.size), np.float32)
    sine_cosine_all(ANGLES, sine, cosine)
    mirrored = (-ANGLES.astype(np.int64)).astype(np.uint32)
    sine_cosine_all(mirrored, mirrored_sine, mirrored_cosine)
    folds = ANGLES % 2**31 == 2**30  # at a quarter turn either branch may be taken
    assert np.array_equal(sine[~folds], -mirrored_sine[~folds])
    assert np.array_equal(cosine[~folds], mirrored_cosine[~folds])
    assert sine[0] == 0.0
    assert cosine[0] == 1.0


def test_decay() -> None:
    kept, lost = np.empty((2, DOSES.size), np.float32)
    decay_all(DOSES, kept, lost)
    doses = DOSES.astype(np.float64)
    # 2^f - 1 has the relative error 1e-8; the exponent 2 h log2 e is rounded twice
    # and the result three times. Doses beyond 43 saturate at 2^-126.
    error = (4.0 * doses.clip(max=44.0) + 4.0) * U + 1e-8
    exact = np.exp(-2.0 * doses)
    assert (np.abs(kept - exact) <= error * exact + 2.0**-126).all()
    loss = -np.expm1(-2.0 * doses)
    # "without cancellation": a relative error, down to the smallest dose.
    assert (np.abs(lost - loss) <= 6.0 * U * loss).all()


def test_decay_of_nothing_is_nothing() -> None:
    assert formulas.decay(np.float32(0.0)) == (1.0, 0.0)


def test_pair_shift_is_the_exact_flow_of_a_neighbouring_gap() -> None:
    differences, doses = pair_grid()
    shift, _, _ = shift_pairs(differences, doses)
    gap = differences.astype(np.float64) * (2.0 * np.pi / TURN)
    dose = doses.astype(np.float64)
    exact = exact_shift(gap, dose)
    # Near a gap of pi a dose h magnifies a rounding by exp(2 h), whoever computes.
    # So the error is told backwards: sine and cosine of d/2 with their errors are
    # those of a gap 2 sqrt 2 errors away; the arctangent adds eight roundings.
    side = np.sqrt(8.0) * SINE_ERROR
    slack = [np.abs(exact_shift(gap + way, dose) - exact) for way in (-side, side)]
    error = np.abs(shift * (2.0 * np.pi / TURN) - exact)
    # The dose's own roundings count like the decay's above.
    dosed = np.abs(exact_shift(gap, dose * (1.0 + 4.0 * U)) - exact)
    assert (error <= np.maximum(*slack) + dosed + 8.0 * U * np.pi / 2).all()


def test_pair_shift_at_moderate_doses() -> None:
    # The forward error that matters in a run: kappa / f of some tenths.
    differences, doses = pair_grid()
    is_usual = doses <= 0.5
    shift, _, _ = shift_pairs(differences[is_usual], doses[is_usual])
    gap = differences[is_usual].astype(np.float64) * (2.0 * np.pi / TURN)
    error = shift * (2.0 * np.pi / TURN) - exact_shift(gap, doses[is_usual])
    # As above, magnified by at most exp(2 h) = e.
    assert np.abs(error).max() < np.e * np.sqrt(8.0) * SINE_ERROR


def test_pair_shift_is_antisymmetric() -> None:
    # Swapping the ends of a bridge changes nothing but the sign.
    differences, doses = pair_grid()
    is_paired = differences != -(2**31)
    ahead, _, _ = shift_pairs(differences[is_paired], doses[is_paired])
    behind, _, _ = shift_pairs(-differences[is_paired], doses[is_paired])
    assert np.array_equal(ahead, -behind)


def test_pair_shift_pulls_together_and_never_past() -> None:
    differences, doses = pair_grid()
    shift, _, _ = shift_pairs(differences, doses)
    gap = differences.astype(np.int64)
    assert (shift * np.sign(gap) >= 0).all()
    # Half the gap closes it; rounding may pass by the error of a shift.
    assert (2 * np.abs(shift.astype(np.int64)) <= np.abs(gap) + 2**8).all()


def test_pair_shift_tells_half_the_gap() -> None:
    differences, doses = pair_grid()
    _, sine, cosine = shift_pairs(differences, doses)
    half = differences.astype(np.float64) * (np.pi / TURN)
    assert np.abs(sine - np.sin(half)).max() < SINE_ERROR
    assert np.abs(cosine - np.cos(half)).max() < SINE_ERROR


def test_no_dose_moves_nothing() -> None:
    differences, _ = pair_grid()
    shift, _, _ = shift_pairs(differences, np.zeros(differences.size, np.float32))
    assert not shift.any()


@pytest.mark.parametrize(
    ("rate", "turn", "size"),
    [(2.5, 0, 2.5), (-2.5, -(2**31), 2.5), (0.0, 0, 0.0), (-0.0, -(2**31), 0.0)],
)
def test_sign_of_a_rate_is_half_a_turn(rate: float, turn: int, size: float) -> None:
    split = formulas.split_rate(np.float32(rate))
    assert split == (turn, size)
    assert not np.signbit(split[1])


def test_repulsion_is_the_attraction_of_the_gap_half_a_turn_away() -> None:
    differences, doses = pair_grid()
    gap = differences * (2.0 * np.pi / TURN)
    away = (differences.astype(np.int64) + 2**31).astype(np.int32)
    exact = exact_shift(gap, -doses.astype(np.float64))
    same = exact_shift(away * (2.0 * np.pi / TURN), doses.astype(np.float64))
    assert np.allclose(exact, same, atol=1e-12)
    # tan(d/2) grows by exp(2 h), away from both fixed points and up to usual doses.
    usual = (np.abs(gap) > 0.1) & (np.abs(gap) < 3.0) & (doses < 1.0)
    grown = np.tan(gap[usual] / 2.0) * np.exp(2.0 * doses[usual].astype(np.float64))
    assert np.tan((gap - 2.0 * exact)[usual] / 2.0) == pytest.approx(grown, rel=1e-9)


@given(
    source=st.integers(0, 2**32 - 1),
    target=st.integers(0, 2**32 - 1),
    dose=st.floats(0.0, 100.0, width=32),
)
def test_event_conserves_the_sum(source: int, target: int, dose: float) -> None:
    gap = np.array([target - source], np.int64).astype(np.int32)
    moved = int(shift_pairs(gap, np.array([dose], np.float32))[0][0])
    after = (source + moved) % 2**32, (target - moved) % 2**32
    assert sum(after) % 2**32 == (source + target) % 2**32


@pytest.mark.parametrize("turns", [0.0, 2.0**-33, 3 * 2.0**-33, -0.3, 0.49999997])
def test_increment_is_rounded_to_nearest_even(turns: float) -> None:
    got = formulas.to_binary_increment(np.float32(turns))
    assert got == np.rint(np.float64(np.float32(turns)) * TURN)
