// What a test puts into the memory of a backend, and how it reads results back.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/backend.h"
#include "core/rope.h"
#include "tests/support/host_weight.h"

namespace ft::test {

// Owns everything it hands out. Output memory is filled with a quiet NaN,
// so that a value which an op forgot, or read before writing, shows.
// Every matrix has `padding` spare columns behind each row; read() checks that no op wrote there.
class BackendMemory {
 public:
  explicit BackendMemory(Backend& backend, int64_t padding = 0) : backend_(backend), padding_(padding) {}

  Backend& backend() const { return backend_; }
  bool official() const { return backend_.numerics() == Numerics::kOfficial; }

  Matrix output(int64_t rows, int64_t cols);
  // `values` row by row; rows without columns are none.
  Matrix matrix(const std::vector<float>& values, int64_t cols);
  // The same, rounded to bf16 in kOfficial: what the model would hold there.
  Matrix activation(const std::vector<float>& values, int64_t cols);
  // Contiguous values, and the same rounded to bf16 in kOfficial.
  float* floats(const std::vector<float>& values);
  float* rounded(std::vector<float> values);
  float* output_floats(int64_t count);
  int32_t* ints(const std::vector<int32_t>& values);
  int32_t* output_ints(int64_t count);  // filled with kUnwritten
  Vector vector(const std::vector<float>& values);
  Weight weight(HostWeight weight);
  Rotations rotations(const RopeTable& table, const std::vector<int32_t>& positions);
  // Angle zero: rotating changes nothing.
  Rotations no_rotation(int64_t rope_dim, int64_t rows);

  std::vector<float> read(Matrix matrix);
  std::vector<float> read(const float* data, int64_t count);
  std::vector<int32_t> read(const int32_t* data, int64_t count);

  static constexpr int32_t kUnwritten = -12345;

 private:
  void* keep(const void* host, size_t bytes);

  Backend& backend_;
  int64_t padding_;
  std::vector<Buffer> buffers_;
  std::vector<std::unique_ptr<HostWeight>> weights_;
  std::vector<std::unique_ptr<std::vector<float>>> vectors_;
};

// True if `value` is the very NaN that output memory starts with.
bool is_unwritten(float value);

}  // namespace ft::test
