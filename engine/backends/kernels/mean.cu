// The step in the mean field: every oscillator through one stage of an integrator,
// pulled by the mean of all.
//
//   increment = gain (nu + K/2pi (c S - s C)),  gain = 2^32 dt     [binary angle]
//   S, C: means of sine and cosine over all nodes, turned back by the phase lag
//
// The means come from sums in 2^-30 fixed point, as in `sum_order`, so their order does
// not matter; they are taken and turned in double, and rounded to float once. A stage
// also sums what the next one needs, so that phases are read once per stage.
//
// Thread mapping: one thread per node, grid-stride, then a reduction of the block and one
// 64-bit atomic per block and sum, for all of them go to one address. Three pairs of sums take turns from level to level (stages
// times steps): one is read, one is added to, and one is cleared for the next level.
//
// Bytes per node and stage: 8 read and 4 written; with several stages 4 to 8 more read
// and up to 4 more written. Operations: 27 for sine and cosine, twice, 11 for the move.

#include "rate.cuh"

using namespace scribble;

constexpr int PAIRS = 3;

// Return the means of sine and cosine from a pair (sum cos, sum sin), turned back by
// the lag; plain double arithmetic in the order of `find_mean` in `binary.py`.
SCRIBBLE_INLINE SineCosine find_mean(
    const unsigned long long* sums, double scale, double lag_sine, double lag_cosine)
{
    const double cosine = static_cast<double>(static_cast<long long>(sums[0])) * scale;
    const double sine = static_cast<double>(static_cast<long long>(sums[1])) * scale;
    return {static_cast<float>(sine * lag_cosine - cosine * lag_sine),
            static_cast<float>(cosine * lag_cosine + sine * lag_sine)};
}

// Add up two sums over all threads: shuffles, shared memory, then an atomic for each.
// `parts` holds two words per warp. Every thread of the grid must come here.
SCRIBBLE_INLINE void add_pair(
    long long cosine, long long sine, long long* parts, unsigned long long* pair)
{
    cosine = add_over_warp(cosine);
    sine = add_over_warp(sine);
    if (threadIdx.x % warpSize == 0) {
        long long* own = parts + 2u * (threadIdx.x / warpSize);
        own[0] = cosine;
        own[1] = sine;
    }
    __syncthreads();
    if (threadIdx.x < 2u) {
        long long total = 0;
        for (unsigned int w = 0; w < blockDim.x / warpSize; ++w) {
            total += parts[2u * w + threadIdx.x];
        }
        atomicAdd(pair + threadIdx.x, static_cast<unsigned long long>(total));
    }
}

// starts: phases at the start of the step, shape (nodes,)
// detunings: natural frequency minus frame [Hz], shape (nodes,)
// scheme: feeds, with a zero for the last stage, then weights, shape (2 stages,)
// level: stages since the first sums were made; has_next: whether another one follows
// coupling: K / 2 pi [1/s]; gain: 2^32 dt [s]
// scale: of a sum to a mean [-]; lag_sine, lag_cosine: of the phase lag
// totals: weighted increments so far, shape (nodes,), only read for several stages
// out: phases at this stage, then at the next, shape (nodes,); does not alias starts
// sums: shape (3, 2)
extern "C" __global__ void step_mean_field(
    const unsigned int* __restrict__ starts, const float* __restrict__ detunings,
    const float* __restrict__ scheme, unsigned long long nodes, int stages, int level,
    int has_next, float coupling, float gain, double scale, double lag_sine,
    double lag_cosine, float* __restrict__ totals, unsigned int* __restrict__ out,
    unsigned long long* sums)
{
    extern __shared__ uint4 shared_words[];
    const SineCosine mean =
        find_mean(sums + 2 * (level % PAIRS), scale, lag_sine, lag_cosine);
    const Stage stage = read_stage(scheme, level % stages, stages);
    long long cosine = 0;
    long long sine = 0;
    for (unsigned long long i = first_element(); i < nodes; i += grid_stride()) {
        unsigned int base = starts[i];
        const unsigned int phase = stage.is_first ? base : out[i];
        const float increment =
            rate_increment(detunings[i], sine_cosine(phase), mean, coupling, gain);
        float total = stage.is_first ? 0.0f : totals[i];
        // The base of a first stage is the phase, and of others the step's start.
        const unsigned int moved = move_stage(phase, increment, stage, base, total);
        if (!stage.is_last) {
            totals[i] = total;
        }
        out[i] = moved;
        if (has_next) {
            const SineCosine wave = sine_cosine(moved);
            cosine += to_fixed_point(wave.cosine);
            sine += to_fixed_point(wave.sine);
        }
    }
    if (has_next) {
        add_pair(cosine, sine, reinterpret_cast<long long*>(shared_words),
                 sums + 2 * ((level + 1) % PAIRS));
    }
    if (first_element() < 2ull) {
        sums[2 * ((level + 2) % PAIRS) + first_element()] = 0ull;
    }
}
