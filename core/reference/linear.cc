// Norms and linears (docs/spec/model.md 3.0).
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/quantize.h"
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

void ReferenceBackend::do_linear(const LinearCall& call) {
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

}  // namespace ft::reference
