#include "scheduler/speculation/source_choice.h"

namespace ft::scheduler {

std::optional<draft::DraftSources> choose_sources(const SpeculationParams& wish,
                                                  const draft::DrafterChoice& loaded,
                                                  const ExecutorInfo& executor) {
  const draft::DrafterChoice asked = wish.drafter.value_or(draft::DrafterChoice{});
  draft::DraftSources sources =
      draft::default_sources(loaded, !executor.model_drafter.empty(), executor.has_ngram);
  if (!asked.automatic) {
    if (asked.model != nullptr && asked.model->name != executor.model_drafter) return std::nullopt;
    if (asked.ngram && !executor.has_ngram) return std::nullopt;
    sources = {.use_model = asked.model != nullptr, .use_ngram = asked.ngram};
  }
  return wish.enabled ? sources : draft::DraftSources{};
}

}  // namespace ft::scheduler
