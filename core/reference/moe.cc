// Router and experts (docs/spec/model.md 3.9).
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/quantize.h"
#include "core/reference/reference_backend.h"
#include "core/reference/row_math.h"

namespace ft::reference {

namespace {

double softplus(double x) {
  return x > 20.0 ? x : std::log1p(std::exp(x));
}

double silu(double x) {
  return x * sigmoid(x);
}

// Addresses of consecutive rows of `width` values.
template <class Float>
std::vector<Float*> row_pointers(Float* data, size_t count, int64_t width) {
  std::vector<Float*> rows(count);
  for (size_t i = 0; i < count; ++i) rows[i] = data + static_cast<int64_t>(i) * width;
  return rows;
}

}  // namespace

void ReferenceBackend::do_route(Matrix x, const MoeWeights& moe, const int32_t* tokens, int k,
                                float route_scale, int32_t* ids, float* weights) {
  const int64_t expert_count = moe.gate.rows;
  std::vector<float> scores(static_cast<size_t>(expert_count));
  std::vector<int32_t> order(static_cast<size_t>(expert_count));
  for (int64_t r = 0; r < x.rows; ++r) {
    multiply(moe.gate, 0, expert_count, {x.row(r)}, {scores.data()});
    for (float& score : scores) score = static_cast<float>(std::sqrt(softplus(score)));
    int32_t* row_ids = ids + r * k;
    if (moe.tid2eid != nullptr) {
      std::copy_n(moe.tid2eid + static_cast<int64_t>(tokens[r]) * k, k, row_ids);
    } else {
      for (int32_t e = 0; e < expert_count; ++e) order[e] = e;
      // Stable: of equal values the lower id stays in front.
      std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
        return scores[a] + moe.bias.data[a] > scores[b] + moe.bias.data[b];
      });
      std::copy_n(order.begin(), k, row_ids);
    }
    std::sort(row_ids, row_ids + k);
    double sum = 0.0;
    for (int i = 0; i < k; ++i) sum += scores[row_ids[i]];
    for (int i = 0; i < k; ++i) {
      weights[r * k + i] = static_cast<float>(scores[row_ids[i]] / sum * route_scale);
    }
  }
}

std::vector<float> ReferenceBackend::expert_hidden(const ExpertWeights& expert,
                                                   const std::vector<const float*>& rows,
                                                   const std::vector<float>& route_weights,
                                                   float swiglu_limit) const {
  const size_t count = rows.size();
  const int64_t inner = expert.w1.rows;
  std::vector<float> gate(count * static_cast<size_t>(inner));
  std::vector<float> up(count * static_cast<size_t>(inner));
  multiply(expert.w1, 0, inner, rows, row_pointers(gate.data(), count, inner));
  multiply(expert.w3, 0, inner, rows, row_pointers(up.data(), count, inner));
  for (size_t i = 0; i < gate.size(); ++i) {
    const float g = std::min(rb(gate[i]), swiglu_limit);
    const float u = std::clamp(rb(up[i]), -swiglu_limit, swiglu_limit);
    const double route_weight = route_weights[i / static_cast<size_t>(inner)];
    gate[i] = rb(route_weight * silu(g) * u);
  }
  return quantized_rows(Matrix(gate.data(), static_cast<int64_t>(count), inner), expert.w2.format);
}

void ReferenceBackend::do_moe(Matrix x, const MoeWeights& moe, const int32_t* ids, const float* weights,
                              int k, float swiglu_limit, Matrix y) {
  const int64_t width = x.cols;
  const ShardEdges edges = own_edges(expert_axis(moe.shared.w1.all_rows()), ranks());
  std::vector<std::vector<double>> partials(static_cast<size_t>(edges.count));
  for (auto& partial : partials) partial.resize(static_cast<size_t>(x.rows * width));
  const auto add = [&](const ExpertWeights& expert, const std::vector<float>& inputs,
                       const std::vector<int64_t>& rows, const std::vector<float>& route_weights) {
    std::vector<const float*> pointers;
    for (const int64_t row : rows) pointers.push_back(inputs.data() + row * width);
    const std::vector<float> hidden = expert_hidden(expert, pointers, route_weights, swiglu_limit);
    add_products(expert.w2, row_pointers(hidden.data(), rows.size(), expert.w1.rows), edges, rows, partials);
  };
  const std::vector<float> routed = quantized_rows(x, moe.experts.front().w1.format);
  // Visiting experts in ascending id adds up every row in that order.
  for (size_t e = 0; e < moe.experts.size(); ++e) {
    std::vector<int64_t> rows;
    std::vector<float> route_weights;
    for (int64_t i = 0; i < x.rows * k; ++i) {
      if (ids[i] != static_cast<int32_t>(e)) continue;
      rows.push_back(i / k);
      route_weights.push_back(weights[i]);
    }
    if (!rows.empty()) add(moe.experts[e], routed, rows, route_weights);
  }
  std::vector<int64_t> rows(static_cast<size_t>(x.rows));
  for (int64_t r = 0; r < x.rows; ++r) rows[r] = r;
  add(moe.shared, quantized_rows(x, moe.shared.w1.format), rows, std::vector<float>(rows.size(), 1.0f));
  sum_shards(partials, y, true);
}

}  // namespace ft::reference
