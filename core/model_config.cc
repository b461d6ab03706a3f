#include "core/model_config.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/config_keys.h"
#include "core/config_layers.h"
#include "core/config_rope.h"
#include "core/json_text.h"

namespace ft {
namespace {

using nlohmann::json;

// Upper limits: several times the largest published model, and small enough that no product of two sizes
// overflows and that a wrong file cannot make us allocate without bound.
constexpr int64_t kMaxVocabulary = 1 << 24;
constexpr int64_t kMaxWidth = 1 << 17;  // of a hidden, latent or expert vector
constexpr int64_t kMaxLayers = 512;
constexpr int64_t kMaxHeads = 1024;
constexpr int64_t kMaxHeadDim = 4096;
constexpr int64_t kMaxWindow = 4096;   // published 128; every sequence keeps that many rows per layer
constexpr int64_t kMaxTopk = 1 << 14;  // published 512 and 1024; every row of a step keeps that many places
constexpr int64_t kMaxExperts = 4096;
constexpr int64_t kMaxBlockExperts = 1 << 17;  // blocks times experts
constexpr int64_t kMaxStreams = 16;
constexpr int64_t kMaxSinkhornIterations = 1000;
constexpr int64_t kMaxDraftBlocks = 16;  // MTP blocks or DSpark stages
constexpr int64_t kMaxDraftTokens = 64;  // DSpark block size
constexpr size_t kMaxEndTokens = 64;
// The last position that float32 holds exactly (angles are float32).
constexpr int64_t kMaxPositions = 1 << 24;
constexpr double kMaxFactor = 1e4;
constexpr double kMinFactor = std::numeric_limits<float>::min();  // stays a normal float32
// Non-rope columns of a key are quantised in blocks of 64 (docs/spec/model.md 3.0).
constexpr int64_t kFp8SimulationBlock = 64;
constexpr int64_t kFp4Columns = 32;  // columns that share an FP4 scale
constexpr int64_t kFp8Tile = 128;
constexpr size_t kShownKeys = 8;  // in a message

constexpr const char* kAccepted =
    "accepted are DeepSeek-V4 checkpoints (DeepseekV4ForCausalLM) with fp8 or fp4 experts as DeepSeek "
    "publishes "
    "them";

void check_architecture(const ConfigKeys& keys) {
  const json& architectures = keys.value("architectures");
  const json& type = keys.value("model_type");
  const std::string name =
      architectures.is_array() && architectures.size() == 1 && architectures[0].is_string()
          ? architectures[0].get<std::string>()
          : "";
  if (name.starts_with("DeepseekV41") ||
      (type.is_string() && type.get<std::string>().starts_with("deepseek_v41"))) {
    keys.refuse(
        fmt::format("is of DeepSeek-V4.1, another architecture, which is not supported; {}", kAccepted));
  }
  if (name != "DeepseekV4ForCausalLM") keys.reject("architectures", "[\"DeepseekV4ForCausalLM\"]");
  keys.exactly("model_type", "deepseek_v4");
}

// Keys with one meaning that we implement: any other value is a different model.
void check_fixed_choices(const ConfigKeys& keys) {
  keys.exactly("num_key_value_heads", 1);
  keys.exactly("n_shared_experts", 1);
  keys.exactly("scoring_func", "sqrtsoftplus");
  keys.exactly("topk_method", "noaux_tc");
  keys.exactly("norm_topk_prob", true);
  keys.exactly("hidden_act", "silu");
  keys.exactly("tie_word_embeddings", false);
  keys.exactly_or_absent("attention_bias", false);
  keys.exactly_or_absent("mlp_bias", false);
  keys.exactly_or_absent("n_group", 1);
  keys.exactly_or_absent("topk_group", 1);
  keys.exactly_or_absent("first_k_dense_replace", 0);
}

void check_quantization(const ConfigKeys& keys) {
  const ConfigKeys inner = keys.inside("quantization_config");
  const json& method = inner.value("quant_method");
  const std::string name = method.is_string() ? method.get<std::string>() : "";
  if (name == "compressed-tensors") {
    keys.refuse(
        fmt::format("is a compressed-tensors re-pack, a format that is not supported; {}", kAccepted));
  }
  if (name.starts_with("modelopt") || inner.has("quant_algo") || inner.has("moe_quant_algo")) {
    keys.refuse(
        fmt::format("is a ModelOpt re-pack (quant_algo {}, moe_quant_algo {}; NVFP4), a format that is not "
                    "supported; {}",
                    shown(inner.value("quant_algo")), shown(inner.value("moe_quant_algo")), kAccepted));
  }
  inner.exactly("quant_method", "fp8");
  inner.exactly_or_absent("fmt", "e4m3");
  // Absent: what is stored says it (F8_E8M0, or F32 whose values are powers of two).
  inner.exactly_or_absent("scale_fmt", "ue8m0");
  inner.exactly("weight_block_size", json::array({kFp8Tile, kFp8Tile}));
  inner.exactly_or_absent("activation_scheme", "dynamic");
  inner.ignore("modules_to_not_convert");  // every tensor is checked for the format that it must have
  inner.ignore("ignored_layers");
  for (const std::string& key : inner.unknown()) keys.warn(fmt::format("{} is unknown and ignored", key));
}

// One id, or a list of them.
std::vector<int> read_end_tokens(const ConfigKeys& keys, int64_t vocab_size) {
  if (!keys.value("eos_token_id").is_array()) return {keys.small("eos_token_id", 0, vocab_size - 1)};
  std::vector<int> ids = keys.integers("eos_token_id", 0, vocab_size - 1);
  if (keys.ok() && (ids.empty() || ids.size() > kMaxEndTokens)) {
    keys.reject("eos_token_id", fmt::format("a token id, or a list of 1 to {}", kMaxEndTokens));
  }
  return ids;
}

void read_sizes(const ConfigKeys& keys, ModelConfig& config) {
  config.vocab_size = keys.integer("vocab_size", 1, kMaxVocabulary);
  config.hidden_size = keys.integer("hidden_size", 1, kMaxWidth);
  config.num_hidden_layers = keys.small("num_hidden_layers", 1, kMaxLayers);
  config.num_nextn_predict_layers = keys.small("num_nextn_predict_layers", 0, kMaxDraftBlocks);
  config.num_attention_heads = keys.small("num_attention_heads", 1, kMaxHeads);
  config.head_dim = keys.integer("head_dim", 1, kMaxHeadDim);
  config.q_lora_rank = keys.integer("q_lora_rank", 1, kMaxWidth);
  config.o_groups = keys.small("o_groups", 1, kMaxHeads);
  config.o_lora_rank = keys.integer("o_lora_rank", 1, kMaxWidth);
  config.sliding_window = keys.small("sliding_window", 1, kMaxWindow);
  config.index_n_heads = keys.small("index_n_heads", 1, kMaxHeads);
  config.index_head_dim = keys.integer("index_head_dim", 1, kMaxHeadDim);
  config.index_topk = keys.small("index_topk", 1, kMaxTopk);
  config.moe_intermediate_size = keys.integer("moe_intermediate_size", 1, kMaxWidth);
  config.n_routed_experts = keys.small("n_routed_experts", 1, kMaxExperts);
  config.num_experts_per_tok = keys.small("num_experts_per_tok", 1, config.n_routed_experts);
  config.hc_mult = keys.small("hc_mult", 1, kMaxStreams);
  config.hc_sinkhorn_iters = keys.small("hc_sinkhorn_iters", 1, kMaxSinkhornIterations);
  config.max_position_embeddings = keys.integer("max_position_embeddings", 1, kMaxPositions);
  config.bos_token_id = keys.small("bos_token_id", 0, config.vocab_size - 1);
  config.eos_token_ids = read_end_tokens(keys, config.vocab_size);
}

void read_factors(const ConfigKeys& keys, ModelConfig& config) {
  config.routed_scaling_factor =
      static_cast<float>(keys.number("routed_scaling_factor", kMinFactor, kMaxFactor));
  config.swiglu_limit = static_cast<float>(keys.number("swiglu_limit", kMinFactor, kMaxFactor));
  config.rms_norm_eps = static_cast<float>(keys.number_or_assumed("rms_norm_eps", kMinFactor, 0.1, 1e-6));
  config.hc_eps = static_cast<float>(keys.number_or_assumed("hc_eps", kMinFactor, 0.1, 1e-6));
  if (keys.has("expert_dtype")) {
    config.experts_fp4 = keys.is("expert_dtype", "fp4");
    if (!config.experts_fp4 && !keys.is("expert_dtype", "fp8")) {
      keys.reject("expert_dtype", "\"fp4\", \"fp8\" or no such key (fp8)");
    }
  }
}

void read_dspark(const ConfigKeys& keys, ModelConfig& config) {
  constexpr const char* kKeys[] = {"dspark_block_size", "dspark_noise_token_id", "dspark_target_layer_ids",
                                   "dspark_markov_rank"};
  bool any = false;
  for (const char* key : kKeys) any = keys.has(key) || any;
  if (!any) return;
  config.dspark.block_size = keys.small("dspark_block_size", 1, kMaxDraftTokens);
  config.dspark.noise_token_id = keys.small("dspark_noise_token_id", 0, config.vocab_size - 1);
  config.dspark.target_layer_ids = keys.integers("dspark_target_layer_ids", 0, config.num_hidden_layers - 1);
  config.dspark.markov_rank = keys.small("dspark_markov_rank", 1, kMaxWidth);
  const std::vector<int>& layers = config.dspark.target_layer_ids;
  bool ascending = !layers.empty();
  for (size_t i = 1; i < layers.size(); ++i) ascending = ascending && layers[i - 1] < layers[i];
  if (!ascending) keys.reject("dspark_target_layer_ids", "at least one layer, in ascending order");
  // Variants of the family with other heads; V4 configs leave these keys out (docs/spec/dspark.md 1.8).
  keys.exactly_or_absent("sample_from_anchor", true);
  keys.exactly_or_absent("enable_confidence_head", true);
  keys.exactly_or_absent("confidence_head_with_markov", true);
  keys.exactly_or_absent("markov_head_type", "vanilla");
}

// Keys that say nothing about the numbers of the model.
void ignore_harmless(const ConfigKeys& keys) {
  for (const char* key : {"_name_or_path",
                          "attention_dropout",
                          "auto_map",
                          "aux_loss_alpha",
                          "dtype",
                          "ep_size",
                          "id2label",
                          "initializer_range",
                          "intermediate_size",
                          "label2id",
                          "moe_layer_freq",
                          "output_attentions",
                          "output_hidden_states",
                          "output_router_logits",
                          "pad_token_id",
                          "pretraining_tp",
                          "problem_type",
                          "return_dict",
                          "router_aux_loss_coef",
                          "seq_aux",
                          "torch_dtype",
                          "transformers_version",
                          "use_cache"}) {
    keys.ignore(key);
  }
}

bool is_vision_key(std::string_view key) {
  return key.starts_with("vision_") || key.starts_with("image_") || key.starts_with("aligner_");
}

// Every key that nothing above has asked for is named.
void warn_of_unknown(const ConfigKeys& keys, ModelConfig& config) {
  std::vector<std::string> unknown = keys.unknown();
  const auto vision = std::stable_partition(unknown.begin(), unknown.end(),
                                            [](const std::string& key) { return !is_vision_key(key); });
  config.vision = vision != unknown.end();
  if (config.vision) {
    keys.warn(
        fmt::format("describes a model that also reads images ({} keys); text is served, images are not",
                    unknown.end() - vision));
  }
  unknown.erase(vision, unknown.end());
  if (unknown.empty()) return;
  const size_t count = unknown.size();
  if (count > kShownKeys) unknown.resize(kShownKeys);
  std::string names;
  for (const std::string& key : unknown) names += (names.empty() ? "" : ", ") + shown(json(key));
  keys.warn(fmt::format("{} key{} unknown and ignored: {}{}", count, count == 1 ? " is" : "s are", names,
                        count > kShownKeys ? ", ..." : ""));
}

void check_attention(const ConfigKeys& keys, const ModelConfig& config) {
  const int64_t rope = config.qk_rope_head_dim;
  if (rope % 2 != 0) keys.reject("qk_rope_head_dim", "an even number (pairs are rotated)");
  const int64_t rest = config.head_dim - rope;
  if (rest <= 0 || rest % kFp8SimulationBlock != 0) {
    keys.reject("head_dim",
                fmt::format("qk_rope_head_dim {} plus a positive multiple of {}", rope, kFp8SimulationBlock));
  }
  if (config.num_attention_heads % config.o_groups != 0) {
    keys.reject("num_attention_heads", fmt::format("a multiple of o_groups {}", config.o_groups));
  }
  const int64_t index = config.index_head_dim;
  if (index < kFp4Columns || !std::has_single_bit(static_cast<uint64_t>(index)) || index < rope) {
    keys.reject("index_head_dim", fmt::format("a power of two, at least {} and at least qk_rope_head_dim {}",
                                              kFp4Columns, rope));
  }
}

void check_experts(const ConfigKeys& keys, const ModelConfig& config) {
  if (config.experts_fp4 && config.hidden_size % kFp4Columns != 0) {
    keys.reject("hidden_size", fmt::format("a multiple of {} for fp4 experts", kFp4Columns));
  }
  if (config.experts_fp4 && config.moe_intermediate_size % kFp4Columns != 0) {
    keys.reject("moe_intermediate_size", fmt::format("a multiple of {} for fp4 experts", kFp4Columns));
  }
  const int64_t blocks = static_cast<int64_t>(config.compress_ratios.size());
  if (blocks * config.n_routed_experts > kMaxBlockExperts) {
    keys.reject("n_routed_experts",
                fmt::format("at most {} experts in all {} blocks", kMaxBlockExperts, blocks));
  }
}

}  // namespace

Result<ModelConfig> ModelConfig::parse(std::string_view text, const std::string& path,
                                       std::vector<std::string>* warnings) {
  const auto root = parse_json_object(text, path);
  if (!root) return tl::make_unexpected(root.error());
  ModelConfig config;
  ConfigProblems problems;
  const ConfigKeys keys(*root, path, "", problems);
  check_architecture(keys);
  check_quantization(keys);
  check_fixed_choices(keys);
  if (keys.ok()) read_sizes(keys, config);
  if (keys.ok()) read_factors(keys, config);
  if (keys.ok()) read_rope(keys, config);
  if (keys.ok()) read_dspark(keys, config);
  if (keys.ok()) read_layers(keys, config);
  if (keys.ok()) check_attention(keys, config);
  if (keys.ok()) check_experts(keys, config);
  if (!keys.ok()) return tl::make_unexpected(*problems.error);
  ignore_harmless(keys);
  warn_of_unknown(keys, config);
  if (warnings != nullptr) *warnings = std::move(problems.warnings);
  return config;
}

}  // namespace ft
