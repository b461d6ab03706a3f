// What memory the options of an engine ask for, looked at before any of it is taken.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/machine_memory.h"
#include "core/model_config.h"
#include "scheduler/engine_options.h"

namespace ft::scheduler {

// How the options are called where they are given, for messages.
struct OptionNames {
  std::string max_sequences = "max sequences";
  std::string context = "context";
  std::string cache = "cache tokens";
  std::string batch_rows = "batch rows";
  std::string prefix_cache = "prefix cache";
};

struct MemoryPart {
  std::string name;
  int64_t bytes = 0;  // at least
  std::string cause;  // the options and config values that ask for it, with their values
};

// The parts beside the weights, under resolved options: caches of model and drafts, buffers of a step, cached
// prefixes.
std::vector<MemoryPart> memory_parts(const ModelConfig& config, const EngineOptions& options,
                                     const OptionNames& names = {});
int64_t total_bytes(const std::vector<MemoryPart>& parts);
// "cache 16384.0 GiB (--kv-cache-mib ...), ...", the largest first.
std::string memory_text(std::vector<MemoryPart> parts);

// kTooLarge, naming every part and the limit, where they do not fit.
Result<void> check_memory(const std::vector<MemoryPart>& parts, const MemoryLimit& limit);

}  // namespace ft::scheduler
