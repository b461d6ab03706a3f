#include "server/engine_settings.h"

#include <algorithm>
#include <string>

#include "server/log.h"

namespace ft::server {

Result<scheduler::EngineOptions> engine_settings(const Options& options) {
  auto drafter = draft::parse_drafter(options.drafter);
  if (!drafter) return tl::make_unexpected(drafter.error());
  scheduler::EngineOptions engine;
  engine.max_sequences = options.max_sequences;
  engine.context = options.context;
  engine.kv_bytes = options.kv_cache_mib << 20;
  engine.batch_rows = options.batch_rows;
  engine.prefill_chunk = options.prefill_chunk;
  engine.queue_max = options.queue;
  engine.drafter = *drafter;
  engine.tree_nodes = options.tree_nodes;
  engine.tree_shape = options.tree == "chain" ? draft::TreeShape::kChain : draft::TreeShape::kBestFirst;
  engine.prefix_cache_bytes = options.prefix_cache_mib << 20;
  engine.canary_rate = options.canary_rate;
  engine.state_folder = options.state_dir;
  engine.on_warning = [](const std::string& line) { log(LogLevel::kError, "{}", line); };
  return engine;
}

int32_t tree_nodes_max(const scheduler::EngineOptions& options) {
  return std::min(options.tree_nodes == 0 ? options.tree_nodes_max : kTreeNodesMax, options.batch_rows);
}

std::vector<std::string> offered_drafters(const scheduler::Engine& engine) {
  std::vector<std::string> offered;
  for (const std::string& name : draft::drafter_names()) {
    const draft::DrafterChoice choice = *draft::parse_drafter(name);
    const bool named = choice.model != nullptr || choice.ngram;
    if (named && engine.offers(choice)) offered.push_back(name);
  }
  return offered;
}

}  // namespace ft::server
