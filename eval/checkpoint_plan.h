// What a checkpoint with random weights will hold: its config, and every tensor with its place and values.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/tensor.h"

namespace ft::eval {

struct TensorPlan {
  // What its values are made of.
  enum class Content : uint8_t {
    kData,       // of a linear weight of `format`
    kScale,      // of such a weight
    kNorm,       // around 1
    kVector,     // around 0
    kMatrix,     // of a hyper-connection
    kTable,      // experts of tokens, below `limit`
    kFp8OfFp4,   // e4m3: the values of the fp4 weight that `source` names, times what kScaleOfFp4 divides by
    kScaleOfFp4  // the block scale that goes with kFp8OfFp4: the same everywhere
  };

  std::string name;    // as stored
  std::string source;  // values are a function of this name and the seed, whatever the tensor is called
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  Content content = Content::kData;
  WeightFormat format = WeightFormat::kF32;
  int64_t limit = 0;
  std::string file = "model.safetensors";
  bool listed = true;  // in the index, where there is one

  int64_t bytes() const {
    int64_t size = byte_size(dtype);
    for (const int64_t extent : shape) size *= extent;
    return size;
  }
};

struct CheckpointPlan {
  nlohmann::ordered_json config;
  std::vector<TensorPlan> tensors;
  bool index = false;  // model.safetensors.index.json is written
};

}  // namespace ft::eval
