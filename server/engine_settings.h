// From the server's options to the engine's.
#pragma once

#include <string>
#include <vector>

#include "core/error.h"
#include "scheduler/engine.h"
#include "server/options.h"

namespace ft::server {

// Everything that concerns the engine; its warnings go to the log as errors, because they say that a promise
// was broken or that something is lost. kInvalidArgument for a drafter that does not exist.
Result<scheduler::EngineOptions> engine_settings(const Options& options);

// The largest speculation.max_nodes under resolved options: what the scheduler chooses from where it decides,
// else kTreeNodesMax; and never more than the rows of a step.
int32_t tree_nodes_max(const scheduler::EngineOptions& options);

// The names of the drafters that `engine` offers, besides auto and none.
std::vector<std::string> offered_drafters(const scheduler::Engine& engine);

}  // namespace ft::server
