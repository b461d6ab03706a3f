// Hashes by which ranks find out that they differ: of the work of a step, and of a checkpoint.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/weights.h"

namespace ft::ranks {

// Of bytes in order, a word at a time. Finds what differs by accident, not what is made to look alike.
class Digest {
 public:
  void add(const void* data, size_t bytes);
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 0x9e3779b97f4a7c15u;
};

// What two ranks must have in common before they can share a model: the same on every rank, whatever slice it loads.
struct Fingerprint {
  uint64_t config = 0;   // config.json, byte for byte
  uint64_t tensors = 0;  // names, dtypes and shapes
  uint64_t sample = 0;   // up to kSampleBytes out of each tensor, at a place that depends on its name
  bool operator==(const Fingerprint&) const = default;
  // Which of these differ, for people: "config.json and the bytes of tensors".
  std::string difference(const Fingerprint& other) const;
};
inline constexpr int64_t kSampleBytes = 64;

Fingerprint fingerprint(const CheckpointFiles& files);

}  // namespace ft::ranks
