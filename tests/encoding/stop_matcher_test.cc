#include "encoding/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>

namespace ft::encoding {
namespace {

TEST(StopMatcher, HoldsBackWhatMayBecomeAStop) {
  StopMatcher matcher({"STOP", "\n\n"});
  EXPECT_EQ(matcher.feed("abc S"), "abc ");
  EXPECT_EQ(matcher.feed("T"), "");
  EXPECT_EQ(matcher.feed("X\n"), "STX");
  EXPECT_FALSE(matcher.match());
  EXPECT_EQ(matcher.feed("\nmore"), "");
  ASSERT_TRUE(matcher.match());
  EXPECT_EQ(matcher.match()->begin, 7u);
  EXPECT_EQ(matcher.match()->stop, 1u);
  EXPECT_EQ(matcher.feed("x"), "");
  EXPECT_EQ(matcher.flush(), "");
}

TEST(StopMatcher, FlushGivesTheRest) {
  StopMatcher matcher({"STOP"});
  EXPECT_EQ(matcher.feed("abSTO"), "ab");
  EXPECT_EQ(matcher.flush(), "STO");
  StopMatcher none({});
  EXPECT_EQ(none.feed("abc"), "abc");
  StopMatcher empty({"", "b"});
  EXPECT_EQ(empty.feed("abc"), "a");
  EXPECT_EQ(empty.match()->stop, 1u);
}

TEST(StopMatcher, TheStringCompleteFirstWins) {
  StopMatcher inner({"bcd", "c"});
  EXPECT_EQ(inner.feed("abcd"), "ab");
  EXPECT_EQ(inner.match()->begin, 2u);
  StopMatcher same_end({"c", "bc", "abc"});
  EXPECT_EQ(same_end.feed("xabc"), "x");
  EXPECT_EQ(same_end.match()->stop, 2u);
}

TEST(StopMatcher, AnyCutGivesTheSame) {
  std::mt19937 random(31);
  for (int round = 0; round < 5000; ++round) {
    std::vector<std::string> stops;
    for (size_t i = 1 + random() % 3; i > 0; --i) {
      std::string stop;
      for (size_t k = 1 + random() % 4; k > 0; --k) stop += static_cast<char>('a' + random() % 2);
      stops.push_back(stop);
    }
    std::string text;
    for (int i = 0; i < 12; ++i) text += static_cast<char>('a' + random() % 3);
    StopMatcher whole(stops), parts(stops);
    std::string shown = whole.feed(text);
    shown += whole.flush();
    std::string streamed;
    for (const char c : text) streamed += parts.feed(std::string_view(&c, 1));
    streamed += parts.flush();
    EXPECT_EQ(streamed, shown);
    ASSERT_EQ(whole.match().has_value(), parts.match().has_value());
    if (whole.match()) {
      EXPECT_EQ(whole.match()->begin, parts.match()->begin);
      EXPECT_EQ(shown, text.substr(0, whole.match()->begin));
    } else {
      EXPECT_EQ(shown, text);
    }
  }
}

}  // namespace
}  // namespace ft::encoding
