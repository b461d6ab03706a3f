// A linear as tests of long prompts describe it, on any backend.
#pragma once

#include "core/backend.h"

namespace ft::test {

struct LinearShape {
  WeightFormat format;
  int64_t cols;
  int64_t rows;
  LinearInput input;
  LinearOutput output;
  int groups = 1;
  int64_t shard_unit = 0;  // 0: not a sum over shards
};

inline void multiply(Backend& backend, const LinearShape& shape, Matrix x, const Weight& weight, Matrix y) {
  if (shape.shard_unit > 0) {
    backend.shard_linear(x, weight, shape.shard_unit, y, shape.input, shape.output);
  } else {
    backend.linear(x, weight, y, shape.input, shape.output, shape.groups);
  }
}

}  // namespace ft::test
