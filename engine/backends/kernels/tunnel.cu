// Tunnel events: the bridges that are due in one launch attempt one event each, as
// written in events.cuh.
//
// Thread mapping: one thread per bridge, grid-stride; the columns of a bridge are read
// and written contiguously, its two phases gathered and scattered. The pieces of a
// launch lie in one layer, in which no node occurs twice: no atomics and no order among
// events. What is due is looked up in the plan, so that a captured launch can be
// repeated; a launch without pieces returns after two reads.

#include "plan.cuh"

using namespace scribble;

// ids, sources, targets, dose_rates [rad/s], thresholds: as in `BridgeArrays`, as are
// last_ticks .. locking_sin, which are updated in place; shape (bridges,) each
// plan: as in plan.cuh; launch: number of this launch in it
// ticks: lattice steps from the first tick of the period to this slice
// dt: simulated seconds per tick
// phases, velocities, push: as in `Movable`, updated in place; shape (nodes,)
// success_total: the number of successes is added to it
extern "C" __global__ void run_tunnel_events(
    const unsigned int* __restrict__ ids, const unsigned int* __restrict__ sources,
    const unsigned int* __restrict__ targets, const float* __restrict__ dose_rates,
    const unsigned int* __restrict__ thresholds, unsigned int* __restrict__ last_ticks,
    unsigned int* __restrict__ attempts, unsigned int* __restrict__ successes,
    float* __restrict__ locking_cos, float* __restrict__ locking_sin,
    const unsigned long long* __restrict__ plan, unsigned int launch,
    unsigned int ticks, float dt, unsigned int* __restrict__ phases,
    float* __restrict__ velocities, float push,
    unsigned long long* __restrict__ success_total)
{
    const Pieces pieces = find_pieces(plan, launch);
    if (pieces.first == pieces.last) {
        return;
    }
    const Bridges bridges = {
        ids,        sources,  targets,   dose_rates,  thresholds,
        last_ticks, attempts, successes, locking_cos, locking_sin};
    const Attempt now = start_slice(plan, ticks, dt);
    const Movable field = {phases, velocities, push};
    const long long count =
        run_pieces(bridges, plan, pieces, now, field, first_element(), grid_stride());
    add_to_total(count, success_total);
}
