#include "core/model_config.h"

#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

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
constexpr int64_t kMaxWindow = 1 << 16;  // sliding window and compression ratio
constexpr int64_t kMaxTopk = 1 << 20;
constexpr int64_t kMaxExperts = 4096;
constexpr int64_t kMaxBlockExperts = 1 << 17;  // blocks times experts
constexpr int64_t kMaxStreams = 16;
constexpr int64_t kMaxSinkhornIterations = 1000;
constexpr int64_t kMaxDraftBlocks = 16;  // MTP blocks or DSpark stages
constexpr int64_t kMaxDraftTokens = 64;  // DSpark block size
constexpr int64_t kMaxPositions =
    1 << 24;  // the last position that float32 holds exactly (angles are float32)
constexpr double kMaxFrequencyBase = 1e12;
constexpr double kMaxFactor = 1e4;
constexpr double kMinFactor = 1e-20;  // stays a normal float32
// Columns of a key that are not rotated are quantised in blocks of 64 (docs/spec/model.md 3.0).
constexpr int64_t kFp8SimulationBlock = 64;
constexpr int64_t kFp4Columns = 32;  // columns that share an FP4 scale
constexpr int64_t kFp8Tile = 128;

// Reads keys of one JSON object. The first problem is kept, and everything after it yields zeros.
class KeyReader {
 public:
  // `prefix` names the object in messages: "" or "rope_scaling.".
  KeyReader(const json& object, std::string path, std::string prefix, std::optional<Error>& error)
      : object_(object), path_(std::move(path)), prefix_(std::move(prefix)), error_(error) {}

  bool has(const char* key) const {
    const auto found = object_.find(key);
    return found != object_.end() && !found->is_null();
  }

  // Keeps the error `<path>: <key> is <value seen>, expected <expected>`.
  void reject(const char* key, const std::string& expected) {
    const auto found = object_.find(key);
    if (error_) return;
    error_ =
        Error{ErrorCode::kInvalidFile,
              found == object_.end()
                  ? fmt::format("{}: missing key {}{}, expected {}", path_, prefix_, key, expected)
                  : fmt::format("{}: {}{} is {}, expected {}", path_, prefix_, key, shown(*found), expected)};
  }

  int64_t integer(const char* key, int64_t low, int64_t high) {
    const auto found = object_.find(key);
    const bool fits = found != object_.end() && found->is_number_integer() &&
                      (!found->is_number_unsigned() ||
                       found->get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()));
    if (fits) {
      const auto value = found->get<int64_t>();
      if (low <= value && value <= high) return value;
    }
    reject(key, fmt::format("an integer from {} to {}", low, high));
    return 0;
  }
  int small(const char* key, int64_t low, int64_t high) { return static_cast<int>(integer(key, low, high)); }

  // A number in (low, high].
  double number(const char* key, double low, double high) {
    const auto found = object_.find(key);
    if (found != object_.end() && found->is_number()) {
      const auto value = found->get<double>();
      if (low < value && value <= high) return value;
    }
    reject(key, fmt::format("a number over {} and at most {}", low, high));
    return 0.0;
  }
  double number_or(const char* key, double low, double high, double absent) {
    return has(key) ? number(key, low, high) : absent;
  }

  std::vector<int> integers(const char* key, int64_t low, int64_t high) {
    std::vector<int> values;
    const auto found = object_.find(key);
    bool fits = found != object_.end() && found->is_array();
    for (size_t i = 0; fits && i < found->size(); ++i) {
      const json& value = (*found)[i];
      fits = value.is_number_integer() && value >= low && value <= high;
      if (fits) values.push_back(value.get<int>());
    }
    if (!fits) reject(key, fmt::format("a list of integers from {} to {}", low, high));
    return fits ? values : std::vector<int>();
  }

  bool is(const char* key, const json& value) const {
    const auto found = object_.find(key);
    // nlohmann holds 1 and 1.0 equal; a config that writes 1.0 for a count is malformed.
    return found != object_.end() && *found == value && found->is_number_float() == value.is_number_float();
  }
  // The key must be there and hold exactly `value`: we know no other meaning.
  void exactly(const char* key, const json& value) {
    if (!is(key, value)) reject(key, shown(value));
  }
  void exactly_or_absent(const char* key, const json& value) {
    if (has(key)) exactly(key, value);
  }

  // The object under `key`, or an empty one and an error.
  const json& object(const char* key) {
    static const json kEmpty = json::object();
    const auto found = object_.find(key);
    if (found != object_.end() && found->is_object()) return *found;
    reject(key, "an object");
    return kEmpty;
  }

 private:
  const json& object_;
  std::string path_;
  std::string prefix_;
  std::optional<Error>& error_;
};

