// The cache of a stack of V4 layers: committed sequences, staged rows, and the transactions between them.
//
// A forward pass never changes a sequence (ARCHITECTURE.md, idea 2). Rows are staged:
// their window KV, compressor inputs and the compressed entries they close live in scratch, addressed by row.
// commit() copies an accepted path to where its positions say; what is not committed
// is simply overwritten later. Committed state is addressed by position (core/cache_layout.h), and compressed
// entry j is valid when j < length / ratio; so a sequence's length is the only thing that a rewind changes.
//
// A KvCache keeps the books of sequences (lengths, how far they may grow and be rewound);
// its pages are those of a PagePool per ratio, its memory is a CacheTensors. One thread owns a cache.
// Used for the main layers and, without compressed layers only, for MTP and DSpark drafts.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/batch.h"
#include "core/cache_layout.h"
#include "core/cache_tensors.h"
#include "core/error.h"
#include "core/kv_snapshot.h"
#include "core/page_pool.h"
#include "core/step_plan.h"

namespace ft {

class KvCache;

// Rows on their way into the cache. Destruction without commit rolls back, which costs nothing.
// One at a time per cache.
class KvTransaction {
 public:
  KvTransaction(KvTransaction&& other) noexcept : cache_(other.cache_) { other.cache_ = nullptr; }
  KvTransaction& operator=(KvTransaction&&) = delete;
  ~KvTransaction();

  // Adds rows (parents may be any earlier row of the transaction) and plans a forward call over just these.
  // The plan is valid until the next stage() of this cache.
  const StepPlan& stage(std::span<const Row> rows, Visibility visibility = Visibility::kCausal);

  // Publishes rows, given as indices in this transaction, parents before children;
  // the rows of a sequence must be a path that starts at its committed tip.
  // Every row staged for other paths is dropped. Ends the transaction.
  void commit(std::span<const int32_t> rows) &&;

  std::span<const Row> rows() const;

 private:
  friend class KvCache;
  explicit KvTransaction(KvCache* cache) : cache_(cache) {}
  KvCache* cache_;
};

class KvCache {
 public:
  // A cache in `memory` for layers with these compression ratios (layer_kind.h). `config` gives the widths.
  KvCache(DeviceMemory& memory, const ModelConfig& config, const std::vector<int>& layer_ratios,
          const CacheLimits& limits);
  // The same without memory, for simulations: it keeps the same books and gives the same answers,
  // but moves no bytes. Its plans have a row count and no addresses, and it has no layer().
  KvCache(const ModelConfig& config, const std::vector<int>& layer_ratios, const CacheLimits& limits,
          RowFormat format = RowFormat::kF32);
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;
  ~KvCache();

  // Opens a sequence that may grow to `length_max` tokens; its pages are reserved, so growing cannot fail.
  // kTooLarge if it can never fit, kOverloaded if it does not fit now.
  Result<SequenceId> open(int64_t length_max);
  // Opens a sequence that continues `snapshot`; pages stay shared until one is written (copy on write).
  // Errors as above; length_max >= snapshot.length().
  Result<SequenceId> open(int64_t length_max, const KvSnapshot& snapshot);
  // Opens a sequence that continues `image` with the bits it was saved with. Errors as above; length_max >=
  // image.length(). Not for the step path: it allocates.
  Result<SequenceId> open(int64_t length_max, const KvImage& image);
  // Lets a sequence grow to `length_max` tokens (no effect if it may already). kTooLarge beyond the context,
  // kOverloaded if its pages do not fit now; either way nothing has changed.
  Result<void> extend(SequenceId sequence, int64_t length_max);
  void close(SequenceId sequence);
  // Copies a sequence to host memory. It stays open. Not for the step path: it allocates.
  std::unique_ptr<KvImage> save(SequenceId sequence);
  // Bytes that save() would copy: bytes() of that image.
  int64_t image_bytes(SequenceId sequence) const;
  // Makes `length` (not below the current one) the length of a sequence without the rows before it, which
  // then must not be seen: the caller commits at least a window of rows before any row that is asked for, and
  // rewind() does not go back behind that window. Only for caches without compressed layers.
  void skip_to(SequenceId sequence, int64_t length);

