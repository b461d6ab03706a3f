#include "core/config_layers.h"

#include <algorithm>

#include "core/layer_kind.h"

namespace ft {
namespace {

// Of the published models 128; a compressor keeps this many rows of state.
constexpr int64_t kMaxRatio = 4096;
constexpr int64_t kMaxDraftBlocks = 16;
constexpr const char* kCsa = "compressed_sparse_attention";
constexpr const char* kHca = "heavily_compressed_attention";

// The ratios of the main layers from layer_types and compress_rates.
std::vector<int> ratios_of_types(const ConfigKeys& keys, const ModelConfig& config) {
  const std::vector<std::string> types = keys.names("layer_types");
  if (!keys.ok()) return {};
  if (static_cast<int>(types.size()) != config.num_hidden_layers) {
    keys.refuse(fmt::format("layer_types has {} entries, expected num_hidden_layers, {}", types.size(),
                            config.num_hidden_layers));
    return {};
  }
  const bool csa = std::find(types.begin(), types.end(), kCsa) != types.end();
  const bool hca = std::find(types.begin(), types.end(), kHca) != types.end();
  int hca_ratio = 0;
  if (csa || hca) {
    const ConfigKeys rates = keys.inside("compress_rates");
    if (csa) rates.exactly(kCsa, kCsaRatio);
    if (hca) hca_ratio = rates.small(kHca, 1, kMaxRatio);
    if (hca_ratio == kCsaRatio) rates.reject(kHca, fmt::format("another ratio than {}", kCsaRatio));
  }
  keys.ignore("compress_rates");
  std::vector<int> ratios;
  for (const std::string& type : types) {
    if (type == "sliding_attention") {
      ratios.push_back(0);
    } else if (type == kCsa) {
      ratios.push_back(kCsaRatio);
    } else if (type == kHca) {
      ratios.push_back(hca_ratio);
    } else {
      keys.refuse(
          fmt::format("layer_types has \"{}\", expected sliding_attention, {} or {}", type, kCsa, kHca));
      return {};
    }
  }
  return ratios;
}

void read_ratios(const ConfigKeys& keys, ModelConfig& config) {
  const bool listed = keys.has("compress_ratios") || !keys.has("layer_types");
  if (listed) config.compress_ratios = keys.integers("compress_ratios", 0, kMaxRatio);
  if (!keys.has("layer_types")) return;
  const std::vector<int> ratios = ratios_of_types(keys, config);
  if (!keys.ok()) return;
  if (listed) {
    const bool same = config.compress_ratios.size() >= ratios.size() &&
                      std::equal(ratios.begin(), ratios.end(), config.compress_ratios.begin());
    if (!same) keys.refuse("compress_ratios and layer_types contradict each other");
    return;
  }
  config.compress_ratios = ratios;
  // Nothing there counts draft blocks but this.
  config.compress_ratios.resize(ratios.size() + static_cast<size_t>(config.num_nextn_predict_layers), 0);
}

void read_hash_layers(const ConfigKeys& keys, ModelConfig& config) {
  const bool counted = keys.has("num_hash_layers") || !keys.has("mlp_layer_types");
  if (counted) config.num_hash_layers = keys.small("num_hash_layers", 0, config.num_hidden_layers);
  if (!keys.has("mlp_layer_types")) return;
  const std::vector<std::string> types = keys.names("mlp_layer_types");
  const auto first_other =
      std::find_if(types.begin(), types.end(), [](const auto& t) { return t != "hash_moe"; });
  const auto hashed = static_cast<int>(first_other - types.begin());
  const bool rest_is_moe = std::all_of(first_other, types.end(), [](const auto& t) { return t == "moe"; });
  if (static_cast<int>(types.size()) != config.num_hidden_layers || !rest_is_moe) {
    keys.reject("mlp_layer_types",
                fmt::format("num_hidden_layers, {}, entries: hash_moe, then moe", config.num_hidden_layers));
  }
  if (counted && hashed != config.num_hash_layers) {
    keys.refuse("num_hash_layers and mlp_layer_types contradict each other");
  }
  config.num_hash_layers = hashed;
}

// Settles how many draft blocks there are. Their ratios are 0, so the entries of compress_ratios
// beyond the main layers only count them. A DSpark checkpoint may keep num_nextn_predict_layers
// 1 from its predecessor but has no MTP block; there the entries count the stages (docs/spec/dspark.md 1.8).
void settle_draft_blocks(const ConfigKeys& keys, ModelConfig& config) {
  const auto entries = static_cast<int64_t>(config.compress_ratios.size());
  const int64_t layers = config.num_hidden_layers;
  if (entries < layers || entries > layers + kMaxDraftBlocks) {
    keys.reject("compress_ratios",
                fmt::format("{} entries for num_hidden_layers and up to {} for draft blocks, not {}", layers,
                            kMaxDraftBlocks, entries));
    return;
  }
  for (int64_t i = layers; i < entries; ++i) {
    if (config.compress_ratios[i] != 0) {
      keys.reject("compress_ratios", fmt::format("0 for MTP blocks and draft stages (entry {})", i));
    }
  }
  int64_t blocks = config.num_nextn_predict_layers;
  if (config.has_dspark()) {
    if (entries > layers) blocks = entries - layers;
    if (blocks == 0) {
      keys.reject("num_nextn_predict_layers",
                  "the DSpark stages, where compress_ratios has no entries for them");
    }
    config.dspark.stage_count = static_cast<int>(blocks);
    config.num_nextn_predict_layers = 0;
  } else if (entries != layers + blocks) {
    keys.warn(
        fmt::format("compress_ratios has {} entries for draft blocks, num_nextn_predict_layers says {}; {} "
                    "are assumed",
                    entries - layers, blocks, blocks));
  }
  config.compress_ratios.resize(static_cast<size_t>(layers + blocks), 0);
}

}  // namespace

void read_layers(const ConfigKeys& keys, ModelConfig& config) {
  read_ratios(keys, config);
  if (keys.ok()) read_hash_layers(keys, config);
  if (keys.ok()) settle_draft_blocks(keys, config);
}

}  // namespace ft
