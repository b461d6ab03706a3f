// Norms and linears (docs/spec/model.md 3.0).
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/host_exchange.h"
#include "core/quantize.h"
#include "core/ranks/own_part.h"
#include "core/reference/reference_backend.h"
#include "core/reference/row_math.h"

namespace ft::reference {

double ReferenceBackend::rms_factor(const float* x, int64_t count) const {
  const double mean = sum_of_squares(x, count) / static_cast<double>(count);
  return 1.0 / std::sqrt(mean + rms_norm_eps_);
}

void ReferenceBackend::rms_norm_row(const float* x, Vector weight, float* y) const {
  const double factor = rms_factor(x, weight.size);
  for (int64_t i = 0; i < weight.size; ++i) y[i] = rb(x[i] * factor * weight.data[i]);
}

void ReferenceBackend::do_rms_norm(Matrix x, Vector weight, Matrix y) {
  for (int64_t r = 0; r < x.rows; ++r) rms_norm_row(x.row(r), weight, y.row(r));
}

std::vector<float> ReferenceBackend::quantized_rows(Matrix x, WeightFormat format) const {
  const bool quantize = official() && (format == WeightFormat::kFp8Block || format == WeightFormat::kFp4Row);
  std::vector<float> rows(static_cast<size_t>(x.rows * x.cols));
  for (int64_t r = 0; r < x.rows; ++r) {
    float* row = rows.data() + r * x.cols;
    std::copy_n(x.row(r), x.cols, row);
    if (quantize) q8(row, x.cols);
  }
  return rows;
}

void ReferenceBackend::do_linear(const LinearCall& whole) {
  if (whole.weight->rows == 0) return;
  const LinearCall call = own_part(whole);
  const Weight& weight = *call.weight;
  const Matrix x = call.x, y = call.y;
  const WeightFormat seen_as = call.input == LinearInput::kQ8 ? weight.format : WeightFormat::kF32;
  const std::vector<float> rows = quantized_rows(x, seen_as);
  const int64_t group_rows = weight.rows / call.groups;
  std::vector<const float*> inputs(static_cast<size_t>(x.rows));
  std::vector<float*> outputs(static_cast<size_t>(x.rows));
  for (int group = 0; group < call.groups; ++group) {
    for (int64_t r = 0; r < x.rows; ++r) {
      inputs[r] = rows.data() + r * x.cols + group * weight.cols;
      outputs[r] = y.row(r) + group * group_rows;
    }
    multiply(weight, group * group_rows, group_rows, inputs, outputs);
  }
  if (call.output == LinearOutput::kBF16) {
    for (int64_t r = 0; r < y.rows; ++r) {
      for (int64_t i = 0; i < y.cols; ++i) y.row(r)[i] = rb(y.row(r)[i]);
    }
  }
}

void ReferenceBackend::sum_shards(const std::vector<std::vector<double>>& partials, Matrix y, bool round) {
  const int64_t each = y.rows * y.cols;
  const RankGroup group = ranks();
  std::vector<float> sums(static_cast<size_t>(group.size * each));
  float* own = sums.data() + group.rank * each;
  for (int64_t i = 0; i < each; ++i) {
    own[i] = shard_sum<float>(0, static_cast<int>(partials.size()), [&](int shard) {
      return static_cast<float>(partials[static_cast<size_t>(shard)][static_cast<size_t>(i)]);
    });
  }
  gather_partials(group, sums.data(), each);
  for (int64_t i = 0; i < each; ++i) {
    const float sum =
        shard_sum<float>(0, group.size, [&](int rank) { return sums[static_cast<size_t>(rank * each + i)]; });
    y.row(i / y.cols)[i % y.cols] = round ? rb(sum) : sum;
  }
}

void ReferenceBackend::do_shard_linear(const LinearCall& whole, int64_t unit) {
  const LinearCall call = own_columns(whole);
  const Weight& weight = *call.weight;
  const ShardEdges edges = own_edges({weight.all_cols(), unit}, ranks());
  const WeightFormat seen_as = call.input == LinearInput::kQ8 ? weight.format : WeightFormat::kF32;
  const std::vector<float> rows = quantized_rows(call.x, seen_as);
  std::vector<std::vector<double>> partials(static_cast<size_t>(edges.count));
  for (auto& partial : partials) partial.resize(static_cast<size_t>(call.y.rows * call.y.cols));
  std::vector<const float*> inputs;
  std::vector<int64_t> numbers;
  for (int64_t r = 0; r < call.x.rows; ++r) {
    inputs.push_back(rows.data() + r * weight.cols);
    numbers.push_back(r);
  }
  add_products(weight, inputs, edges, numbers, partials);
  sum_shards(partials, call.y, call.output == LinearOutput::kBF16);
}

void ReferenceBackend::do_gather_columns(Matrix y, int64_t unit) {
  const ShardedAxis columns{y.cols, unit};
  std::vector<float> scratch(static_cast<size_t>(gather_scratch_floats(ranks(), y.rows, columns)));
  ft::gather_columns(ranks(), y, columns, scratch.data());
}

}  // namespace ft::reference
