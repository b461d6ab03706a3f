// Which of an engine's draft sources a request uses: its own wish, else what the engine was started with.
#pragma once

#include <optional>

#include "draft/drafter_registry.h"
#include "scheduler/executor.h"
#include "scheduler/request.h"

namespace ft::scheduler {

// Null if `executor`, whose drafter was made for the choice `loaded`, lacks what the wish names. No sources
// for one that is not to be speculated on.
std::optional<draft::DraftSources> choose_sources(const SpeculationParams& wish,
                                                  const draft::DrafterChoice& loaded,
                                                  const ExecutorInfo& executor);

}  // namespace ft::scheduler
