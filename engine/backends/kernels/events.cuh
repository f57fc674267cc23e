// One attempt of one bridge: what every kernel that lets bridges tunnel has in common.
//
//   d = theta_t - theta_s,  h = dose_rate * (tick - last tick) * dt
//   shift = atan2((1 - e) s c, c^2 + e s^2), s = sin(d/2), c = cos(d/2), e = exp(-2 h)
//   on success theta_s += shift, theta_t -= shift: their sum is kept exactly
//   locking mean += (exp(i d) - mean) / 16
//
// A negative dose rate repels: d + pi is drawn together instead. A directed bridge,
// whose source word has the top bit set, moves its target alone, by twice the shift of
// half the dose: tan(d/2) -> exp(-h) tan(d/2). With inertia m [s] phases stay; the
// velocities take +-shift / m, which moves the phases by the shift once it has faded.
//
// Bytes per event: 40 read and 20 written on the bridge side (20 read where all but the
// state is computed), two phases gathered and scattered. Operations: two polynomials, one exp, one atan, ten Philox rounds.

#include "box.cuh"

namespace scribble {

constexpr float LOCKING_MEMORY = 1.0f / 16.0f;
constexpr unsigned int DIRECTED_FLAG = 1u << 31;

// The columns of `BridgeArrays`, shape (bridges,) each.
struct Bridges {
    const unsigned int* __restrict__ ids;
    const unsigned int* __restrict__ sources;  // top bit: directed
    const unsigned int* __restrict__ targets;
    const float* __restrict__ dose_rates;  // [rad/s], signed
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
    float dose_rate;  // [rad/s], signed
    unsigned int threshold;
};

// What events move: phases, or velocities where there are any.
struct Movable {
    unsigned int* phases;          // in global or in shared memory
    float* __restrict__ velocities;  // [Hz]; null without inertia
    float push;  // 1 / (2^32 m), from a shift to a change of velocity [Hz]
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
    unsigned int is_directed;  // 1: the source stays
};

// Return the two nodes of the bridge in slot b.
SCRIBBLE_INLINE Ends find_ends(const Bridges& bridges, unsigned long long b)
{
    const unsigned int word = bridges.sources[b];
    return {word & ~DIRECTED_FLAG, bridges.targets[b], word >> 31};
}

// Push the ends of a bridge: on both sides a shift of nothing changes no bit.
SCRIBBLE_INLINE void push_ends(const Movable& field, const Ends& ends, int shift)
{
    if (shift == 0) {
        return;
    }
    const float moved = static_cast<float>(shift);
    float* const velocities = field.velocities;
    float push = field.push;
    if (ends.is_directed) {
        push = push + push;
    } else {
        velocities[ends.source] = fused(push, moved, velocities[ends.source]);
    }
    velocities[ends.target] = fused(-push, moved, velocities[ends.target]);
}

// Let the bridge in slot b attempt an event between its ends; return its successes.
SCRIBBLE_INLINE int run_event(
    const BridgeState& bridges, unsigned long long b, const Ends& ends,
    const Link& link, const Attempt& now, const Movable& field)
{
    const unsigned int source_phase = field.phases[ends.source];
    const unsigned int target_phase = field.phases[ends.target];
    const SplitRate rate = split_rate(link.dose_rate);
    const int difference = static_cast<int>((target_phase - source_phase) ^ rate.turn);
    const float elapsed =
        static_cast<float>(static_cast<int>(now.tick - bridges.last_ticks[b])) * now.dt;
    const PairShift pair = pair_shift(difference, rate.size * elapsed);
    const float s = pair.sine;
    const float c = pair.cosine;
    const float sc = s * c;
    const float mean_cos = bridges.locking_cos[b];
    const float mean_sin = bridges.locking_sin[b];
    const float gap_cos = flip_sign(c * c - s * s, rate.turn);
    const float gap_sin = flip_sign(sc + sc, rate.turn);
    bridges.locking_cos[b] = mean_cos + LOCKING_MEMORY * (gap_cos - mean_cos);
    bridges.locking_sin[b] = mean_sin + LOCKING_MEMORY * (gap_sin - mean_sin);
    bridges.last_ticks[b] = now.tick;
    const unsigned int attempt = bridges.attempts[b];
    bridges.attempts[b] = attempt + 1u;
    if (philox_word(link.id, attempt, now.key0, now.key1) > link.threshold) {
        return 0;
    }
    bridges.successes[b] += 1u;
    if (field.velocities != nullptr) {
        push_ends(field, ends, pair.shift);
        return 1;
    }
    const unsigned int moved = static_cast<unsigned int>(pair.shift);
    field.phases[ends.source] = source_phase + (ends.is_directed ? 0u : moved);
    field.phases[ends.target] = target_phase - (moved << ends.is_directed);
    return 1;
}

// The same for a bridge whose columns are all stored.
SCRIBBLE_INLINE int run_event(
    const Bridges& bridges, unsigned long long b, const Ends& ends, const Attempt& now,
    const Movable& field)
{
    const BridgeState state = {
        bridges.last_ticks, bridges.attempts, bridges.successes, bridges.locking_cos,
        bridges.locking_sin};
    const Link link = {bridges.ids[b], bridges.dose_rates[b], bridges.thresholds[b]};
    return run_event(state, b, ends, link, now, field);
}

}  // namespace scribble
