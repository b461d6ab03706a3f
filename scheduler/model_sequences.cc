#include "scheduler/model_sequences.h"

#include <chrono>
#include <new>

#include "core/check.h"

namespace ft::scheduler {

ModelSequences::ModelSequences(KvCache& cache, draft::Drafter& drafter, Intact& intact)
    : cache_(cache),
      drafter_(drafter),
      intact_(intact),
      drafts_(static_cast<size_t>(cache.limits().sequences)) {}

ModelSequences::~ModelSequences() = default;

Result<SequenceId> ModelSequences::open(const OpenSequence& wish) {
  const Kept* from = nullptr;
  if (wish.from != kNoSnapshot) {
    const auto found = kept_.find(wish.from);
    FT_CHECK(found != kept_.end(), wish.from);
    from = &found->second;
  }
  return intact_.change([&] {
    const Result<SequenceId> sequence = from == nullptr          ? cache_.open(wish.length)
                                        : from->image != nullptr ? cache_.open(wish.length, *from->image)
                                                                 : cache_.open(wish.length, *from->shared);
    if (!sequence) return sequence;
    drafts_[static_cast<size_t>(*sequence)] = wish.drafts ? 1 : 0;
    if (wish.drafts) drafter_.open(*sequence, wish.length_max, from == nullptr ? nullptr : from->draft.get());
    return sequence;
  });
}

Result<void> ModelSequences::grow(SequenceId sequence, int64_t length) {
  return intact_.change([&] { return cache_.extend(sequence, length); });
}

void ModelSequences::close(SequenceId sequence) {
  intact_.change([&] {
    if (drafts(sequence)) drafter_.close(sequence);
    cache_.close(sequence);
  });
}

SnapshotInfo ModelSequences::keep(Kept kept, SnapshotInfo info) {
  info.id = ++last_;
  kept_.emplace(info.id, std::move(kept));
  return info;
}

SnapshotInfo ModelSequences::snapshot(SequenceId sequence, int64_t length) {
  return intact_.change([&]() -> SnapshotInfo {
    Kept kept;
    kept.shared = cache_.snapshot(sequence, length);
    if (kept.shared == nullptr) return {};
    if (drafts(sequence)) kept.draft = drafter_.snapshot(sequence, length);
    SnapshotInfo info{.length = length,
                      .copied_bytes = kept.shared->copied_bytes(),
                      .page_bytes = kept.shared->page_bytes()};
    if (kept.draft != nullptr) info.copied_bytes += kept.draft->bytes();
    return keep(std::move(kept), info);
  });
}

// The large copy changes nothing of the sequence, so there may be too little memory for it.
SnapshotInfo ModelSequences::save(SequenceId sequence) {
  const auto begin = std::chrono::steady_clock::now();
  try {
    Kept kept;
    const int64_t length = cache_.length(sequence);
    kept.image = cache_.save(sequence);
    if (drafts(sequence)) intact_.change([&] { kept.draft = drafter_.snapshot(sequence, length); });
    SnapshotInfo info{.length = length, .copied_bytes = kept.image->bytes()};
    info.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return keep(std::move(kept), info);
  } catch (const std::bad_alloc&) {
    return {};
  }
}

void ModelSequences::release(SnapshotId snapshot) {
  FT_CHECK(kept_.erase(snapshot) == 1, snapshot);
}

}  // namespace ft::scheduler
