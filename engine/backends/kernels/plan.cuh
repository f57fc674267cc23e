// What is due in a period: the array of `cuda_plan.py`, read by the kernels.
//
// Words: first tick, seed, stream, 0; for each launch where its pieces start and end;
// the pieces, first slot and one past the last.

#include "events.cuh"

namespace scribble {

constexpr unsigned int PLAN_HEADER = 4u;

struct Pieces {
    unsigned long long first;
    unsigned long long last;
};

SCRIBBLE_INLINE Pieces find_pieces(const unsigned long long* plan, unsigned int launch)
{
    const unsigned long long* row = plan + PLAN_HEADER + 2ull * launch;
    return {row[0], row[1]};
}

// Return what the events of a slice have in common, `ticks` lattice steps after the
// first of the period.
SCRIBBLE_INLINE Attempt start_slice(
    const unsigned long long* plan, unsigned int ticks, float dt)
{
    return {
        static_cast<unsigned int>(plan[0]) + ticks, dt,
        static_cast<unsigned int>(plan[1]), static_cast<unsigned int>(plan[2])};
}

// Run every `stride`-th event of a launch from `start` on; return the successes.
SCRIBBLE_INLINE long long run_pieces(
    const Bridges& bridges, const unsigned long long* plan, const Pieces& pieces,
    const Attempt& now, const Movable& field, unsigned long long start,
    unsigned long long stride)
{
    long long count = 0;
    for (unsigned long long at = pieces.first; at < pieces.last; at += 2) {
        const unsigned long long hi = plan[at + 1];
        for (unsigned long long b = plan[at] + start; b < hi; b += stride) {
            count += run_event(bridges, b, find_ends(bridges, b), now, field);
        }
    }
    return count;
}

}  // namespace scribble
