// Random weights of a model's real shapes in backend memory, for benchmarks without a checkpoint.
#pragma once

#include <cstdint>
#include <vector>

#include "core/backend.h"
#include "core/model_config.h"
#include "core/weights.h"

namespace ft::eval {

// Bytes of one layer's weights as stored.
struct LayerBytes {
  int64_t dense = 0;   // all but the routed experts
  int64_t expert = 0;  // one routed expert
};

// A tree of weights with finite values of a size that keeps the scale of a product's input. Content repeats
// from tensor to tensor at random offsets. On a device each tensor has memory of its own; on a CPU they share
// one block of host memory, so timings there say nothing about memory.
class RandomWeights {
 public:
  // kTooLarge where `placer` runs out of memory.
  static Result<std::unique_ptr<RandomWeights>> make(const ModelConfig& config, WeightPlacer& placer);

  const ModelWeights& weights() const { return weights_; }
  const LayerBytes& layer_bytes(int layer) const { return layer_bytes_[static_cast<size_t>(layer)]; }

 private:
  class Maker;
  RandomWeights() = default;

  ModelWeights weights_;
  std::vector<LayerBytes> layer_bytes_;
  std::vector<std::vector<uint8_t>> host_;  // what placed addresses may point to
};

}  // namespace ft::eval
