// Rotary angles, computed once per step on the host so that every backend
// uses the same bits (docs/spec/model.md section 1).
#pragma once

#include <cstdint>
#include <vector>

#include "core/model_config.h"

namespace ft {

// The rotary frequencies of one kind of layer.
class RopeTable {
 public:
  // Plain table: `theta`, no scaling (SWA layers, MTP, draft stages).
  static RopeTable plain(const ModelConfig& config);
  // Compressed layers: compress_rope_theta with YaRN.
  static RopeTable compressed(const ModelConfig& config);

  // Writes rope_dim/2 (cos, sin) float32 pairs for `position`: the angle is the float32 product
  // position*frequency, its cos and sin are those of that float32 number, rounded once.
  void rotate(int64_t position, float* out) const;

  int64_t rope_dim() const { return static_cast<int64_t>(frequencies_.size()) * 2; }
  const std::vector<float>& frequencies() const { return frequencies_; }

 private:
  std::vector<float> frequencies_;
};

}  // namespace ft
