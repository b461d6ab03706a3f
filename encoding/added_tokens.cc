#include "encoding/added_tokens.h"

#include <algorithm>

#include "encoding/utf8.h"

namespace ft::encoding {

bool AddedTokens::add(std::string_view content, TokenId id) {
  if (content.empty()) return false;
  uint32_t at = 0;
  for (const char byte : content) {
    const Node* next = child(nodes_[at], byte);
    if (next != nullptr) {
      at = static_cast<uint32_t>(next - nodes_.data());
    } else {
      const uint32_t created = static_cast<uint32_t>(nodes_.size());
      nodes_[at].children.emplace_back(byte, created);
      nodes_.emplace_back();
      at = created;
    }
  }
  if (nodes_[at].id >= 0) return false;
  nodes_[at].id = id;
  starts_[static_cast<uint8_t>(content.front())] = true;
  return true;
}

const AddedTokens::Node* AddedTokens::child(const Node& node, char byte) const {
  for (const auto& [label, index] : node.children) {
    if (label == byte) return &nodes_[index];
  }
  return nullptr;
}

AddedTokens::Match AddedTokens::longest_at(std::string_view text, size_t at, size_t limit) const {
  Match match{at, at, -1};
  const Node* node = &nodes_[0];
  for (size_t i = at; i < limit; ++i) {
    node = child(*node, text[i]);
    if (node == nullptr) break;
    if (node->id >= 0) match = {at, i + 1, node->id};
  }
  return match;
}

std::optional<AddedTokens::Match> AddedTokens::next(std::string_view text, size_t at,
                                                    std::span<const ByteRange> client, size_t& range) const {
  while (at < text.size()) {
    while (range < client.size() && client[range].end <= at) ++range;
    const size_t limit = range < client.size() ? std::min(client[range].begin, text.size()) : text.size();
    if (limit <= at) {  // inside client text, where no match can begin
      at = client[range].end;
      continue;
    }
    if (starts_[static_cast<uint8_t>(text[at])]) {
      const Match match = longest_at(text, at, limit);
      if (match.end > at) return match;
    }
    ++at;
  }
  return std::nullopt;
}

size_t AddedTokens::next_begin(std::string_view text, size_t at) const {
  for (; at < text.size(); ++at) {
    if (starts_[static_cast<uint8_t>(text[at])] && longest_at(text, at, text.size()).end > at) break;
  }
  return std::min(at, text.size());
}

size_t AddedTokens::torn_begin(std::string_view text, size_t at) const {
  for (; at < text.size(); ++at) {
    const Node* node = &nodes_[0];
    for (size_t i = at; i < text.size() && node != nullptr; ++i) node = child(*node, text[i]);
    if (node != nullptr && !node->children.empty()) return at;
  }
  return text.size();
}

std::optional<TokenId> AddedTokens::id_of(std::string_view content) const {
  const Node* node = &nodes_[0];
  for (const char byte : content) {
    node = child(*node, byte);
    if (node == nullptr) return std::nullopt;
  }
  if (node->id < 0) return std::nullopt;
  return node->id;
}

CleanText clean_text(std::string_view text, std::span<const ByteRange> client) {
  CleanText out;
  out.text.reserve(text.size());
  out.client.assign(client.begin(), client.end());
  size_t begin = 0, end = 0;  // the first ranges whose begin, whose end is not yet moved
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = read_utf8(text, at);
    const bool character = step.kind == Utf8Step::Kind::kCharacter;
    const size_t next = at + step.length;
    const size_t out_at = out.text.size();
    out.text += character ? text.substr(at, step.length) : kReplacementCharacter;
    for (; begin < client.size() && client[begin].begin < next; ++begin) {
      out.client[begin].begin = out_at + (character ? client[begin].begin - at : 0);
    }
    for (; end < client.size() && client[end].end <= next; ++end) {
      out.client[end].end = character ? out_at + (client[end].end - at) : out.text.size();
    }
    at = next;
  }
  for (; begin < client.size(); ++begin) out.client[begin].begin = out.text.size();
  for (; end < client.size(); ++end) out.client[end].end = out.text.size();
  return out;
}

}  // namespace ft::encoding
