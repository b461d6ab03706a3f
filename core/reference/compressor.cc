// Compressed entries of CSA and HCA layers and of the indexer (docs/spec/model.md 3.5).
#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/layer_kind.h"
#include "core/quantize.h"
#include "core/reference/reference_backend.h"

namespace ft::reference {

void ReferenceBackend::do_store_compressor_rows(Matrix k, Matrix g, Vector ape, const int32_t* positions,
                                                int ratio, float* state, const int32_t* dst) {
  const int64_t width = k.cols;
  for (int64_t r = 0; r < k.rows; ++r) {
    float* row = state + dst[r] * 2 * width;
    const float* bias = ape.data + positions[r] % ratio * width;
    for (int64_t i = 0; i < width; ++i) {
      row[i] = k.row(r)[i];
      row[width + i] = g.row(r)[i] + bias[i];
    }
  }
}

void ReferenceBackend::hadamard_row(float* x, int64_t count) const {
  std::vector<double> values(x, x + count);
  hadamard(values.data(), count);
  for (int64_t i = 0; i < count; ++i) x[i] = rb(values[i]);
}

void ReferenceBackend::do_compress(const float* state, const int32_t* sources, int64_t count, int ratio,
                                   int64_t head_dim, Vector norm, Rotations rotations, bool is_index_key,
                                   CacheRows out, const int32_t* dst) {
  const int blocks = pooled_blocks(ratio);
  const int64_t width = blocks * head_dim;
  const int source_count = blocks * ratio;
  const int64_t plain = head_dim - rotations.rope_dim;
  for (int64_t entry = 0; entry < count; ++entry) {
    const int32_t* addresses = sources + entry * source_count;
    float* e = out.f32() + dst[entry] * head_dim;
    for (int64_t i = 0; i < head_dim; ++i) {
      // Of a CSA row the lower half of the columns belongs to the next block,
      // so the first `ratio` sources use it.
      const auto column = [&](int s) { return s >= ratio ? head_dim + i : i; };
      const auto row = [&](int s) { return state + addresses[s] * 2 * width; };
      double largest = -HUGE_VAL;
      for (int s = 0; s < source_count; ++s) {
        if (addresses[s] >= 0) largest = std::max(largest, static_cast<double>(row(s)[width + column(s)]));
      }
      FT_CHECK(largest > -HUGE_VAL, entry, i);
      double total = 0.0;
      double sum = 0.0;
      for (int s = 0; s < source_count; ++s) {
        if (addresses[s] < 0) continue;
        const double weight = std::exp(row(s)[width + column(s)] - largest);
        total += weight;
        sum += weight * row(s)[column(s)];
      }
      e[i] = rb(sum / total);
    }
    rms_norm_row(e, norm, e);
    rotate(e + plain, rotations.data + entry * rotations.rope_dim, rotations.rope_dim, false);
    if (is_index_key) hadamard_row(e, head_dim);
    if (official()) {
      if (is_index_key)
        q4sim(e, head_dim);
      else
        q8sim(e, plain);
    }
  }
}

}  // namespace ft::reference
