// The sequences of a model and of its drafter, side by side.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "core/kv_cache.h"
#include "draft/drafter.h"
#include "scheduler/executor.h"
#include "scheduler/intact.h"

namespace ft::scheduler {

class ModelSequences final : public SequenceStore {
 public:
  // All must outlive it.
  ModelSequences(KvCache& cache, draft::Drafter& drafter, Intact& intact);
  ~ModelSequences() override;

  Result<SequenceId> open(const OpenSequence& wish) override;
  Result<void> grow(SequenceId sequence, int64_t length) override;
  void close(SequenceId sequence) override;
  SnapshotInfo snapshot(SequenceId sequence, int64_t length) override;
  SnapshotInfo save(SequenceId sequence) override;
  int64_t save_bytes(SequenceId sequence) const override { return cache_.image_bytes(sequence); }
  void release(SnapshotId snapshot) override;
  int64_t length(SequenceId sequence) const override { return cache_.length(sequence); }
  int32_t open_sequences() const override { return cache_.open_sequences(); }
  int32_t sequences_max() const override { return cache_.limits().sequences; }
  int64_t unreserved_tokens() const override { return cache_.unreserved_tokens(); }
  void check_integrity() const override { cache_.check_integrity(); }

 private:
  // Either shares pages or is an image on the host.
  struct Kept {
    std::shared_ptr<KvSnapshot> shared;
    std::unique_ptr<KvImage> image;
    std::unique_ptr<draft::DraftSnapshot> draft;  // null where the drafter keeps nothing
  };
  SnapshotInfo keep(Kept kept, SnapshotInfo info);
  bool drafts(SequenceId sequence) const { return drafts_[static_cast<size_t>(sequence)] != 0; }

  KvCache& cache_;
  draft::Drafter& drafter_;
  Intact& intact_;
  std::vector<uint8_t> drafts_;  // by sequence
  std::map<SnapshotId, Kept> kept_;
  SnapshotId last_ = kNoSnapshot;
};

}  // namespace ft::scheduler
