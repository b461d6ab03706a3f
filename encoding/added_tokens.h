// Finds control strings ("<｜User｜>", "</think>", ...) in text, with client text protected against forging
// them.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "encoding/encode_job.h"

namespace ft::encoding {

// A set of added tokens as a byte trie. Immutable once filled.
class AddedTokens {
 public:
  struct Match {
    size_t begin, end;
    TokenId id;
  };

  // Adds a token; false if the content is empty or already present.
  bool add(std::string_view content, TokenId id);

  // The first match that begins at or after `at`, longest at its place, that holds no byte of a `client`
  // range (ascending, disjoint): a match that would is passed over, and the scan goes on with the next byte.
  // Empty if there is none. `range` remembers a place in `client` between calls with growing `at`, from 0.
  std::optional<Match> next(std::string_view text, size_t at, std::span<const ByteRange> client,
                            size_t& range) const;

  // The first place at or after `at` where some token begins, overlapping ones included; text.size() if none.
  size_t next_begin(std::string_view text, size_t at) const;

  // The first place at or after `at` from which on all of the text is a proper beginning of some token;
  // text.size() if none.
  size_t torn_begin(std::string_view text, size_t at) const;

  std::optional<TokenId> id_of(std::string_view content) const;

 private:
  struct Node {
    TokenId id = -1;  // of the token that ends here, or -1
    std::vector<std::pair<char, uint32_t>> children;
  };
  const Node* child(const Node& node, char byte) const;
  // Longest token at `at` that ends at or before `limit`; length 0 if none.
  Match longest_at(std::string_view text, size_t at, size_t limit) const;

  std::vector<Node> nodes_{1};
  bool starts_[256] = {};  // bytes with which some token begins
};

// Well-formed text with the client ranges that belong to it.
struct CleanText {
  std::string text;
  std::vector<ByteRange> client;
};

// `text` with each maximal ill-formed subpart replaced by U+FFFD, the ranges moved along. A range that holds
// a byte of such a subpart holds all of its replacement.
CleanText clean_text(std::string_view text, std::span<const ByteRange> client);

}  // namespace ft::encoding