void check_architecture(KeyReader& keys, const json& root) {
  const auto architectures = root.find("architectures");
  const bool known = architectures != root.end() && architectures->is_array() && architectures->size() == 1 &&
                     (*architectures)[0] == "DeepseekV4ForCausalLM";
  if (!known) keys.reject("architectures", "[\"DeepseekV4ForCausalLM\"]");
  keys.exactly("model_type", "deepseek_v4");
}

// Keys with one meaning that we implement: any other value is a different model.
void check_fixed_choices(KeyReader& keys) {
  keys.exactly("num_key_value_heads", 1);
  keys.exactly("n_shared_experts", 1);
  keys.exactly("scoring_func", "sqrtsoftplus");
  keys.exactly("topk_method", "noaux_tc");
  keys.exactly("norm_topk_prob", true);
  keys.exactly("hidden_act", "silu");
  keys.exactly("tie_word_embeddings", false);
  keys.exactly_or_absent("attention_bias", false);
  keys.exactly_or_absent("n_group", 1);
  keys.exactly_or_absent("topk_group", 1);
  keys.exactly_or_absent("first_k_dense_replace", 0);
}

void check_quantization(KeyReader& keys, const std::string& path, std::optional<Error>& error) {
  KeyReader inner(keys.object("quantization_config"), path, "quantization_config.", error);
  inner.exactly("quant_method", "fp8");
  inner.exactly("fmt", "e4m3");
  inner.exactly("scale_fmt", "ue8m0");
  inner.exactly("weight_block_size", json::array({kFp8Tile, kFp8Tile}));
  inner.exactly_or_absent("activation_scheme", "dynamic");
}

void read_sizes(KeyReader& keys, ModelConfig& config) {
  config.vocab_size = keys.integer("vocab_size", 1, kMaxVocabulary);
  config.hidden_size = keys.integer("hidden_size", 1, kMaxWidth);
  config.num_hidden_layers = keys.small("num_hidden_layers", 1, kMaxLayers);
  config.num_nextn_predict_layers = keys.small("num_nextn_predict_layers", 0, kMaxDraftBlocks);
  config.num_hash_layers = keys.small("num_hash_layers", 0, config.num_hidden_layers);
  config.num_attention_heads = keys.small("num_attention_heads", 1, kMaxHeads);
  config.head_dim = keys.integer("head_dim", 1, kMaxHeadDim);
  config.qk_rope_head_dim = keys.integer("qk_rope_head_dim", 2, kMaxHeadDim);
  config.q_lora_rank = keys.integer("q_lora_rank", 1, kMaxWidth);
  config.o_groups = keys.small("o_groups", 1, kMaxHeads);
  config.o_lora_rank = keys.integer("o_lora_rank", 1, kMaxWidth);
  config.sliding_window = keys.small("sliding_window", 1, kMaxWindow);
  config.compress_ratios = keys.integers("compress_ratios", 0, kMaxWindow);
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
  config.eos_token_id = keys.small("eos_token_id", 0, config.vocab_size - 1);
}

