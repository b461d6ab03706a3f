// Tokens that no continuation changes, against tokenizing the continuations.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "encoding/tokenizer.h"
#include "tests/encoding/vectors.h"

namespace ft::encoding {
namespace {

const char* const kTexts[] = {
    "{\"name\": \"Ada Lovelace\", \"born\": 1815, \"tags\": [\"a-b\", \"c_d\"]}",
    "temperature_in_celsius\": 12345678, \"unit\": \"°C\"",
    "a  b\n\n  c;\n\n  \n}\t\r\n  end",
    "日本語テキスト、漢字かな123四五\" ｜x｜<｜DSML｜tool_calls>\n<｜DSML｜invoke name=\"get_weather\">\n",
    "don't  stop...?!  (it's \"fine\")  ﬁ e\xCC\x81 \xE2\x96\x81x",
};

std::string random_tail(std::mt19937& random) {
  constexpr const char* kParts[] = {" ",  "  ", "\n", "a", "e", "tion",   "\"",       "\":", "1", "23", "，",
                                    "漢", "_x", ".",  "-", ">", "think>", "｜DSML｜", "<",   "/", "é",  "S"};
  std::string tail;
  for (size_t i = random() % 4; i > 0; --i) tail += kParts[random() % std::size(kParts)];
  return tail;
}

void check(const Tokenizer& tokenizer) {
  std::mt19937 random(5);
  size_t settled_tokens = 0;
  size_t all_tokens = 0;
  for (const std::string text : kTexts)
    for (size_t cut = 0; cut <= text.size(); ++cut) {
      const std::string begin = text.substr(0, cut);
      const std::vector<TokenId> settled = tokenizer.settled(begin);
      for (int trial = 0; trial < 12; ++trial) {
        // Behind a torn character its rest comes first.
        const std::string whole = trial == 0 ? text : trial == 1 ? begin : begin + random_tail(random);
        const std::vector<TokenId> tokens = tokenizer.encode(whole);
        ASSERT_LE(settled.size(), tokens.size()) << begin << " | " << whole;
        ASSERT_TRUE(std::equal(settled.begin(), settled.end(), tokens.begin())) << begin << " | " << whole;
        if (trial != 1) continue;
        settled_tokens += settled.size();
        all_tokens += tokens.size();
      }
    }
  EXPECT_GT(settled_tokens, all_tokens / 2) << "of " << all_tokens;
}

TEST(SettledTokens, AreTheSameWhateverFollowsInBpe) {
  const auto tokenizer = load_tokenizer(FT_TEST_DATA "/tokenizer/tiny.json");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  check(**tokenizer);
}

TEST(SettledTokens, AreTheSameWhateverFollowsInDeepSeeks) {
  const std::string path = FT_DEEPSEEK_DATA "/tokenizer/tokenizer.json";
  if (is_missing(path)) GTEST_SKIP() << "SKIPPED: DeepSeek's tokenizer is not at " << path;
  const auto tokenizer = load_tokenizer(path);
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  check(**tokenizer);
}

TEST(SettledTokens, AreTheSameWhateverFollowsInSentencepiece) {
  const auto tokenizer = load_tokenizer(FT_MODELS "/v4-nano");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  check(**tokenizer);
}

TEST(SettledTokens, KeepWhiteSpaceThatALaterNewlineJoins) {
  const auto tokenizer = load_tokenizer(FT_TEST_DATA "/tokenizer/tiny.json");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  const std::vector<TokenId> settled = (*tokenizer)->settled("end \n  ");
  const std::vector<TokenId> word = (*tokenizer)->encode("end");
  EXPECT_EQ(settled, word);
}

TEST(SettledTokens, LeaveRoomForALongerAddedToken) {
  const auto tokenizer = load_tokenizer(FT_TEST_DATA "/tokenizer/tiny.json");
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  // "<think>er" is a token too.
  EXPECT_EQ((*tokenizer)->settled("a <think>").size(), 1u);
  EXPECT_EQ((*tokenizer)->settled("a <think> ").size(), 3u);
}

}  // namespace
}  // namespace ft::encoding
