#include "verify/grammar/text_grammar.h"

#include <random>
#include <string>
#include <vector>

#include "tests/verify/grammar/grammar_text.h"

namespace ft::grammar {
namespace {

// Every token's bit says what taking it does, along random walks.
void check_masks(const GrammarState& start) {
  std::mt19937 random(3);
  std::vector<uint32_t> mask(start.vocabulary().mask_words());
  for (int walk = 0; walk < 20; ++walk) {
    GrammarState state = start;
    for (int step = 0; step < 20 && !state.ended(); ++step) {
      state.fill_mask(mask);
      std::vector<int32_t> allowed;
      for (int32_t token = 0; token < state.vocabulary().size(); ++token) {
        const bool allows = (mask[static_cast<size_t>(token) / 32] >> token % 32 & 1) != 0;
        ASSERT_EQ(allows, state.after(token).has_value()) << token;
        if (allows) allowed.push_back(token);
      }
      ASSERT_FALSE(allowed.empty());
      state = *state.after(allowed[random() % allowed.size()]);
    }
  }
}

TEST(RegexGrammar, MatchesFromBeginToEnd) {
  const auto grammar = regex_grammar("(\"|\\\\|\\n|[a-c])+[0-9]{2}");
  ASSERT_TRUE(grammar.has_value());
  const GrammarState start(*grammar, small_vocabulary());
  for (const char* text : {"a12", "\"\\\nb00"}) EXPECT_TRUE(accepts(start, text)) << text;
  for (const char* text : {"", "12", "a1", "a123", "xa12", "\\n12"})
    EXPECT_FALSE(accepts(start, text)) << text;
  check_masks(start);
}

TEST(RegexGrammar, MayBeEmptyText) {
  const auto grammar = regex_grammar("a*");
  ASSERT_TRUE(grammar.has_value());
  const GrammarState start(*grammar, small_vocabulary());
  EXPECT_TRUE(start.complete());
  EXPECT_TRUE(start.after(kEndToken).has_value());
  check_masks(start);
}

TEST(RegexGrammar, IsRefusedWhereNothingMatches) {
  EXPECT_FALSE(regex_grammar("a$b").has_value());
  EXPECT_FALSE(regex_grammar("(a").has_value());
}

TEST(ChoiceGrammar, IsOneOfTheTexts) {
  const std::vector<std::string> texts = {"yes", "no", "not \xC3\xA9\"", "yes!"};
  const auto grammar = choice_grammar(texts);
  ASSERT_TRUE(grammar.has_value());
  const GrammarState start(*grammar, small_vocabulary());
  for (const std::string& text : texts) EXPECT_TRUE(accepts(start, text)) << text;
  for (const char* text : {"", "ye", "yess", "not"}) EXPECT_FALSE(accepts(start, text)) << text;
  EXPECT_EQ(start.after("n")->forced(9), "o");
  check_masks(start);
  EXPECT_FALSE(choice_grammar({}).has_value());
}

}  // namespace
}  // namespace ft::grammar
