#include "verify/token_counts.h"

#include <algorithm>
#include <bit>

#include "core/check.h"

namespace ft::verify {

namespace {

constexpr int32_t kFree = -1;

// Fibonacci hashing: the high bits of the product are the well mixed ones.
size_t home_slot(int32_t token, size_t slots) {
  const uint64_t product = static_cast<uint64_t>(static_cast<uint32_t>(token)) * 0x9E3779B97F4A7C15u;
  return static_cast<size_t>(product >> 32) & (slots - 1);
}

}  // namespace

void TokenCounts::reserve(int64_t distinct) {
  entries_.reserve(static_cast<size_t>(distinct));
  // At most half full, so that a probe ends soon.
  const size_t slots = std::bit_ceil(static_cast<size_t>(std::max<int64_t>(8, 2 * distinct)));
  if (slots > slots_.size()) rehash(slots);
}

void TokenCounts::clear() {
  entries_.clear();
  std::fill(slots_.begin(), slots_.end(), kFree);
}

void TokenCounts::rehash(size_t slots) {
  slots_.assign(slots, kFree);
  for (size_t i = 0; i < entries_.size(); ++i) {
    size_t slot = home_slot(entries_[i].token, slots);
    while (slots_[slot] != kFree) slot = (slot + 1) & (slots - 1);
    slots_[slot] = static_cast<int32_t>(i);
  }
}

TokenCounts::Entry& TokenCounts::find_or_add(int32_t token) {
  FT_CHECK(token >= 0, token);
  if (2 * (entries_.size() + 1) > slots_.size()) rehash(std::max<size_t>(8, 2 * slots_.size()));
  size_t slot = home_slot(token, slots_.size());
  while (slots_[slot] != kFree) {
    Entry& entry = entries_[static_cast<size_t>(slots_[slot])];
    if (entry.token == token) return entry;
    slot = (slot + 1) & (slots_.size() - 1);
  }
  slots_[slot] = static_cast<int32_t>(entries_.size());
  return entries_.emplace_back(Entry{token, 0, 0});
}

void TokenCounts::add_prompt(std::span<const int32_t> tokens) {
  for (const int32_t token : tokens) ++find_or_add(token).prompt;
}

void TokenCounts::push(int32_t token) {
  ++find_or_add(token).output;
}

void TokenCounts::pop(int32_t token) {
  Entry& entry = find_or_add(token);
  FT_CHECK(entry.output > 0, token);
  --entry.output;
}

}  // namespace ft::verify
