#include "tests/support/op_cases.h"

#include <cmath>

namespace ft::test {

Tolerance f32_tolerance(int64_t terms) {
  const double bound = 8.0 * std::ldexp(1.0, -24) * std::sqrt(static_cast<double>(terms));
  return {bound, std::ldexp(1.0, -22), bound};
}

Tolerance bf16_tolerance(int64_t terms) {
  return {f32_tolerance(terms).rms, std::ldexp(1.0, -6), 1e-3};
}

Tolerance e4m3_tolerance() {
  return {2e-3, 0.13, 3e-3};
}

Tolerance e2m1_tolerance() {
  return {0.6, 0.5, 1e-2};
}

ModelConfig nano_config() {
  ModelConfig c;
  c.vocab_size = 2048;
  c.hidden_size = 256;
  c.num_hidden_layers = 5;
  c.num_nextn_predict_layers = 1;
  c.num_hash_layers = 1;
  c.num_attention_heads = 4;
  c.head_dim = 128;
  c.qk_rope_head_dim = 64;
  c.q_lora_rank = 64;
  c.o_groups = 2;
  c.o_lora_rank = 64;
  c.sliding_window = 64;
  c.compress_ratios = {0, 4, 128, 4, 4, 0};
  c.index_n_heads = 2;
  c.index_head_dim = 64;
  c.index_topk = 64;
  c.moe_intermediate_size = 128;
  c.n_routed_experts = 8;
  c.num_experts_per_tok = 2;
  c.routed_scaling_factor = 1.5f;
  c.swiglu_limit = 10.0f;
  c.hc_mult = 4;
  c.hc_sinkhorn_iters = 20;
  c.rope_scaling = {4.0, 32.0, 1.0, 2048};
  c.max_position_embeddings = 8192;
  c.experts_fp4 = true;
  return c;
}

ModelConfig wide_head_config() {
  ModelConfig c = nano_config();
  c.head_dim = 512;
  c.q_lora_rank = 128;
  c.o_lora_rank = 128;
  c.sliding_window = 128;
  c.index_n_heads = 16;
  c.index_head_dim = 128;
  c.index_topk = 24;
  c.rope_scaling = {16.0, 32.0, 1.0, 65536};
  c.max_position_embeddings = 1048576;
  return c;
}

std::vector<float> pick(const std::vector<float>& all, int64_t cols, const RowList& rows) {
  std::vector<float> picked;
  picked.reserve(rows.size() * static_cast<size_t>(cols));
  for (const int64_t row : rows) {
    picked.insert(picked.end(), all.begin() + row * cols, all.begin() + (row + 1) * cols);
  }
  return picked;
}

std::vector<int32_t> pick(const std::vector<int32_t>& all, const RowList& rows) {
  std::vector<int32_t> picked;
  for (const int64_t row : rows) picked.push_back(all[row]);
  return picked;
}

void append(std::vector<RowOutput>& outputs, const std::vector<float>& values) {
  if (outputs.empty()) return;
  const auto width = static_cast<int64_t>(values.size() / outputs.size());
  auto begin = values.begin();
  for (RowOutput& output : outputs) {
    output.values.emplace_back(begin, begin + width);
    begin += width;
  }
}

std::vector<OpCases> op_table() {
  std::vector<OpCases> table;
  for (const auto part : {stream_ops, linear_ops, attention_ops, compressor_ops, moe_ops}) {
    for (OpCases& cases : part()) table.push_back(std::move(cases));
  }
  return table;
}

}  // namespace ft::test
