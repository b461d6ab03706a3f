#include "scheduler/memory_needs.h"

#include <algorithm>

namespace ft::scheduler {

namespace {

// Buffers of one row of a step: activations, and the scratch of its experts.
int64_t row_bytes(const ModelConfig& config) {
  const int64_t d = config.hidden_size;
  const int64_t queries = config.num_attention_heads * config.head_dim;
  const int64_t attention = 2 * queries + config.q_lora_rank + config.o_groups * config.o_lora_rank +
                            config.index_n_heads * config.index_head_dim + config.index_topk;
  const int64_t experts = (config.num_experts_per_tok + 1) * (4 * config.moe_intermediate_size + d);
  return (2 * config.hc_mult * d + 2 * d + attention + experts) * static_cast<int64_t>(sizeof(float));
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
    parts.push_back({"draft's cache",
                     cache_bytes(KvCache::footprint(config, ratios, limits, cache_format), limits), shape});
  }
  parts.push_back({"buffers of a step", options.batch_rows * row_bytes(config),
                   fmt::format("{} {}", names.batch_rows, options.batch_rows)});
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
