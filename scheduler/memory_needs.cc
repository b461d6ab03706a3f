#include "scheduler/memory_needs.h"

#include <algorithm>

#include "draft/drafter.h"

namespace ft::scheduler {

namespace {

// Floats that a row of a batch takes: activations of a forward pass (core/activations.h),
int64_t pass_floats(const ModelConfig& config) {
  const int64_t n = config.hc_mult;
  const int64_t d = config.hidden_size;
  const int64_t queries = config.num_attention_heads * config.head_dim;
  const int64_t attention =
      2 * queries + config.q_lora_rank + 5 * config.head_dim + config.o_groups * config.o_lora_rank;
  const int64_t index =
      (config.index_n_heads + 4) * config.index_head_dim + config.index_n_heads + config.index_topk;
  return n * d + 2 * d + n + n * n + attention + index + 2 * config.num_experts_per_tok;
}

// the head,
int64_t head_floats(const ModelConfig& config) {
  return 2 * config.hidden_size + config.vocab_size;
}

// and what a backend works in: inputs of the widest linear as units, or the experts' activations.
int64_t scratch_floats(const ModelConfig& config) {
  constexpr int64_t kBlockColumns = 128;
  const int64_t d = config.hidden_size;
  const int64_t widest =
      std::max<int64_t>({config.hc_mult * d, config.q_lora_rank, config.o_groups * config.o_lora_rank,
                         config.num_attention_heads * config.head_dim});
  const int64_t experts = 3 * d + (config.num_experts_per_tok + 1) * 4 * config.moe_intermediate_size;
  return std::max(config.hc_mult * (widest + config.o_groups * kBlockColumns), experts);
}

// A step of the model; the same rows of its draft.
int64_t step_floats(const ModelConfig& config) {
  const int64_t routes = 2 * config.num_hidden_layers * config.num_experts_per_tok;
  return pass_floats(config) + head_floats(config) + scratch_floats(config) +
         config.hc_mult * config.hidden_size + config.auxiliary_cols() + routes;
}

int64_t draft_floats(const ModelConfig& config) {
  const int64_t inputs = config.has_dspark() ? config.auxiliary_cols() + config.hidden_size
                                             : 3 * config.hc_mult * config.hidden_size + head_floats(config);
  return pass_floats(config) + inputs;
}

// What a draft reads of the last rows of a sequence (draft/feature_ring.h).
int64_t feature_floats(const ModelConfig& config) {
  const int64_t width = config.has_dspark() ? config.auxiliary_cols() : config.hc_mult * config.hidden_size;
  return (config.sliding_window + draft::kSnapshotBehind) * width;
}

int64_t float_bytes(int64_t count) {
  return count * static_cast<int64_t>(sizeof(float));
}

int64_t cache_bytes(const KvCache::Footprint& footprint, const CacheLimits& limits) {
  return footprint.fixed_bytes +
         (limits.total_tokens + kPageTokens - 1) / kPageTokens * footprint.bytes_per_page_tokens;
}

}  // namespace

int64_t draft_layers(const Checkpoint& checkpoint, const EngineOptions& options) {
  const bool wanted = options.drafter.automatic || options.drafter.model != nullptr;
  if (!wanted || !checkpoint.draft_problem().empty()) return 0;
  const ModelConfig& config = checkpoint.config();
  return static_cast<int64_t>(config.compress_ratios.size()) - config.num_hidden_layers;
}

std::vector<MemoryPart> memory_parts(const ModelConfig& config, int64_t draft_layers,
                                     const EngineOptions& options, RowFormat cache_format,
                                     const OptionNames& names) {
  const CacheLimits limits = cache_limits(options);
  const std::string shape =
      fmt::format("{} {}, {} {}, sliding_window {} in {} layers", names.max_sequences, options.max_sequences,
                  names.batch_rows, options.batch_rows, config.sliding_window, config.num_hidden_layers);
  const KvCache::Footprint footprint = KvCache::footprint(config, config.main_ratios(), limits, cache_format);
  std::vector<MemoryPart> parts;
  parts.push_back(
      {"cache", cache_bytes(footprint, limits),
       fmt::format("{} for {} tokens of {:.0f} bytes, {} {}, {}", names.cache, options.cache_tokens,
                   static_cast<double>(footprint.bytes_per_page_tokens) / kPageTokens, names.context,
                   options.context, shape)});
  if (draft_layers > 0) {
    const std::vector<int> ratios(static_cast<size_t>(draft_layers), 0);
    const int64_t features = float_bytes(options.max_sequences * feature_floats(config));
    parts.push_back({"draft's cache",
                     features + cache_bytes(KvCache::footprint(config, ratios, limits, cache_format), limits),
                     shape});
    parts.push_back({"draft's buffers", float_bytes(options.batch_rows * draft_floats(config)),
                     fmt::format("{} {}", names.batch_rows, options.batch_rows)});
  }
  parts.push_back({"buffers of a step", float_bytes(options.batch_rows * step_floats(config)),
                   fmt::format("{} {}", names.batch_rows, options.batch_rows)});
  const int64_t heads = draft_layers > 0 && !config.has_dspark() ? 2 : 1;
  parts.push_back({"logits of a step", float_bytes(options.batch_rows * heads * config.vocab_size),
                   fmt::format("{} {}", names.batch_rows, options.batch_rows), true});
  if (options.prefix_cache_bytes > 0) {
    parts.push_back({"cached prefixes", options.prefix_cache_bytes,
                     fmt::format("{} of {}", names.prefix_cache, bytes_text(options.prefix_cache_bytes))});
  }
  return parts;
}

int64_t total_bytes(const std::vector<MemoryPart>& parts) {
  int64_t total = 0;
  for (const MemoryPart& part : parts)
    if (__builtin_add_overflow(total, part.bytes, &total)) return INT64_MAX;
  return total;
}

std::string memory_text(std::vector<MemoryPart> parts) {
  std::stable_sort(parts.begin(), parts.end(),
                   [](const auto& a, const auto& b) { return a.bytes > b.bytes; });
  std::string text;
  for (const MemoryPart& part : parts) {
    text +=
        fmt::format("{}{} {} ({})", text.empty() ? "" : "; ", part.name, bytes_text(part.bytes), part.cause);
  }
  return text;
}

Result<void> check_memory(const std::vector<MemoryPart>& parts, const MemoryLimit& limit) {
  const int64_t total = total_bytes(parts);
  if (total <= limit.bytes) return {};
  return fail(ErrorCode::kTooLarge, "the options need {} of memory beside the weights, but {} is {}: {}",
              bytes_text(total), limit.what, bytes_text(limit.bytes), memory_text(parts));
}

}  // namespace ft::scheduler
