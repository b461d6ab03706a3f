// A kept state of a sequence, given back to its store when nobody refers to it any more.
#pragma once

#include <memory>

#include "scheduler/executor.h"

namespace ft::scheduler {

class Snapshot {
 public:
  // `drafted`: whether the drafter had observed the sequence. `store` must outlive it.
  Snapshot(SequenceStore& store, const SnapshotInfo& info, bool drafted)
      : store_(store), info_(info), drafted_(drafted) {}
  ~Snapshot() { store_.release(info_.id); }
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  SnapshotId id() const { return info_.id; }
  int64_t length() const { return info_.length; }
  int64_t copied_bytes() const { return info_.copied_bytes; }
  int64_t page_bytes() const { return info_.page_bytes; }
  bool drafted() const { return drafted_; }

 private:
  SequenceStore& store_;
  SnapshotInfo info_;
  bool drafted_;
};

using SharedSnapshot = std::shared_ptr<const Snapshot>;

}  // namespace ft::scheduler
