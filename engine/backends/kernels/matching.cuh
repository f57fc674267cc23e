// Procedural matchings: the twin of `matching.py` and of its formulas in `formulas.py`.
//
// Bridge k of layer l joins pi_l(2 k) and pi_l(2 k + 1); pi_l is a Feistel network over
// high_bits + low_bits bits, walked along its cycle until it lands below N. Integers
// only, but for the success law, whose order is that of `matching.SuccessLaw`. Comes
// after formulas.cuh and compiles wherever that does.

#include "formulas.cuh"

namespace scribble {

constexpr unsigned int ROUNDS = 8;
constexpr unsigned int FEISTEL_M0 = 0x7FEB352Du;
constexpr unsigned int FEISTEL_M1 = 0x846CA68Bu;
constexpr unsigned int FEISTEL_SHIFT = 15u;
constexpr float WIDEST_F = 18446744073709551616.0f;
constexpr float MOST_WORDS_F = 4294967040.0f;
constexpr unsigned int ALL_WORDS = 0xFFFFFFFFu;

// What permutes the nodes of one layer.
struct Permutation {
    unsigned int node_count;
    unsigned int high_bits;  // >= 1
    unsigned int low_bits;   // >= 1, below 32
    const unsigned int* keys;  // ROUNDS words
};

struct Success {
    float dose_rate;  // kappa / P [rad/s]
    unsigned int threshold;
};

// Return the round function's word; its highest bits are the best mixed.
SCRIBBLE_INLINE unsigned int mix_word(unsigned int half, unsigned int key)
{
    unsigned int word = (half ^ key) * FEISTEL_M0;
    word ^= word >> FEISTEL_SHIFT;
    return word * FEISTEL_M1;
}

// Return the image of a node under the permutation of its layer.
SCRIBBLE_INLINE unsigned int permute(unsigned int word, const Permutation& layer)
{
    const unsigned int low_bits = layer.low_bits;
    const unsigned int mask = (1u << low_bits) - 1u;
    do {
        unsigned int high = word >> low_bits;
        unsigned int low = word & mask;
        for (unsigned int round = 0; round < ROUNDS; round += 2) {
            high ^= mix_word(low, layer.keys[round]) >> (32u - layer.high_bits);
            low ^= mix_word(high, layer.keys[round + 1]) >> (32u - low_bits);
        }
        word = (high << low_bits) | low;
    } while (word >= layer.node_count);
    return word;
}

// Return dose rate and threshold at a detuning of both ends [Hz].
SCRIBBLE_INLINE Success success_law(
    float gap, float per_linewidth, float max_probability, float full_rate)
{
    const float ratio = gap * per_linewidth;
    const float wide = ONE + ratio * ratio;
    const float widening = WIDEST_F < wide ? WIDEST_F : wide;
    const float words = ceilf((max_probability / widening) * TURN_F);
    const float least = ONE > words ? ONE : words;
    const float held = MOST_WORDS_F < least ? MOST_WORDS_F : least;
    const unsigned int threshold = static_cast<unsigned int>(held) - 1u;
    return {full_rate * widening, words >= TURN_F ? ALL_WORDS : threshold};
}

}  // namespace scribble
