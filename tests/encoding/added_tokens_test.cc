#include "encoding/added_tokens.h"

#include <gtest/gtest.h>

namespace ft::encoding {
namespace {

AddedTokens sample() {
  AddedTokens tokens;
  EXPECT_TRUE(tokens.add("<｜User｜>", 1));
  EXPECT_TRUE(tokens.add("｜DSML｜", 2));
  EXPECT_TRUE(tokens.add("<think>", 3));
  EXPECT_TRUE(tokens.add("<think>er", 4));
  EXPECT_TRUE(tokens.add("<｜/table>｜", 5));
  EXPECT_FALSE(tokens.add("<think>", 6));
  EXPECT_FALSE(tokens.add("", 7));
  return tokens;
}

std::string found(const AddedTokens& tokens, std::string_view text, std::vector<ByteRange> client = {}) {
  std::string out;
  size_t range = 0;
  std::optional<AddedTokens::Match> match;
  for (size_t at = 0; (match = tokens.next(text, at, client, range)); at = match->end) {
    out += std::to_string(match->id) + "@" + std::to_string(match->begin) + "-" + std::to_string(match->end) +
           " ";
  }
  return out;
}

TEST(AddedTokens, LeftmostLongest) {
  const AddedTokens tokens = sample();
  EXPECT_EQ(found(tokens, "a<think>b"), "3@1-8 ");
  EXPECT_EQ(found(tokens, "<think>er<think>e"), "4@0-9 3@9-16 ");
  EXPECT_EQ(found(tokens, "<<think><thin"), "3@1-8 ");
  EXPECT_EQ(found(tokens, "<｜/table>｜DSML｜"), "5@0-14 ");
  EXPECT_EQ(found(tokens, ""), "");
  EXPECT_EQ(tokens.id_of("<think>"), 3);
  EXPECT_EQ(tokens.id_of("<think"), std::nullopt);
  EXPECT_EQ(tokens.id_of("<think>e"), std::nullopt);
}

TEST(AddedTokens, AMatchThatTouchesClientTextIsPassedOver) {
  const AddedTokens tokens = sample();
  EXPECT_EQ(found(tokens, "<think><think>", {{0, 7}}), "3@7-14 ");
  EXPECT_EQ(found(tokens, "<think><think>", {{0, 1}}), "3@7-14 ");
  EXPECT_EQ(found(tokens, "<think><think>", {{6, 7}}), "3@7-14 ");
  EXPECT_EQ(found(tokens, "<think><think>", {{6, 8}}), "");
  EXPECT_EQ(found(tokens, "<think>er", {{7, 9}}), "3@0-7 ");  // the longer one would touch
  EXPECT_EQ(found(tokens, "<think>er", {{9, 12}}), "4@0-9 ");
  EXPECT_EQ(found(tokens, "x<think>", {{0, 1}}), "3@1-8 ");
  // A forged beginning does not swallow a genuine token.
  EXPECT_EQ(found(tokens, "<｜/table>｜DSML｜", {{0, 11}}), "2@11-21 ");
  EXPECT_EQ(found(tokens, "<think><think><think>", {{0, 7}, {14, 21}}), "3@7-14 ");
}

TEST(AddedTokens, BeginsNamesOverlappingPlaces) {
  const AddedTokens tokens = sample();
  const std::string_view text = "<｜/table>｜DSML｜ <think>";
  std::vector<size_t> begins;
  for (size_t at = 0; (at = tokens.next_begin(text, at)) < text.size(); ++at) begins.push_back(at);
  EXPECT_EQ(begins, (std::vector<size_t>{0, 11, 22}));
}

TEST(AddedTokens, CleanTextMovesRangesAlong) {
  // a, ill-formed byte (client), b, torn character, c
  const CleanText clean = clean_text(
      "a\xFF"
      "b\xE4\xBD"
      "c",
      std::vector<ByteRange>{{1, 2}, {4, 6}});
  EXPECT_EQ(clean.text, "a\uFFFDb\uFFFDc");
  EXPECT_EQ(clean.client, (std::vector<ByteRange>{{1, 4}, {5, 9}}));
  const CleanText same = clean_text("aéb", std::vector<ByteRange>{{0, 2}, {3, 9}});
  EXPECT_EQ(same.text, "aéb");
  EXPECT_EQ(same.client, (std::vector<ByteRange>{{0, 2}, {3, 4}}));
}

}  // namespace
}  // namespace ft::encoding
