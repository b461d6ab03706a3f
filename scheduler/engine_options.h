// The limits and defaults of an engine.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/error.h"
#include "core/kv_cache.h"
#include "core/model_config.h"
#include "draft/drafter_registry.h"
#include "scheduler/speculation/node_selection.h"

namespace ft::scheduler {

// Which rule decides whether drafted tokens stand.
enum class Acceptance : uint8_t {
  kCoupled,    // the target's keyed token; every tree and schedule gives the same tokens
  kRejection,  // the paper's rule for chains (dspark.md 2.3), for experiments: same distribution, other
               // tokens
};

// Tokens of most requests: what the cache has room for, for each, where nothing else is said.
inline constexpr int64_t kUsualContext = 16384;

struct EngineOptions {
  int32_t max_sequences = 8;  // requests decoded at the same time
  // Tokens of one request, prompt and completion; 0 = the checkpoint's max_position_embeddings.
  int64_t context = 0;
  // Tokens of all running requests and cached prefixes; 0 = what kv_bytes holds, else enough for one request of
  // `context` and for max_sequences of kUsualContext.
  int64_t cache_tokens = 0;
  int64_t kv_bytes = 0;         // memory of the target's cache; 0 = what cache_tokens needs
  int32_t batch_rows = 256;     // rows of one forward call, prefill and trees together
  int32_t prefill_chunk = 128;  // prompt rows of one request per step, at most
  int32_t queue_max = 64;       // requests waiting for a slot
  draft::DrafterChoice drafter;
  // Rows verified per request and step, anchor included. 0: the scheduler decides, by what they are worth and
  // cost.
  int32_t tree_nodes = 0;
  int32_t tree_nodes_max = 17;  // what the scheduler chooses from, anchor included
  draft::TreeShape tree_shape = draft::TreeShape::kBestFirst;
  Acceptance acceptance = Acceptance::kCoupled;
  // What chooses the nodes to verify where the scheduler decides; empty: GlobalSelection. Under rejection acceptance it
  // must be a causal one.
  MakeSelection make_selection;
  int64_t prefix_cache_bytes = int64_t{256} << 20;  // snapshots of prompts that were read; 0: none are kept
  double canary_rate = 0.0;  // share of steps whose committed rows are computed again, alone
  // Folder where costs and calibration are kept from one start to the next; "" keeps nothing.
  std::string state_folder;
  // Called on the engine's thread with one line for the log; must not block. May be empty.
  std::function<void(const std::string&)> on_warning;
};

// How the options are called where they are given, for messages.
struct OptionNames {
  std::string max_sequences = "max sequences";
  std::string context = "context";
  std::string cache = "cache tokens";
  std::string batch_rows = "batch rows";
  std::string prefix_cache = "prefix cache";
};

// `options` with every 0 replaced by its default for `config` and a cache of this format. kInvalidArgument
// naming the first option out of range.
Result<EngineOptions> resolve(EngineOptions options, const ModelConfig& config, RowFormat cache_format,
                              const OptionNames& names = {});

// The limits of the target's cache under resolved options.
CacheLimits cache_limits(const EngineOptions& options);

}  // namespace ft::scheduler
