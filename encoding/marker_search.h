// Marker strings at the end of a text that is still growing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

namespace ft::encoding {

// Length of the longest end of `text` that is a proper prefix of a marker: what must wait for more text.
template <class Marker>
size_t held_back(std::string_view text, std::span<const Marker> markers) {
  size_t longest = 0;
  for (const std::string_view marker : markers) {
    for (size_t length = std::min(marker.size() - 1, text.size()); length > longest; --length) {
      if (text.ends_with(marker.substr(0, length))) longest = length;
    }
  }
  return longest;
}

}  // namespace ft::encoding
