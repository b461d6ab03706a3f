// Requests of any size, most of them a prompt far beyond any context, each a different work for whoever reads
// it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ft::abuse {

struct LargeText {
  std::string_view name;
  std::string_view path;
  // The parts of the body: `begin`, as many of `unit` as fit, `end`. A '#' in the unit is a number of its
  // own, for keys that must differ.
  std::string begin, unit, end;

  // A body of at most `bytes` bytes, and a unit less at least.
  std::string body(size_t bytes) const;
};

const std::vector<LargeText>& large_texts();

}  // namespace ft::abuse
