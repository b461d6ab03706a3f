#include "core/noise_words.h"

#include "core/check.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace ft {

namespace {

void fill_one(NoiseKey key, uint32_t first_pair, std::span<uint32_t> words) {
  for (size_t i = 0; i < words.size(); i += 2) {
    const Philox::Counter block = noise_block(key, first_pair + static_cast<uint32_t>(i / 2));
    words[i] = block[0];
    words[i + 1] = block[2];
  }
}

#if defined(__x86_64__)
// One block a 64-bit lane. The multiplication reads only the low half of its operands and leaves both halves
// of the product, so the halves that nobody reads are never cleared: c1 and c3 carry rubbish above bit 31.
// Round keys are laid out first and the rounds unrolled:
// otherwise the broadcasts cost as much as the multiplications.
__attribute__((target("avx2"))) void fill_four(NoiseKey key, uint32_t first_pair, std::span<uint32_t> words) {
  const uint64_t position = static_cast<uint64_t>(key.position);
  const __m256i multiplier0 = _mm256_set1_epi64x(Philox::kMultiplier0);
  const __m256i multiplier1 = _mm256_set1_epi64x(Philox::kMultiplier1);
  __m256i keys[2 * Philox::kRounds];
  for (uint32_t round = 0; round < Philox::kRounds; ++round) {
    keys[2 * round] = _mm256_set1_epi64x(static_cast<uint32_t>(key.seed) + round * Philox::kWeyl0);
    keys[2 * round + 1] = _mm256_set1_epi64x(static_cast<uint32_t>(key.seed >> 32) + round * Philox::kWeyl1);
  }
  const __m256i low_half = _mm256_set1_epi64x(0xffffffff);
  for (size_t i = 0; i < words.size(); i += 8) {
    const uint32_t pair = first_pair + static_cast<uint32_t>(i / 2);
    __m256i c0 = _mm256_add_epi64(_mm256_set1_epi64x(pair), _mm256_set_epi64x(3, 2, 1, 0));
    __m256i c1 = _mm256_set1_epi64x(static_cast<int64_t>(position & 0xffffffff));
    __m256i c2 = _mm256_set1_epi64x(static_cast<int64_t>(position >> 32));
    __m256i c3 = _mm256_set1_epi64x(static_cast<int64_t>(NoiseStream::kToken));
#pragma GCC unroll 10
    for (int round = 0; round < Philox::kRounds; ++round) {
      const __m256i product0 = _mm256_mul_epu32(c0, multiplier0);
      const __m256i product1 = _mm256_mul_epu32(c2, multiplier1);
      c0 = _mm256_xor_si256(_mm256_srli_epi64(product1, 32), _mm256_xor_si256(c1, keys[2 * round]));
      c2 = _mm256_xor_si256(_mm256_srli_epi64(product0, 32), _mm256_xor_si256(c3, keys[2 * round + 1]));
      c1 = product1;
      c3 = product0;
    }
    const __m256i pairs = _mm256_or_si256(_mm256_and_si256(c0, low_half), _mm256_slli_epi64(c2, 32));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words.data() + i), pairs);
  }
}

#pragma GCC diagnostic push
// The intrinsics of gcc 12 leave masked-out lanes undefined on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
__attribute__((target("avx512f"))) void fill_eight(NoiseKey key, uint32_t first_pair,
                                                   std::span<uint32_t> words) {
  const uint64_t position = static_cast<uint64_t>(key.position);
  const __m512i multiplier0 = _mm512_set1_epi64(Philox::kMultiplier0);
  const __m512i multiplier1 = _mm512_set1_epi64(Philox::kMultiplier1);
  __m512i keys[2 * Philox::kRounds];
  for (uint32_t round = 0; round < Philox::kRounds; ++round) {
    keys[2 * round] = _mm512_set1_epi64(static_cast<uint32_t>(key.seed) + round * Philox::kWeyl0);
    keys[2 * round + 1] = _mm512_set1_epi64(static_cast<uint32_t>(key.seed >> 32) + round * Philox::kWeyl1);
  }
  const __m512i low_half = _mm512_set1_epi64(0xffffffff);
  for (size_t i = 0; i < words.size(); i += 16) {
    const uint32_t pair = first_pair + static_cast<uint32_t>(i / 2);
    __m512i c0 = _mm512_add_epi64(_mm512_set1_epi64(pair), _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
    __m512i c1 = _mm512_set1_epi64(static_cast<int64_t>(position & 0xffffffff));
    __m512i c2 = _mm512_set1_epi64(static_cast<int64_t>(position >> 32));
    __m512i c3 = _mm512_set1_epi64(static_cast<int64_t>(NoiseStream::kToken));
#pragma GCC unroll 10
    for (int round = 0; round < Philox::kRounds; ++round) {
      const __m512i product0 = _mm512_mul_epu32(c0, multiplier0);
      const __m512i product1 = _mm512_mul_epu32(c2, multiplier1);
      c0 = _mm512_xor_si512(_mm512_srli_epi64(product1, 32), _mm512_xor_si512(c1, keys[2 * round]));
      c2 = _mm512_xor_si512(_mm512_srli_epi64(product0, 32), _mm512_xor_si512(c3, keys[2 * round + 1]));
      c1 = product1;
      c3 = product0;
    }
    const __m512i pairs = _mm512_or_si512(_mm512_and_si512(c0, low_half), _mm512_slli_epi64(c2, 32));
    _mm512_storeu_si512(words.data() + i, pairs);
  }
}
#pragma GCC diagnostic pop
#endif

}  // namespace

NoiseLanes widest_noise_lanes() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return NoiseLanes::kEight;
  if (__builtin_cpu_supports("avx2")) return NoiseLanes::kFour;
#endif
  return NoiseLanes::kOne;
}

void fill_noise_words(NoiseKey key, uint32_t first_token, std::span<uint32_t> words, NoiseLanes lanes) {
  FT_CHECK(first_token % 2 == 0 && words.size() % 16 == 0, first_token, words.size());
  const uint32_t first_pair = first_token / 2;
  switch (lanes) {
#if defined(__x86_64__)
    case NoiseLanes::kFour:
      return fill_four(key, first_pair, words);
    case NoiseLanes::kEight:
      return fill_eight(key, first_pair, words);
#else
    case NoiseLanes::kFour:
    case NoiseLanes::kEight:
#endif
    case NoiseLanes::kOne:
      return fill_one(key, first_pair, words);
  }
}

}  // namespace ft
