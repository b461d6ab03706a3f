#include "core/page_pool.h"

#include <algorithm>

#include "core/at.h"
#include "core/check.h"

namespace ft {

PagePool::PagePool(const RatioLayout& layout, int32_t sequences) : layout_(layout) {
  for (int32_t page = layout.page_count - 1; page >= 0; --page) free_.push_back(page);
  references_.assign(static_cast<size_t>(layout.page_count), 0);
  owned_.resize(static_cast<size_t>(sequences));
  for (auto& owned : owned_) owned.reserve(static_cast<size_t>(layout.page_stride));
  reserved_.assign(static_cast<size_t>(sequences), 0);
}

void PagePool::reserve(SequenceId sequence, int64_t count) {
  reserved_total_ += count - at(reserved_, sequence);
  at(reserved_, sequence) = count;
}

int64_t PagePool::growth(SequenceId sequence, int64_t length, int64_t length_max) const {
  const size_t used = used_by(length);
  // A page that `length` ends in is written next: where others hold it too, that takes a copy.
  const bool copies = ends_inside_page(length) && is_shared(at(owned_, sequence)[used - 1]);
  return layout_.pages_of(length_max) - static_cast<int64_t>(used) + (copies ? 1 : 0);
}

int32_t PagePool::take_free(SequenceId sequence) {
  FT_CHECK(at(reserved_, sequence) > 0 && !free_.empty(), sequence, free_.size());
  reserve(sequence, at(reserved_, sequence) - 1);
  const int32_t page = free_.back();
  free_.pop_back();
  at(references_, page) = 1;
  return page;
}

int32_t PagePool::append_free(SequenceId sequence) {
  at(owned_, sequence).push_back(take_free(sequence));
  return at(owned_, sequence).back();
}

void PagePool::append_shared(SequenceId sequence, int32_t page) {
  FT_CHECK(at(references_, page) > 0, page);
  hold(page);
  at(owned_, sequence).push_back(page);
}

int32_t PagePool::replace_shared(SequenceId sequence, size_t index) {
  int32_t& place = at(owned_, sequence)[index];
  FT_CHECK(is_shared(place), place);
  const int32_t page = take_free(sequence);
  release(place);
  place = page;
  return page;
}

void PagePool::truncate(SequenceId sequence, size_t count) {
  std::vector<int32_t>& owned = at(owned_, sequence);
  for (; owned.size() > count; owned.pop_back()) release(owned.back());
}

int64_t PagePool::freed_by_truncate(SequenceId sequence, size_t count) const {
  const std::span<const int32_t> owned = held_by(sequence);
  return std::count_if(owned.begin() + static_cast<std::ptrdiff_t>(std::min(count, owned.size())),
                       owned.end(), [&](int32_t page) { return !is_shared(page); });
}

void PagePool::release(int32_t page) {
  FT_CHECK(at(references_, page) > 0, page);
  if (--at(references_, page) == 0) free_.push_back(page);
}

void PagePool::check_integrity() const {
  int64_t reserved = 0;
  std::vector<int32_t> holders(references_.size(), 0);
  for (size_t s = 0; s < owned_.size(); ++s) {
    reserved += reserved_[s];
    for (int32_t page : owned_[s]) ++at(holders, page);
  }
  FT_CHECK(reserved == reserved_total_, reserved, reserved_total_);
  FT_CHECK(unreserved() >= 0, reserved, free_.size());
  for (int32_t page : free_) FT_CHECK(at(references_, page) == 0, page);
  int64_t idle = 0;
  for (size_t page = 0; page < references_.size(); ++page) {
    // Snapshots hold references that no sequence has, so sequences bound them from below.
    FT_CHECK(references_[page] >= holders[page], page);
    idle += references_[page] == 0 ? 1 : 0;
  }
  FT_CHECK(idle == static_cast<int64_t>(free_.size()), idle, free_.size());
}

}  // namespace ft
