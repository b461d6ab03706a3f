// Tokens that a grammar forces: those that the tokenizer would write, and no others are allowed then.
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/verify/grammar/grammar_text.h"
#include "verify/grammar/grammar_constraint.h"

namespace ft::grammar {
namespace {

// A tokenizer that takes the longest token first; a token is settled where no longer one could still come.
std::vector<int32_t> settled(std::string_view text) {
  const Vocabulary& vocabulary = *small_vocabulary();
  std::vector<int32_t> tokens;
  for (;;) {
    int32_t best = -1;
    for (int32_t token = 0; token < vocabulary.size(); ++token) {
      const std::string_view bytes = vocabulary.bytes_of(token);
      if (bytes.empty()) continue;
      if (bytes.size() > text.size() && bytes.starts_with(text)) return tokens;
      if (text.starts_with(bytes) && (best < 0 || bytes.size() > vocabulary.bytes_of(best).size()))
        best = token;
    }
    if (best < 0) return tokens;
    tokens.push_back(best);
    text.remove_prefix(vocabulary.bytes_of(best).size());
  }
}

std::shared_ptr<const Vocabulary> writing_vocabulary() {
  static const auto vocabulary = [] {
    std::vector<std::string_view> tokens;
    for (int32_t token = 0; token < small_vocabulary()->size(); ++token)
      tokens.push_back(small_vocabulary()->bytes_of(token));
    return std::make_shared<const Vocabulary>(tokens, small_vocabulary()->end_tokens(), settled);
  }();
  return vocabulary;
}

constexpr const char* kSchemas[] = {
    R"({"type": "object", "properties": {"name": {"const": "Rome"}, "names": {"type": "integer"},
        "value": {"enum": ["abc", "abd", "b"]}}, "required": ["name", "value"], "additionalProperties": false})",
    R"({"type": "array", "items": {"type": "object", "properties": {"na": {"type": "null"}}, "required": ["na"],
        "maxProperties": 1}, "minItems": 2, "maxItems": 3})",
    R"({"type": "string", "pattern": "^(name: (true|false), )+end$"})",
    R"({"type": "object", "patternProperties": {"^na": {"type": "boolean"}}, "additionalProperties": false,
        "minProperties": 1})",
    R"({"const": {"name": "name", "list": [1, 2, "true", null]}})",
};

std::vector<int32_t> allowed(const GrammarState& state) {
  std::vector<uint32_t> mask(state.vocabulary().mask_words());
  state.fill_mask(mask);
  std::vector<int32_t> tokens;
  for (int32_t token = 0; token < state.vocabulary().size(); ++token)
    if ((mask[static_cast<size_t>(token) / 32] >> token % 32 & 1) != 0) tokens.push_back(token);
  return tokens;
}

TEST(ForcedTokens, AreTheOnlyOnesAllowedOneAfterTheOther) {
  std::mt19937 random(3);
  size_t seen = 0;
  for (const char* schema : kSchemas)
    for (int walk = 0; walk < 8; ++walk) {
      const auto grammar = compile_schema(schema);
      ASSERT_TRUE(grammar.has_value()) << schema;
      GrammarState state(*grammar, writing_vocabulary());
      std::string text;
      for (int step = 0; step < 60 && !state.ended(); ++step) {
        const std::vector<int32_t> forced(state.forced_tokens().begin(), state.forced_tokens().end());
        GrammarState behind = state;
        for (const int32_t token : forced) {
          EXPECT_EQ(allowed(behind), std::vector<int32_t>{token}) << schema << " behind " << text;
          behind = *behind.after(token);
          ++seen;
        }
        if (!forced.empty()) {
          // Asked at once or one by one, and whatever was asked before: the same.
          const GrammarState first = *state.after(forced[0]);
          const std::vector<int32_t> rest(first.forced_tokens().begin(), first.forced_tokens().end());
          for (size_t i = 1; i < forced.size(); ++i) EXPECT_EQ(rest.at(i - 1), forced[i]);
        }
        const std::vector<int32_t> next = allowed(state);
        ASSERT_FALSE(next.empty()) << schema << " behind " << text;
        const int32_t token = next[random() % next.size()];
        text += state.vocabulary().bytes_of(token);
        state = *state.after(token);
      }
    }
  EXPECT_GT(seen, 100u);
}

// What the tokenizer writes must be allowed, whatever of it is forced.
TEST(ForcedTokens, AllowEveryTextAsItsTokenizerWritesIt) {
  std::mt19937 random(4);
  for (const char* schema : kSchemas)
    for (int walk = 0; walk < 20; ++walk) {
      const auto grammar = compile_schema(schema);
      ASSERT_TRUE(grammar.has_value());
      GrammarState bytes(*grammar, small_vocabulary());
      std::string text;
      for (int step = 0; step < 80 && !bytes.ended(); ++step) {
        const std::vector<int32_t> next = allowed(bytes);
        const int32_t token = next[random() % next.size()];
        text += bytes.vocabulary().bytes_of(token);
        bytes = *bytes.after(token);
      }
      if (!bytes.ended()) continue;
      // A byte that no token goes over makes the last token certain.
      std::vector<int32_t> written = settled(text + "\xFF");
      written.pop_back();
      GrammarState state(*grammar, writing_vocabulary());
      for (const int32_t token : written) {
        const std::vector<int32_t> next = allowed(state);
        ASSERT_TRUE(std::find(next.begin(), next.end(), token) != next.end())
            << text << " at " << state.vocabulary().bytes_of(token);
        state = *state.after(token);
      }
      EXPECT_TRUE(state.complete()) << text;
    }
}

TEST(ForcedTokens, OneByteIsFoundAsTryingAllFindsIt) {
  std::mt19937 random(6);
  for (const char* schema : kSchemas)
    for (int walk = 0; walk < 10; ++walk) {
      GrammarState state = *start_of(schema);
      for (int step = 0; step < 120; ++step) {
        std::vector<char> bytes;
        for (int byte = 0; byte < 256; ++byte)
          if (state.after(std::string(1, static_cast<char>(byte)))) bytes.push_back(static_cast<char>(byte));
        EXPECT_EQ(state.forced(1), bytes.size() == 1 && !state.complete() ? std::string(1, bytes[0]) : "");
        if (bytes.empty()) break;
        state = *state.after(std::string(1, bytes[random() % bytes.size()]));
      }
    }
}

TEST(ForcedTokens, ComeToTheConstraint) {
  Constraint constraint = behind_token(
      1, grammar_constraint(*compile_schema(R"({"const": {"name": "Rome"}})"), writing_vocabulary()),
      writing_vocabulary());
  EXPECT_TRUE(constraint.forced().empty());
  ASSERT_TRUE(constraint.advance(1));
  const std::vector<int32_t> forced(constraint.forced().begin(), constraint.forced().end());
  ASSERT_GT(forced.size(), 1u);
  for (const int32_t token : forced) ASSERT_TRUE(constraint.advance(token));
}

}  // namespace
}  // namespace ft::grammar
