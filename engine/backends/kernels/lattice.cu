// The lattice step: every oscillator through one integrator stage.
//
//   increment_i = dt (nu_i + K/2pi (c_i S_i - s_i C_i))              [turn]
//   S_i, C_i: sums of sine and cosine over the neighbours, in offset order
//   out_i = base_i + round(move),  move = feed * increment, or at the last stage the
//   weighted increments of all stages
//
// Thread mapping: one thread per node, grid-stride; neighbouring threads hold
// neighbouring columns, so reads and writes of a warp are contiguous for every offset.
// Bytes per node: 8 read and 4 written (Euler) beside the neighbours, which the caches
// serve; another 4 read and 4 + 4 moved for the collected increments of a stage.
// Operations per node: z + 1 sine-cosine pairs of about 24 flops, 2 z + 8 flops.

#include "box.cuh"

using namespace scribble;

// A missing neighbour counts as sine = cosine = 0, and the first neighbour starts the
// sums where the others are added: the same signed zeros as on the CPU.
SCRIBBLE_INLINE SineCosine sum_neighbours(
    const unsigned int* __restrict__ phases, const int* __restrict__ offsets,
    unsigned int offset_count, const Box& box, unsigned int node)
{
    const Site site = locate_node(box, node);
    SineCosine sum = {0.0f, 0.0f};
    for (unsigned int o = 0; o < offset_count; ++o) {
        const unsigned int neighbour = find_node(box, site, offsets + 3 * o);
        SineCosine term = {0.0f, 0.0f};
        if (neighbour != OUTSIDE) {
            term = sine_cosine(phases[neighbour]);
        }
        sum.sine = o == 0 ? term.sine : sum.sine + term.sine;
        sum.cosine = o == 0 ? term.cosine : sum.cosine + term.cosine;
    }
    return sum;
}

// base: phases at the start of the step, shape (nodes,)
// phases: phases at which the rate is taken, shape (nodes,)
// detunings: natural frequency minus frame [Hz], shape (nodes,)
// offsets: neighbour offsets in the box, shape (offset_count, 3)
// coupling: K / 2 pi [1/s]; dt: time step [s]; feed, weight: the tableau's row
// total: weighted increments so far [turn], shape (nodes,); unused by a single stage
// out: result, shape (nodes,); aliases neither base nor phases
extern "C" __global__ void step_lattice(
    const unsigned int* __restrict__ base, const unsigned int* __restrict__ phases,
    const float* __restrict__ detunings, const int* __restrict__ offsets,
    unsigned int offset_count, unsigned int slabs, unsigned int rows,
    unsigned int columns, unsigned int periodic, float coupling, float dt, float feed,
    float weight, int is_first, int is_last, float* __restrict__ total,
    unsigned int* __restrict__ out)
{
    const Box box = {slabs, rows, columns, periodic};
    const unsigned long long nodes = count_nodes(box);
    for (unsigned long long i = first_element(); i < nodes; i += grid_stride()) {
        const unsigned int node = static_cast<unsigned int>(i);
        const SineCosine sum = sum_neighbours(phases, offsets, offset_count, box, node);
        const SineCosine own = sine_cosine(phases[i]);
        const float increment = rate_increment(detunings[i], own, sum, coupling, dt);
        float move = increment;
        if (!is_first || !is_last) {
            const float share = weight * increment;
            const float collected = is_first ? share : total[i] + share;
            if (!is_last) {
                total[i] = collected;
            }
            move = is_last ? collected : feed * increment;
        }
        out[i] = base[i] + static_cast<unsigned int>(to_binary_increment(move));
    }
}
