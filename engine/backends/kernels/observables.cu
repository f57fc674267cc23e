// What is measured of the phases: order, edges, vortices, winding, turns.
//
// All sums are integers (cosines in 2^-30 fixed point, angles in binary units), so
// their order does not matter. Thread mapping: one thread per node, grid-stride, then
// a warp reduction and one 64-bit atomic per warp and sum. Totals are 64-bit two's
// complement and must be zero before the launch.

#include "box.cuh"

using namespace scribble;

// Return the wrapped difference as a signed binary angle in 64 bits.
SCRIBBLE_INLINE long long subtract_angles(unsigned int minuend, unsigned int subtrahend)
{
    return static_cast<long long>(static_cast<int>(minuend - subtrahend));
}

// Cosines of edges count a quarter, so that 6 edges on each of 2^31 nodes fit 64 bits.
constexpr float EDGE_SCALE = 0.25f;

// totals = (sum cos theta, sum sin theta) in 2^-30 fixed point.
// Bytes per node: 4 read. Operations: one sine-cosine pair, two conversions.
extern "C" __global__ void sum_order(
    const unsigned int* __restrict__ phases, unsigned long long nodes,
    unsigned long long* totals)
{
    long long cosine = 0;
    long long sine = 0;
    for (unsigned long long i = first_element(); i < nodes; i += grid_stride()) {
        const SineCosine own = sine_cosine(phases[i]);
        cosine += to_fixed_point(own.cosine);
        sine += to_fixed_point(own.sine);
    }
    add_to_total(cosine, totals);
    add_to_total(sine, totals + 1);
}

// total = sum over edges of cos(there - here) [2^-28], or of the wrapped difference
// [binary angle] if not is_cosine; offsets holds one offset per edge direction.
// Bytes per node: 4 read, neighbours from the caches. Operations: one cosine per edge.
extern "C" __global__ void sum_edges(
    const unsigned int* __restrict__ phases, const int* __restrict__ offsets,
    unsigned int offset_count, unsigned int slabs, unsigned int rows,
    unsigned int columns, unsigned int periodic, int is_cosine,
    unsigned long long* total)
{
    const Box box = {slabs, rows, columns, periodic};
    const unsigned long long nodes = count_nodes(box);
    long long sum = 0;
    for (unsigned long long i = first_element(); i < nodes; i += grid_stride()) {
        const Site site = locate_node(box, static_cast<unsigned int>(i));
        const unsigned int here = phases[i];
        for (unsigned int o = 0; o < offset_count; ++o) {
            const unsigned int there = find_node(box, site, offsets + 3 * o);
            if (there == OUTSIDE) {
                continue;
            }
            const unsigned int angle = phases[there] - here;
            sum += is_cosine ? to_fixed_point(EDGE_SCALE * sine_cosine(angle).cosine)
                             : subtract_angles(angle, 0u);
        }
    }
    add_to_total(sum, total);
}

// Return whether the phase winds around the loop of four corners at a site; a loop
// that leaves the lattice does not exist.
SCRIBBLE_INLINE bool has_winding(
    const unsigned int* __restrict__ phases, const Box& box, const Site& site,
    const int* corners)
{
    unsigned int angle[4];
    for (int corner = 0; corner < 4; ++corner) {
        const unsigned int node = find_node(box, site, corners + 3 * corner);
        if (node == OUTSIDE) {
            return false;
        }
        angle[corner] = phases[node];
    }
    return subtract_angles(angle[1], angle[0]) + subtract_angles(angle[2], angle[1]) +
               subtract_angles(angle[3], angle[2]) +
               subtract_angles(angle[0], angle[3]) !=
           0;
}

// total = number of plaquettes around which the phase winds; loops has the shape
// (loop_count, 4, 3), and a triangle repeats its last corner.
// Bytes per node: 4 read, corners from the caches. Operations: 8 subtractions a loop.
extern "C" __global__ void count_vortices(
    const unsigned int* __restrict__ phases, const int* __restrict__ loops,
    unsigned int loop_count, unsigned int slabs, unsigned int rows,
    unsigned int columns, unsigned int periodic, unsigned long long* total)
{
    const Box box = {slabs, rows, columns, periodic};
    const unsigned long long nodes = count_nodes(box);
    long long count = 0;
    for (unsigned long long i = first_element(); i < nodes; i += grid_stride()) {
        const Site site = locate_node(box, static_cast<unsigned int>(i));
        for (unsigned int loop = 0; loop < loop_count; ++loop) {
            count += has_winding(phases, box, site, loops + 12 * loop) ? 1 : 0;
        }
    }
    add_to_total(count, total);
}

// sums += wrapped way from marks to phases [2^-32 turn]; marks = phases.
// Bytes per node: 16 read, 12 written. Operations: one subtraction, one addition.
extern "C" __global__ void count_turns(
    const unsigned int* __restrict__ phases, unsigned long long nodes,
    unsigned int* __restrict__ marks, long long* __restrict__ sums)
{
    for (unsigned long long i = first_element(); i < nodes; i += grid_stride()) {
        sums[i] += subtract_angles(phases[i], marks[i]);
        marks[i] = phases[i];
    }
}
