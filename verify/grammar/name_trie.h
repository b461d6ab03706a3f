// The names of an object's members, as a trie over the bytes between their quotes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ft::grammar {

class NameTrie {
 public:
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kNone = UINT32_MAX;       // behind every name
  static constexpr uint32_t kForbidden = UINT32_MAX;  // a member that may not be
  static constexpr uint32_t kNoName = UINT32_MAX - 1;

  // Members by number; names that are there twice are a programmer error.
  NameTrie(const std::vector<std::string>& names, const std::vector<std::string>& forbidden);

  uint32_t child(uint32_t node, uint8_t byte) const;
  // The member whose name ends here, kForbidden or kNoName.
  uint32_t member(uint32_t node) const { return nodes_[node].member; }
  // Whether a member from first to last has a name that goes through here.
  bool leads_to(uint32_t node, uint32_t first, uint32_t last) const { return count(node, first, last) > 0; }
  // How many of them have.
  uint32_t count(uint32_t node, uint32_t first, uint32_t last) const;
  // The byte that a name of a member from first to last goes on with here, or `end` where it ends; empty for several.
  std::optional<uint8_t> only_next(uint32_t node, uint32_t first, uint32_t last, uint8_t end) const;
  uint32_t name_count() const { return name_count_; }
  size_t bytes() const;

 private:
  struct Node {
    uint32_t first_edge = 0;
    uint32_t edge_count = 0;
    uint32_t first_below = 0;  // members whose names go through here, ascending
    uint32_t below_count = 0;
    uint32_t member = kNoName;
  };
  using Sorted = std::vector<std::pair<std::string, uint32_t>>;
  void build(const Sorted& names, size_t begin, size_t end, size_t depth, uint32_t node);

  std::vector<Node> nodes_;
  std::vector<std::pair<uint8_t, uint32_t>> edges_;
  std::vector<uint32_t> below_;
  uint32_t name_count_ = 0;
};

}  // namespace ft::grammar
