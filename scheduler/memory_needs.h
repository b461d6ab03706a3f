// What memory the options of an engine ask for, looked at before any of it is taken.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/machine_memory.h"
#include "core/model_config.h"
#include "core/weights.h"
#include "scheduler/engine_options.h"

namespace ft::scheduler {

struct MemoryPart {
  std::string name;
  int64_t bytes = 0;  // at least
  std::string cause;  // the options and config values that ask for it, with their values
  bool only_of_rank_0 = false;
};

// Layers of the draft that an engine of these options loads: 0 where it wants none, or the checkpoint was loaded
// without.
int64_t draft_layers(const Checkpoint& checkpoint, const EngineOptions& options);

// The parts beside the weights, under resolved options: caches of the model and of the `draft_layers` of the draft
// that is loaded, buffers of a step, cached prefixes.
std::vector<MemoryPart> memory_parts(const ModelConfig& config, int64_t draft_layers,
                                     const EngineOptions& options, RowFormat cache_format,
                                     const OptionNames& names = {});
int64_t total_bytes(const std::vector<MemoryPart>& parts);
// "cache 16384.0 GiB (--kv-cache-mib ...), ...", the largest first.
std::string memory_text(std::vector<MemoryPart> parts);

// kTooLarge, naming every part and the limit, where they do not fit.
Result<void> check_memory(const std::vector<MemoryPart>& parts, const MemoryLimit& limit);

}  // namespace ft::scheduler
