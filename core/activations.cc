#include "core/activations.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/check.h"

namespace ft {

Activations::Activations(Backend& backend, const ModelConfig& config, int64_t rows_max)
    : rows_max_(rows_max) {
  const int64_t n = config.hc_mult;
  const int64_t d = config.hidden_size;
  const int64_t heads = int64_t{config.num_attention_heads} * config.head_dim;
  const int64_t compressor = 2 * config.head_dim;
  const int64_t index_compressor = 2 * config.index_head_dim;
  const std::vector<std::pair<Matrix*, int64_t>> views = {
      {&streams, n * d},
      {&input, d},
      {&output, d},
      {&post, n},
      {&comb, n * n},
      {&query_low, config.q_lora_rank},
      {&query_normed, config.q_lora_rank},
      {&query, heads},
      {&kv, config.head_dim},
      {&attended, heads},
      {&projected, config.o_groups * config.o_lora_rank},
      {&compressor_k, compressor},
      {&compressor_g, compressor},
      {&index_k, index_compressor},
      {&index_g, index_compressor},
      {&index_query, config.index_n_heads * config.index_head_dim},
      {&index_weights, config.index_n_heads},
      {&route_weights, config.num_experts_per_tok},
  };
  // Rows of 16 floats keep every view aligned to 64 bytes.
  const auto padded = [&](int64_t cols) { return (rows_max * cols + 15) / 16 * 16; };
  int64_t floats = 0;
  for (const auto& [view, cols] : views) floats += padded(cols);
  const int64_t ids = padded(config.num_experts_per_tok);
  const int64_t selected_count = padded(std::max(config.index_topk, 1));
  memory_ = backend.allocate(static_cast<size_t>(floats + ids + selected_count) * sizeof(float));
  float* at = memory_.f32();
  for (const auto& [view, cols] : views) {
    *view = Matrix(at, rows_max, cols);
    at += padded(cols);
  }
  route_ids = reinterpret_cast<int32_t*>(at);
  selected = route_ids + ids;
}

void Activations::set_rows(int64_t rows) {
  FT_CHECK(rows <= rows_max_, rows, rows_max_);
  for (Matrix* view : {&streams, &input, &output, &post, &comb, &query_low, &query_normed, &query, &kv,
                       &attended, &projected, &compressor_k, &compressor_g, &index_k, &index_g, &index_query,
                       &index_weights, &route_weights})
    view->rows = rows;
}

}  // namespace ft
