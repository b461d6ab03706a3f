// Which texts are the beginning of a longer token.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

namespace ft::encoding {

// The tokens of a vocabulary, sorted. The texts must outlive it.
class TokenPrefixes {
 public:
  TokenPrefixes() = default;
  explicit TokenPrefixes(std::vector<std::string_view> tokens) : sorted_(std::move(tokens)) {
    std::sort(sorted_.begin(), sorted_.end());
  }

  bool is_proper_prefix(std::string_view text) const {
    const auto next = std::upper_bound(sorted_.begin(), sorted_.end(), text);
    return next != sorted_.end() && next->starts_with(text);
  }

 private:
  std::vector<std::string_view> sorted_;
};

}  // namespace ft::encoding
