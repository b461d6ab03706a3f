// Sequences kept aside: snapshots, which share compressed pages with the cache that they lie in, and images,
// which leave it. KvCache makes them and opens sequences that continue them.
#pragma once

#include <cstdint>
#include <vector>

#include "core/device_memory.h"

namespace ft {

class KvCache;

// A frozen prefix: compressed pages shared by reference, and copies of the rows that continuing it needs
// (docs/spec/model.md 5.2, prefix-cache checkpoints). Must not outlive its cache.
class KvSnapshot {
 public:
  KvSnapshot(const KvSnapshot&) = delete;
  KvSnapshot& operator=(const KvSnapshot&) = delete;
  ~KvSnapshot();
  int64_t length() const { return length_; }
  // Memory held: the copied rows and a page for each page referenced (shared ones too).
  int64_t bytes() const { return copied_bytes() + page_bytes(); }
  int64_t copied_bytes() const { return copied_bytes_; }
  int64_t page_bytes() const;

 private:
  friend class KvCache;
  explicit KvSnapshot(KvCache& cache) : cache_(cache) {}

  KvCache& cache_;
  int64_t length_ = 0;
  int64_t rewind_floor_ = 0;
  std::vector<std::vector<int32_t>> pages_;  // per ratio
  int64_t copied_bytes_ = 0;
  Buffer rows_;  // empty in a cache without memory
};

// A sequence moved out of the cache, in host memory: the rows of a snapshot and every compressed entry with
// its index key. Holds nothing of the cache, so it may outlive it, and may be put into any cache of the same
// layers, whatever its limits.
class KvImage {
 public:
  int64_t length() const { return length_; }
  int64_t bytes() const { return bytes_; }

 private:
  friend class KvCache;
  int64_t length_ = 0;
  int64_t rewind_floor_ = 0;
  int64_t bytes_ = 0;
  std::vector<std::byte> rows_;  // empty from a cache without memory
};

}  // namespace ft
