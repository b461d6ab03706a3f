// Which of an engine's draft sources a request uses: its own wish, else what the engine was started with.
#pragma once

#include <optional>

#include "draft/drafter.h"
#include "scheduler/request.h"

namespace ft::scheduler {

// Null if `drafter`, made for the kind `loaded`, lacks what the wish names. No sources for one that is not to
// be speculated on.
std::optional<draft::DraftSources> choose_sources(const SpeculationParams& wish, draft::DrafterKind loaded,
                                                  const draft::Drafter& drafter);

}  // namespace ft::scheduler
