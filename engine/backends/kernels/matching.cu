// Tunnel events of bridges whose ends are computed: slots lo .. hi - 1 of one layer.
//
// The event is that of events.cuh; ends come from a Feistel network (matching.cuh), dose
// rate and threshold from the detunings of both ends, the id is the slot.
//
// Thread mapping: one thread per bridge, grid-stride; state columns are read and
// written contiguously, two phases gathered and scattered, two detunings gathered. No
// node occurs twice in a layer: no atomics and no order among events.
// Operations beside those of an event: two Feistel networks of eight rounds (twice that
// at most on average where N is no power of two) and one division.

#include "events.cuh"
#include "matching.cuh"

using namespace scribble;

// What decides ends and success, as the host passes it; keys: shape (layers, ROUNDS);
// is_directed: 1 where the sources of all bridges stay.
#define MATCHING_PARAMETERS                                                          \
    const unsigned int* __restrict__ keys, const float* __restrict__ detunings,      \
        unsigned int node_count, unsigned int high_bits, unsigned int low_bits,      \
        float per_linewidth, float max_probability, float full_rate,                 \
        unsigned int is_directed

// Return the permutation of the layer in which a slot lies.
SCRIBBLE_INLINE Permutation find_layer(
    unsigned long long slot, const unsigned int* keys, unsigned int node_count,
    unsigned int high_bits, unsigned int low_bits)
{
    const unsigned long long layer = slot / (node_count / 2u);
    return {node_count, high_bits, low_bits, keys + layer * ROUNDS};
}

// Return the number of a slot within its layer, times two: the source's place.
SCRIBBLE_INLINE unsigned int find_place(
    unsigned long long slot, unsigned int node_count)
{
    return 2u * static_cast<unsigned int>(slot % (node_count / 2u));
}

// lo, hi: the slots that are due, of one layer; tick: number of this tunnel step, from 1
// dt: simulated seconds per tick; key0, key1: (seed, stream) of the success draws
// phases, velocities, push: as in `Movable`, updated in place; shape (nodes,)
// last_ticks .. locking_sin: as in `MatchingArrays`, updated in place; (bridges,) each
// success_total: the number of successes is added to it
extern "C" __global__ void run_matching_events(
    MATCHING_PARAMETERS, unsigned long long lo, unsigned long long hi,
    unsigned int tick, float dt, unsigned int key0, unsigned int key1,
    unsigned int* __restrict__ phases, float* __restrict__ velocities, float push,
    unsigned int* __restrict__ last_ticks,
    unsigned int* __restrict__ attempts, unsigned int* __restrict__ successes,
    float* __restrict__ locking_cos, float* __restrict__ locking_sin,
    unsigned long long* __restrict__ success_total)
{
    const Permutation layer = find_layer(lo, keys, node_count, high_bits, low_bits);
    const unsigned int place = find_place(lo, node_count);
    const BridgeState state = {
        last_ticks, attempts, successes, locking_cos, locking_sin};
    const Attempt now = {tick, dt, key0, key1};
    const Movable field = {phases, velocities, push};
    long long count = 0;
    for (unsigned long long b = lo + first_element(); b < hi; b += grid_stride()) {
        const unsigned int pair_place = place + 2u * static_cast<unsigned int>(b - lo);
        const Ends ends = {
            permute(pair_place, layer), permute(pair_place + 1u, layer), is_directed};
        const float gap = detunings[ends.target] - detunings[ends.source];
        const Success law = success_law(gap, per_linewidth, max_probability, full_rate);
        const unsigned int id = static_cast<unsigned int>(b);
        const Link link = {id, law.dose_rate, law.threshold};
        count += run_event(state, b, ends, link, now, field);
    }
    add_to_total(count, success_total);
}

// count: slots of all layers; total: the sum of their thresholds is added to it
extern "C" __global__ void sum_thresholds(
    MATCHING_PARAMETERS, unsigned long long count,
    unsigned long long* __restrict__ total)
{
    unsigned long long sum = 0;
    for (unsigned long long b = first_element(); b < count; b += grid_stride()) {
        const Permutation layer = find_layer(b, keys, node_count, high_bits, low_bits);
        const unsigned int place = find_place(b, node_count);
        const unsigned int source = permute(place, layer);
        const unsigned int target = permute(place + 1u, layer);
        const float gap = detunings[target] - detunings[source];
        sum += success_law(gap, per_linewidth, max_probability, full_rate).threshold;
    }
    add_to_total(static_cast<long long>(sum), total);
}
