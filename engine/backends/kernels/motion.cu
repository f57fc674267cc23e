// Noise and inertia: what goes before and after plain steps of the rate.
//
//   kick:  phase += round(2^32 width n)                             [binary angle]
//   drift: phase = start + round(gain v),  gain = 2^32 time
//   coast: v = keep v + take (phase - start) + width n, then a drift from `start`
//   n: standard normal numbers of `noise.cuh`
//
// Thread mapping: one thread per four nodes, which share the words of a Philox counter,
// or per node where nothing is drawn; grid-stride.

#include "box.cuh"
#include "noise.cuh"

using namespace scribble;

// Largest float below half a turn [binary angle].
constexpr float FARTHEST = 2147483520.0f;

// Round a move [binary angle] to an integer; never half a turn or more.
SCRIBBLE_INLINE unsigned int round_move(float move)
{
    const float held = move < -FARTHEST ? -FARTHEST : move;
    return static_cast<unsigned int>(round_to_int(held > FARTHEST ? FARTHEST : held));
}

// Return the number of quads, the last of which may hold fewer nodes.
SCRIBBLE_INLINE unsigned long long count_quads(unsigned long long nodes)
{
    return (nodes + QUAD - 1u) / QUAD;
}

// Add noise to the phases.
// kick, key0, key1: number of the kick, and the key of the noise
// width: standard deviation [turn]; phases: shape (nodes,), changed in place
// Bytes per node: 4 read, 4 written. Operations: a quarter of ten Philox rounds, half a
// logarithm, root and pair of sine and cosine.
extern "C" __global__ void kick_phases(
    unsigned long long nodes, unsigned int kick, unsigned int key0, unsigned int key1,
    float width, unsigned int* __restrict__ phases)
{
    const unsigned long long quads = count_quads(nodes);
    for (unsigned long long q = first_element(); q < quads; q += grid_stride()) {
        const Quad noise = draw_quad(static_cast<unsigned int>(q), {kick, key0, key1});
#pragma unroll
        for (unsigned int lane = 0; lane < QUAD; ++lane) {
            const unsigned long long i = q * QUAD + lane;
            if (i < nodes) {
                phases[i] += round_move(width * noise.normals[lane] * TURN_F);
            }
        }
    }
}

// Move the phases by their velocities.
// velocities: [Hz], shape (nodes,); gain: 2^32 times the time [s]
// Bytes per node: 8 read, 4 written. Operations: 4.
extern "C" __global__ void drift_phases(
    const float* __restrict__ velocities, unsigned long long nodes, float gain,
    unsigned int* __restrict__ phases)
{
    for (unsigned long long i = first_element(); i < nodes; i += grid_stride()) {
        phases[i] += round_move(velocities[i] * gain);
    }
}

// Let velocities relax towards the rate that a plain step has shown, kick them, and let
// the phases drift from where they were before that step.
// starts: phases before the step, shape (nodes,); kick .. key1: as above
// keep: share of a velocity that is kept [-]
// take: share of the rate that is taken, over 2^32 dt [1/s]
// width: standard deviation of the kick [Hz], 0 for none; gain: of the drift
// velocities [Hz], phases: shape (nodes,), changed in place
// Bytes per node: 12 read, 8 written. Operations: 9, and those of a kick.
extern "C" __global__ void coast_phases(
    const unsigned int* __restrict__ starts, unsigned long long nodes,
    unsigned int kick, unsigned int key0, unsigned int key1, float keep, float take,
    float width, float gain, float* __restrict__ velocities,
    unsigned int* __restrict__ phases)
{
    const unsigned long long quads = count_quads(nodes);
    const bool is_noisy = width != 0.0f;
    for (unsigned long long q = first_element(); q < quads; q += grid_stride()) {
        Quad noise = {{0.0f, 0.0f, 0.0f, 0.0f}};
        if (is_noisy) {
            noise = draw_quad(static_cast<unsigned int>(q), {kick, key0, key1});
        }
#pragma unroll
        for (unsigned int lane = 0; lane < QUAD; ++lane) {
            const unsigned long long i = q * QUAD + lane;
            if (i < nodes) {
                const unsigned int start = starts[i];
                const float moved =
                    static_cast<float>(static_cast<int>(phases[i] - start));
                float velocity = fused(keep, velocities[i], take * moved);
                velocity = is_noisy ? fused(width, noise.normals[lane], velocity)
                                    : velocity;
                velocities[i] = velocity;
                phases[i] = start + round_move(velocity * gain);
            }
        }
    }
}
