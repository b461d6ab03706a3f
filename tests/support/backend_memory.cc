#include "tests/support/backend_memory.h"

#include <bit>
#include <stdexcept>

#include "core/dtype.h"

namespace ft::test {

namespace {

constexpr uint32_t kPoison = 0x7fc0dead;

const float kPoisonFloat = std::bit_cast<float>(kPoison);

}  // namespace

bool is_unwritten(float value) {
  return std::bit_cast<uint32_t>(value) == kPoison;
}

void* BackendMemory::keep(const void* host, size_t bytes) {
  buffers_.push_back(backend_.allocate(bytes));
  backend_.upload(buffers_.back().data(), host, bytes);
  return buffers_.back().data();
}

Matrix BackendMemory::output(int64_t rows, int64_t cols) {
  const int64_t stride = cols + padding_;
  return Matrix(output_floats(rows * stride), rows, cols, stride);
}

Matrix BackendMemory::matrix(const std::vector<float>& values, int64_t cols) {
  const int64_t rows = static_cast<int64_t>(values.size()) / cols;
  if (rows * cols != static_cast<int64_t>(values.size())) throw std::logic_error("values fill no whole rows");
  const int64_t stride = cols + padding_;
  std::vector<float> padded(static_cast<size_t>(rows * stride), kPoisonFloat);
  for (int64_t r = 0; r < rows; ++r) {
    std::copy_n(values.begin() + r * cols, cols, padded.begin() + r * stride);
  }
  return Matrix(floats(padded), rows, cols, stride);
}

Matrix BackendMemory::activation(const std::vector<float>& values, int64_t cols) {
  std::vector<float> rounded = values;
  if (official()) {
    for (float& value : rounded) value = round_bf16(value);
  }
  return matrix(rounded, cols);
}

float* BackendMemory::floats(const std::vector<float>& values) {
  return static_cast<float*>(keep(values.data(), values.size() * sizeof(float)));
}

float* BackendMemory::rounded(std::vector<float> values) {
  if (official()) {
    for (float& value : values) value = round_bf16(value);
  }
  return floats(values);
}

float* BackendMemory::output_floats(int64_t count) {
  return floats(std::vector<float>(static_cast<size_t>(count), kPoisonFloat));
}

int32_t* BackendMemory::ints(const std::vector<int32_t>& values) {
  return static_cast<int32_t*>(keep(values.data(), values.size() * sizeof(int32_t)));
}

int32_t* BackendMemory::output_ints(int64_t count) {
  return ints(std::vector<int32_t>(static_cast<size_t>(count), kUnwritten));
}

Vector BackendMemory::vector(const std::vector<float>& values) {
  vectors_.push_back(std::make_unique<std::vector<float>>(values));
  const auto& kept = *vectors_.back();
  return {static_cast<const float*>(backend_.place(kept.data(), kept.size() * sizeof(float))),
          static_cast<int64_t>(kept.size())};
}

Weight BackendMemory::weight(HostWeight weight) {
  weights_.push_back(std::make_unique<HostWeight>(std::move(weight)));
  const HostWeight& kept = *weights_.back();
  Weight placed;
  placed.format = kept.format;
  placed.rows = kept.rows;
  placed.cols = kept.cols;
  placed.data = backend_.place(kept.data.data(), kept.data.size());
  if (!kept.scale.empty()) {
    placed.scale = static_cast<const uint8_t*>(backend_.place(kept.scale.data(), kept.scale.size()));
  }
  return placed;
}

Rotations BackendMemory::rotations(const RopeTable& table, const std::vector<int32_t>& positions) {
  std::vector<float> angles(positions.size() * static_cast<size_t>(table.rope_dim()));
  for (size_t r = 0; r < positions.size(); ++r) {
    table.rotate(positions[r], angles.data() + static_cast<int64_t>(r) * table.rope_dim());
  }
  return {floats(angles), table.rope_dim()};
}

Rotations BackendMemory::no_rotation(int64_t rope_dim, int64_t rows) {
  std::vector<float> angles;
  for (int64_t i = 0; i < rows * rope_dim; ++i) angles.push_back(i % 2 == 0 ? 1.0f : 0.0f);
  return {floats(angles), rope_dim};
}

std::vector<float> BackendMemory::read(Matrix matrix) {
  const std::vector<float> all = read(matrix.data, matrix.rows * matrix.stride);
  std::vector<float> values;
  values.reserve(static_cast<size_t>(matrix.rows * matrix.cols));
  for (int64_t r = 0; r < matrix.rows; ++r) {
    for (int64_t i = 0; i < matrix.stride; ++i) {
      const float value = all[r * matrix.stride + i];
      if (i < matrix.cols)
        values.push_back(value);
      else if (!is_unwritten(value))
        throw std::runtime_error("an op wrote behind the columns of a row");
    }
  }
  return values;
}

std::vector<float> BackendMemory::read(const float* data, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  backend_.download(values.data(), data, values.size() * sizeof(float));
  return values;
}

std::vector<int32_t> BackendMemory::read(const int32_t* data, int64_t count) {
  std::vector<int32_t> values(static_cast<size_t>(count));
  backend_.download(values.data(), data, values.size() * sizeof(int32_t));
  return values;
}

}  // namespace ft::test
