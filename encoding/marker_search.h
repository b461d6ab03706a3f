// Looks for the first of several marker strings in a text that is still growing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

namespace ft::encoding {

struct MarkerHit {
  size_t begin;
  size_t marker;  // index
  bool found() const { return begin != std::string_view::npos; }
};

// The marker that begins first in `text` at or after `from` (the earlier in the list on a tie).
template <class Marker>
MarkerHit find_marker(std::string_view text, std::span<const Marker> markers, size_t from = 0) {
  MarkerHit hit{std::string_view::npos, 0};
  for (size_t i = 0; i < markers.size(); ++i) {
    const size_t begin = text.find(markers[i], from);
    if (begin < hit.begin) hit = {begin, i};
  }
  return hit;
}

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
