#include "core/reference/row_math.h"

#include <array>
#include <cmath>

#include "core/check.h"
#include "core/dtype.h"

namespace ft::reference {

namespace {

template <int kCount, class Decode>
constexpr std::array<float, kCount> make_table(Decode decode) {
  std::array<float, kCount> table{};
  for (int code = 0; code < kCount; ++code) table[code] = decode(static_cast<uint8_t>(code));
  return table;
}

constexpr std::array<float, 256> kE4M3 = make_table<256>([](uint8_t code) { return e4m3_to_f32(code); });
constexpr std::array<float, 16> kE2M1 = make_table<16>([](uint8_t code) { return e2m1_to_f32(code); });

}  // namespace

double dot(const float* a, const float* b, int64_t count) {
  // Four chains: one would wait for each addition.
  double sums[4] = {0.0, 0.0, 0.0, 0.0};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (int chain = 0; chain < 4; ++chain) {
      sums[chain] += static_cast<double>(a[i + chain]) * static_cast<double>(b[i + chain]);
    }
  }
  for (; i < count; ++i) sums[0] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

double sum_of_squares(const float* x, int64_t count) {
  return dot(x, x, count);
}

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

void decode_row(const Weight& weight, int64_t row, float* out) {
  const int64_t cols = weight.cols;
  switch (weight.format) {
    case WeightFormat::kF32: {
      const float* values = static_cast<const float*>(weight.data) + row * cols;
      for (int64_t i = 0; i < cols; ++i) out[i] = values[i];
      return;
    }
    case WeightFormat::kBF16: {
      const uint16_t* values = static_cast<const uint16_t*>(weight.data) + row * cols;
      for (int64_t i = 0; i < cols; ++i) out[i] = bf16_to_f32(values[i]);
      return;
    }
    case WeightFormat::kFp8Block: {
      const uint8_t* codes = static_cast<const uint8_t*>(weight.data) + row * cols;
      const uint8_t* scales = weight.scale + row / 128 * ((cols + 127) / 128);
      for (int64_t i = 0; i < cols; ++i) out[i] = kE4M3[codes[i]] * e8m0_to_f32(scales[i / 128]);
      return;
    }
    case WeightFormat::kFp4Row: {
      const uint8_t* codes = static_cast<const uint8_t*>(weight.data) + row * (cols / 2);
      const uint8_t* scales = weight.scale + row * (cols / 32);
      for (int64_t i = 0; i < cols; i += 2) {
        const float scale = e8m0_to_f32(scales[i / 32]);
        out[i] = kE2M1[codes[i / 2] & 15u] * scale;
        out[i + 1] = kE2M1[codes[i / 2] >> 4] * scale;
      }
      return;
    }
  }
}

void multiply(const Weight& weight, int64_t first, int64_t count, const std::vector<const float*>& inputs,
              const std::vector<float*>& outputs) {
  FT_CHECK(first + count <= weight.rows && inputs.size() == outputs.size(), first, count, weight.rows);
  if (inputs.empty()) return;
  std::vector<float> decoded(static_cast<size_t>(weight.cols));
  for (int64_t i = 0; i < count; ++i) {
    decode_row(weight, first + i, decoded.data());
    for (size_t r = 0; r < inputs.size(); ++r) {
      outputs[r][i] = static_cast<float>(dot(decoded.data(), inputs[r], weight.cols));
    }
  }
}

void add_products(const Weight& weight, const std::vector<const float*>& inputs, const ShardEdges& shards,
                  const std::vector<int64_t>& rows, std::vector<std::vector<double>>& partials) {
  std::vector<float> decoded(static_cast<size_t>(weight.cols));
  for (int64_t i = 0; i < weight.rows; ++i) {
    decode_row(weight, i, decoded.data());
    for (int s = 0; s < shards.count; ++s) {
      const int64_t begin = shards.at[s], end = shards.at[s + 1];
      for (size_t r = 0; r < inputs.size(); ++r)
        partials[s][rows[r] * weight.rows + i] += dot(decoded.data() + begin, inputs[r] + begin, end - begin);
    }
  }
}

int32_t visible_entries(const CompressedView& view, int64_t row) {
  return view.committed[row] + view.private_offset[row + 1] - view.private_offset[row];
}

int32_t entry_address(const CompressedView& view, int64_t row, int32_t j) {
  const int32_t committed = view.committed[row];
  if (j >= committed) return view.private_entry[view.private_offset[row] + j - committed];
  const int64_t page =
      static_cast<int64_t>(view.sequence[row]) * view.page_stride + j / view.entries_per_page;
  return view.page_table[page] + j % view.entries_per_page;
}

}  // namespace ft::reference
