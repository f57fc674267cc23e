// Scalar formulas of the binary-angle back ends: the twin of `formulas.py`.
//
// Both use only IEEE + - * /, the fused multiply-add where it is written, and
// conversions, in the order written here and without further contraction, so they give
// the same bits; change them together. Compiles with NVRTC
// (--fmad=false --ftz=false --prec-div=true) and as C++17 for a host that computes
// float in 32 bits (-ffp-contract=off, SSE2 or NEON, no x87). Angles are unsigned:
// signed overflow is undefined in C++. rintf rounds ties to even on both sides. The
// namespace is needed: NVRTC emits constants as PTX variables, and A7 is taken there.

#if defined(__CUDACC__)
#define SCRIBBLE_INLINE __device__ __forceinline__
#else
#include <math.h>
#include <string.h>
#define SCRIBBLE_INLINE inline
#endif

// a * b + c with one rounding (IEEE 754 fusedMultiplyAdd). A macro, so that a test can
// take it away and see that nothing else is contracted.
#if !defined(SCRIBBLE_FUSED)
#if defined(__CUDACC__)
#define SCRIBBLE_FUSED(a, b, c) __fmaf_rn(a, b, c)
#else
#define SCRIBBLE_FUSED(a, b, c) fmaf(a, b, c)
#endif
#endif

