// States as values, and masks against taking every token by itself.
#include <random>
#include <string>
#include <vector>

#include "tests/verify/grammar/grammar_text.h"

namespace ft::grammar {
namespace {

constexpr const char* kSchemas[] = {
    R"({})",
    R"({"type": "string"})",
    R"({"type": "string", "minLength": 2, "maxLength": 5})",
    R"({"type": "string", "maxLength": 40})",
    R"({"type": "string", "minLength": 3})",
    R"({"type": "string", "pattern": "^.+$"})",
    R"({"type": "string", "pattern": "^\\S+(\\s\\S+)*$", "maxLength": 9})",
    R"({"type": "string", "pattern": "^[a-z0-9_-]+$"})",
    R"({"type": "string", "pattern": "^(ab)*$", "minLength": 3, "maxLength": 7})",
    R"({"type": "string", "format": "date-time"})",
    R"({"type": "array", "items": {"type": "number", "minimum": -1.5, "maximum": 20}, "maxItems": 4})",
    R"({"type": "object", "properties": {"name": {"type": "string"}, "na": {"type": "integer"}}, "required": ["na"]})",
    R"({"type": "object", "patternProperties": {"^[a-c]+$": {"type": "integer"}, "^x-": {}},
        "additionalProperties": false})",
    R"({"type": "object", "propertyNames": {"enum": ["a", "ab", "abc"]}, "minProperties": 2})",
    R"({"anyOf": [{"type": "string", "enum": ["a", "abc", "name"]}, {"type": "string", "minLength": 4},
                  {"type": "array", "items": {"type": "null"}}, {"type": "array", "items": {"type": "boolean"}}]})",
    R"({"type": "array", "items": {"type": "integer"}, "contains": {"minimum": 10}, "maxItems": 3})",
    R"({"type": "array", "items": {"type": "string", "maxLength": 2}, "uniqueItems": true})",
    R"({"type": "array", "items": {"type": "string", "pattern": "^a{0,3}b?$"}, "uniqueItems": true, "minItems": 7})",
    R"({"type": "array", "items": {"type": ["string", "integer", "boolean"], "enum": ["a", "ab", "abc", true, 12, 1]},
        "uniqueItems": true, "minItems": 4})",
    R"({"type": "object", "properties": {"n": {"$ref": "#"}, "v": {"enum": [1, "a\"\n", null]}}})",
};

std::vector<uint32_t> mask_of(const GrammarState& state) {
  std::vector<uint32_t> mask(state.vocabulary().mask_words(), 0xFFFFFFFF);
  state.fill_mask(mask);
  return mask;
}

bool bit(const std::vector<uint32_t>& mask, int64_t token) {
  return (mask[static_cast<size_t>(token) / 32] >> token % 32 & 1) != 0;
}

TEST(GrammarState, MasksSayWhatEachTokenByItselfDoes) {
  std::mt19937 random(1);
  for (const char* schema : kSchemas) {
    const auto start = start_of(schema);
    ASSERT_TRUE(start.has_value());
    for (int walk = 0; walk < 12; ++walk) {
      GrammarState state = *start;
      for (int step = 0; step < 25 && !state.ended(); ++step) {
        const std::vector<uint32_t> mask = mask_of(state);
        std::vector<int32_t> allowed;
        for (int32_t token = 0; token < state.vocabulary().size(); ++token) {
          ASSERT_EQ(bit(mask, token), state.after(token).has_value())
              << schema << " token " << token << " \"" << state.vocabulary().bytes_of(token) << "\"";
          if (bit(mask, token)) allowed.push_back(token);
        }
        for (auto token = state.vocabulary().size(); token < static_cast<int64_t>(mask.size()) * 32; ++token)
          ASSERT_FALSE(bit(mask, token)) << "beyond the vocabulary";
        ASSERT_FALSE(allowed.empty()) << schema << ": a dead end";
        state = *state.after(allowed[random() % allowed.size()]);
      }
    }
  }
}

TEST(GrammarState, MovingOnLeavesTheParentAsItWas) {
  std::mt19937 random(2);
  for (const char* schema : kSchemas) {
    const auto start = start_of(schema);
    ASSERT_TRUE(start.has_value());
    GrammarState state = *start;
    for (int step = 0; step < 15 && !state.ended(); ++step) {
      const std::vector<uint32_t> before = mask_of(state);
      std::vector<int32_t> allowed;
      for (int32_t token = 0; token < state.vocabulary().size(); ++token)
        if (bit(before, token)) allowed.push_back(token);
      ASSERT_FALSE(allowed.empty());
      // A tree of drafts from here: children of the same parent, and theirs.
      std::vector<std::vector<uint32_t>> seen;
      for (int child = 0; child < 4; ++child) {
        GrammarState node = *state.after(allowed[random() % allowed.size()]);
        for (int depth = 0; depth < 3 && !node.ended(); ++depth) {
          const std::vector<uint32_t> mask = mask_of(node);
          int32_t next = 0;
          while (!bit(mask, next)) ++next;
          node = *node.after(next);
        }
      }
      EXPECT_EQ(mask_of(state), before) << schema;
      const GrammarState copy = state;
      state = *state.after(allowed[random() % allowed.size()]);
      EXPECT_EQ(mask_of(copy), before) << schema;
    }
  }
}

TEST(GrammarState, EndsWhereTheTextIsComplete) {
  const auto start = start_of(R"({"type": "integer"})");
  ASSERT_TRUE(start.has_value());
  EXPECT_FALSE(start->after(kEndToken).has_value());
  const auto one = start->after("1");
  ASSERT_TRUE(one.has_value());
  const auto end = one->after(kEndToken);
  ASSERT_TRUE(end.has_value());
  EXPECT_TRUE(end->ended());
  EXPECT_EQ(mask_of(*end), std::vector<uint32_t>(end->vocabulary().mask_words(), 0));
  EXPECT_FALSE(start->after(1).has_value()) << "a control token";
  EXPECT_FALSE(start->after(-1).has_value());
  EXPECT_FALSE(start->after(100000).has_value());
}

TEST(GrammarState, ForcedBytesAreThoseThatMustCome) {
  const auto start = start_of(
      R"({"type": "object", "properties": {"kind": {"const": "point"}, "x": {"type": "integer"}},
          "required": ["kind", "x"], "additionalProperties": false})");
  ASSERT_TRUE(start.has_value());
  EXPECT_EQ(start->forced(1000), R"({"kind": "point", "x": )");
  EXPECT_EQ(start->forced(4), R"({"ki)");
  EXPECT_EQ(start->after(R"({"kind": "point", "x": 1)")->forced(1000), "");
  EXPECT_EQ(start->after(R"({"kind": "point", "x": 1})")->forced(1000), "");
}

TEST(GrammarState, LongTextsKeepLittle) {
  // Each new name is a frame of its own; what no state needs any more is dropped on the way.
  const auto start = start_of(R"({"type": "object", "additionalProperties": {"type": "array"}})");
  ASSERT_TRUE(start.has_value());
  GrammarState state = *start->after("{");
  for (int i = 0; i < 30000; ++i)
    state = *state.after(fmt::format("{}\"n{}\": [[], [1, 2]]", i > 0 ? ", " : "", i));
  EXPECT_FALSE(state.after(", \"n17\": ").has_value()) << "a name that was used long before";
  EXPECT_TRUE(accepts(state, "}"));
}

}  // namespace
}  // namespace ft::grammar
