#include "encoding/window_merger.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "encoding/merge_table.h"
#include "encoding/token_prefixes.h"

namespace ft::encoding {
namespace {

// A merge table over the letters a to d. `ordered`: merges use only what earlier ones made, as trained tables
// do.
class RandomMerger : public TextMerger {
 public:
  RandomMerger(std::mt19937& random, size_t merges, bool ordered) : table_(merges), pieces_(table_) {
    for (const char letter : {'a', 'b', 'c', 'd'}) id_of(std::string(1, letter));
    std::vector<std::pair<TokenId, TokenId>> pairs;
    for (size_t i = 0; i < merges; ++i) {
      const TokenId left = pick(random), right = pick(random);
      const std::string joined = texts_[static_cast<size_t>(left)] + texts_[static_cast<size_t>(right)];
      if (joined.size() > 12) continue;
      pairs.emplace_back(left, right);
      id_of(joined);
    }
    if (!ordered) std::shuffle(pairs.begin(), pairs.end(), random);
    for (const auto& [left, right] : pairs) {
      table_.add(left, right, id_of(texts_[static_cast<size_t>(left)] + texts_[static_cast<size_t>(right)]));
    }
    prefixes_ = TokenPrefixes(std::vector<std::string_view>(texts_.begin(), texts_.end()));
    for (const std::string& text : texts_) longest_ = std::max(longest_, text.size());
  }

  void merge(std::string_view text, std::vector<MergedToken>& out) override {
    merged_bytes += text.size();
    std::vector<TokenId> symbols, ids;
    for (const char letter : text) symbols.push_back(letter - 'a');
    pieces_.merge(symbols, ids);
    out.clear();
    size_t end = 0;
    for (const TokenId id : ids) out.push_back({id, end += texts_[static_cast<size_t>(id)].size()});
  }
  bool begins_token(std::string_view text) const override { return prefixes_.is_proper_prefix(text); }
  size_t longest() const override { return longest_; }

  std::vector<TokenId> whole(std::string_view text) {
    std::vector<MergedToken> tokens;
    merge(text, tokens);
    std::vector<TokenId> ids;
    for (const MergedToken& token : tokens) ids.push_back(token.id);
    return ids;
  }

  size_t merged_bytes = 0;

 private:
  TokenId pick(std::mt19937& random) const { return static_cast<TokenId>(random() % texts_.size()); }
  TokenId id_of(const std::string& text) {
    const auto [found, is_new] = ids_.emplace(text, static_cast<TokenId>(texts_.size()));
    if (is_new) texts_.push_back(text);
    return found->second;
  }

  std::vector<std::string> texts_;
  std::map<std::string, TokenId> ids_;
  MergeTable table_;
  PieceMerger pieces_;
  TokenPrefixes prefixes_;
  size_t longest_ = 1;
};

std::string random_text(std::mt19937& random, size_t letters) {
  std::string unit;
  for (size_t i = 1 + random() % 5; i > 0; --i) unit.push_back(static_cast<char>('a' + random() % letters));
  std::string text;
  while (text.size() < 300) {
    // Repeats, with now and then something else.
    text += random() % 8 == 0 ? std::string(1, static_cast<char>('a' + random() % letters)) : unit;
  }
  return text;
}

TEST(WindowMerger, WindowsGiveTheTokensOfTheWhole) {
  std::mt19937 random(7);
  for (int round = 0; round < 600; ++round) {
    RandomMerger merger(random, 4 + random() % 60, round % 2 == 0);
    const std::string text = random_text(random, 1 + random() % 4);
    const std::vector<TokenId> whole = merger.whole(text);
    for (const size_t window : {1, 2, 3, 5, 8, 13, 40, 100, 299, 1000}) {
      WindowMerger windows(merger, window);
      std::vector<TokenId> ids;
      for (size_t at = 0; at < text.size();) {
        const size_t taken = windows.merge_some(std::string_view(text).substr(at), ids);
        ASSERT_GT(taken, 0u);
        at += taken;
      }
      ASSERT_EQ(ids, whole) << "round " << round << " window " << window << " text " << text;
    }
  }
}

// Work and memory follow the window: no window has to grow to find a cut in texts that repeat.
TEST(WindowMerger, AWindowFindsItsCut) {
  std::mt19937 random(8);
  for (int round = 0; round < 50; ++round) {
    RandomMerger merger(random, 40, true);
    std::string text;
    const std::string unit = random_text(random, 3).substr(0, 1 + random() % 6);
    while (text.size() < 100000) text += unit;
    WindowMerger windows(merger);
    std::vector<TokenId> ids;
    for (size_t at = 0; at < text.size();) {
      merger.merged_bytes = 0;
      at += windows.merge_some(std::string_view(text).substr(at), ids);
      ASSERT_LE(merger.merged_bytes, 2 * WindowMerger::kDefaultWindow * merger.longest()) << unit;
    }
    ASSERT_EQ(ids, merger.whole(text)) << unit;
  }
}

}  // namespace
}  // namespace ft::encoding
