// The limits and defaults of an engine.
#pragma once

#include <cstdint>

#include "core/error.h"
#include "core/model_config.h"
#include "draft/drafter.h"

namespace ft::scheduler {

struct EngineOptions {
  int32_t max_sequences = 8;  // requests decoded at the same time
  int64_t context =
      0;  // tokens of one request, prompt and completion; 0 = the checkpoint's max_position_embeddings
  int64_t cache_tokens = 0;     // tokens of all running requests; 0 = max_sequences * context
  int32_t batch_rows = 256;     // rows of one forward call, prefill and trees together
  int32_t prefill_chunk = 128;  // prompt rows of one request per step, at most
  int32_t queue_max = 64;       // requests waiting for a slot
  draft::DrafterKind drafter = draft::DrafterKind::kAuto;
  int32_t tree_nodes = 6;  // rows verified per request and step, anchor included: a whole DSpark block
  draft::TreeShape tree_shape = draft::TreeShape::kBestFirst;
};

// `options` with every 0 replaced by its default for `config`. kInvalidArgument naming the first option out
// of range.
Result<EngineOptions> resolve(EngineOptions options, const ModelConfig& config);

}  // namespace ft::scheduler
