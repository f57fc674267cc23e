// A whole control period of a small lattice in one block: lattice steps and tunnel
// events of all slices, L(h/2) [T L(h)]^(n-1) T L(h/2), with h = slice_steps dt.
//
// Thread mapping: one block. Phases stay in shared memory in node order; sines and
// cosines lie in a plane padded by one place on every side, so that a neighbour is a
// constant distance away. Each stage first makes the sines and cosines of all places
// (those of the padding from the node at the opposite end, or zero), then moves all
// nodes; a barrier follows either. Events of one launch of the plan share no node; a
// barrier follows each launch.
//
// Per node and stage, z = 4: 27 instructions for sine and cosine, 2 z + 8 for the move,
// about 20 of shared accesses and addresses. Shared bytes per node: 20, or 28 for
// several stages. Global bytes: 12 per node and period, 60 per event.

#include "plan.cuh"
#include "rate.cuh"

#if !defined(SCRIBBLE_NEIGHBOURS)
#define SCRIBBLE_NEIGHBOURS 4
#endif

using namespace scribble;

constexpr unsigned int NO_SOURCE = 0xFFFFu;

// The lattice in shared memory. bases and totals exist for several stages only.
struct Whole {
    unsigned int nodes;
    unsigned int places;      // nodes and padding
    SineCosine* waves;        // shape (places,)
    unsigned int* phases;     // shape (nodes,), as are the next four
    float* detunings;
    unsigned int* bases;
    float* totals;
    unsigned short* homes;    // place of each node
    unsigned short* sources;  // node of each place, or NO_SOURCE; shape (places,)
};

SCRIBBLE_INLINE Whole place_whole(
    void* memory, unsigned int nodes, unsigned int places, int stages)
{
    SineCosine* waves = static_cast<SineCosine*>(memory);
    unsigned int* phases = reinterpret_cast<unsigned int*>(waves + places);
    float* detunings = reinterpret_cast<float*>(phases + nodes);
    unsigned int* bases = reinterpret_cast<unsigned int*>(detunings + nodes);
    float* totals = reinterpret_cast<float*>(bases + (stages > 1 ? nodes : 0u));
    unsigned short* homes =
        reinterpret_cast<unsigned short*>(totals + (stages > 1 ? nodes : 0u));
    return {nodes, places, waves, phases, detunings, bases, totals, homes,
            homes + nodes};
}

// Return the index on an axis that a place of the padded axis stands for, or OUTSIDE.
SCRIBBLE_INLINE unsigned int unpad_index(
    unsigned int place, unsigned int pad, unsigned int cells, bool is_closed)
{
    return pad == 0u      ? place
           : place == 0u  ? shift_index(0u, -1, cells, is_closed)
                          : shift_index(place - 1u, 0, cells, is_closed);
}

// Read the lattice and find out which place stands for which node. `box` has its
// slabs and rows padded by `pad`; columns always are.
SCRIBBLE_INLINE void load_whole(
    const Whole& whole, const Box& box, const Site& pad, const unsigned int* phases,
    const float* detunings)
{
    for (unsigned int i = threadIdx.x; i < whole.nodes; i += blockDim.x) {
        whole.phases[i] = phases[i];
        whole.detunings[i] = detunings[i];
    }
    const unsigned int width = box.columns + 2u;
    const unsigned int height = box.rows + 2u * pad.row;
    for (unsigned int j = threadIdx.x; j < whole.places; j += blockDim.x) {
        const unsigned int line = j / width;
        const unsigned int z = line / height;
        const unsigned int y = line % height;
        const unsigned int x = j % width;
        const unsigned int slab =
            unpad_index(z, pad.slab, box.slabs, box.periodic & 1u);
        const unsigned int row = unpad_index(y, pad.row, box.rows, box.periodic & 2u);
        const unsigned int column = unpad_index(x, 1u, box.columns, box.periodic & 4u);
        const bool is_outside = slab == OUTSIDE || row == OUTSIDE || column == OUTSIDE;
        const unsigned int node = (slab * box.rows + row) * box.columns + column;
        whole.sources[j] =
            static_cast<unsigned short>(is_outside ? NO_SOURCE : node);
        const bool is_own = z - pad.slab < box.slabs && y - pad.row < box.rows &&
                            x - 1u < box.columns;
        if (is_own) {
            whole.homes[node] = static_cast<unsigned short>(j);
        }
    }
    __syncthreads();
}

