// The high halves of the noise words of consecutive tokens, many at a time:
// what a coarse bound of the noise needs.
#pragma once

#include <cstdint>
#include <span>

#include "core/noise.h"

namespace ft {

// How many Philox blocks are computed at once; all give the same words.
enum class NoiseLanes : uint8_t { kOne, kFour, kEight };

// The widest that this machine runs: kEight with AVX-512, kFour with AVX2, else kOne.
NoiseLanes widest_noise_lanes();

// words[i] = the high word of token first_token + i in stream kToken: noise_block(key, (first_token + i) /
// 2)[0 or 2]. first_token is even and words.size() a multiple of 16. `lanes` must run on this machine.
void fill_noise_words(NoiseKey key, uint32_t first_token, std::span<uint32_t> words, NoiseLanes lanes);

}  // namespace ft
