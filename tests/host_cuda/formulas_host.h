// The formulas of formulas.cuh and noise.cuh over arrays, to be called through ctypes.

#include <stdint.h>

using namespace scribble;

extern "C" {

void sine_cosine_all(const uint32_t* angle, int64_t n, float* sine, float* cosine)
{
    for (int64_t k = 0; k < n; ++k) {
        const SineCosine pair = sine_cosine(angle[k]);
        sine[k] = pair.sine;
        cosine[k] = pair.cosine;
    }
}

void rotate_all(
    const float* sine, const float* cosine, const float* lag_sine,
    const float* lag_cosine, int64_t n, float* turned_sine, float* turned_cosine)
{
    for (int64_t k = 0; k < n; ++k) {
        const SineCosine turned =
            rotate({sine[k], cosine[k]}, {lag_sine[k], lag_cosine[k]});
        turned_sine[k] = turned.sine;
        turned_cosine[k] = turned.cosine;
    }
}

void log_all(const float* share, int64_t n, float* logarithm)
{
    for (int64_t k = 0; k < n; ++k) {
        logarithm[k] = log_share(share[k]);
    }
}

void pair_all(
    const uint32_t* first, const uint32_t* second, int64_t n, float* cosine, float* sine)
{
    for (int64_t k = 0; k < n; ++k) {
        const SineCosine pair = normal_pair(first[k], second[k]);
        cosine[k] = pair.cosine;
        sine[k] = pair.sine;
    }
}

void decay_all(const float* dose, int64_t n, float* kept, float* lost)
{
    for (int64_t k = 0; k < n; ++k) {
        const Decay pair = decay(dose[k]);
        kept[k] = pair.kept;
        lost[k] = pair.lost;
    }
}

void pair_shift_all(
    const int32_t* difference, const float* dose, int64_t n, int32_t* shift,
    float* sine, float* cosine)
{
    for (int64_t k = 0; k < n; ++k) {
        const PairShift pair = pair_shift(difference[k], dose[k]);
        shift[k] = pair.shift;
        sine[k] = pair.sine;
        cosine[k] = pair.cosine;
    }
}

void split_rate_all(const float* rate, int64_t n, uint32_t* turn, float* size)
{
    for (int64_t k = 0; k < n; ++k) {
        const SplitRate split = split_rate(rate[k]);
        turn[k] = split.turn;
        size[k] = split.size;
    }
}

void round_all(const float* turns, int64_t n, int32_t* binary)
{
    for (int64_t k = 0; k < n; ++k) {
        binary[k] = to_binary_increment(turns[k]);
    }
}

void fix_all(const float* value, int64_t n, int64_t* fixed)
{
    for (int64_t k = 0; k < n; ++k) {
        fixed[k] = to_fixed_point(value[k]);
    }
}

void philox_all(
    const uint32_t* counter0, const uint32_t* counter1, const uint32_t* key0,
    const uint32_t* key1, int64_t n, uint32_t* word)
{
    for (int64_t k = 0; k < n; ++k) {
        word[k] = philox_word(counter0[k], counter1[k], key0[k], key1[k]);
    }
}

void philox_known(const uint32_t* counter, const uint32_t* key, uint32_t* word)
{
    const Words words = philox_words4(
        counter[0], counter[1], counter[2], counter[3], key[0], key[1]);
    word[0] = words.x0;
    word[1] = words.x1;
    word[2] = words.x2;
    word[3] = words.x3;
}

}  // extern "C"
