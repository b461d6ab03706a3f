// What DSpark and MTP keep of a sequence: the window of their own cache, and the rows that are not in it yet.
#pragma once

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

// The state of a sequence of which the cache lacks the rows from its length on.
inline std::unique_ptr<DraftSnapshot> save_own(KvCache& cache, FeatureRing& ring, SequenceId own) {
  auto snapshot = std::make_unique<ModelSnapshot>();
  if (cache.length(own) > 0) snapshot->cache = cache.snapshot(own);
  snapshot->features = ring.save(own, cache.length(own));
  return snapshot;
}

}  // namespace ft::draft
