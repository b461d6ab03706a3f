#include "scheduler/engine_options.h"

#include <algorithm>
#include <string_view>

#include "core/machine_memory.h"

namespace ft::scheduler {

namespace {

Result<void> in_range(std::string_view name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return {};
  return fail(ErrorCode::kInvalidArgument, "{} is {}, expected {} to {}", name, value, low, high);
}

}  // namespace

CacheLimits cache_limits(const EngineOptions& options) {
  CacheLimits limits;
  limits.sequences = options.max_sequences;
  limits.rows = options.batch_rows;
  limits.context = options.context;
  limits.total_tokens = options.cache_tokens;
  return limits;
}

Result<EngineOptions> resolve(EngineOptions options, const ModelConfig& config, RowFormat cache_format,
                              const OptionNames& names) {
  if (options.context == 0) options.context = config.max_position_embeddings;
  struct Check {
    std::string_view name;
    int64_t value, low, high;
  };
  const Check checks[] = {
      {names.max_sequences, options.max_sequences, 1, 4096},
      {names.context, options.context, 2, config.max_position_embeddings},
      {names.batch_rows, options.batch_rows, 1, 65536},
      {"prefill chunk", options.prefill_chunk, 1, options.batch_rows},
      {"queue limit", options.queue_max, 1, 1'000'000},
      {"tree nodes", options.tree_nodes, 0, 1024},
      {"tree nodes limit", options.tree_nodes_max, 1, 1024},
      {names.cache, options.kv_bytes, 0, INT64_MAX},
      {names.prefix_cache, options.prefix_cache_bytes, 0, INT64_MAX},
  };
  for (const Check& check : checks)
    if (auto ok = in_range(check.name, check.value, check.low, check.high); !ok)
      return tl::make_unexpected(ok.error());
  if (!(options.canary_rate >= 0.0 && options.canary_rate <= 1.0))
    return fail(ErrorCode::kInvalidArgument, "canary rate is {}, expected 0 to 1", options.canary_rate);
  if (options.acceptance == Acceptance::kRejection) {
    options.tree_shape = draft::TreeShape::kChain;
    if (options.tree_nodes == 0 && !options.make_selection)
      return fail(
          ErrorCode::kInvalidArgument,
          "tree nodes is 0, but under rejection acceptance the scheduler's own selection is not exact");
  }
  if (options.cache_tokens == 0 && options.kv_bytes > 0) {
    const KvCache::Footprint footprint =
        KvCache::footprint(config, config.main_ratios(), cache_limits(options), cache_format);
    const int64_t pages_bytes = options.kv_bytes - footprint.fixed_bytes;
    if (pages_bytes < 0)
      return fail(ErrorCode::kInvalidArgument,
                  "{} of {} is too little: {} of {} need {} before any token is kept", names.cache,
                  bytes_text(options.kv_bytes), names.max_sequences, options.max_sequences,
                  bytes_text(footprint.fixed_bytes));
    options.cache_tokens = footprint.bytes_per_page_tokens == 0
                               ? options.max_sequences * options.context
                               : pages_bytes / footprint.bytes_per_page_tokens * kPageTokens;
  }
  if (options.cache_tokens == 0)
    options.cache_tokens =
        std::max(options.context, options.max_sequences * std::min(options.context, kUsualContext));
  if (options.cache_tokens < kPageTokens)
    return fail(ErrorCode::kInvalidArgument, "the cache holds {} tokens, expected at least {}",
                options.cache_tokens, kPageTokens);
  // One request may use all of it, and no more.
  options.context = std::min(options.context, options.cache_tokens);
  return options;
}

}  // namespace ft::scheduler
