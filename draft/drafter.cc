#include "draft/drafter.h"

#include <array>
#include <utility>

#include "core/check.h"
#include "draft/combined.h"
#include "draft/dspark.h"
#include "draft/mtp.h"
#include "draft/ngram.h"
#include "draft/none.h"

namespace ft::draft {

namespace {

constexpr std::array<std::pair<std::string_view, DrafterKind>, 7> kKinds = {{
    {"auto", DrafterKind::kAuto},
    {"dspark", DrafterKind::kDspark},
    {"mtp", DrafterKind::kMtp},
    {"ngram", DrafterKind::kNgram},
    {"none", DrafterKind::kNone},
    {"dspark+ngram", DrafterKind::kDsparkNgram},
    {"mtp+ngram", DrafterKind::kMtpNgram},
}};

std::string_view kind_name(DrafterKind kind) {
  for (const auto& [name, value] : kKinds)
    if (value == kind) return name;
  __builtin_unreachable();
}

DrafterKind resolve(DrafterKind kind, const ModelWeights& weights) {
  if (kind != DrafterKind::kAuto) return kind;
  if (weights.dspark != nullptr) return DrafterKind::kDspark;
  return weights.mtp.empty() ? DrafterKind::kNgram : DrafterKind::kMtp;
}

}  // namespace

Result<DrafterKind> parse_drafter_kind(std::string_view name) {
  for (const auto& [known, kind] : kKinds)
    if (known == name) return kind;
  return fail(ErrorCode::kInvalidArgument,
              "unknown drafter \"{}\", expected auto, dspark, mtp, ngram, none, dspark+ngram or mtp+ngram",
              name);
}

Result<std::unique_ptr<Drafter>> make_drafter(DrafterKind kind, Backend& backend,
                                              const Checkpoint& checkpoint, const DraftLimits& limits) {
  FT_CHECK(limits.sequences > 0 && limits.rows > 0 && limits.context > 0, limits.sequences, limits.rows,
           limits.context);
  const ModelWeights& weights = checkpoint.weights();
  const int64_t vocab_size = checkpoint.config().vocab_size;
  const DrafterKind resolved = resolve(kind, weights);
  const std::string_view name = kind_name(resolved);
  const std::string why_absent = checkpoint.draft_problem().empty() ? "" : ": " + checkpoint.draft_problem();
  switch (resolved) {
    case DrafterKind::kDspark:
    case DrafterKind::kDsparkNgram:
      if (weights.dspark == nullptr)
        return fail(ErrorCode::kInvalidArgument,
                    "drafter {}: the checkpoint has no DSpark draft (mtp.0.main_proj){}", name, why_absent);
      return std::make_unique<Combined>(name, std::make_unique<Dspark>(backend, checkpoint, limits), limits,
                                        vocab_size);
    case DrafterKind::kMtp:
    case DrafterKind::kMtpNgram:
      if (weights.mtp.empty())
        return fail(ErrorCode::kInvalidArgument,
                    "drafter {}: the checkpoint has no MTP block (mtp.0.e_proj){}", name, why_absent);
      return std::make_unique<Combined>(name, std::make_unique<Mtp>(backend, checkpoint, limits), limits,
                                        vocab_size);
    case DrafterKind::kNgram:
      return std::make_unique<Ngram>(limits.sequences, vocab_size);
    case DrafterKind::kNone:
    case DrafterKind::kAuto:
      break;
  }
  return std::make_unique<None>();
}

DraftSources default_sources(DrafterKind kind, const Drafter& drafter) {
  switch (kind) {
    case DrafterKind::kDsparkNgram:
    case DrafterKind::kMtpNgram:
      return {drafter.has_model(), drafter.has_ngram()};
    case DrafterKind::kNgram:
    case DrafterKind::kNone:
      return {false, drafter.has_ngram()};
    case DrafterKind::kAuto:
    case DrafterKind::kDspark:
    case DrafterKind::kMtp:
      break;
  }
  return {drafter.has_model(), !drafter.has_model() && drafter.has_ngram()};
}

}  // namespace ft::draft
