// The snapshot of a DSpark or MTP drafter: the window of its own cache, and the features of rows that the
// cache does not have yet.
#pragma once

#include <algorithm>
#include <memory>

#include "core/check.h"
#include "draft/feature_ring.h"

namespace ft::draft {

struct ModelSnapshot final : DraftSnapshot {
  std::shared_ptr<KvSnapshot> cache;  // null: of no rows
  FeatureRing::Saved features;

  int64_t bytes() const override { return (cache == nullptr ? 0 : cache->bytes()) + features.bytes(); }
};

// A sequence of the draft's own cache and ring; `from` is null or a ModelSnapshot of the same two.
inline SequenceId open_own(KvCache& cache, FeatureRing& ring, int64_t length_max, const DraftSnapshot* from) {
  const auto* snapshot = dynamic_cast<const ModelSnapshot*>(from);
  FT_CHECK(from == nullptr || snapshot != nullptr);
  const Result<SequenceId> own = snapshot != nullptr && snapshot->cache != nullptr
                                     ? cache.open(length_max, *snapshot->cache)
                                     : cache.open(length_max);
  FT_CHECK(own.has_value(), own.error().message);
  ring.open(*own, snapshot != nullptr ? &snapshot->features : nullptr);
  return *own;
}

// The state of a sequence after `length` tokens of the target. The drafter's cache is meant to have all their
// rows but the last `open_rows`; what it lacks is kept as features, and computed by the sequence that
// continues. Null if none of these tokens was observed.
inline std::unique_ptr<DraftSnapshot> save_own(KvCache& cache, FeatureRing& ring, SequenceId own,
                                               int64_t length, int64_t open_rows) {
  if (ring.length(own) == 0 || length <= ring.base(own)) return nullptr;
  const int64_t own_length = length - ring.base(own);
  FT_CHECK(own_length <= ring.length(own) && ring.length(own) - own_length <= kSnapshotBehind, own_length,
           ring.length(own));
  const int64_t window_first = std::max<int64_t>(0, own_length - ring.window());
  const int64_t taken_in = std::min(cache.length(own), own_length - open_rows);
  auto snapshot = std::make_unique<ModelSnapshot>();
  if (taken_in > window_first) snapshot->cache = cache.snapshot(own, taken_in);
  snapshot->features = ring.save(own, snapshot->cache != nullptr ? taken_in : window_first, own_length);
  return snapshot;
}

}  // namespace ft::draft