  KvTransaction begin();
  int64_t length(SequenceId sequence) const { return lengths_[static_cast<size_t>(sequence)]; }
  // Makes `length` the sequence's length. kInvalidArgument beyond the current length or more than kRewindMax
  // below the longest, or below the snapshot or image it began from; 0 is always allowed.
  // kOverloaded if snapshots hold so many of its pages that the rest could not be written again.
  Result<void> rewind(SequenceId sequence, int64_t length);
  // The first `length` tokens, less than kRewindMax below the end.
  // Null if the rows before them are no longer kept (as for rewind),
  // or if the cache has no page left for the copy of a partly filled page that the snapshot would share.
  std::shared_ptr<KvSnapshot> snapshot(SequenceId sequence, int64_t length);
  std::shared_ptr<KvSnapshot> snapshot(SequenceId sequence) { return snapshot(sequence, length(sequence)); }

  // The tensors of layer `index`. Only of a cache with memory.
  const LayerCache& layer(int index) const;
  const CacheLimits& limits() const { return limits_; }
  // Bytes of its tensors; without memory those that it would have.
  int64_t bytes() const { return layout_.bytes(); }
  int32_t open_sequences() const { return open_count_; }
  // What bytes() of a cache for such layers will be: fixed_bytes + bytes_per_page_tokens for every
  // kPageTokens tokens of max(total_tokens, context), rounded up; limits.total_tokens itself is not looked
  // at. Exact where every ratio divides kPageTokens, never too small elsewhere.
  struct Footprint {
    int64_t bytes_per_page_tokens = 0;  // 0 where no layer is compressed
    int64_t fixed_bytes = 0;
  };
  static Footprint footprint(const ModelConfig& config, std::span<const int> ratios,
                             const CacheLimits& limits, RowFormat format);
  // Tokens that a new sequence could reserve now: the smallest over the ratios.
  int64_t available_tokens() const;
  // Tokens whose pages nobody has reserved: what all sequences together can still grow by. Unlike the above
  // not bounded by the context or by the sequences that are open; without compressed layers boundless.
  int64_t unreserved_tokens() const;

  // Verifies the bookkeeping (page references, reservations, lengths).
  // Aborts on a broken invariant; for tests and idle time.
  void check_integrity() const;

 private:
  friend class KvSnapshot;
  friend class KvTransaction;

  KvCache(DeviceMemory* memory, const ModelConfig& config, const std::vector<int>& layer_ratios,
          const CacheLimits& limits, RowFormat format);

  bool keeps_rows_before(SequenceId sequence, int64_t length) const;
  // Pages of ratio index `ratio` that growing `sequence` from `length` to its longest may take.
  int64_t growth(size_t ratio, SequenceId sequence, int64_t length) const;
  Result<void> check_context(int64_t length_max) const;
  Result<SequenceId> claim_slot(int64_t length_max);
  // Tells the page table of the page that the pool has put there.
  void set_page(size_t ratio, SequenceId sequence, size_t index);
  // The address where `sequence` may write its entry `entry`: the next one, or one that it has.
  int32_t writable_entry(size_t ratio, SequenceId sequence, int64_t entry);
  void commit(std::span<const int32_t> rows);
  // The rows of a snapshot, and the entries that an image has besides: visit(layer, tensor, cols, first, end,
  // address) per tensor, where address(i) is the row of number i in [first, end).
  template <class Visit>
  void visit_tail_rows(SequenceId sequence, int64_t length, Visit visit) const;
  template <class Visit>
  void visit_entries(SequenceId sequence, int64_t length, Visit visit) const;
  // The same as an image holds it, in pieces of at most copy_rows_max() rows.
  template <class Visit>
  void visit_image_pieces(SequenceId sequence, Visit visit) const;
  int64_t tail_bytes(SequenceId sequence, int64_t length) const;
  // address(first), ..., address(end - 1), valid until the next call.
  template <class Address>
  std::span<const int32_t> addresses(int64_t first, int64_t end, Address address);
  Buffer image_staging(SequenceId sequence);

  CacheLimits limits_;
  CacheLayout layout_;
  std::vector<PagePool> pools_;          // per ratio
  std::optional<CacheTensors> tensors_;  // none in a cache without memory
  std::optional<StepPlanner> planner_;   // none in a cache without memory

  std::vector<int64_t> lengths_;
  std::vector<int64_t> length_max_;
  std::vector<int64_t> rewind_floor_;
  std::vector<uint8_t> open_;
  int32_t open_count_ = 0;

  std::vector<Row> staged_;
  StepPlan empty_plan_;  // of a cache without memory
  bool in_transaction_ = false;
  std::vector<int32_t> tips_;  // per sequence: last committed row of the commit in progress
  RowMoves moves_;
  RowMoves page_moves_;
  std::vector<int32_t> addresses_;
};

}  // namespace ft
