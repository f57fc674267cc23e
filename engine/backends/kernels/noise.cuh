// Normal numbers for the noise of the oscillators: the twin of `noise.py`, to the bit;
// change them together. Four nodes share a Philox counter (node / 4, kick), whose four
// words make two pairs.

#include "formulas.cuh"

namespace scribble {

// ln(1 + f) = f * p(f) for 1 + f in [sqrt(1/2), sqrt(2)], relative error 2.7e-8.
constexpr float L0 = 0.9999999741896024f;
constexpr float L1 = -0.4999998796399401f;
constexpr float L2 = 0.3333418562559426f;
constexpr float L3 = -0.25002074084763487f;
constexpr float L4 = 0.1995683357668428f;
constexpr float L5 = -0.16562392746419044f;
constexpr float L6 = 0.14952266084673507f;
constexpr float L7 = -0.14366845081432528f;
constexpr float L8 = 0.08722359683109046f;

constexpr float LN_2 = 0.6931471805599453f;
constexpr float PER_WORD = 1.0f / 4294967296.0f;
constexpr float HALF_WORD = 1.0f / 8589934592.0f;
constexpr float MINUS_TWO = -2.0f;
constexpr unsigned int ROOT_HALF_BITS = 0x3F3504F3u;  // of sqrt(1/2) as float
constexpr int MANTISSA_BITS = 23;

constexpr unsigned int QUAD = 4u;  // nodes that share the words of a counter

struct Quad {
    float normals[QUAD];
};

// What the numbers of one kick have in common.
struct Kick {
    unsigned int number;
    unsigned int key0;  // (seed, stream) of the noise
    unsigned int key1;
};

// Return ln(share) for a float in (0, 1], relative error 2e-7.
SCRIBBLE_INLINE float log_share(float share)
{
    const unsigned int bits = view_bits(share);
    const int exponent = static_cast<int>(bits - ROOT_HALF_BITS) >> MANTISSA_BITS;
    const unsigned int scale = static_cast<unsigned int>(exponent) << MANTISSA_BITS;
    const float f = view_float(static_cast<int>(bits - scale)) - ONE;
    const float high = fused(f, fused(f, fused(f, fused(f, L8, L7), L6), L5), L4);
    const float p = fused(f, fused(f, fused(f, fused(f, high, L3), L2), L1), L0);
    return fused(static_cast<float>(exponent), LN_2, f * p);
}

// Return two independent standard normal numbers, cosine first: sqrt(-2 ln u)
// (cos, sin)(2 pi v), u = (first + 1/2) / 2^32, v = second / 2^32, none beyond 6.8;
// Box and Muller 1958, doi:10.1214/aoms/1177706645.
SCRIBBLE_INLINE SineCosine normal_pair(unsigned int first, unsigned int second)
{
    const float share = fused(static_cast<float>(first), PER_WORD, HALF_WORD);
    const float length = sqrtf(MINUS_TWO * log_share(share));
    const SineCosine wave = sine_cosine(second);
    return {length * wave.sine, length * wave.cosine};
}

// Return the normal numbers of the nodes QUAD * quad .. QUAD * quad + 3.
SCRIBBLE_INLINE Quad draw_quad(unsigned int quad, const Kick& kick)
{
    const Words words = philox_words(quad, kick.number, kick.key0, kick.key1);
    const SineCosine first = normal_pair(words.x0, words.x1);
    const SineCosine second = normal_pair(words.x2, words.x3);
    return {{first.cosine, first.sine, second.cosine, second.sine}};
}

}  // namespace scribble
