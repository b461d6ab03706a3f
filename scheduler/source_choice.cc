#include "scheduler/source_choice.h"

namespace ft::scheduler {

std::optional<draft::DraftSources> choose_sources(const SpeculationParams& wish, draft::DrafterKind loaded,
                                                  const draft::Drafter& drafter) {
  using Kind = draft::DrafterKind;
  const Kind kind = wish.drafter.value_or(Kind::kAuto);
  draft::DraftSources sources;
  switch (kind) {
    case Kind::kAuto:
      sources = draft::default_sources(loaded, drafter);
      break;
    case Kind::kNone:
      break;
    case Kind::kNgram:
      sources = {.use_model = false, .use_ngram = true};
      break;
    case Kind::kDspark:
    case Kind::kDsparkNgram:
      if (!drafter.name().starts_with("dspark")) return std::nullopt;
      sources = {.use_model = true, .use_ngram = kind == Kind::kDsparkNgram};
      break;
    case Kind::kMtp:
    case Kind::kMtpNgram:
      if (!drafter.name().starts_with("mtp")) return std::nullopt;
      sources = {.use_model = true, .use_ngram = kind == Kind::kMtpNgram};
      break;
  }
  if ((sources.use_model && !drafter.has_model()) || (sources.use_ngram && !drafter.has_ngram()))
    return std::nullopt;
  return wish.enabled ? sources : draft::DraftSources{};
}

}  // namespace ft::scheduler
