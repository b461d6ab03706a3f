// The kernel bench's table of ops and shapes: what V4-Flash runs at every step.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/backend.h"

namespace ft::eval {

// Rows of the inputs and outputs that a case holds; run() takes up to as many.
inline constexpr int64_t kBenchRowsMax = 16;

// A case ready to run: its weights and activations are in backend memory, owned by the closures.
struct PreparedCase {
  // Calls the op once with the first `rows` rows and the weights numbered `copy`.
  std::function<void(int64_t rows, int64_t copy)> run;
  // Bytes of weights or keys that such a call cannot avoid to read.
  std::function<int64_t(int64_t rows)> bytes;
  int64_t copies = 1;  // distinct weights
};

struct BenchCase {
  std::string name;
  // Fills about `weight_bytes` with weights, at least one set.
  std::function<PreparedCase(Backend& backend, int64_t weight_bytes)> prepare;
};

const std::vector<BenchCase>& bench_cases();

// Sizes for Backend::reserve that cover every case.
ModelConfig bench_config();

}  // namespace ft::eval
