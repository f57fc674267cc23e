"""Scalar formulas of the binary-angle back ends, compiled by Numba.

`kernels/formulas.cuh` holds the same formulas for CUDA. Both use only IEEE
+ - * / and conversions, in the order written here and without contraction, so
they give the same bits; change them together. Coefficients are weighted minimax
fits (Lawson iteration); the stated errors were measured over the whole range.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.backends.matching import MIX_0, MIX_1, MIX_SHIFT, MOST_WORDS, WIDEST

F = np.float32
I32 = np.int32
U32 = np.uint32
U64 = np.uint64

TURN_F = F(2.0**32)
PER_TURN = F(2.0**-32)
PER_TWO_TURNS = F(2.0**-33)
QUARTER_TURN = U32(2**30)

# sin(2 pi y) = y * p(y^2) for abs(y) <= 1/4 turn, absolute error 4e-9.
S0, S1, S2, S3, S4 = (
    F(v)
    for v in (
        6.28318516217585,
        -41.341655370287285,
        81.60102087479017,
        -76.55010776873068,
        39.538868988026785,
    )
)
# cos(2 pi y) = 1 + y^2 q(y^2) for abs(y) <= 1/4 turn, absolute error 3e-10.
C0, C1, C2, C3, C4 = (
    F(v)
    for v in (
        -19.739208624350677,
        64.93935359612071,
        -85.45383071024888,
        60.14820493678119,
        -25.006796564763977,
    )
)
# atan(t) / (2 pi) = t * p(t^2) for 0 <= t <= 1, relative error 1.4e-8.
A0, A1, A2, A3, A4, A5, A6, A7, A8 = (
    F(v)
    for v in (
        0.15915494092208948,
        -0.05305126671814776,
        0.03181993388280357,
        -0.02261135546650333,
        0.01695744569483699,
        -0.011990217772059006,
        0.006849928075351172,
        -0.002591521177961403,
        0.0004621147293618622,
    )
)
# 2^f - 1 = f * p(f) for abs(f) <= 1/2, relative error 1e-8.
E0, E1, E2, E3, E4, E5 = (
    F(v)
    for v in (
        0.6931471880289539,
        0.24022651084203697,
        0.05550357105498075,
        0.009618030772455823,
        0.0013390866853352028,
        0.0001546973458927784,
    )
)
TWO_LOG2_E = F(2.0 * 1.4426950408889634)
MAX_EXPONENT = F(126.0)
ONE = F(1.0)
QUARTER_TURN_F = F(0.25)
TINY = F(1e-30)

PHILOX_M0 = U64(0xD2511F53)
PHILOX_M1 = U64(0xCD9E8D57)
PHILOX_W0 = U32(0x9E3779B9)
PHILOX_W1 = U32(0xBB67AE85)
LOW_WORD = U64(0xFFFFFFFF)
FEISTEL_M0, FEISTEL_M1 = U32(MIX_0), U32(MIX_1)
FEISTEL_SHIFT = U32(MIX_SHIFT)
WIDEST_F, MOST_WORDS_F = F(WIDEST), F(MOST_WORDS)
ALL_WORDS = U32(0xFFFFFFFF)
WORD = U64(32)


@njit(inline="always")
def sine_poly(y):
    """Return sin(2 pi y), y in [-1/4, 1/4] turn."""
    u = y * y
    return y * (S0 + u * (S1 + u * (S2 + u * (S3 + u * S4))))


@njit(inline="always")
def cosine_poly(y):
    """Return cos(2 pi y), y in [-1/4, 1/4] turn."""
    u = y * y
    return ONE + u * (C0 + u * (C1 + u * (C2 + u * (C3 + u * C4))))


@njit(inline="always")
def reduce_angle(angle):
    """Fold a binary angle onto half a turn: (y in turns, sign of both functions)."""
    half = U32(U32(angle + QUARTER_TURN) >> U32(31))
    folded = I32(U32(angle - U32(half << U32(31))))
    return F(folded) * PER_TURN, ONE - F(I32(half + half))


@njit(inline="always")
def sine_cosine(angle):
    """Return (sin, cos) of a binary angle, absolute error 2.1e-7."""
    y, sign = reduce_angle(angle)
    return sign * sine_poly(y), sign * cosine_poly(y)


@njit(inline="always")
def to_binary_increment(turns):
    """Round an increment [turn] to binary angle units; abs(turns) < 1/2."""
    return I32(np.rint(turns * TURN_F))


@njit(inline="always")
def decay(dose):
    """Return (exp(-2 dose), 1 - exp(-2 dose)) for dose >= 0, without cancellation."""
    z = min(dose * TWO_LOG2_E, MAX_EXPONENT)
    whole = np.rint(z)
    f = whole - z
    q = f * (E0 + f * (E1 + f * (E2 + f * (E3 + f * (E4 + f * E5)))))
    power = I32((I32(127) - I32(whole)) << I32(23)).view(np.float32)
    scaled = power * q
    return power + scaled, (ONE - power) - scaled


@njit(inline="always")
def pair_shift(difference, dose):
    """Return how far a tunnel event moves each end [binary angle].

    (d - d_new) / 2 = atan2((1 - e) s c, c^2 + e s^2), s = sin(d/2), c = cos(d/2),
    e = exp(-2 dose). The source gains the shift and the target loses it.

    Args:
        difference: theta_target - theta_source as a signed binary angle.
        dose: kappa * elapsed / P, dimensionless, >= 0.

    Returns:
        (shift as signed binary angle, s, c).
    """
    y = F(difference) * PER_TWO_TURNS
    s = sine_poly(y)
    c = cosine_poly(y)
    e, loss = decay(dose)
    up = abs(loss * s * c)
    right = c * c + e * (s * s)
    t = min(up, right) / max(up, right, TINY)
    u = t * t
    high = A4 + u * (A5 + u * (A6 + u * (A7 + u * A8)))
    turns = t * (A0 + u * (A1 + u * (A2 + u * (A3 + u * high))))
    turns = QUARTER_TURN_F - turns if up > right else turns
    turns = turns if s >= F(0.0) else -turns
    return to_binary_increment(turns), s, c


@njit(inline="always")
def philox_word(counter0, counter1, key0, key1):
    """Return the first word of Philox4x32-10 at counter (counter0, counter1, 0, 0).

    References:
        Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3",
        doi:10.1145/2063384.2063405.
    """
    x0, x1, x2, x3 = U32(counter0), U32(counter1), U32(0), U32(0)
    k0, k1 = U32(key0), U32(key1)
    for _ in range(10):
        product0 = PHILOX_M0 * U64(x0)
        product1 = PHILOX_M1 * U64(x2)
        x0 = U32(U32(product1 >> WORD) ^ x1 ^ k0)
        x2 = U32(U32(product0 >> WORD) ^ x3 ^ k1)
        x1 = U32(product1 & LOW_WORD)
        x3 = U32(product0 & LOW_WORD)
        k0 = U32(k0 + PHILOX_W0)
        k1 = U32(k1 + PHILOX_W1)
    return x0


@njit(inline="always")
def mix_word(half, key):
    """Return the round function's word; its highest bits are the best mixed."""
    word = U32(U32(half ^ key) * FEISTEL_M0)
    word = U32(word ^ U32(word >> FEISTEL_SHIFT))
    return U32(word * FEISTEL_M1)


@njit(inline="always")
def success_law(gap, per_linewidth, max_probability, full_rate):
    """Return (dose rate [rad/s], threshold) at a detuning of both ends [Hz].

    The formula and its order are those of `matching.SuccessLaw`.
    """
    ratio = gap * per_linewidth
    widening = min(ONE + ratio * ratio, WIDEST_F)
    words = np.ceil((max_probability / widening) * TURN_F)
    held = U32(min(max(words, ONE), MOST_WORDS_F))
    threshold = ALL_WORDS if words >= TURN_F else U32(held - U32(1))
    return full_rate * widening, threshold
