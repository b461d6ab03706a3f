// Random contents of stored weights: finite values of a size that keeps the scale of a product's input.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace ft::eval {

// Scales that give weights a root mean square near 1/64: 2^-12 for e4m3 codes (rms 53), 2^-9..2^-7 for e2m1
// (rms 2.9).
inline constexpr uint8_t kRandomFp8Scale = 127 - 12;
inline constexpr uint8_t kRandomFp4ScaleMin = 127 - 9;
inline constexpr uint8_t kRandomFp4Scales = 3;

class RandomValues {
 public:
  // seed != 0.
  explicit RandomValues(uint64_t seed) : state_(seed) {}

  uint64_t next() {  // xorshift64*: quality does not matter here, speed does
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dull;
  }
  float uniform(float low, float high) {
    return low + (high - low) * static_cast<float>(next() >> 40) * 0x1p-24f;
  }

  // Eight bytes of the data of a linear weight, and one of its scale.
  uint64_t data_word(WeightFormat format) {
    const uint64_t word = next();
    switch (format) {
      case WeightFormat::kFp8Block: {  // an exponent of 15 becomes 7: no NaN
        const uint64_t ones = word >> 3 & word >> 4 & word >> 5 & word >> 6 & 0x0101010101010101ull;
        return word & ~(ones << 6);
      }
      case WeightFormat::kFp4Row:
        return word;
      default:  // bf16 of magnitude 2^-8..2^-4: exponents 119..122, sign and mantissa random
        return (word & 0x807f807f807f807full) + 0x3b803b803b803b80ull +
               ((word >> 8 & 0x0003000300030003ull) << 7);
    }
  }
  uint8_t scale_byte(WeightFormat format) {
    return format == WeightFormat::kFp8Block
               ? kRandomFp8Scale
               : static_cast<uint8_t>(kRandomFp4ScaleMin + next() % kRandomFp4Scales);
  }
  // An element of a plain vector (norm weights lie around 1) or of a hyper-connection matrix.
  float vector_value(bool norm) { return norm ? uniform(0.8f, 1.2f) : uniform(-0.5f, 0.5f); }
  float matrix_value() { return uniform(-0.01f, 0.01f); }

 private:
  uint64_t state_;
};

}  // namespace ft::eval
