// The lattice step: every oscillator through some steps of an integrator.
//
//   increment_i = dt (nu_i + K/2pi (c_i S_i - s_i C_i))              [turn]
//   S_i, C_i: sums of sine and cosine over the neighbours, in offset order
//   phase_i = base_i + round(move),  move = feed * increment, or at the last stage the
//   weighted increments of all stages
//
// Thread mapping: a block holds a tile and a halo as wide as the levels (stages times
// steps) it works; each level makes one more place on every side invalid. A tile is one
// flat array: thread t takes the places t, t + threads, ...; a neighbour is a constant
// distance away, and what wraps around the end of a row lies in the invalid part. So a
// warp reads 32 neighbouring places for every neighbour: 8 bytes per lane, no bank
// conflicts. Sine and cosine are made once per node and level.
//
// Per node and level, z = 4, Euler: 16 words of shared memory moved per lane and node
// (z + 1 pairs, a pair back, phase twice, detuning, phase back), that is 16 wavefronts
// per 32 nodes; 27 instructions for sine and cosine, 2 z + 8 for the move, z + 6
// accesses, about 6 of loop and addresses.
// Global bytes per node and launch: 8 read (more by the halo), 4 written; per node and
// step these are divided by the steps of a launch.

#include "tiles.cuh"

#if !defined(SCRIBBLE_NEIGHBOURS)
#define SCRIBBLE_NEIGHBOURS 4
#endif

using namespace scribble;

constexpr unsigned int THREADS = 512u;  // known here, so that a batch shares addresses
constexpr unsigned int BATCH = 4u;      // places of a thread that are worked together

// Take B places of this thread, from i on, through an Euler step.
template <unsigned int B>
SCRIBBLE_INLINE void advance_batch(
    const TileFields& fields, const Reach<SCRIBBLE_NEIGHBOURS>& reach,
    const Gains& gains, unsigned int i)
{
    float increment[B];
#pragma unroll
    for (unsigned int k = 0; k < B; ++k) {
        const unsigned int place = i + k * THREADS;
        const float detuning = fields.detunings[place];
        increment[k] = find_increment(fields.waves + place, reach, detuning, gains);
    }
#pragma unroll
    for (unsigned int k = 0; k < B; ++k) {
        unsigned int* phase = fields.phases + i + k * THREADS;
        *phase = move_euler(*phase, increment[k]);
    }
}

// Take the places lo .. hi - 1 through an Euler step.
SCRIBBLE_INLINE void advance_euler(
    const TileFields& fields, const Reach<SCRIBBLE_NEIGHBOURS>& reach,
    const Gains& gains, unsigned int lo, unsigned int hi)
{
    unsigned int i = lo + threadIdx.x;
    for (; i + (BATCH - 1u) * THREADS < hi; i += BATCH * THREADS) {
        advance_batch<BATCH>(fields, reach, gains, i);
    }
#pragma unroll 1
    for (; i < hi; i += THREADS) {
        advance_batch<1>(fields, reach, gains, i);
    }
}

// Take the places lo .. hi - 1 through one stage of several.
SCRIBBLE_INLINE void advance_stage(
    const TileFields& fields, const Reach<SCRIBBLE_NEIGHBOURS>& reach,
    const Gains& gains, const Stage& stage, unsigned int lo, unsigned int hi)
{
#pragma unroll 2
    for (unsigned int i = lo + threadIdx.x; i < hi; i += THREADS) {
        const float increment =
            find_increment(fields.waves + i, reach, fields.detunings[i], gains);
        unsigned int base = fields.bases[i];
        float total = fields.totals[i];
        fields.phases[i] = move_stage(fields.phases[i], increment, stage, base, total);
        fields.bases[i] = base;
        fields.totals[i] = total;
    }
}

// Make the sines and cosines of B places of this thread, from i on.
template <unsigned int B>
SCRIBBLE_INLINE void fill_batch(const TileFields& fields, unsigned int i)
{
    SineCosine wave[B];
#pragma unroll
    for (unsigned int k = 0; k < B; ++k) {
        wave[k] = sine_cosine(fields.phases[i + k * THREADS]);
    }
#pragma unroll
    for (unsigned int k = 0; k < B; ++k) {
        fields.waves[i + k * THREADS] = wave[k];
    }
}

