#include "tests/support/entry_pool.h"

#include <algorithm>

namespace ft::test {

EntryPool::EntryPool(RandomData& random, int64_t cols, int32_t visible_max)
    : cols_(cols), pages_((visible_max + kPage - 1) / kPage) {
  const int32_t paged = kSequences * pages_ * kPage;
  entries_ = random.values((paged + kPrivate) * cols);
  for (const int32_t page : random.permutation(kSequences * pages_)) page_table_.push_back(page * kPage);
  committed_ = random.integers(kCaseRows, 0, visible_max);
  committed_[0] = 0;  // a row that sees nothing, and one that sees all
  committed_[1] = visible_max;
  for (int64_t r = 0; r < kCaseRows; ++r) {
    auto& list = private_entries_.emplace_back();
    const int32_t count = r == 0 ? 0 : random.integer(0, 3);
    for (int32_t i = 0; i < count; ++i) list.push_back(paged + random.integer(0, kPrivate / 4 - 1) * 4 + i);
  }
}

std::vector<int32_t> EntryPool::visible(int64_t row) const {
  std::vector<int32_t> addresses;
  const auto sequence = static_cast<int32_t>(row % kSequences);
  for (int32_t j = 0; j < committed_[row]; ++j) {
    addresses.push_back(page_table_[sequence * pages_ + j / kPage] + j % kPage);
  }
  addresses.insert(addresses.end(), private_entries_[row].begin(), private_entries_[row].end());
  return addresses;
}

CompressedView EntryPool::view(BackendMemory& memory, const RowList& rows) const {
  std::vector<int32_t> sequence;
  std::vector<int32_t> offset = {0};
  std::vector<int32_t> entry;
  CompressedView view;
  for (const int64_t row : rows) {
    sequence.push_back(static_cast<int32_t>(row % kSequences));
    entry.insert(entry.end(), private_entries_[row].begin(), private_entries_[row].end());
    offset.push_back(static_cast<int32_t>(entry.size()));
    view.visible_max = std::max(view.visible_max, static_cast<int32_t>(visible(row).size()));
  }
  view.page_table = memory.ints(page_table_);
  view.page_stride = pages_;
  view.entries_per_page = kPage;
  view.sequence = memory.ints(sequence);
  view.committed = memory.ints(pick(committed_, rows));
  view.private_offset = memory.ints(offset);
  view.private_entry = memory.ints(entry);
  return view;
}

}  // namespace ft::test
