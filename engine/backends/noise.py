"""Normal numbers for the noise of the binary-angle back ends, compiled by Numba.

`kernels/noise.cuh` holds the same formulas for CUDA, to the bit; change them together.
Four nodes share a Philox counter (node // 4, kick), whose four words make two pairs.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.backends.formulas import I32, ONE, U32, F, fused, sine_cosine

# ln(1 + f) = f * p(f) for 1 + f in [sqrt(1/2), sqrt(2)], relative error 2.7e-8.
L0, L1, L2, L3, L4, L5, L6, L7, L8 = (
    F(v)
    for v in (
        0.9999999741896024,
        -0.4999998796399401,
        0.3333418562559426,
        -0.25002074084763487,
        0.1995683357668428,
        -0.16562392746419044,
        0.14952266084673507,
        -0.14366845081432528,
        0.08722359683109046,
    )
)
LN_2 = F(0.6931471805599453)
ROOT_HALF_BITS = I32(0x3F3504F3)
"""Bits of sqrt(1/2) as float32."""
MANTISSA_BITS = I32(23)
PER_WORD = F(2.0**-32)
HALF_WORD = F(2.0**-33)
MINUS_TWO = F(-2.0)


@njit(inline="always")
def log_share(share):
    """Return ln(share) for a float32 in (0, 1], relative error 2e-7."""
    bits = F(share).view(np.int32)
    exponent = I32(I32(bits - ROOT_HALF_BITS) >> MANTISSA_BITS)
    f = I32(bits - I32(exponent << MANTISSA_BITS)).view(np.float32) - ONE
    high = fused(f, fused(f, fused(f, fused(f, L8, L7), L6), L5), L4)
    p = fused(f, fused(f, fused(f, fused(f, high, L3), L2), L1), L0)
    return fused(F(exponent), LN_2, f * p)


@njit(inline="always")
def normal_pair(first, second):
    """Return two independent standard normal numbers from two random words.

    sqrt(-2 ln u) (cos, sin)(2 pi v) with u = (first + 1/2) / 2^32, v = second / 2^32:
    none lies beyond 6.8.

    References:
        Box and Muller 1958, doi:10.1214/aoms/1177706645.
    """
    share = fused(F(first), PER_WORD, HALF_WORD)
    length = np.sqrt(MINUS_TWO * log_share(share))
    sine, cosine = sine_cosine(U32(second))
    return length * cosine, length * sine
