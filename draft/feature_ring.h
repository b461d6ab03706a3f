// Keeps the target's features of the latest positions of every sequence until the draft's cache takes them
// in.
//
// A draft attends to a window of positions, so nothing older than the window is ever needed. Observing a row
// costs one copy, and a drafter that is not asked does no other work. Sequence ids are those of the draft's
// own cache. Positions count from the first row that was observed: rotary positions are relative, so a
// sequence that is observed from its middle on looks like one that begins there.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/kv_cache.h"
#include "draft/drafter.h"
#include "draft/row_copy.h"
#include "draft/sequence_map.h"

namespace ft::draft {

class FeatureRing {
 public:
  // What is kept of a sequence: its last rows, in backend memory.
  struct Saved {
    int64_t base = 0;
    int64_t length = 0;
    Buffer features;                   // rows of the positions [length - next_tokens.size(), length)
    std::vector<int32_t> next_tokens;  // the token after each of these rows

    int64_t bytes() const;
  };

  // The token after a row that is not known yet.
  static constexpr int32_t kUnknown = -1;

  // Keeps `window` rows of `cols` floats per sequence, and kSnapshotBehind more that only save() looks at.
  // One observe() has up to rows_max rows.
  FeatureRing(Backend& backend, int32_t sequences, int32_t window, int64_t cols, int64_t rows_max);

  // Begins a sequence, empty or as it was saved.
  void open(SequenceId sequence, const Saved* from = nullptr);
  // Copies the rows features[observed.rows, :] ([*, cols], backend memory). Positions must follow on.
  void observe(Matrix features, std::span<const ObservedRows> observed, const SequenceMap& own);

  // Rows observed, whether still kept or not.
  int64_t length(SequenceId sequence) const { return at(sequence).length; }
  // The absolute position of row 0. Only if length() > 0.
  int64_t base(SequenceId sequence) const { return at(sequence).base; }
  // Rows of a position that is kept.
  int32_t row(SequenceId sequence, int64_t position) const {
    return sequence * kept_ + static_cast<int32_t>(position % kept_);
  }
  int32_t next_token(SequenceId sequence, int64_t position) const {
    return next_tokens_[static_cast<size_t>(row(sequence, position))];
  }
  // [sequences * rows kept, cols], indexed by row().
  Matrix features() const { return features_; }

  // Replaces the next tokens of the rows kept, from the tokens at absolute positions [0, base + length].
  void learn(SequenceId sequence, std::span<const int32_t> history);
  int64_t window() const { return window_; }
  // The rows [first, length), all of which must be in the ring, for a snapshot of that length. A sequence
  // that continues from it may take another token next, so the next token of the last row is left out.
  Saved save(SequenceId sequence, int64_t first, int64_t length);

  // How far one sequence of a cache is to be brought.
  struct Target {
    SequenceId sequence = 0;
    int64_t length = 0;  // that the cache's sequence should have, at most length()
  };
  // Brings sequences of `cache` to their target lengths. Positions that are no longer kept are skipped; for
  // the others it calls take(rows, source_rows), with at most rows_max rows a call. `rows` are for
  // KvTransaction::stage, with the next tokens as their tokens; `source_rows` index features(). `take` must
  // commit them.
  template <class Take>
  void catch_up(KvCache& cache, std::span<const Target> targets, int64_t rows_max, Take take) {
    rows_.clear();
    source_rows_.clear();
    for (const Target& target : targets) {
      const SequenceId sequence = target.sequence;
      const int64_t kept = length(sequence) - window_;
      if (cache.length(sequence) < kept) cache.skip_to(sequence, std::min(kept, target.length));
      for (int64_t position = cache.length(sequence), first = position; position < target.length;
           ++position) {
        if (static_cast<int64_t>(rows_.size()) == rows_max) {
          take(std::span<const Row>(rows_), std::span<const int32_t>(source_rows_));
          rows_.clear();
          source_rows_.clear();
          first = position;
        }
        const int32_t parent = position == first ? kCommitted : static_cast<int32_t>(rows_.size()) - 1;
        rows_.push_back({next_token(sequence, position), static_cast<int32_t>(position), sequence, parent});
        source_rows_.push_back(row(sequence, position));
      }
    }
    if (!rows_.empty()) take(std::span<const Row>(rows_), std::span<const int32_t>(source_rows_));
  }

 private:
  struct Sequence {
    int64_t base = 0;
    int64_t length = 0;
  };

  const Sequence& at(SequenceId sequence) const { return sequences_[static_cast<size_t>(sequence)]; }
  Sequence& at(SequenceId sequence) { return sequences_[static_cast<size_t>(sequence)]; }

  Backend& backend_;
  int32_t window_;
  int32_t kept_;
  RowCopy copy_;
  Buffer memory_;
  Matrix features_;
  std::vector<int32_t> next_tokens_;  // by row()
  std::vector<Sequence> sequences_;
  // Scratch.
  std::vector<Row> rows_;
  std::vector<int32_t> source_rows_;
  std::vector<int32_t> target_rows_;
};

}  // namespace ft::draft
