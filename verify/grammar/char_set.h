// Sets of Unicode code points, and a partition of all code points into classes that several sets cannot tell
// apart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace ft::grammar {

using CodePoint = uint32_t;
inline constexpr CodePoint kLastCodePoint = 0x10FFFF;
inline constexpr CodePoint kFirstSurrogate = 0xD800;
inline constexpr CodePoint kLastSurrogate = 0xDFFF;

// Ranges of code points, ascending, disjoint and not adjacent. Surrogates are never members: no UTF-8 text
// holds them.
class CharSet {
 public:
  struct Range {
    CodePoint first = 0;
    CodePoint last = 0;  // inclusive
    bool operator==(const Range&) const = default;
  };

  CharSet() = default;
  explicit CharSet(std::initializer_list<Range> ranges);
  static CharSet any();
  static CharSet of(CodePoint point) { return CharSet({{point, point}}); }

  void add(CodePoint first, CodePoint last);
  void add(const CharSet& other);
  CharSet complement() const;

  bool empty() const { return ranges_.empty(); }
  bool contains(CodePoint point) const;
  const std::vector<Range>& ranges() const { return ranges_; }
  bool operator==(const CharSet&) const = default;

 private:
  void add_piece(CodePoint first, CodePoint last);
  std::vector<Range> ranges_;
};

// Classes 0 .. count - 1 of code points. Class 0 holds the surrogates and what lies behind the last code
// point: no text reaches it. Interval i reaches from starts[i] to starts[i + 1] - 1; neighbours have
// different classes.
struct Partition {
  std::vector<CodePoint> starts;
  std::vector<uint16_t> classes;
  uint32_t count = 1;

  uint16_t class_of(CodePoint point) const;
  // The last code point of the interval that holds `point`.
  CodePoint interval_end(CodePoint point) const;
  // How many code points a class has.
  std::vector<uint64_t> sizes() const;

 private:
  size_t interval_of(CodePoint point) const;
};

// The coarsest partition in which each set is a union of classes. `members[s]` lists, per class, whether set
// s holds it. At most 65,535 classes: more sets than that are a programmer error.
Partition make_partition(std::span<const CharSet> sets, std::vector<std::vector<bool>>& members);

// The coarsest partition that refines both; `pairs[c]` are the classes of a and b that make class c.
Partition refine(const Partition& a, const Partition& b, std::vector<std::pair<uint16_t, uint16_t>>& pairs);

}  // namespace ft::grammar
