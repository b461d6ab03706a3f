#include "core/cpu/scratch.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>

namespace ft::cpu {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

size_t whole_lines(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

AlignedBytes allocate_aligned(size_t bytes) {
  const bool large = bytes >= 2 * kHugePage;
  const size_t alignment = large ? kHugePage : kAlignment;
  const size_t rounded = (std::max<size_t>(bytes, 1) + alignment - 1) / alignment * alignment;
  void* data = std::aligned_alloc(alignment, rounded);
  if (data == nullptr) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  // A wish: fewer misses of the page table where the system grants it.
  if (large) ::madvise(data, rounded, MADV_HUGEPAGE);
#endif
  return AlignedBytes(static_cast<std::byte*>(data));
}

void Scratch::plan(size_t bytes) {
  overflow_.clear();
  used_ = wanted_ = 0;
  if (bytes <= capacity_) return;
  block_ = allocate_aligned(bytes);
  capacity_ = whole_lines(bytes);
}

void Scratch::reset() {
  if (wanted_ > capacity_) plan(wanted_);
  used_ = wanted_ = 0;
}

void* Scratch::take_bytes(size_t bytes) {
  const size_t size = whole_lines(bytes);
  wanted_ += size;
  if (used_ + size > capacity_) {
    overflow_.push_back(allocate_aligned(size));
    return overflow_.back().get();
  }
  void* data = block_.get() + used_;
  used_ += size;
  return data;
}

}  // namespace ft::cpu
