#include "draft/drafter.h"

#include "core/check.h"
#include "draft/dspark.h"
#include "draft/mtp.h"
#include "draft/ngram.h"
#include "draft/none.h"

namespace ft::draft {

namespace {

DrafterKind resolve(DrafterKind kind, const ModelWeights& weights) {
  if (kind != DrafterKind::kAuto) return kind;
  if (weights.dspark != nullptr) return DrafterKind::kDspark;
  return weights.mtp.empty() ? DrafterKind::kNgram : DrafterKind::kMtp;
}

}  // namespace

Result<DrafterKind> parse_drafter_kind(std::string_view name) {
  if (name == "auto") return DrafterKind::kAuto;
  if (name == "dspark") return DrafterKind::kDspark;
  if (name == "mtp") return DrafterKind::kMtp;
  if (name == "ngram") return DrafterKind::kNgram;
  if (name == "none") return DrafterKind::kNone;
  return fail(ErrorCode::kInvalidArgument,
              "unknown drafter \"{}\", expected auto, dspark, mtp, ngram or none", name);
}

Result<std::unique_ptr<Drafter>> make_drafter(DrafterKind kind, Backend& backend,
                                              const Checkpoint& checkpoint, const DraftLimits& limits) {
  FT_CHECK(limits.sequences > 0 && limits.rows > 0 && limits.context > 0, limits.sequences, limits.rows,
           limits.context);
  const ModelWeights& weights = checkpoint.weights();
  switch (resolve(kind, weights)) {
    case DrafterKind::kDspark:
      if (weights.dspark == nullptr)
        return fail(ErrorCode::kInvalidArgument,
                    "drafter dspark: the checkpoint has no DSpark draft (mtp.0.main_proj)");
      return std::make_unique<Dspark>(backend, checkpoint, limits);
    case DrafterKind::kMtp:
      if (weights.mtp.empty())
        return fail(ErrorCode::kInvalidArgument,
                    "drafter mtp: the checkpoint has no MTP block (mtp.0.e_proj)");
      return std::make_unique<Mtp>(backend, checkpoint, limits);
    case DrafterKind::kNgram:
      return std::make_unique<Ngram>(limits.sequences);
    case DrafterKind::kNone:
    case DrafterKind::kAuto:
      break;
  }
  return std::make_unique<None>();
}

}  // namespace ft::draft
