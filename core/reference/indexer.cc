// The lightning indexer: which compressed entries a CSA query attends to (docs/spec/model.md 3.6).
#include <algorithm>
#include <limits>

#include "core/check.h"
#include "core/quantize.h"
#include "core/reference/reference_backend.h"
#include "core/reference/row_math.h"

namespace ft::reference {

void ReferenceBackend::do_index_query(Matrix q, int64_t head_dim, Rotations rotations) {
  for (int64_t r = 0; r < q.rows; ++r) {
    for (int64_t column = 0; column < q.cols; column += head_dim) {
      float* head = q.row(r) + column;
      rotate(head + head_dim - rotations.rope_dim, rotations.data + r * rotations.rope_dim,
             rotations.rope_dim, false);
      hadamard_row(head, head_dim);
      if (official()) q4sim(head, head_dim);
    }
  }
}

void ReferenceBackend::do_index_select(Matrix q, Matrix weights, float weight_scale, KeyRows keys,
                                       int64_t head_dim, const CompressedView& view, int top_k,
                                       int32_t* selected, Matrix* scores) {
  const int64_t head_count = weights.cols;
  std::vector<float> row_scores;
  std::vector<int32_t> order;
  for (int64_t r = 0; r < q.rows; ++r) {
    const int32_t visible = visible_entries(view, r);
    order.resize(static_cast<size_t>(visible));
    for (int32_t j = 0; j < visible; ++j) order[j] = j;
    if (visible > top_k || scores != nullptr) {
      row_scores.resize(static_cast<size_t>(visible));
      for (int32_t j = 0; j < visible; ++j) {
        const float* key = keys.f32() + entry_address(view, r, j) * head_dim;
        double sum = 0.0;
        for (int64_t h = 0; h < head_count; ++h) {
          const float product = std::max(rb(dot(q.row(r) + h * head_dim, key, head_dim)), 0.0f);
          const float weight = rb(static_cast<double>(weights.row(r)[h]) * weight_scale);
          sum += rb(static_cast<double>(weight) * product);
        }
        row_scores[j] = rb(sum);
      }
      if (scores != nullptr) {
        std::copy(row_scores.begin(), row_scores.end(), scores->row(r));
      }
    }
    if (visible > top_k) {
      // Stable: of equal scores the smaller j stays in front.
      std::stable_sort(order.begin(), order.end(),
                       [&](int32_t a, int32_t b) { return row_scores[a] > row_scores[b]; });
      order.resize(static_cast<size_t>(top_k));
      std::sort(order.begin(), order.end());
    }
    int32_t* row = selected + r * top_k;
    std::fill_n(row, top_k, -1);
    for (size_t i = 0; i < order.size(); ++i) row[i] = entry_address(view, r, order[i]);
  }
}

}  // namespace ft::reference
