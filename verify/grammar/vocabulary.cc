#include "verify/grammar/vocabulary.h"

#include <algorithm>
#include <utility>

#include "verify/grammar/text_language.h"

namespace ft::grammar {
namespace {

constexpr size_t kMaxTokenBytes = UINT16_MAX;

void add_kinds(TokenTrie& trie) {
  const TextLanguage any(Automaton::any(), TextForm::kJsonString);
  trie.kinds.assign(trie.size(), 0);
  std::vector<bool> begins(trie.size());
  std::vector<uint32_t> units = {CharClassifier::kBoundary};  // before a byte of each depth
  for (uint32_t i = 0; i < trie.size(); ++i) {
    const uint32_t depth = trie.depths[i];
    units.resize(depth + 2);
    TextLanguage::Position position{any.automaton().start(), units[depth]};
    begins[i] = position.unit == CharClassifier::kBoundary;
    if (begins[i]) trie.kinds[i] = kind_of(trie.bytes[i]);
    if (!any.step(position, trie.bytes[i])) trie.kinds[i] = kNeverKind;
    units[depth + 1] = position.unit;
  }
  std::vector<uint32_t> open;
  for (uint32_t i = 0; i <= trie.size(); ++i) {
    while (!open.empty() && (i == trie.size() || trie.depths[i] < open.size())) {
      const CharKinds below = trie.kinds[open.back()];
      open.pop_back();
      if (!open.empty()) trie.kinds[open.back()] |= below;
    }
    if (i < trie.size()) open.push_back(i);
  }
  for (uint32_t i = 0; i < trie.size(); ++i)
    if (!begins[i]) trie.kinds[i] = kNeverKind;
}

TokenTrie make_trie(const std::vector<std::string>& bytes_of, std::vector<int32_t> tokens) {
  std::sort(tokens.begin(), tokens.end(), [&](int32_t a, int32_t b) {
    return std::pair(std::string_view(bytes_of[a]), a) < std::pair(std::string_view(bytes_of[b]), b);
  });
  TokenTrie trie;
  std::vector<uint32_t> open;  // nodes down to the token before
  std::string_view before;
  for (const int32_t token : tokens) {
    const std::string_view bytes = bytes_of[token];
    const auto common = static_cast<size_t>(
        std::mismatch(bytes.begin(), bytes.end(), before.begin(), before.end()).first - bytes.begin());
    for (; open.size() > common; open.pop_back()) trie.skips[open.back()] = trie.size();
    for (size_t depth = common; depth < bytes.size(); ++depth) {
      open.push_back(trie.size());
      trie.bytes.push_back(static_cast<uint8_t>(bytes[depth]));
      trie.depths.push_back(static_cast<uint16_t>(depth));
      trie.skips.push_back(0);
      trie.first_tokens.push_back(static_cast<uint32_t>(trie.tokens.size()));
    }
    trie.tokens.push_back(token);
    before = bytes;
  }
  for (; !open.empty(); open.pop_back()) trie.skips[open.back()] = trie.size();
  trie.first_tokens.push_back(static_cast<uint32_t>(trie.tokens.size()));
  add_kinds(trie);
  return trie;
}

}  // namespace

Vocabulary::Vocabulary(std::span<const std::string_view> tokens, std::span<const int32_t> end_tokens,
                       SettledTokens settled)
    : end_tokens_(end_tokens.begin(), end_tokens.end()), settled_(std::move(settled)) {
  for (const std::string_view bytes : tokens)
    token_bytes_.emplace_back(bytes.size() <= kMaxTokenBytes ? bytes : std::string_view());
  for (const int32_t token : end_tokens_) token_bytes_[token].clear();
  const TextLanguage any(Automaton::any(), TextForm::kJsonString);
  std::vector<int32_t> texts;
  std::vector<int32_t> closing;
  std::vector<std::vector<int32_t>> content;  // [characters]
  for (int32_t token = 0; token < static_cast<int32_t>(token_bytes_.size()); ++token) {
    const std::string& bytes = token_bytes_[token];
    if (bytes.empty()) continue;
    texts.push_back(token);
    TextLanguage::Position position{any.automaton().start(), CharClassifier::kBoundary};
    uint32_t characters = 0;
    size_t i = 0;
    for (; i < bytes.size(); ++i) {
      if (position.unit == CharClassifier::kBoundary) {
        if (bytes[i] == '"') break;
        ++characters;
      }
      if (!any.step(position, static_cast<uint8_t>(bytes[i]))) break;
    }
    if (i == bytes.size()) {
      if (content.size() <= characters) content.resize(characters + 1);
      content[characters].push_back(token);
    } else if (bytes[i] == '"' && position.unit == CharClassifier::kBoundary) {
      closing.push_back(token);
    }
  }
  all_ = make_trie(token_bytes_, std::move(texts));
  closing_ = make_trie(token_bytes_, std::move(closing));
  content_.emplace_back(mask_words(), 0);
  for (size_t characters = 1; characters < content.size(); ++characters) {
    content_.push_back(content_.back());
    for (const int32_t token : content[characters]) content_.back()[token / 32] |= uint32_t{1} << token % 32;
  }
}

std::string_view Vocabulary::bytes_of(int32_t token) const {
  return token >= 0 && token < size() ? std::string_view(token_bytes_[token]) : std::string_view();
}

std::vector<int32_t> Vocabulary::settled(int32_t before, std::string_view bytes) const {
  if (!settled_) return {};
  const std::string_view context = bytes_of(before);
  std::vector<int32_t> tokens = settled_(std::string(context).append(bytes));
  if (!context.empty()) {
    if (tokens.empty() || tokens.front() != before) return {};
    tokens.erase(tokens.begin());
  }
  // A control token in the place of its text is none of ours.
  size_t known = 0;
  for (; known < tokens.size(); ++known) {
    const std::string_view own = bytes_of(tokens[known]);
    if (own.empty() || !bytes.starts_with(own)) break;
    bytes.remove_prefix(own.size());
  }
  tokens.resize(known);
  return tokens;
}

bool Vocabulary::is_end(int32_t token) const {
  return std::find(end_tokens_.begin(), end_tokens_.end(), token) != end_tokens_.end();
}

const TokenMask& Vocabulary::content(uint32_t characters) const {
  return content_[std::min<size_t>(characters, content_.size() - 1)];
}

}  // namespace ft::grammar
