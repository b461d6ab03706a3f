// The cache of a stack of V4 layers: committed sequences, staged rows, and the transactions between them.
//
// A forward pass never changes a sequence (ARCHITECTURE.md, idea 2). Rows are staged: their window KV,
// compressor inputs and the compressed entries they close live in scratch, addressed by row. commit() copies
// an accepted path to where its positions say; what is not committed is simply overwritten later. Committed
// state is addressed by position (model.md 5.2):
//   window KV         ring, slot = position mod (window - 1 + kRewindMax)
//   compressor inputs ring, slot = position mod (coff*ratio - 1 + kRewindMax), for CSA also the indexer's
//   compressed entry  page table, entry j = position / ratio; valid entries are j < length / ratio
// so a sequence's length is the only thing that a rewind changes.
// One thread owns a cache. Used for the main layers and, with ratio 0 only, for MTP and DSpark drafts.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/backend.h"
#include "core/batch.h"
#include "core/error.h"
#include "core/step_plan.h"

namespace ft {

// Entries of one page cover this many tokens where the ratio divides it: the granularity of prefix sharing,
// and of reservations (model.md 5.2).
inline constexpr int32_t kPageTokens = 128;

// How far below its longest length a sequence can be rewound, in tokens.
inline constexpr int32_t kRewindMax = 128;

// Explicit limits of a cache.
struct CacheLimits {
  int32_t sequences = 1;  // open at the same time
  int32_t rows = 512;     // staged by one transaction
  int64_t context = 0;    // tokens of one sequence, at most
  // Tokens of all sequences and snapshots whose compressed entries fit; rounded up to pages.
  int64_t total_tokens = 0;
};

// Addresses of one layer's tensors, for the ops. Null where the layer has none.
struct LayerCache {
  int ratio = 0;
  float* raw = nullptr;          // [*, head_dim]
  float* compressed = nullptr;   // [*, head_dim]
  float* state = nullptr;        // [*, 2*coff*head_dim]
  float* index_keys = nullptr;   // [*, index_head_dim]
  float* index_state = nullptr;  // [*, 2*coff*index_head_dim]
};

class KvCache;

// A frozen prefix: compressed pages shared by reference, and copies of the rows that continuing it needs
// (model.md 5.2, prefix-cache checkpoints). Must not outlive its cache.
class KvSnapshot {
 public:
  KvSnapshot(const KvSnapshot&) = delete;
  KvSnapshot& operator=(const KvSnapshot&) = delete;
  ~KvSnapshot();
  int64_t length() const { return length_; }
  // Memory held: the copied rows and a page for each page referenced (shared ones too).
  int64_t bytes() const { return copied_bytes() + page_bytes(); }
  int64_t copied_bytes() const { return static_cast<int64_t>(rows_.bytes()); }
  int64_t page_bytes() const;

 private:
  friend class KvCache;
  explicit KvSnapshot(KvCache& cache) : cache_(cache) {}

  KvCache& cache_;
  int64_t length_ = 0;
  int64_t rewind_floor_ = 0;
  std::vector<std::vector<int32_t>> pages_;  // per ratio
  Buffer rows_;
};

// A sequence moved out of the cache, in host memory: the rows of a snapshot and every compressed entry with
// its index key. Holds nothing of the cache, so it may outlive it, and may be put into any cache of the same
// layers, whatever its limits.
class KvImage {
 public:
  int64_t length() const { return length_; }
  int64_t bytes() const { return static_cast<int64_t>(rows_.size() * sizeof(float)); }

 private:
  friend class KvCache;
  int64_t length_ = 0;
  int64_t rewind_floor_ = 0;
  std::vector<float> rows_;
};

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
  // A cache for layers with these compression ratios (0, 4 or other, model.md section 1).
  // `config` gives the widths.
  KvCache(Backend& backend, const ModelConfig& config, std::vector<int> ratios, const CacheLimits& limits);
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

  const LayerCache& layer(int index) const { return layers_[static_cast<size_t>(index)]; }
  const CacheLimits& limits() const { return limits_; }
  int64_t bytes() const { return bytes_; }
  int32_t open_sequences() const { return open_count_; }
  // What bytes() of a cache for such layers will be: fixed_bytes + bytes_per_page_tokens for every
  // kPageTokens tokens of max(total_tokens, context), rounded up; limits.total_tokens itself is not looked
  // at. Exact where every ratio divides kPageTokens, never too small elsewhere.
  struct Footprint {
    int64_t bytes_per_page_tokens = 0;  // 0 where no layer is compressed
    int64_t fixed_bytes = 0;
  };
  static Footprint footprint(const ModelConfig& config, std::span<const int> ratios,
                             const CacheLimits& limits);
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