namespace scribble {

static_assert(sizeof(unsigned int) == 4 && sizeof(long long) == 8, "word sizes");

constexpr float TURN_F = 4294967296.0f;
constexpr float PER_TURN = 1.0f / 4294967296.0f;
constexpr float PER_TWO_TURNS = 1.0f / 8589934592.0f;
constexpr unsigned int QUARTER_TURN = 1u << 30;
constexpr unsigned int HALF_TURN = 1u << 31;

// sin(2 pi y) = y * p(y^2) for abs(y) <= 1/4 turn, absolute error 4e-9.
constexpr float S0 = 6.28318516217585f;
constexpr float S1 = -41.341655370287285f;
constexpr float S2 = 81.60102087479017f;
constexpr float S3 = -76.55010776873068f;
constexpr float S4 = 39.538868988026785f;

// cos(2 pi y) = 1 + y^2 q(y^2) for abs(y) <= 1/4 turn, absolute error 3e-10.
constexpr float C0 = -19.739208624350677f;
constexpr float C1 = 64.93935359612071f;
constexpr float C2 = -85.45383071024888f;
constexpr float C3 = 60.14820493678119f;
constexpr float C4 = -25.006796564763977f;

// atan(t) / (2 pi) = t * p(t^2) for 0 <= t <= 1, relative error 1.4e-8.
constexpr float A0 = 0.15915494092208948f;
constexpr float A1 = -0.05305126671814776f;
constexpr float A2 = 0.03181993388280357f;
constexpr float A3 = -0.02261135546650333f;
constexpr float A4 = 0.01695744569483699f;
constexpr float A5 = -0.011990217772059006f;
constexpr float A6 = 0.006849928075351172f;
constexpr float A7 = -0.002591521177961403f;
constexpr float A8 = 0.0004621147293618622f;

// 2^f - 1 = f * p(f) for abs(f) <= 1/2, relative error 1e-8.
constexpr float E0 = 0.6931471880289539f;
constexpr float E1 = 0.24022651084203697f;
constexpr float E2 = 0.05550357105498075f;
constexpr float E3 = 0.009618030772455823f;
constexpr float E4 = 0.0013390866853352028f;
constexpr float E5 = 0.0001546973458927784f;

constexpr float TWO_LOG2_E = 2.8853900817779268f;
constexpr float MAX_EXPONENT = 126.0f;
constexpr float ONE = 1.0f;
constexpr float QUARTER_TURN_F = 0.25f;
constexpr float TINY = 1e-30f;
constexpr float FIXED_POINT = 1073741824.0f;

constexpr unsigned int PHILOX_M0 = 0xD2511F53u;
constexpr unsigned int PHILOX_M1 = 0xCD9E8D57u;
constexpr unsigned int PHILOX_W0 = 0x9E3779B9u;
constexpr unsigned int PHILOX_W1 = 0xBB67AE85u;

struct alignas(8) SineCosine {  // so that both move in one access
    float sine;
    float cosine;
};

struct Words {  // of one Philox counter
    unsigned int x0;
    unsigned int x1;
    unsigned int x2;
    unsigned int x3;
};

struct Decay {
    float kept;  // exp(-2 dose)
    float lost;  // 1 - exp(-2 dose)
};

// A dose rate without its sign.
struct SplitRate {
    unsigned int turn;  // half a turn where the bridge repels, as a binary angle
    float size;
};

struct PairShift {
    int shift;    // signed binary angle
    float sine;   // of half the difference
    float cosine;
};

// Return the float whose bits are `word`.
SCRIBBLE_INLINE float view_float(int word)
{
#if defined(__CUDACC__)
    return __int_as_float(word);
#else
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
#endif
}

// Return a * b + c with one rounding.
SCRIBBLE_INLINE float fused(float a, float b, float c)
{
    return SCRIBBLE_FUSED(a, b, c);
}

// Return sin(2 pi y), y in [-1/4, 1/4] turn.
SCRIBBLE_INLINE float sine_poly(float y)
{
    const float u = y * y;
    return y * fused(u, fused(u, fused(u, fused(u, S4, S3), S2), S1), S0);
}

// Return cos(2 pi y), y in [-1/4, 1/4] turn.
SCRIBBLE_INLINE float cosine_poly(float y)
{
    const float u = y * y;
    return fused(u, fused(u, fused(u, fused(u, fused(u, C4, C3), C2), C1), C0), ONE);
}

// Return the bits of a float.
SCRIBBLE_INLINE unsigned int view_bits(float value)
{
#if defined(__CUDACC__)
    return static_cast<unsigned int>(__float_as_int(value));
#else
    unsigned int word;
    memcpy(&word, &value, sizeof word);
    return word;
#endif
}

// Return value or -value, as the top bit of `flip` says: the bits of a product with 1
// or -1.
SCRIBBLE_INLINE float flip_sign(float value, unsigned int flip)
{
    return view_float(static_cast<int>(view_bits(value) ^ flip));
}

// Return (sin, cos) of a binary angle, absolute error 2.1e-7: the angle is folded onto
// half a turn, which turns the sign of both functions. 27 instructions: an addition,
// two logical ones, a conversion, 21 flops, two sign flips.
SCRIBBLE_INLINE SineCosine sine_cosine(unsigned int angle)
{
    const unsigned int flip = (angle + QUARTER_TURN) & HALF_TURN;
    const float y = static_cast<float>(static_cast<int>(angle ^ flip)) * PER_TURN;
    return {flip_sign(sine_poly(y), flip), flip_sign(cosine_poly(y), flip)};
}

// Round to the nearest integer, ties to even.
SCRIBBLE_INLINE int round_to_int(float value)
{
#if defined(__CUDACC__)
    return __float2int_rn(value);
#else
    return static_cast<int>(rintf(value));
#endif
}

// Return sine and cosine of an angle plus the phase lag.
SCRIBBLE_INLINE SineCosine rotate(const SineCosine& wave, const SineCosine& lag)
{
    return {fused(wave.sine, lag.cosine, wave.cosine * lag.sine),
            fused(wave.cosine, lag.cosine, -(wave.sine * lag.sine))};
}

// Return dt (nu + K / 2 pi (c S - s C)); coupling is K / 2 pi, sums are S and C.
SCRIBBLE_INLINE float rate_increment(
    float detuning, const SineCosine& own, const SineCosine& sums, float coupling,
    float dt)
{
    const float pull = fused(own.cosine, sums.sine, -(own.sine * sums.cosine));
    return dt * fused(coupling, pull, detuning);
}

// Round an increment [turn] to binary angle units; abs(turns) < 1/2.
SCRIBBLE_INLINE int to_binary_increment(float turns)
{
    return round_to_int(turns * TURN_F);
}

// Round a value in [-1, 1] to 2^-30 fixed point.
SCRIBBLE_INLINE long long to_fixed_point(float value)
{
    return static_cast<long long>(rintf(value * FIXED_POINT));
}

// Return exp(-2 dose) and its complement for dose >= 0, without cancellation.
SCRIBBLE_INLINE Decay decay(float dose)
{
    const float exponent = dose * TWO_LOG2_E;
    const float z = MAX_EXPONENT < exponent ? MAX_EXPONENT : exponent;
    const float whole = rintf(z);
    const float f = whole - z;
    const float q =
        f * fused(f, fused(f, fused(f, fused(f, fused(f, E5, E4), E3), E2), E1), E0);
    const float power = view_float((127 - static_cast<int>(whole)) << 23);
    return {fused(power, q, power), fused(-power, q, ONE - power)};
}

// Return how far a tunnel event moves each end: the source gains the shift and the
// target loses it. (d - d_new) / 2 = atan2((1 - e) s c, c^2 + e s^2), s = sin(d/2),
// c = cos(d/2), e = exp(-2 dose); `difference` is theta_target - theta_source.
SCRIBBLE_INLINE PairShift pair_shift(int difference, float dose)
{
    const float y = static_cast<float>(difference) * PER_TWO_TURNS;
    const float s = sine_poly(y);
    const float c = cosine_poly(y);
    const Decay e = decay(dose);
    const float up = fabsf(e.lost * s * c);
    const float right = fused(e.kept, s * s, c * c);
    const float less = right < up ? right : up;
    const float more = right > up ? right : up;
    const float t = less / (TINY > more ? TINY : more);
    const float u = t * t;
    const float high = fused(u, fused(u, fused(u, fused(u, A8, A7), A6), A5), A4);
    float turns = t * fused(u, fused(u, fused(u, fused(u, high, A3), A2), A1), A0);
    turns = up > right ? QUARTER_TURN_F - turns : turns;
    turns = s >= 0.0f ? turns : -turns;
    return {to_binary_increment(turns), s, c};
}

// Split a signed dose rate. A negative dose is a positive one of a gap that is half a
// turn away, for tan(d/2) -> exp(2 h) tan(d/2) is the attraction of d + pi. Half a turn
// is the top bit of a binary angle, the sign that of a float.
SCRIBBLE_INLINE SplitRate split_rate(float rate)
{
    const unsigned int turn = view_bits(rate) & HALF_TURN;
    return {turn, flip_sign(rate, turn)};
}

// Return the words of Philox4x32-10 at counter (x0, x1, x2, x3); Salmon et al. 2011,
// doi:10.1145/2063384.2063405.
SCRIBBLE_INLINE Words philox_words4(
    unsigned int x0, unsigned int x1, unsigned int x2, unsigned int x3,
    unsigned int key0, unsigned int key1)
{
    for (int round = 0; round < 10; ++round) {
        const unsigned long long product0 =
            static_cast<unsigned long long>(PHILOX_M0) * x0;
        const unsigned long long product1 =
            static_cast<unsigned long long>(PHILOX_M1) * x2;
        x0 = static_cast<unsigned int>(product1 >> 32) ^ x1 ^ key0;
        x2 = static_cast<unsigned int>(product0 >> 32) ^ x3 ^ key1;
        x1 = static_cast<unsigned int>(product1);
        x3 = static_cast<unsigned int>(product0);
        key0 += PHILOX_W0;
        key1 += PHILOX_W1;
    }
    return {x0, x1, x2, x3};
}

// Return the words of Philox4x32-10 at counter (counter0, counter1, 0, 0).
SCRIBBLE_INLINE Words philox_words(
    unsigned int counter0, unsigned int counter1, unsigned int key0, unsigned int key1)
{
    return philox_words4(counter0, counter1, 0u, 0u, key0, key1);
}

// Return the first of these words.
SCRIBBLE_INLINE unsigned int philox_word(
    unsigned int counter0, unsigned int counter1, unsigned int key0, unsigned int key1)
{
    return philox_words(counter0, counter1, key0, key1).x0;
}

}  // namespace scribble
