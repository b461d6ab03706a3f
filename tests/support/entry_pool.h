// A paged store of compressed entries, and a random view of it for each row of an op case.
#pragma once

#include <cstdint>
#include <vector>

#include "core/backend.h"
#include "tests/support/op_cases.h"
#include "tests/support/random_data.h"

namespace ft::test {

// Three sequences on shuffled pages of 8 entries, and some private entries behind the pages.
// Row r of the case belongs to sequence r % 3, sees between 0 and `visible_max` committed entries,
// and up to three private ones.
class EntryPool {
 public:
  EntryPool(RandomData& random, int64_t cols, int32_t visible_max);

  const std::vector<float>& entries() const { return entries_; }
  int32_t entry_count() const { return static_cast<int32_t>(entries_.size()) / static_cast<int32_t>(cols_); }
  // Addresses of what row `row` sees, in order of j.
  std::vector<int32_t> visible(int64_t row) const;
  CompressedView view(BackendMemory& memory, const RowList& rows) const;

 private:
  static constexpr int32_t kPage = 8;
  static constexpr int32_t kSequences = 3;
  static constexpr int32_t kPrivate = 40;

  int64_t cols_;
  int32_t pages_;  // of each sequence
  std::vector<float> entries_;
  std::vector<int32_t> page_table_;
  std::vector<int32_t> committed_;
  std::vector<std::vector<int32_t>> private_entries_;
};

}  // namespace ft::test
