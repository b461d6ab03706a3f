#include "core/allocations.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

std::atomic<int64_t> count{0};
// Allocations of this thread until one fails; below 0: none will.
thread_local int64_t until_failure = -1;

// Null if there is no memory.
void* counted(size_t bytes, size_t alignment) {
  count.fetch_add(1, std::memory_order_relaxed);
  if (until_failure >= 0 && until_failure-- == 0) return nullptr;
  const size_t size = bytes == 0 ? 1 : bytes;
  // aligned_alloc wants a multiple of the alignment.
  return alignment <= alignof(std::max_align_t)
             ? std::malloc(size)
             : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

void* or_throw(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// The array forms of the library call these.
void* operator new(size_t bytes) {
  return or_throw(counted(bytes, 1));
}
void* operator new(size_t bytes, std::align_val_t alignment) {
  return or_throw(counted(bytes, static_cast<size_t>(alignment)));
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return counted(bytes, 1);
}
void* operator new(size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return counted(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace ft {

int64_t allocation_count() {
  return count.load(std::memory_order_relaxed);
}

FailingAllocation::FailingAllocation(int64_t number) {
  until_failure = number;
}

FailingAllocation::~FailingAllocation() {
  until_failure = -1;
}

bool FailingAllocation::thrown() const {
  return until_failure < 0;
}

}  // namespace ft