  // Pages of one ratio, shared by all layers of that ratio.
  struct Pages {
    std::vector<int32_t> free;
    std::vector<int32_t> references;          // per page
    std::vector<std::vector<int32_t>> owned;  // per sequence: page of entries [i*E, (i+1)*E)
    std::vector<int64_t> reserved;            // per sequence: pages it may still take from `free`
    int64_t reserved_total = 0;
    Buffer table;  // [sequences, page_stride] first entry address of each page
  };

  bool keeps_rows_before(SequenceId sequence, int64_t length) const;
  size_t used_pages(size_t ratio, int64_t length) const;  // pages with an entry of the first `length` tokens
  bool ends_inside_page(size_t ratio, int64_t length) const;
  int64_t unreserved_pages(size_t ratio) const;
  // Pages that growing `sequence` from `length` to its longest may take: its reservation is never less.
  int64_t pages_to_take(size_t ratio, SequenceId sequence, int64_t length) const;
  void set_reserved(size_t ratio, SequenceId sequence, int64_t count);
  Result<void> check_context(int64_t length_max) const;
  Result<SequenceId> claim_slot(int64_t length_max);
  void release_page(size_t ratio, int32_t page);
  int32_t take_page(size_t ratio, SequenceId sequence);
  void set_page(size_t ratio, SequenceId sequence, size_t index, int32_t page);
  int32_t writable_entry(size_t ratio, SequenceId sequence, int64_t entry);
  void commit(std::span<const int32_t> rows);
  // Copies rows (src[i] -> dst[i]) of the tensors that `each` names for every
  // layer of ratio index `ratio` (-1: window rows).
  void copy_window(std::span<const int32_t> src, std::span<const int32_t> dst);
  void copy_state(size_t ratio, std::span<const int32_t> src, std::span<const int32_t> dst);
  void copy_entries(size_t ratio, std::span<const int32_t> src, std::span<const int32_t> dst);
  const int32_t* upload_indices(std::span<const int32_t> src, std::span<const int32_t> dst);
  // The rows of a snapshot, and the entries that an image has besides: visit(tensor, cols, first, end,
  // address) per tensor, where address(i) is the row of number i in [first, end).
  template <class Visit>
  void visit_tail_rows(SequenceId sequence, int64_t length, Visit visit) const;
  template <class Visit>
  void visit_entries(SequenceId sequence, int64_t length, Visit visit) const;
  template <class Address>
  void pack(float* packed, const float* tensor, int64_t cols, int64_t first, int64_t end, Address address);
  template <class Address>
  void unpack(float* tensor, const float* packed, int64_t cols, int64_t first, int64_t end, Address address);
  template <class Move>
  void each_image_piece(SequenceId sequence, Move move) const;
  Buffer image_staging(SequenceId sequence);
  int64_t copy_rows_max() const {
    return static_cast<int64_t>(copy_indices_.bytes() / (2 * sizeof(int32_t)));
  }

  Backend& backend_;
  int64_t head_dim_;
  int64_t index_head_dim_;
  CacheLimits limits_;
  CacheLayout layout_;
  std::vector<LayerCache> layers_;
  std::vector<Buffer> memory_;
  int64_t bytes_ = 0;

  std::vector<Pages> pages_;
  std::vector<const int32_t*> page_tables_;
  std::vector<int64_t> lengths_;
  std::vector<int64_t> length_max_;
  std::vector<int64_t> rewind_floor_;
  std::vector<uint8_t> open_;
  int32_t open_count_ = 0;

  std::unique_ptr<StepPlanner> planner_;
  std::vector<Row> staged_;
  bool in_transaction_ = false;
  std::vector<int32_t> tips_;  // per sequence: last committed row of the commit in progress
  std::vector<int32_t> copy_src_;
  std::vector<int32_t> copy_dst_;
  std::vector<int32_t> page_src_;
  std::vector<int32_t> page_dst_;
  Buffer copy_indices_;
};

}  // namespace ft
