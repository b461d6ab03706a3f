// Counter-based noise: every random number of the engine is a pure function of (seed, position, stream,
// token). So nobody stores generator state, and a draft can rank its children with the very noise that the
// target will use (ARCHITECTURE.md, idea 3; docs/spec/dspark.md 2.4).
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace ft {

// Philox4x32-10 of Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
struct Philox {
  static constexpr uint32_t kMultiplier0 = 0xD2511F53u;
  static constexpr uint32_t kMultiplier1 = 0xCD9E8D57u;
  static constexpr uint32_t kWeyl0 = 0x9E3779B9u;  // golden ratio
  static constexpr uint32_t kWeyl1 = 0xBB67AE85u;  // sqrt(3) - 1
  static constexpr int kRounds = 10;

  using Counter = std::array<uint32_t, 4>;
  using Key = std::array<uint32_t, 2>;

  static constexpr Counter block(Counter counter, Key key) {
    for (int round = 0; round < kRounds; ++round) {
      const uint64_t product0 = static_cast<uint64_t>(kMultiplier0) * counter[0];
      const uint64_t product1 = static_cast<uint64_t>(kMultiplier1) * counter[2];
      counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
                 static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
                 static_cast<uint32_t>(product0)};
      key = {key[0] + kWeyl0, key[1] + kWeyl1};
    }
    return counter;
  }
};

// Which use of a (seed, position) a number belongs to; different streams are independent.
enum class NoiseStream : uint32_t {
  kToken = 0,  // the Gumbel noise of the token at a position
  // Rejection acceptance. What a step learns from a draft that it does not emit must not be used again by the
  // next step, so these two are keyed by the anchor's position, with the draft's depth (1, 2, ...) as index.
  kAcceptance = 1,  // whether the draft at a depth stands
  kDraft = 3,       // the draft's own draw of the token at a depth
  kResidual = 2,    // the token at a position when no draft stands there
};

// The noise of one token choice. `position` is the absolute position of the token being chosen:
// one more than the position of the row whose logits choose it.
// A draft and the target agree on it without talking to each other.
struct NoiseKey {
  uint64_t seed = 0;
  int64_t position = 0;
};

// The Philox block with the two 64-bit words of tokens 2*pair and 2*pair+1:
// words {0,1} and {2,3}, the high half first.
constexpr Philox::Counter noise_block(NoiseKey key, uint32_t pair, NoiseStream stream = NoiseStream::kToken) {
  const uint64_t position = static_cast<uint64_t>(key.position);
  return Philox::block({pair, static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32),
                        static_cast<uint32_t>(stream)},
                       {static_cast<uint32_t>(key.seed), static_cast<uint32_t>(key.seed >> 32)});
}

// (k + 1/2) * 2^-52 for the top 52 of the 64 bits k: the odd multiples of 2^-53.
// Every value is exact in double, so the result is never 0 or 1: from 2^-53 to 1 - 2^-53.
// (One bit more and k + 1/2 would round, at the top up to 1.)
constexpr double open_uniform(uint32_t high, uint32_t low) {
  const uint64_t bits = (static_cast<uint64_t>(high) << 32) | low;
  return static_cast<double>(((bits >> 12) << 1) | 1u) * 0x1p-53;
}

// A uniform number in (0, 1) for (seed, position, stream) and an index within them.
constexpr double uniform(NoiseKey key, NoiseStream stream, uint32_t index = 0) {
  const Philox::Counter block = noise_block(key, index / 2, stream);
  return index % 2 == 0 ? open_uniform(block[0], block[1]) : open_uniform(block[2], block[3]);
}

// Standard Gumbel noise from a uniform: -log(-log u), in double. For the values of open_uniform it lies in
// [-3.61, kGumbelMax]. Two mathematics libraries may differ in the last bit; one program never does.
inline double gumbel_from_uniform(double u) {
  return -std::log(-std::log(u));
}

// No noise of `gumbel` is larger: -log(-log(1 - 2^-53)) = 36.7368..., rounded up.
inline constexpr double kGumbelMax = 36.7369;

// g(seed, position, token): the noise that the target adds to token's logit / T at that position. token >= 0.
inline double gumbel(NoiseKey key, int32_t token) {
  return gumbel_from_uniform(uniform(key, NoiseStream::kToken, static_cast<uint32_t>(token)));
}

}  // namespace ft
