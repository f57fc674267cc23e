// One attempt of one bridge: what every kernel that lets bridges tunnel has in common.
//
//   d = theta_t - theta_s,  h = dose_rate * (tick - last tick) * dt
//   shift = atan2((1 - e) s c, c^2 + e s^2), s = sin(d/2), c = cos(d/2), e = exp(-2 h)
//   on success theta_s += shift, theta_t -= shift: their sum is kept exactly
//   locking mean += (exp(i d) - mean) / 16
//
// Bytes per event: 40 read and 20 written on the bridge side (20 read where all but the
// state is computed), two phases gathered and scattered. Operations: two polynomials, one exp, one atan, ten Philox rounds.

#include "box.cuh"

namespace scribble {

constexpr float LOCKING_MEMORY = 1.0f / 16.0f;

// The columns of `BridgeArrays`, shape (bridges,) each.
struct Bridges {
    const unsigned int* __restrict__ ids;
    const unsigned int* __restrict__ sources;
    const unsigned int* __restrict__ targets;
    const float* __restrict__ dose_rates;  // [rad/s]
    const unsigned int* __restrict__ thresholds;
    unsigned int* __restrict__ last_ticks;
    unsigned int* __restrict__ attempts;
    unsigned int* __restrict__ successes;
    float* __restrict__ locking_cos;
    float* __restrict__ locking_sin;
};

// The columns that a run changes, shape (bridges,) each.
struct BridgeState {
    unsigned int* __restrict__ last_ticks;
    unsigned int* __restrict__ attempts;
    unsigned int* __restrict__ successes;
    float* __restrict__ locking_cos;
    float* __restrict__ locking_sin;
};

// What decides dose and success of one bridge, wherever it comes from.
struct Link {
    unsigned int id;
    float dose_rate;  // [rad/s]
    unsigned int threshold;
};

// What the events of one tunnel slice have in common.
struct Attempt {
    unsigned int tick;  // number of the lattice step, from 1
    float dt;           // simulated seconds per tick
    unsigned int key0;  // (seed, stream) of the success draws
    unsigned int key1;
};

struct Ends {
    unsigned int source;
    unsigned int target;
};

// Return the two nodes of the bridge in slot b.
SCRIBBLE_INLINE Ends find_ends(const Bridges& bridges, unsigned long long b)
{
    return {bridges.sources[b], bridges.targets[b]};
}

// Let the bridge in slot b attempt an event between its ends; return its successes.
// `phases` may lie in global or in shared memory.
SCRIBBLE_INLINE int run_event(
    const BridgeState& bridges, unsigned long long b, const Ends& ends,
    const Link& link, const Attempt& now, unsigned int* phases)
{
    const unsigned int source_phase = phases[ends.source];
    const unsigned int target_phase = phases[ends.target];
    const int difference = static_cast<int>(target_phase - source_phase);
    const float elapsed =
        static_cast<float>(static_cast<int>(now.tick - bridges.last_ticks[b])) * now.dt;
    const PairShift pair = pair_shift(difference, link.dose_rate * elapsed);
    const float s = pair.sine;
    const float c = pair.cosine;
    const float sc = s * c;
    const float mean_cos = bridges.locking_cos[b];
    const float mean_sin = bridges.locking_sin[b];
    bridges.locking_cos[b] = mean_cos + LOCKING_MEMORY * ((c * c - s * s) - mean_cos);
    bridges.locking_sin[b] = mean_sin + LOCKING_MEMORY * ((sc + sc) - mean_sin);
    bridges.last_ticks[b] = now.tick;
    const unsigned int attempt = bridges.attempts[b];
    bridges.attempts[b] = attempt + 1u;
    if (philox_word(link.id, attempt, now.key0, now.key1) > link.threshold) {
        return 0;
    }
    const unsigned int moved = static_cast<unsigned int>(pair.shift);
    phases[ends.source] = source_phase + moved;
    phases[ends.target] = target_phase - moved;
    bridges.successes[b] += 1u;
    return 1;
}

// The same for a bridge whose columns are all stored.
SCRIBBLE_INLINE int run_event(
    const Bridges& bridges, unsigned long long b, const Ends& ends, const Attempt& now,
    unsigned int* phases)
{
    const BridgeState state = {
        bridges.last_ticks, bridges.attempts, bridges.successes, bridges.locking_cos,
        bridges.locking_sin};
    const Link link = {bridges.ids[b], bridges.dose_rates[b], bridges.thresholds[b]};
    return run_event(state, b, ends, link, now, phases);
}

}  // namespace scribble
