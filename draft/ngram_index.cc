#include "draft/ngram_index.h"

#include <algorithm>
#include <bit>

#include "core/check.h"

namespace ft::draft {

void NgramIndex::reset(int64_t length_max) {
  length_max_ = length_max;
  prepared_ = false;
  entered_ = 0;
}

void NgramIndex::prepare() {
  prepared_ = true;
  const auto positions = static_cast<size_t>(length_max_) + 1;
  const size_t buckets = std::bit_ceil(positions);
  shift_ = 64 - std::countr_zero(buckets);
  for (Chains& chains : chains_) {
    chains.newest.assign(buckets, kNone);
    chains.earlier.resize(positions);
  }
}

size_t NgramIndex::bucket(std::span<const int32_t> run) const {
  // Multiply and take the high bits; the multiplier is 2^64 over the golden ratio (Knuth, vol. 3, 6.4).
  uint64_t hash = 0;
  for (int32_t token : run) hash = (hash + static_cast<uint32_t>(token) + 1) * 0x9e3779b97f4a7c15u;
  return shift_ == 64 ? 0 : static_cast<size_t>(hash >> shift_);
}

NgramMatch NgramIndex::find(std::span<const int32_t> history) {
  const auto size = static_cast<int64_t>(history.size());
  FT_CHECK(size <= length_max_ + 1, size, length_max_);
  if (!prepared_) prepare();
  FT_CHECK(entered_ < std::max<int64_t>(size, 1), entered_, size);
  const auto run_ending_at = [&](int64_t end, int32_t length) {
    return history.subspan(static_cast<size_t>(end + 1 - length), static_cast<size_t>(length));
  };
  // The run at the very end stays out: it would find itself.
  for (; entered_ < size - 1; ++entered_) {
    for (int32_t length = kLengthMin; length <= kLengthMax && length <= entered_ + 1; ++length) {
      Chains& chains = chains_[static_cast<size_t>(length - kLengthMin)];
      int32_t& newest = chains.newest[bucket(run_ending_at(entered_, length))];
      chains.earlier[static_cast<size_t>(entered_)] = newest;
      newest = static_cast<int32_t>(entered_);
    }
  }
  NgramMatch match;
  for (int32_t length = kLengthMax; length >= kLengthMin && match.count == 0; --length) {
    if (length > size) continue;
    const Chains& chains = chains_[static_cast<size_t>(length - kLengthMin)];
    const std::span<const int32_t> suffix = run_ending_at(size - 1, length);
    int32_t end = chains.newest[bucket(suffix)];
    for (int32_t links = 0; end != kNone && links < kLinksMax && match.count < NgramMatch::kOccurrencesMax;
         ++links) {
      if (std::ranges::equal(run_ending_at(end, length), suffix))
        match.ends[static_cast<size_t>(match.count++)] = end;
      end = chains.earlier[static_cast<size_t>(end)];
    }
    match.length = match.count > 0 ? length : 0;
  }
  return match;
}

}  // namespace ft::draft