// Make the sines and cosines of the places lo .. hi - 1 for the next level.
SCRIBBLE_INLINE void fill_tile(
    const TileFields& fields, unsigned int lo, unsigned int hi)
{
    unsigned int i = lo + threadIdx.x;
    for (; i + (BATCH - 1u) * THREADS < hi; i += BATCH * THREADS) {
        fill_batch<BATCH>(fields, i);
    }
#pragma unroll 1
    for (; i < hi; i += THREADS) {
        fill_batch<1>(fields, i);
    }
}

// Likewise in a tile that an open boundary cuts: what lies outside stays zero.
SCRIBBLE_INLINE void fill_clipped_tile(
    const TileFields& fields, unsigned int lo, unsigned int hi)
{
#pragma unroll 1
    for (unsigned int i = lo + threadIdx.x; i < hi; i += THREADS) {
        if (view_bits(fields.detunings[i]) != OUTSIDE_MARK) {
            fields.waves[i] = sine_cosine(fields.phases[i]);
        }
    }
}

// phases: shape (nodes,); detunings: natural frequency minus frame [Hz], shape (nodes,)
// scheme: feeds, with a zero for the last stage, then weights, shape (2 stages,)
// codes: offsets as in `unpack_offsets`; tile_* with the halo; halo_*: on either side
// stages, steps: of the integrator, of this launch
// coupling: K / 2 pi [1/s]; gain: 2^32 dt [s]; lag_*: of the phase lag, as compiled for
// is_wide: whether columns, tiles and halos are multiples of 4, for 16-byte accesses
// out: result, shape (nodes,); does not alias phases
extern "C" __global__ void __launch_bounds__(THREADS, 2) step_lattice(
    const unsigned int* __restrict__ phases, const float* __restrict__ detunings,
    const float* __restrict__ scheme, unsigned int slabs, unsigned int rows,
    unsigned int columns, unsigned int periodic, unsigned long long codes,
    unsigned int tile_slabs, unsigned int tile_rows, unsigned int tile_columns,
    unsigned int halo_slabs, unsigned int halo_rows, unsigned int halo_columns,
    int stages, int steps, float coupling, float gain, float lag_sine,
    float lag_cosine, int is_wide, unsigned int* __restrict__ out)
{
    extern __shared__ uint4 shared_words[];
    const Box box = {slabs, rows, columns, periodic};
    const TileShape shape = {
        tile_slabs, tile_rows, tile_columns, halo_slabs, halo_rows, halo_columns};
    const Tile tile = place_tile(box, shape);
    const unsigned int plane = tile_rows * tile_columns;
    const unsigned int count = tile_slabs * plane;
    const TileFields fields = place_fields(shared_words, count);
    if (is_wide) {
        load_tile<4>(phases, detunings, box, tile, fields);
    } else {
        load_tile<1>(phases, detunings, box, tile, fields);
    }
    __syncthreads();
    const Reach<SCRIBBLE_NEIGHBOURS> reach = unpack_offsets<SCRIBBLE_NEIGHBOURS>(
        codes, static_cast<int>(plane), static_cast<int>(tile_columns));
    // The farthest neighbour; a level makes as many places invalid at either end.
    const unsigned int margin =
        (halo_slabs ? plane : 0u) + (halo_rows ? tile_columns : 0u) + 1u;
    const Gains gains = {coupling, gain, {lag_sine, lag_cosine}};
    unsigned int lo = 0u;
    const int levels = stages * steps;
    for (int level = 0; level < levels; ++level) {
        const Stage stage = read_stage(scheme, level % stages, stages);
        lo += margin;
        if (stages == 1) {
            advance_euler(fields, reach, gains, lo, count - lo);
        } else {
            advance_stage(fields, reach, gains, stage, lo, count - lo);
        }
        __syncthreads();
        if (level + 1 < levels) {
            if (tile.is_clipped) {
                fill_clipped_tile(fields, lo, count - lo);
            } else {
                fill_tile(fields, lo, count - lo);
            }
            __syncthreads();
        }
    }
    if (is_wide) {
        store_tile<4>(box, tile, fields, out);
    } else {
        store_tile<1>(box, tile, fields, out);
    }
}
