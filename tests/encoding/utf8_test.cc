#include "encoding/utf8.h"

#include <gtest/gtest.h>

#include <random>

namespace ft::encoding {
namespace {

TEST(Utf8, EveryCodePointReadsBack) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string bytes;
    append_utf8(bytes, c);
    const Utf8Step step = read_utf8(bytes, 0);
    ASSERT_EQ(step.kind, Utf8Step::Kind::kCharacter) << static_cast<uint32_t>(c);
    ASSERT_EQ(step.code_point, c);
    ASSERT_EQ(step.length, bytes.size());
    for (size_t cut = 1; cut < bytes.size(); ++cut) {
      ASSERT_EQ(read_utf8(bytes.substr(0, cut), 0).kind, Utf8Step::Kind::kIncomplete);
    }
  }
}

TEST(Utf8, MaximalIllFormedSubparts) {
  const std::string r(kReplacementCharacter);
  const auto check = [](const std::string& bytes, const std::string& text) {
    EXPECT_EQ(replace_ill_formed(bytes), text);
  };
  check("\x80", r);
  check("\xBF\x80", r + r);
  check("\xC0\xAF", r + r);
  check("\xC1\x81", r + r);
  check("\xE0\x80\xAF", r + r + r);          // overlong
  check("\xED\xA0\x80", r + r + r);          // surrogate
  check("\xF4\x90\x80\x80", r + r + r + r);  // beyond U+10FFFF
  check("\xF5\x80", r + r);
  check("\xFE\xFF", r + r);
  check("\xE4\xBD", r);
  check("\xE4\xBD\x41", r + "A");
  check("\xF0\x9F\x98\x41", r + "A");
  check("\xF0\x9F\xF0\x9F\x98\x80", r + "😀");
  check("a\xE4", "a" + r);
  check("ok é 你 😀", "ok é 你 😀");
  EXPECT_FALSE(is_valid_utf8("\xE4\xBD"));
  EXPECT_TRUE(is_valid_utf8("\xE4\xBD\xA0"));
}

TEST(Utf8Stream, HoldsATornSurrogate) {
  Utf8Stream stream;
  EXPECT_EQ(stream.feed("\xED\xA0"), "");
  EXPECT_EQ(stream.feed("a"), "\uFFFD\uFFFDa");
  EXPECT_EQ(stream.feed("\xED"), "");
  EXPECT_EQ(stream.feed("\xBF"), "");
  EXPECT_EQ(stream.flush(), "\uFFFD\uFFFD");
}

TEST(Utf8Stream, AnyCutGivesTheWholeText) {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int i = 0; i < 24; ++i) {
      if (random() % 3 == 0) {
        bytes += static_cast<char>(random());
      } else {
        const char* const samples[] = {"a", "é", "你", "😀"};
        bytes += samples[random() % 4];
      }
    }
    Utf8Stream stream;
    std::string text;
    for (size_t at = 0; at < bytes.size();) {
      const size_t length = 1 + random() % 5;
      const std::string piece = stream.feed(std::string_view(bytes).substr(at, length));
      EXPECT_TRUE(is_valid_utf8(piece));
      text += piece;
      at += length;
    }
    text += stream.flush();
    EXPECT_EQ(text, replace_ill_formed(bytes));
    EXPECT_EQ(stream.flush(), "");
  }
}

}  // namespace
}  // namespace ft::encoding
