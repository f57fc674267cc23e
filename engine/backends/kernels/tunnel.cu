// Tunnel events: the bridges in slots lo .. hi - 1 attempt one event each, as written
// in events.cuh.
//
// Thread mapping: one thread per bridge, grid-stride; the columns of a bridge are read
// and written contiguously, its two phases gathered and scattered. The slots lie in
// one layer, in which no node occurs twice: no atomics and no order among events.

#include "events.cuh"

using namespace scribble;

// ids, sources, targets, dose_rates [rad/s], thresholds: as in `BridgeArrays`, as are
// last_ticks .. locking_sin, which are updated in place; shape (bridges,) each
// lo, hi: the slots that are due; tick: number of this tunnel step, from 1
// dt: simulated seconds per tick; key0, key1: (seed, stream) of the success draws
// phases: shape (nodes,), updated in place
// success_total: the number of successes is added to it
extern "C" __global__ void run_tunnel_events(
    const unsigned int* __restrict__ ids, const unsigned int* __restrict__ sources,
    const unsigned int* __restrict__ targets, const float* __restrict__ dose_rates,
    const unsigned int* __restrict__ thresholds, unsigned long long lo,
    unsigned long long hi, unsigned int tick, float dt, unsigned int key0,
    unsigned int key1, unsigned int* __restrict__ phases,
    unsigned int* __restrict__ last_ticks, unsigned int* __restrict__ attempts,
    unsigned int* __restrict__ successes, float* __restrict__ locking_cos,
    float* __restrict__ locking_sin, unsigned long long* __restrict__ success_total)
{
    const Bridges bridges = {
        ids,        sources,  targets,   dose_rates,  thresholds,
        last_ticks, attempts, successes, locking_cos, locking_sin};
    const Attempt now = {tick, dt, key0, key1};
    long long count = 0;
    for (unsigned long long b = lo + first_element(); b < hi; b += grid_stride()) {
        count += run_event(bridges, b, find_ends(bridges, b), now, phases);
    }
    add_to_total(count, success_total);
}