// Take all nodes through some steps.
SCRIBBLE_INLINE void step_whole(
    const Whole& whole, const Reach<SCRIBBLE_NEIGHBOURS>& reach, const Gains& gains,
    const float* scheme, int stages, int steps)
{
    for (int level = 0; level < stages * steps; ++level) {
        for (unsigned int j = threadIdx.x; j < whole.places; j += blockDim.x) {
            const unsigned int source = whole.sources[j];
            whole.waves[j] = source == NO_SOURCE ? SineCosine{0.0f, 0.0f}
                                                 : sine_cosine(whole.phases[source]);
        }
        __syncthreads();
        const Stage stage = read_stage(scheme, level % stages, stages);
        for (unsigned int i = threadIdx.x; i < whole.nodes; i += blockDim.x) {
            const float increment = find_increment(
                whole.waves + whole.homes[i], reach, whole.detunings[i], gains);
            if (stages == 1) {
                whole.phases[i] = move_euler(whole.phases[i], increment);
            } else {
                whole.phases[i] = move_stage(
                    whole.phases[i], increment, stage, whole.bases[i], whole.totals[i]);
            }
        }
        __syncthreads();
    }
}

// Take all nodes through half a slice.
SCRIBBLE_INLINE void step_half(
    const Whole& whole, const Reach<SCRIBBLE_NEIGHBOURS>& reach, const Gains& gains,
    const float* scheme, int stages, int slice_steps)
{
    step_whole(whole, reach, gains, scheme, stages, slice_steps / 2);
    const Gains half = {gains.coupling, 0.5f * gains.gain, gains.lag};
    step_whole(whole, reach, half, scheme, stages, slice_steps % 2);
}

// ids .. locking_sin, plan, dt, phases, success_total: as in tunnel.cu
// detunings .. codes, stages, coupling .. lag_cosine: as in lattice.cu
// pad_slabs, pad_rows: 1 along axes that have neighbours, else 0
// slices, slice_steps, launches: of the period; launches of the plan per slice
// clocks: cycles in lattice steps and in tunnel events, shape (2,)
extern "C" __global__ void __launch_bounds__(1024, 1) run_period(
    const unsigned int* __restrict__ ids, const unsigned int* __restrict__ sources,
    const unsigned int* __restrict__ targets, const float* __restrict__ dose_rates,
    const unsigned int* __restrict__ thresholds, unsigned int* __restrict__ last_ticks,
    unsigned int* __restrict__ attempts, unsigned int* __restrict__ successes,
    float* __restrict__ locking_cos, float* __restrict__ locking_sin,
    const unsigned long long* __restrict__ plan, float dt,
    unsigned int* __restrict__ phases, unsigned long long* __restrict__ success_total,
    const float* __restrict__ detunings, const float* __restrict__ scheme,
    unsigned int slabs, unsigned int rows, unsigned int columns, unsigned int periodic,
    unsigned long long codes, unsigned int pad_slabs, unsigned int pad_rows, int stages,
    int slices, int slice_steps, unsigned int launches, float coupling, float gain,
    float lag_sine, float lag_cosine, unsigned long long* __restrict__ clocks)
{
    extern __shared__ uint4 shared_words[];
    const Box box = {slabs, rows, columns, periodic};
    const unsigned int width = columns + 2u;
    const unsigned int plane = (rows + 2u * pad_rows) * width;
    const Whole whole = place_whole(
        shared_words, slabs * rows * columns, (slabs + 2u * pad_slabs) * plane, stages);
    load_whole(whole, box, {pad_slabs, pad_rows, 1u}, phases, detunings);
    const Reach<SCRIBBLE_NEIGHBOURS> reach = unpack_offsets<SCRIBBLE_NEIGHBOURS>(
        codes, static_cast<int>(plane), static_cast<int>(width));
    const Bridges bridges = {
        ids,        sources,  targets,   dose_rates,  thresholds,
        last_ticks, attempts, successes, locking_cos, locking_sin};
    const Movable field = {whole.phases, nullptr, 0.0f};
    const Gains gains = {coupling, gain, {lag_sine, lag_cosine}};
    const long long start = clock64();
    long long tunnel = 0;
    long long count = 0;
    step_half(whole, reach, gains, scheme, stages, slice_steps);
    for (int slice = 0; slice < slices; ++slice) {
        if (slice) {
            step_whole(whole, reach, gains, scheme, stages, slice_steps);
        }
        const long long before = clock64();
        const unsigned int ticks = static_cast<unsigned int>(slice * slice_steps);
        const Attempt now = start_slice(plan, ticks, dt);
        for (unsigned int k = 0; k < launches; ++k) {
            const Pieces pieces =
                find_pieces(plan, static_cast<unsigned int>(slice) * launches + k);
            count += run_pieces(
                bridges, plan, pieces, now, field, threadIdx.x, blockDim.x);
            __syncthreads();
        }
        tunnel += clock64() - before;
    }
    step_half(whole, reach, gains, scheme, stages, slice_steps);
    if (threadIdx.x == 0) {
        clocks[0] = static_cast<unsigned long long>(clock64() - start - tunnel);
        clocks[1] = static_cast<unsigned long long>(tunnel);
    }
    for (unsigned int i = threadIdx.x; i < whole.nodes; i += blockDim.x) {
        phases[i] = whole.phases[i];
    }
    add_to_total(count, success_total);
}