void read_factors(KeyReader& keys, const std::string& path, ModelConfig& config,
                  std::optional<Error>& error) {
  config.routed_scaling_factor =
      static_cast<float>(keys.number("routed_scaling_factor", kMinFactor, kMaxFactor));
  config.swiglu_limit = static_cast<float>(keys.number("swiglu_limit", kMinFactor, kMaxFactor));
  config.rms_norm_eps = static_cast<float>(keys.number_or("rms_norm_eps", kMinFactor, 0.1, 1e-6));
  config.hc_eps = static_cast<float>(keys.number_or("hc_eps", kMinFactor, 0.1, 1e-6));
  config.rope_theta = keys.number("rope_theta", 1.0, kMaxFrequencyBase);
  config.compress_rope_theta = keys.number("compress_rope_theta", 1.0, kMaxFrequencyBase);
  if (keys.has("expert_dtype")) {
    config.experts_fp4 = keys.is("expert_dtype", "fp4");
    if (!config.experts_fp4 && !keys.is("expert_dtype", "fp8")) {
      keys.reject("expert_dtype", "\"fp4\", \"fp8\" or no such key (fp8)");
    }
  }
  if (!keys.has("rope_scaling")) return;  // no YaRN: factor 1
  KeyReader inner(keys.object("rope_scaling"), path, "rope_scaling.", error);
  inner.exactly(inner.has("rope_type") && !inner.has("type") ? "rope_type" : "type", "yarn");
  config.rope_scaling.factor = inner.number("factor", kMinFactor, kMaxFactor);
  if (config.rope_scaling.factor < 1.0) inner.reject("factor", "at least 1");
  config.rope_scaling.beta_fast = inner.number("beta_fast", kMinFactor, kMaxFactor);
  config.rope_scaling.beta_slow = inner.number("beta_slow", kMinFactor, kMaxFactor);
  if (config.rope_scaling.beta_slow > config.rope_scaling.beta_fast) {
    inner.reject("beta_slow", fmt::format("at most beta_fast, {}", config.rope_scaling.beta_fast));
  }
  config.rope_scaling.original_max_position_embeddings =
      inner.integer("original_max_position_embeddings", 1, kMaxPositions);
}

void read_dspark(KeyReader& keys, ModelConfig& config) {
  constexpr const char* kKeys[] = {"dspark_block_size", "dspark_noise_token_id", "dspark_target_layer_ids",
                                   "dspark_markov_rank"};
  bool any = false;
  for (const char* key : kKeys) any = any || keys.has(key);
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

void check_attention(KeyReader& keys, const ModelConfig& config) {
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

void check_experts(KeyReader& keys, const ModelConfig& config) {
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

// Settles what the entries of compress_ratios beyond the main layers are. A DSpark checkpoint keeps
// num_nextn_predict_layers 1 from its predecessor but has no MTP block; its stages are counted here
// (docs/spec/dspark.md 1.8).
void settle_draft_blocks(KeyReader& keys, ModelConfig& config) {
  const auto entries = static_cast<int64_t>(config.compress_ratios.size());
  const int64_t layers = config.num_hidden_layers;
  if (config.has_dspark()) {
    config.num_nextn_predict_layers = 0;
    if (entries <= layers || entries > layers + kMaxDraftBlocks) {
      keys.reject("compress_ratios",
                  fmt::format("{} entries for num_hidden_layers and 1 to {} for the DSpark stages, not {}",
                              layers, kMaxDraftBlocks, entries));
      return;
    }
    config.dspark.stage_count = static_cast<int>(entries - layers);
  } else if (entries != layers + config.num_nextn_predict_layers) {
    keys.reject("compress_ratios",
                fmt::format("{} entries (num_hidden_layers {} and num_nextn_predict_layers {}), not {}",
                            layers + config.num_nextn_predict_layers, layers, config.num_nextn_predict_layers,
                            entries));
    return;
  }
  for (int64_t i = layers; i < entries; ++i) {
    if (config.compress_ratios[i] != 0) {
      keys.reject("compress_ratios", fmt::format("0 for MTP blocks and draft stages (entry {})", i));
    }
  }
}

}  // namespace

Result<ModelConfig> ModelConfig::parse(std::string_view text, const std::string& path) {
  const auto root = parse_json_object(text, path);
  if (!root) return tl::make_unexpected(root.error());
  ModelConfig config;
  std::optional<Error> error;
  KeyReader keys(*root, path, "", error);
  check_architecture(keys, *root);
  check_fixed_choices(keys);
  check_quantization(keys, path, error);
  if (!error) read_sizes(keys, config);
  if (!error) read_factors(keys, path, config, error);
  if (!error) read_dspark(keys, config);
  if (!error) check_attention(keys, config);
  if (!error) check_experts(keys, config);
  if (!error) settle_draft_blocks(keys, config);
  if (error) return tl::make_unexpected(*error);
  return config;
}

}  // namespace ft
