#include "eval/checkpoint_form.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/layer_kind.h"
#include "eval/checkpoint_damage.h"

namespace ft::eval {

namespace {

using Json = nlohmann::ordered_json;
using Content = TensorPlan::Content;

constexpr const char* kDsparkKeys[] = {"dspark_block_size", "dspark_noise_token_id",
                                       "dspark_target_layer_ids", "dspark_markov_rank"};
constexpr const char* kFirstFile = "model-00001-of-00002.safetensors";
constexpr const char* kSecondFile = "model-00002-of-00002.safetensors";

bool is_expert(const std::string& name) {
  return name.find(".experts.") != std::string::npos;
}

// Draft blocks behind the main layers.
void set_draft_blocks(Json& config, size_t blocks) {
  Json& ratios = config["compress_ratios"];
  const auto layers = config["num_hidden_layers"].get<size_t>();
  while (ratios.size() > layers) ratios.erase(ratios.size() - 1);
  for (size_t i = 0; i < blocks; ++i) ratios.push_back(0);
}

void as_flash(Json& config) {
  for (const char* key : kDsparkKeys) config.erase(key);
  config["expert_dtype"] = "fp4";
  config["num_nextn_predict_layers"] = 1;
  set_draft_blocks(config, 1);
}

void as_dspark(Json& config) {
  const int layers = config["num_hidden_layers"];
  Json taps = Json::array();
  for (int i = std::max(0, layers - 3); i < layers; ++i) taps.push_back(i);
  const std::pair<const char*, Json> values[] = {
      {"dspark_block_size", 5},
      {"dspark_noise_token_id", config["vocab_size"].get<int>() - 1},
      {"dspark_target_layer_ids", taps},
      {"dspark_markov_rank", 64}};
  for (const auto& [key, value] : values)
    if (!config.contains(key)) config[key] = value;
  config["expert_dtype"] = "fp4";
  set_draft_blocks(config, 3);
}

// Experts in e4m3 with the values of the fp4 ones.
void experts_to_fp8(CheckpointPlan& plan) {
  for (TensorPlan& tensor : plan.tensors) {
    if (!is_expert(tensor.name) || tensor.format != WeightFormat::kFp4Row) continue;
    if (tensor.content == Content::kData) {
      tensor.content = Content::kFp8OfFp4;
      tensor.dtype = DType::kE4M3;
      tensor.shape[1] *= 2;
    } else {
      // Rows and columns of the weight, from the scales of 32 columns of a row.
      tensor.content = Content::kScaleOfFp4;
      tensor.shape = {(tensor.shape[0] + 127) / 128, (tensor.shape[1] * 32 + 127) / 128};
    }
  }
}

void scales_to_f32(CheckpointPlan& plan, bool all) {
  for (TensorPlan& tensor : plan.tensors)
    if (tensor.dtype == DType::kE8M0 && (all || is_expert(tensor.name))) tensor.dtype = DType::kF32;
}

void add_vector(CheckpointPlan& plan, const std::string& name, int64_t size) {
  TensorPlan tensor;
  tensor.name = tensor.source = name;
  tensor.shape = {size};
  tensor.content = Content::kVector;
  plan.tensors.push_back(std::move(tensor));
}

void add_image_side(CheckpointPlan& plan) {
  const int64_t experts = plan.config["n_routed_experts"];
  const auto blocks = static_cast<int>(plan.config["compress_ratios"].size());
  const int layers = plan.config["num_hidden_layers"];
  for (int i = 0; i < blocks; ++i) {
    add_vector(plan,
               i < layers ? fmt::format("layers.{}.ffn.gate.bias_vl", i)
                          : fmt::format("mtp.{}.ffn.gate.bias_vl", i - layers),
               experts);
  }
  for (const char* name : {"vision.patch_embed.weight", "vision.blocks.0.attn.wq.weight", "aligner.w1.weight",
                           "image_start", "image_end", "image_newline", "image_pad"}) {
    add_vector(plan, name, 64);
  }
}

Json yarn_of(const Json& config) {
  Json yarn = config["rope_scaling"];
  yarn.erase("type");
  yarn["rope_type"] = "yarn";
  return yarn;
}

void nested_rope(Json& config) {
  Json main = {{"rope_type", "default"}, {"rope_theta", config["rope_theta"]}};
  Json compress = yarn_of(config);
  compress["rope_theta"] = config["compress_rope_theta"];
  compress["attention_factor"] = 1.0;
  const double partial = config["qk_rope_head_dim"].get<double>() / config["head_dim"].get<double>();
  main["partial_rotary_factor"] = compress["partial_rotary_factor"] = partial;
  config["rope_parameters"] = {{"main", main}, {"compress", compress}};
  for (const char* key : {"rope_scaling", "rope_theta", "compress_rope_theta", "qk_rope_head_dim"})
    config.erase(key);
}

void flat_rope(Json& config) {
  config["rope_parameters"] = yarn_of(config);
  config.erase("rope_scaling");
}

void layer_types(Json& config) {
  const int layers = config["num_hidden_layers"];
  Json types = Json::array();
  Json mlp = Json::array();
  Json rates = Json::object();
  for (int i = 0; i < layers; ++i) {
    const int ratio = config["compress_ratios"][static_cast<size_t>(i)];
    const char* type = layer_kind(ratio) == LayerKind::kSwa   ? "sliding_attention"
                       : layer_kind(ratio) == LayerKind::kCsa ? "compressed_sparse_attention"
                                                              : "heavily_compressed_attention";
    types.push_back(type);
    if (layer_kind(ratio) != LayerKind::kSwa) rates[type] = ratio;
    mlp.push_back(i < config["num_hash_layers"] ? "hash_moe" : "moe");
  }
  // Draft blocks have no entry there: num_nextn_predict_layers counts them.
  config["num_nextn_predict_layers"] = config["compress_ratios"].size() - static_cast<size_t>(layers);
  config["layer_types"] = types;
  config["mlp_layer_types"] = mlp;
  config["compress_rates"] = rates;
  config.erase("compress_ratios");
  config.erase("num_hash_layers");
}

void into_shards(CheckpointPlan& plan) {
  plan.index = true;
  for (size_t i = 0; i < plan.tensors.size(); ++i)
    plan.tensors[i].file = 2 * i < plan.tensors.size() ? kFirstFile : kSecondFile;
}

// A second tensor called `name`, with other values, in `file`.
void add_other(CheckpointPlan& plan, const std::string& name, const std::string& file) {
  const auto found = std::find_if(plan.tensors.begin(), plan.tensors.end(),
                                  [&](const TensorPlan& tensor) { return tensor.name == name; });
  if (found == plan.tensors.end()) return;
  TensorPlan other = *found;
  other.source = "other." + name;
  other.file = file;
  other.listed = false;
  plan.tensors.push_back(std::move(other));
}

void overlay(CheckpointPlan& plan) {
  into_shards(plan);
  for (TensorPlan& tensor : plan.tensors)
    if (tensor.name == "head.weight") tensor.file = "overlay.safetensors";
  add_other(plan, "head.weight", kSecondFile);
}

void unlisted(CheckpointPlan& plan) {
  into_shards(plan);
  add_vector(plan, "layers.0.attn.experiment", 16);
  plan.tensors.back().file = kFirstFile;
  plan.tensors.back().listed = false;
}

void stray(CheckpointPlan& plan) {
  into_shards(plan);
  const std::vector<TensorPlan> tensors = plan.tensors;
  for (const TensorPlan& tensor : tensors) add_other(plan, tensor.name, "model.safetensors");
}

void with_prefix(CheckpointPlan& plan) {
  for (TensorPlan& tensor : plan.tensors) tensor.name = "model." + tensor.name;
}

// Draft blocks whose linear weights are stored as bf16, without scales.
void bf16_draft(CheckpointPlan& plan) {
  std::erase_if(plan.tensors, [](const TensorPlan& tensor) {
    return tensor.name.starts_with("mtp.") && tensor.content == Content::kScale;
  });
  for (TensorPlan& tensor : plan.tensors) {
    if (!tensor.name.starts_with("mtp.") || tensor.content != Content::kData) continue;
    if (tensor.format == WeightFormat::kFp4Row) tensor.shape[1] *= 2;
    tensor.format = WeightFormat::kBF16;
    tensor.dtype = DType::kBF16;
  }
}

std::vector<CheckpointForm> all_forms() {
  std::vector<CheckpointForm> forms;
  const auto add = [&](std::string_view name, std::string_view what, std::function<void(Json&)> config,
                       std::function<void(CheckpointPlan&)> plan = {}) {
    forms.push_back({name, what, false, std::move(config), std::move(plan), {}});
  };
  add("plain", "as the config says", {});
  add("flash", "V4-Flash and V4-Pro: fp4 experts, one MTP block", as_flash);
  add("dspark", "V4-Flash-DSpark and its successors: fp4 experts, three DSpark stages", as_dspark);
  add("base", "V4-Flash-Base: experts in e4m3 with F32 scales, the values of fp4 ones", {},
      [](CheckpointPlan& plan) {
        plan.config["expert_dtype"] = "fp8";
        experts_to_fp8(plan);
        scales_to_f32(plan, false);
      });
  add("fp8-repack", "as base, all scales F32, and no expert_dtype and scale_fmt", {},
      [](CheckpointPlan& plan) {
        plan.config.erase("expert_dtype");
        plan.config["quantization_config"].erase("scale_fmt");
        experts_to_fp8(plan);
        scales_to_f32(plan, true);
      });
  add("f32-scales", "block scales as F32", {}, [](CheckpointPlan& plan) { scales_to_f32(plan, true); });
  add(
      "vision", "V4-Flash-Vision-Exp: an image side, and another eps",
      [](Json& config) {
        config["rms_norm_eps"] = 1e-20;
        config["vision_n_layers"] = 32;
        config["vision_dim"] = 1024;
        config["vision_patch_size"] = 14;
      },
      add_image_side);
  add("rope-parameters", "YaRN as rope_parameters of main and compress", {},
      [](CheckpointPlan& plan) { nested_rope(plan.config); });
  add("rope-flat", "YaRN as flat rope_parameters", {}, [](CheckpointPlan& plan) { flat_rope(plan.config); });
  add("layer-types", "layer_types, mlp_layer_types and compress_rates", {},
      [](CheckpointPlan& plan) { layer_types(plan.config); });
  add("end-tokens", "a list of end tokens",
      [](Json& config) { config["eos_token_id"] = {config["eos_token_id"]}; });
  add("prefix", "names that begin with model.", {}, with_prefix);
  add("sharded", "an index and two files", {}, into_shards);
  add("overlay", "an index that takes one tensor from a third file, though another has it too", {}, overlay);
  add("unlisted", "a file with a tensor that the index lacks", {}, unlisted);
  add("stray", "model.safetensors with other values beside an index and its files", {}, stray);
  add("bf16-draft", "draft blocks in bf16", {}, bf16_draft);
  add("part-draft", "draft blocks without their norms", {}, [](CheckpointPlan& plan) {
    std::erase_if(plan.tensors, [](const TensorPlan& t) {
      return t.name.starts_with("mtp.") && t.name.ends_with(".norm.weight");
    });
  });
  add("no-draft", "no draft blocks, though the config describes them", {}, [](CheckpointPlan& plan) {
    std::erase_if(plan.tensors, [](const TensorPlan& t) { return t.name.starts_with("mtp."); });
  });
  for (CheckpointForm& form : refused_forms()) forms.push_back(std::move(form));
  return forms;
}

}  // namespace

std::span<const CheckpointForm> checkpoint_forms() {
  static const std::vector<CheckpointForm> kForms = all_forms();
  return kForms;
}

Result<const CheckpointForm*> find_checkpoint_form(std::string_view name) {
  std::string names;
  for (const CheckpointForm& form : checkpoint_forms()) {
    if (form.name == name) return &form;
    names += (names.empty() ? "" : ", ") + std::string(form.name);
  }
  return fail(ErrorCode::kInvalidArgument, "unknown form \"{}\", expected one of {}", name, names);
}

}  // namespace ft::eval
