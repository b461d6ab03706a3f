#include "encoding/pretokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "encoding/unicode_category.h"
#include "encoding/utf8.h"
#include "tests/encoding/vectors.h"

namespace ft::encoding {
namespace {

std::vector<std::string_view> split_pieces(std::string_view text) {
  std::vector<std::string_view> pieces;
  PieceSplitter splitter(text);
  for (std::string_view piece; !(piece = splitter.next()).empty();) pieces.push_back(piece);
  return pieces;
}

TEST(UnicodeCategory, KnownCharacters) {
  EXPECT_EQ(char_class('a'), CharClass::kLetter);
  EXPECT_EQ(char_class(U'你'), CharClass::kLetter);
  EXPECT_EQ(char_class(0x1F600), CharClass::kSymbol);
  EXPECT_EQ(char_class(0x0301), CharClass::kMark);
  EXPECT_EQ(char_class(U'٣'), CharClass::kNumber);
  EXPECT_EQ(char_class(U'Ⅻ'), CharClass::kNumber);
  EXPECT_EQ(char_class(U'½'), CharClass::kNumber);
  EXPECT_EQ(char_class(U'・'), CharClass::kPunctuation);
  EXPECT_EQ(char_class(U'゛'), CharClass::kSymbol);
  EXPECT_EQ(char_class(0x200B), CharClass::kOther);
  EXPECT_EQ(char_class(0xE0100), CharClass::kMark);
  EXPECT_EQ(char_class(0xE01EF), CharClass::kMark);
  EXPECT_EQ(char_class(0xE01F0), CharClass::kOther);
  EXPECT_EQ(char_class(0x2FFFF), CharClass::kOther);
  EXPECT_EQ(char_class(0x10FFFF), CharClass::kOther);
  EXPECT_EQ(char_class(0xFFFFFFFF), CharClass::kOther);
  int ascii_signs = 0;
  for (char32_t c = 0; c < 0x80; ++c) {
    ascii_signs += char_class(c) == CharClass::kPunctuation || char_class(c) == CharClass::kSymbol;
  }
  EXPECT_EQ(ascii_signs, 32);
}

TEST(Pretokenizer, SharedVectors) {
  for (const Json& item : read_cases("tokenizer/pretoken_cases.jsonl", 80)) {
    Json pieces = Json::array();
    for (const std::string_view piece : split_pieces(item.get("text").as_string())) pieces.push_back(piece);
    EXPECT_EQ(pieces.dump(), item.get("pieces").dump());
  }
}

TEST(Pretokenizer, CjkRunsAreCutByTheThirdPattern) {
  const auto pieces = [](std::string_view text) {
    std::string out;
    for (const std::string_view piece : split_pieces(text)) out.append(piece).append("|");
    return out;
  };
  EXPECT_EQ(pieces("カ・ナ゛x"), "カ|・|ナ|゛|x|");
  EXPECT_EQ(pieces("a  1"), "a|  |1|");
  EXPECT_EQ(pieces("  \n \n  b"), "  \n \n| | b|");
  EXPECT_EQ(pieces("\u200b\u200b1\u200b"), "\u200b\u200b|1|\u200b|");
  EXPECT_EQ(pieces(" !?\r\n\nx"), " !?\r\n\n|x|");
  EXPECT_EQ(pieces(""), "");
}

TEST(Pretokenizer, PiecesConcatenateToTheText) {
  const char32_t samples[] = {'a',    'Z',    ' ',     '\n',   '\r',   '\t',   '1',  '!',  '<',
                              0x4E2D, 0x3042, 0x30FB,  0x309B, 0x3099, 0x301,  0xA0, 0x85, 0x200B,
                              0x2028, 0xFEFF, 0x1F600, 0xE000, 0x0661, 0x3000, 0x1C, 0x378};
  std::mt19937 random(5);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (size_t i = random() % 12; i > 0; --i) append_utf8(text, samples[random() % std::size(samples)]);
    std::string joined;
    for (const std::string_view piece : split_pieces(text)) {
      EXPECT_FALSE(piece.empty());
      EXPECT_TRUE(is_valid_utf8(piece));
      joined += piece;
    }
    EXPECT_EQ(joined, text);
  }
}

TEST(Pretokenizer, LongRunsAreLinear) {
  const auto start = std::chrono::steady_clock::now();
  constexpr size_t kSize = size_t{1} << 20;
  for (const char* unit : {"a", " ", "\n", "!", "1", " \n", "\u200b", "你", " a"}) {
    std::string text;
    while (text.size() < kSize) text += unit;
    EXPECT_GE(split_pieces(text).size(), 1u);
  }
  // A quadratic scan of one of these takes minutes; the bound leaves room for sanitizers on a busy machine.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace ft::encoding
