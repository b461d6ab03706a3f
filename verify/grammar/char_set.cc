#include "verify/grammar/char_set.h"

#include <algorithm>
#include <map>

#include "core/check.h"

namespace ft::grammar {
namespace {

constexpr CodePoint kEnd = kLastCodePoint + 1;

// Appends an interval, joined to the last one where that has the same class.
void append(Partition& partition, CodePoint start, uint16_t klass) {
  if (!partition.classes.empty() && partition.classes.back() == klass) return;
  partition.starts.push_back(start);
  partition.classes.push_back(klass);
}

}  // namespace

CharSet::CharSet(std::initializer_list<Range> ranges) {
  for (const Range& range : ranges) add(range.first, range.last);
}

CharSet CharSet::any() {
  return CharSet({{0, kLastCodePoint}});
}

void CharSet::add(CodePoint first, CodePoint last) {
  last = std::min(last, kLastCodePoint);
  if (first < kFirstSurrogate) add_piece(first, std::min(last, kFirstSurrogate - 1));
  if (last > kLastSurrogate) add_piece(std::max(first, kLastSurrogate + 1), last);
}

void CharSet::add(const CharSet& other) {
  for (const Range& range : other.ranges_) add_piece(range.first, range.last);
}

void CharSet::add_piece(CodePoint first, CodePoint last) {
  if (first > last) return;
  // All ranges that overlap or touch [first, last] become one with it.
  const auto begin = std::find_if(ranges_.begin(), ranges_.end(),
                                  [&](const Range& range) { return range.last + 1 >= first; });
  auto end = begin;
  for (; end != ranges_.end() && end->first <= last + 1; ++end) {
    first = std::min(first, end->first);
    last = std::max(last, end->last);
  }
  ranges_.insert(ranges_.erase(begin, end), Range{first, last});
}

CharSet CharSet::complement() const {
  CharSet result;
  CodePoint next = 0;
  for (const Range& range : ranges_) {
    if (range.first > next) result.add(next, range.first - 1);
    next = range.last + 1;
  }
  if (next <= kLastCodePoint) result.add(next, kLastCodePoint);
  return result;
}

bool CharSet::contains(CodePoint point) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [&](const Range& range) { return range.first <= point && point <= range.last; });
}

size_t Partition::interval_of(CodePoint point) const {
  return static_cast<size_t>(std::upper_bound(starts.begin(), starts.end(), point) - starts.begin()) - 1;
}

uint16_t Partition::class_of(CodePoint point) const {
  return classes[interval_of(point)];
}

CodePoint Partition::interval_end(CodePoint point) const {
  const size_t interval = interval_of(point);
  return interval + 1 < starts.size() ? starts[interval + 1] - 1 : kLastCodePoint;
}

std::vector<uint64_t> Partition::sizes() const {
  std::vector<uint64_t> sizes(count, 0);
  for (size_t i = 0; i < starts.size(); ++i) {
    const CodePoint end = i + 1 < starts.size() ? starts[i + 1] : std::max(kEnd, starts[i]);
    sizes[classes[i]] += end - starts[i];
  }
  return sizes;
}

Partition make_partition(std::span<const CharSet> sets, std::vector<std::vector<bool>>& members) {
  std::vector<CodePoint> bounds = {0, kFirstSurrogate, kLastSurrogate + 1, kEnd};
  for (const CharSet& set : sets)
    for (const CharSet::Range& range : set.ranges()) {
      bounds.push_back(range.first);
      bounds.push_back(range.last + 1);
    }
  std::sort(bounds.begin(), bounds.end());
  bounds.erase(std::unique(bounds.begin(), bounds.end()), bounds.end());
  Partition partition;
  members.assign(sets.size(), {false});
  std::vector<size_t> next(sets.size(), 0);  // range of each set that may hold the current bound
  std::map<std::vector<bool>, uint16_t> ids;
  std::vector<bool> holds(sets.size());
  for (const CodePoint bound : bounds) {
    if (bound == kFirstSurrogate || bound == kEnd) {
      append(partition, bound, 0);
      continue;
    }
    for (size_t s = 0; s < sets.size(); ++s) {
      const auto& ranges = sets[s].ranges();
      while (next[s] < ranges.size() && ranges[next[s]].last < bound) ++next[s];
      holds[s] = next[s] < ranges.size() && ranges[next[s]].first <= bound;
    }
    const auto [place, added] = ids.try_emplace(holds, static_cast<uint16_t>(partition.count));
    if (added) {
      FT_CHECK(partition.count < 0xFFFF);
      ++partition.count;
      for (size_t s = 0; s < sets.size(); ++s) members[s].push_back(holds[s]);
    }
    append(partition, bound, place->second);
  }
  return partition;
}

Partition refine(const Partition& a, const Partition& b, std::vector<std::pair<uint16_t, uint16_t>>& pairs) {
  Partition partition;
  pairs.assign(1, {0, 0});
  std::map<std::pair<uint16_t, uint16_t>, uint16_t> ids = {{{0, 0}, 0}};
  for (size_t i = 0, j = 0; i < a.starts.size() && j < b.starts.size();) {
    const std::pair<uint16_t, uint16_t> pair = {a.classes[i], b.classes[j]};
    const auto [place, added] = ids.try_emplace(pair, static_cast<uint16_t>(partition.count));
    if (added) {
      FT_CHECK(partition.count < 0xFFFF);
      ++partition.count;
      pairs.push_back(pair);
    }
    append(partition, std::max(a.starts[i], b.starts[j]), place->second);
    const CodePoint next_a = i + 1 < a.starts.size() ? a.starts[i + 1] : kEnd + 1;
    const CodePoint next_b = j + 1 < b.starts.size() ? b.starts[j + 1] : kEnd + 1;
    if (next_a <= next_b) ++i;
    if (next_b <= next_a) ++j;
  }
  return partition;
}

}  // namespace ft::grammar
