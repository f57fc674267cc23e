"""Scalar formulas of the binary-angle back ends, compiled by Numba.

`kernels/formulas.cuh` holds the same formulas for CUDA. Both use only IEEE
+ - * /, the fused multiply-add where it is written, and conversions, in the order
written here and without further contraction, so they give the same bits; change them
together. Coefficients are weighted minimax fits (Lawson iteration); the stated errors
were measured over the whole range.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import intrinsic, overload

from engine.backends.matching import MIX_0, MIX_1, MIX_SHIFT, MOST_WORDS, WIDEST

F = np.float32
I32 = np.int32
U32 = np.uint32
U64 = np.uint64

TURN_F = F(2.0**32)
PER_TURN = F(2.0**-32)
PER_TWO_TURNS = F(2.0**-33)
QUARTER_TURN = U32(2**30)
HALF_TURN = U32(2**31)

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
SIGN_BIT = I32(-(2**31))
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


@intrinsic
def fused(_, a, b, c):
    """Return a * b + c with one rounding (IEEE 754 fusedMultiplyAdd), float32.

    Every processor gives the same bits. One without the instruction takes a function
    call, which is exact and slow.
    """

    def generate(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@njit(inline="always")
def sine_poly(y):
    """Return sin(2 pi y), y in [-1/4, 1/4] turn."""
    u = y * y
    return y * fused(u, fused(u, fused(u, fused(u, S4, S3), S2), S1), S0)


@njit(inline="always")
def cosine_poly(y):
    """Return cos(2 pi y), y in [-1/4, 1/4] turn."""
    u = y * y
    return fused(u, fused(u, fused(u, fused(u, fused(u, C4, C3), C2), C1), C0), ONE)


@njit(inline="always")
def rotate(sine, cosine, lag_cosine, lag_sine):
    """Return sine and cosine of an angle plus the phase lag."""
    return (
        fused(sine, lag_cosine, cosine * lag_sine),
        fused(cosine, lag_cosine, -(sine * lag_sine)),
    )


def turn_by_lag(sine, cosine, gains):
    """Return sine and cosine of an angle plus the phase lag, if the gains hold one."""
    return (sine, cosine) if len(gains) == 2 else rotate(sine, cosine, *gains[2:])


@overload(turn_by_lag, inline="always")
def _turn_by_lag(sine, cosine, gains):
    """Choose while compiling, so that without a lag nothing is computed."""
    if len(gains) == 2:
        return lambda sine, cosine, gains: (sine, cosine)
    return lambda sine, cosine, gains: rotate(sine, cosine, gains[2], gains[3])


@njit(inline="always")
def rate_increment(detuning, sine, cosine, total_sine, total_cosine, gains):
    """Return dt (nu + K / 2 pi (c S - s C)), s and c of the own phase plus the lag.

    gains = (K / 2 pi, dt in any unit), and cosine and sine of the lag if there is one.
    """
    own_sine, own_cosine = turn_by_lag(sine, cosine, gains)
    pull = fused(own_cosine, total_sine, -(own_sine * total_cosine))
    return gains[1] * fused(gains[0], pull, detuning)


@njit(inline="always")
def reduce_angle(angle):
    """Fold a binary angle onto half a turn: (y in turns, sign bit of both functions).

    Half a turn is the top bit of an angle and the sign of a float alike.
    """
    half = U32(U32(angle + QUARTER_TURN) & HALF_TURN)
    return F(I32(U32(angle ^ half))) * PER_TURN, I32(half)


@njit(inline="always")
def flip_sign(value, bit):
    """Multiply a float32 by -1 where the sign bit is set, exactly."""
    return I32(F(value).view(np.int32) ^ bit).view(np.float32)


@njit(inline="always")
def sine_cosine(angle):
    """Return (sin, cos) of a binary angle, absolute error 2.1e-7."""
    y, bit = reduce_angle(angle)
    return flip_sign(sine_poly(y), bit), flip_sign(cosine_poly(y), bit)


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
    q = f * fused(f, fused(f, fused(f, fused(f, fused(f, E5, E4), E3), E2), E1), E0)
    power = I32((I32(127) - I32(whole)) << I32(23)).view(np.float32)
    return fused(power, q, power), fused(-power, q, ONE - power)


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
    right = fused(e, s * s, c * c)
    t = min(up, right) / max(up, right, TINY)
    u = t * t
    high = fused(u, fused(u, fused(u, fused(u, A8, A7), A6), A5), A4)
    turns = t * fused(u, fused(u, fused(u, fused(u, high, A3), A2), A1), A0)
    turns = QUARTER_TURN_F - turns if up > right else turns
    turns = turns if s >= F(0.0) else -turns
    return to_binary_increment(turns), s, c


@njit(inline="always")
def split_rate(rate):
    """Return half a turn where a signed dose rate repels, else 0, and its size.

    A negative dose is a positive one of a gap that is half a turn away, for
    tan(d/2) -> exp(2 h) tan(d/2) is the attraction of d + pi. Half a turn is the top
    bit of a binary angle, the sign that of a float.
    """
    bits = F(rate).view(np.int32)
    turn = I32(bits & SIGN_BIT)
    return turn, I32(bits ^ turn).view(np.float32)


@njit(inline="always")
def philox_words(counter0, counter1, key0, key1):
    """Return the words of Philox4x32-10 at counter (counter0, counter1, 0, 0).

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
    return x0, x1, x2, x3


@njit(inline="always")
def philox_word(counter0, counter1, key0, key1):
    """Return the first of these words."""
    return philox_words(counter0, counter1, key0, key1)[0]


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
