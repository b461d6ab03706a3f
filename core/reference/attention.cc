// Queries, window keys and the attention core (docs/spec/model.md 3.3, 3.7).
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/quantize.h"
#include "core/ranks/own_part.h"
#include "core/reference/reference_backend.h"
#include "core/reference/row_math.h"

namespace ft::reference {

namespace {

// The keys of one row in list order: window first, then what it sees of the compressed entries.
std::vector<const float*> keys_of_row(const AttentionArgs& args, int64_t row) {
  std::vector<const float*> keys;
  const auto append = [&](const float* rows, int32_t address) {
    if (address >= 0) keys.push_back(rows + address * args.head_dim);
  };
  for (int32_t i = 0; i < args.window_width; ++i)
    append(args.raw.f32(), args.window[row * args.window_width + i]);
  if (args.selected != nullptr) {
    for (int32_t i = 0; i < args.selected_width; ++i) {
      append(args.compressed.f32(), args.selected[row * args.selected_width + i]);
    }
  }
  if (args.all_visible != nullptr) {
    const int32_t visible = visible_entries(*args.all_visible, row);
    for (int32_t j = 0; j < visible; ++j)
      append(args.compressed.f32(), entry_address(*args.all_visible, row, j));
  }
  return keys;
}

}  // namespace

void ReferenceBackend::rotate(float* x, const float* rotation, int64_t rope_dim, bool inverse) const {
  for (int64_t i = 0; i < rope_dim; i += 2) {
    const double real = x[i];
    const double imaginary = x[i + 1];
    const double cosine = rotation[i];
    const double sine = inverse ? -rotation[i + 1] : rotation[i + 1];
    x[i] = rb(real * cosine - imaginary * sine);
    x[i + 1] = rb(real * sine + imaginary * cosine);
  }
}

void ReferenceBackend::do_query_norm_rope(Matrix queries, int64_t head_dim, int head_unit,
                                          Rotations rotations) {
  const Matrix q = own_queries(queries, head_dim, head_unit, ranks());
  for (int64_t r = 0; r < q.rows; ++r) {
    for (int64_t column = 0; column < q.cols; column += head_dim) {
      float* head = q.row(r) + column;
      // The released model does this in bf16;
      // rb() is the identity in kExact, except that it rounds to float32.
      double sum = 0.0;
      for (int64_t i = 0; i < head_dim; ++i) {
        const double square = static_cast<double>(head[i]) * head[i];
        sum += official() ? rb(square) : square;
      }
      const double mean = rb(sum / static_cast<double>(head_dim));
      const double factor = rb(1.0 / std::sqrt(rb(mean + rms_norm_eps_)));
      for (int64_t i = 0; i < head_dim; ++i) head[i] = rb(head[i] * factor);
      rotate(head + head_dim - rotations.rope_dim, rotations.data + r * rotations.rope_dim,
             rotations.rope_dim, false);
    }
  }
}

void ReferenceBackend::do_store_kv(Matrix x, Vector norm, Rotations rotations, CacheRows raw,
                                   const int32_t* dst) {
  const int64_t plain = x.cols - rotations.rope_dim;
  for (int64_t r = 0; r < x.rows; ++r) {
    float* key = raw.f32() + dst[r] * x.cols;
    rms_norm_row(x.row(r), norm, key);
    rotate(key + plain, rotations.data + r * rotations.rope_dim, rotations.rope_dim, false);
    if (official()) q8sim(key, plain);
  }
}

void ReferenceBackend::do_attend(const AttentionArgs& all) {
  const AttentionArgs args = own_part(all, ranks());
  const int64_t c = args.head_dim;
  const int64_t rope_dim = args.inverse.rope_dim;
  const double scale = 1.0 / std::sqrt(static_cast<double>(c));
  std::vector<double> weights;
  std::vector<double> sums(static_cast<size_t>(c));
  for (int64_t r = 0; r < args.q.rows; ++r) {
    const std::vector<const float*> keys = keys_of_row(args, r);
    FT_CHECK(!keys.empty(), r);
    weights.resize(keys.size());
    for (int h = 0; h < args.head_count; ++h) {
      const float* query = args.q.row(r) + h * c;
      for (size_t k = 0; k < keys.size(); ++k) weights[k] = scale * dot(query, keys[k], c);
      const double largest = *std::max_element(weights.begin(), weights.end());
      // The sink adds to the denominator alone, and the denominator takes
      // the weights before they are rounded.
      double denominator = std::exp(args.sink.data[h] - largest);
      std::fill(sums.begin(), sums.end(), 0.0);
      for (size_t k = 0; k < keys.size(); ++k) {
        const double weight = std::exp(weights[k] - largest);
        denominator += weight;
        const double rounded = official() ? rb(weight) : weight;
        for (int64_t i = 0; i < c; ++i) sums[i] += rounded * keys[k][i];
      }
      float* out = args.out.row(r) + h * c;
      for (int64_t i = 0; i < c; ++i) out[i] = rb(sums[i] / denominator);
      rotate(out + c - rope_dim, args.inverse.data + r * rope_dim, rope_dim, true);
    }
  }
}

}  // namespace ft::reference
