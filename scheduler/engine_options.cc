#include "scheduler/engine_options.h"

#include <algorithm>

namespace ft::scheduler {

namespace {

Result<void> in_range(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return {};
  return fail(ErrorCode::kInvalidArgument, "{} is {}, expected {} to {}", name, value, low, high);
}

}  // namespace

Result<EngineOptions> resolve(EngineOptions options, const ModelConfig& config) {
  if (options.context == 0) options.context = config.max_position_embeddings;
  struct Check {
    const char* name;
    int64_t value, low, high;
  };
  const Check checks[] = {
      {"max sequences", options.max_sequences, 1, 4096},
      {"context", options.context, 2, config.max_position_embeddings},
      {"batch rows", options.batch_rows, 1, 65536},
      {"prefill chunk", options.prefill_chunk, 1, options.batch_rows},
      {"queue limit", options.queue_max, 1, 1'000'000},
      {"tree nodes", options.tree_nodes, 1, 1024},
  };
  for (const Check& check : checks)
    if (auto ok = in_range(check.name, check.value, check.low, check.high); !ok)
      return tl::make_unexpected(ok.error());
  if (options.cache_tokens == 0) options.cache_tokens = options.max_sequences * options.context;
  if (options.cache_tokens < options.context)
    return fail(ErrorCode::kInvalidArgument, "cache tokens is {}, expected at least one context of {}",
                options.cache_tokens, options.context);
  return options;
}

}  // namespace ft::scheduler
