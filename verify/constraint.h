// What a grammar or schema allows next: the interface between structured output and the sampler.
#pragma once

#include <cstdint>
#include <span>

namespace ft::verify {

// The state of one request's constraint after the tokens emitted so far. One thread at a time.
class Constraint {
 public:
  virtual ~Constraint() = default;

  // Writes every word of `mask`, ceil(vocab / 32) words, bit v % 32 of word v / 32: which tokens may come
  // next. End tokens are allowed exactly where the output may end. Bits beyond the vocabulary are 0.
  virtual void fill_mask(std::span<uint32_t> mask) = 0;

  // Moves past a token. False, and no change, if the token is not allowed here.
  virtual bool advance(int32_t token) = 0;

  // Undoes the last `count` successful advances. The verifier never needs more than a step's tokens.
  virtual void rollback(int64_t count) = 0;
};

}  // namespace ft::verify
