// Tunnel events: the bridges in slots lo .. hi - 1 attempt one event each.
//
//   d = theta_t - theta_s,  h = dose_rate * (tick - last tick) * dt
//   shift = atan2((1 - e) s c, c^2 + e s^2), s = sin(d/2), c = cos(d/2), e = exp(-2 h)
//   on success theta_s += shift, theta_t -= shift: their sum is kept exactly
//   locking mean += (exp(i d) - mean) / 16
//
// Thread mapping: one thread per bridge, grid-stride; the columns of a bridge are read
// and written contiguously, its two phases gathered and scattered. The slots lie in
// one layer, in which no node occurs twice: no atomics and no order among events.
// Bytes per event: 40 read and 20 written on the bridge side, two phases gathered and
// scattered. Operations: two polynomials, one exp, one atan, ten Philox rounds.

#include "box.cuh"

using namespace scribble;

constexpr float LOCKING_MEMORY = 1.0f / 16.0f;

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
    long long count = 0;
    for (unsigned long long b = lo + first_element(); b < hi; b += grid_stride()) {
        const unsigned int source = sources[b];
        const unsigned int target = targets[b];
        const unsigned int source_phase = phases[source];
        const unsigned int target_phase = phases[target];
        const int difference = static_cast<int>(target_phase - source_phase);
        const float elapsed =
            static_cast<float>(static_cast<int>(tick - last_ticks[b])) * dt;
        const PairShift pair = pair_shift(difference, dose_rates[b] * elapsed);
        const float s = pair.sine;
        const float c = pair.cosine;
        const float sc = s * c;
        const float mean_cos = locking_cos[b];
        const float mean_sin = locking_sin[b];
        locking_cos[b] = mean_cos + LOCKING_MEMORY * ((c * c - s * s) - mean_cos);
        locking_sin[b] = mean_sin + LOCKING_MEMORY * ((sc + sc) - mean_sin);
        last_ticks[b] = tick;
        const unsigned int attempt = attempts[b];
        attempts[b] = attempt + 1u;
        if (philox_word(ids[b], attempt, key0, key1) <= thresholds[b]) {
            const unsigned int moved = static_cast<unsigned int>(pair.shift);
            phases[source] = source_phase + moved;
            phases[target] = target_phase - moved;
            successes[b] += 1u;
            ++count;
        }
    }
    add_to_total(count, success_total);
}
