// The pages of compressed entries of one compression ratio:
// which are free, who holds which, and what is promised to whom.
// Integers only; the entries lie in CacheTensors, under the same page numbers for all layers of the ratio.
//
// A page belongs to whoever holds a reference: sequences and snapshots.
// A page that several hold is never written: a sequence that has to write it takes a copy.
// What a sequence may still have to take is reserved for it. Reserved pages are never more than free ones, so
// taking a reserved page never fails.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/cache_layout.h"

namespace ft {

class PagePool {
 public:
  PagePool(const RatioLayout& layout, int32_t sequences);

  const RatioLayout& layout() const { return layout_; }
  // Pages with an entry of the first `length` tokens.
  size_t used_by(int64_t length) const {
    return static_cast<size_t>((length / layout_.ratio + layout_.entries_per_page - 1) /
                               layout_.entries_per_page);
  }
  // Whether the last of these has room for another entry.
  bool ends_inside_page(int64_t length) const {
    return length / layout_.ratio % layout_.entries_per_page != 0;
  }

  // The pages of a sequence, entries [i * entries_per_page, (i + 1) * entries_per_page) in the i-th.
  std::span<const int32_t> held_by(SequenceId sequence) const {
    return owned_[static_cast<size_t>(sequence)];
  }
  bool is_shared(int32_t page) const { return references_[static_cast<size_t>(page)] > 1; }

  // --- reservations, in pages ---
  int64_t unreserved() const { return static_cast<int64_t>(free_.size()) - reserved_total_; }
  int64_t reserved_for(SequenceId sequence) const { return reserved_[static_cast<size_t>(sequence)]; }
  void reserve(SequenceId sequence, int64_t count);
  // What growing `sequence` from `length` to `length_max` tokens may take: a reservation is never less.
  int64_t growth(SequenceId sequence, int64_t length, int64_t length_max) const;

  // --- what a sequence holds ---
  // Adds a free page behind those of the sequence, out of its reservation. Returns the page.
  int32_t append_free(SequenceId sequence);
  // Adds `page`, which somebody else holds.
  void append_shared(SequenceId sequence, int32_t page);
  // Puts a free page, out of the reservation, into the place of a shared one. Returns the page.
  int32_t replace_shared(SequenceId sequence, size_t index);
  // Lets go of the pages behind the first `count`.
  void truncate(SequenceId sequence, size_t count);
  // How many of those would become free.
  int64_t freed_by_truncate(SequenceId sequence, size_t count) const;

  // --- what a snapshot holds ---
  void hold(int32_t page) { ++references_[static_cast<size_t>(page)]; }
  void release(int32_t page);

  // Aborts where references, reservations or free pages contradict each other.
  void check_integrity() const;

 private:
  int32_t take_free(SequenceId sequence);

  RatioLayout layout_;
  std::vector<int32_t> free_;
  std::vector<int32_t> references_;          // per page
  std::vector<std::vector<int32_t>> owned_;  // per sequence
  std::vector<int64_t> reserved_;            // per sequence
  int64_t reserved_total_ = 0;
};

}  // namespace ft
