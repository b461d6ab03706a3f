// The validated form of a checkpoint's config.json (docs/spec/model.md section 1, docs/spec/dspark.md 1.8).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace ft {

// YaRN scaling of the rotary frequencies of compressed layers (docs/spec/model.md section 1).
struct RopeScaling {
  double factor = 1.0;
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  int64_t original_max_position_embeddings = 0;

  bool operator==(const RopeScaling&) const = default;
};

// DSpark draft description; block_size 0 means that the checkpoint has none.
struct DsparkConfig {
  int block_size = 0;
  int noise_token_id = 0;
  int markov_rank = 0;
  int stage_count = 0;  // trailing entries of compress_ratios beyond the main layers
  // Main layers whose outputs the draft reads, ascending (auxiliary hidden states, docs/spec/dspark.md 1.1).
  std::vector<int> target_layer_ids;

  // Positions of the longest block that is ever drafted: half as many again as were trained. Nothing in the
  // network depends on a block's length; further positions are less sure (ARCHITECTURE.md).
  int longest_block() const { return (3 * block_size + 1) / 2; }
  bool operator==(const DsparkConfig&) const = default;
};

// All sizes of a model. Names are the Hugging Face keys.
struct ModelConfig {
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int num_hidden_layers = 0;
  int num_nextn_predict_layers = 0;  // MTP blocks really present: 0 for DSpark checkpoints
  int num_hash_layers = 0;
  int num_attention_heads = 0;
  int64_t head_dim = 0;
  int64_t qk_rope_head_dim = 0;
  int64_t q_lora_rank = 0;
  int o_groups = 0;
  int64_t o_lora_rank = 0;
  int sliding_window = 0;
  std::vector<int> compress_ratios;  // main layers, then MTP blocks or draft stages
  int index_n_heads = 0;
  int64_t index_head_dim = 0;
  int index_topk = 0;
  int64_t moe_intermediate_size = 0;
  int n_routed_experts = 0;
  int num_experts_per_tok = 0;
  float routed_scaling_factor = 1.0f;
  float swiglu_limit = 10.0f;
  float rms_norm_eps = 1e-6f;
  int hc_mult = 0;
  int hc_sinkhorn_iters = 0;
  float hc_eps = 1e-6f;
  double rope_theta = 10000.0;
  double compress_rope_theta = 160000.0;
  RopeScaling rope_scaling;
  int64_t max_position_embeddings = 0;
  bool experts_fp4 = false;  // expert_dtype "fp4"; otherwise the experts are fp8 128x128
  int bos_token_id = 0;
  std::vector<int> eos_token_ids = {1};  // any of them ends a reply
  DsparkConfig dspark;
  bool vision = false;  // the model also reads images, which we do not serve

  // Parses and validates the text of a config.json. Unknown architectures, missing keys, wrong types and
  // impossible or contradicting sizes are kInvalidFile errors that name the key (and `path` for the message).
  // `warnings`, where there is one, receives a line for each key that is unknown and ignored, and for each
  // absent one whose value had to be assumed.
  static Result<ModelConfig> parse(std::string_view json, const std::string& path,
                                   std::vector<std::string>* warnings = nullptr);

  int hc_mix_size() const { return (2 + hc_mult) * hc_mult; }
  // The compression ratios of the main layers.
  std::vector<int> main_ratios() const {
    return {compress_ratios.begin(), compress_ratios.begin() + num_hidden_layers};
  }
  bool has_dspark() const { return dspark.block_size > 0; }
  // Columns of the auxiliary hidden states of one token, 0 without a DSpark draft.
  int64_t auxiliary_cols() const {
    return static_cast<int64_t>(dspark.target_layer_ids.size()) * hidden_size;
  }
  bool operator==(const ModelConfig&) const = default;
};

}  // namespace ft
