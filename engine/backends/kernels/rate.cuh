// What one integrator stage does to one oscillator, whose neighbours' sines and cosines
// lie a constant distance away in shared memory.
//
//   increment = gain (nu + K/2pi (c S - s C)),  gain = 2^32 dt     [binary angle]
//   S, C: sums of sine and cosine over the neighbours, in offset order
//   s, c: of the own phase, plus the phase lag where the source is compiled for one
//
// A missing neighbour counts as sine = cosine = 0, as on the CPU: adding zero changes
// no bit. Bytes per node: 8 (z + 1) read from shared memory. Operations: 2 z + 5 flops,
// 4 more for a lag.

#include "box.cuh"

namespace scribble {

#if defined(SCRIBBLE_LAGGED)
constexpr bool IS_LAGGED = true;
#else
constexpr bool IS_LAGGED = false;
#endif

// A detuning with these bits (a NaN that no arithmetic makes) marks a place outside an
// open boundary.
constexpr unsigned int OUTSIDE_MARK = 0x7FFFDEADu;

// Distances of the neighbours [bytes], so that an address costs one addition.
template <int Z>
struct Reach {
    int bytes[Z];
};

// Unpack offsets, five bits each, 9 (slab + 1) + 3 (row + 1) + (column + 1), for rows
// of `width` places and slabs of `plane` places.
template <int Z>
SCRIBBLE_INLINE Reach<Z> unpack_offsets(unsigned long long codes, int plane, int width)
{
    Reach<Z> reach;
#pragma unroll
    for (int o = 0; o < Z; ++o) {
        const int code = static_cast<int>(codes >> (5 * o)) & 31;
        const int places =
            (code / 9 - 1) * plane + (code / 3 % 3 - 1) * width + (code % 3 - 1);
        reach.bytes[o] = places * static_cast<int>(sizeof(SineCosine));
    }
    return reach;
}

// coupling: K / 2 pi [1/s]; gain: 2^32 dt [s]; lag: read only if IS_LAGGED
struct Gains {
    float coupling;
    float gain;
    SineCosine lag;
};

SCRIBBLE_INLINE SineCosine read_wave(const SineCosine* own, int bytes)
{
    const char* at = reinterpret_cast<const char*>(own) + bytes;
    return *reinterpret_cast<const SineCosine*>(at);
}

// Return the increment [binary angle] of the oscillator at `own`.
template <int Z>
SCRIBBLE_INLINE float find_increment(
    const SineCosine* own, const Reach<Z>& reach, float detuning, const Gains& gains)
{
    SineCosine sum = read_wave(own, reach.bytes[0]);
#pragma unroll
    for (int o = 1; o < Z; ++o) {
        const SineCosine term = read_wave(own, reach.bytes[o]);
        sum = {sum.sine + term.sine, sum.cosine + term.cosine};
    }
    const SineCosine turned = IS_LAGGED ? rotate(*own, gains.lag) : *own;
    return rate_increment(detuning, turned, sum, gains.coupling, gains.gain);
}

// One row of a Runge-Kutta scheme in which each stage starts from the last.
struct Stage {
    float feed;
    float weight;
    bool is_first;
    bool is_last;
};

// Read stage k of `scheme`: feeds, with a zero for the last stage, then weights.
SCRIBBLE_INLINE Stage read_stage(const float* scheme, int k, int stages)
{
    return {scheme[k], scheme[stages + k], k == 0, k == stages - 1};
}

// Advance a phase by a whole Euler step.
SCRIBBLE_INLINE unsigned int move_euler(unsigned int phase, float increment)
{
    return phase + static_cast<unsigned int>(round_to_int(increment));
}

// Advance a phase through one stage of several; `base` is the phase at the start of
// the step, `total` collects the weighted increments.
SCRIBBLE_INLINE unsigned int move_stage(
    unsigned int phase, float increment, const Stage& stage, unsigned int& base,
    float& total)
{
    const float share = stage.weight * increment;
    total = stage.is_first ? share : total + share;
    base = stage.is_first ? phase : base;
    return move_euler(base, stage.is_last ? total : stage.feed * increment);
}

}  // namespace scribble
