#include "verify/grammar/grammar_constraint.h"

#include <vector>

#include "tests/verify/grammar/grammar_text.h"

namespace ft::grammar {
namespace {

constexpr int32_t kControl = 1;

std::vector<uint32_t> mask_of(const Constraint& constraint) {
  std::vector<uint32_t> mask(small_vocabulary()->mask_words(), 0);
  constraint.fill_mask(mask);
  return mask;
}

bool bit(const std::vector<uint32_t>& mask, int64_t token) {
  return (mask[static_cast<size_t>(token) / 32] >> token % 32 & 1) != 0;
}

int32_t token_of(char byte) {
  return 2 + static_cast<uint8_t>(byte);
}

Constraint constraint_of(const char* schema) {
  return grammar_constraint(*compile_schema(schema), small_vocabulary());
}

TEST(GrammarConstraint, IsTheGrammarsState) {
  Constraint constraint = constraint_of(R"({"enum": [7, 12]})");
  const Constraint start = constraint;
  EXPECT_TRUE(bit(mask_of(constraint), token_of('7')));
  EXPECT_FALSE(bit(mask_of(constraint), token_of('8')));
  EXPECT_FALSE(constraint.advance(token_of('8')));
  EXPECT_TRUE(constraint.advance(token_of('7')));
  EXPECT_TRUE(bit(mask_of(constraint), kEndToken));
  EXPECT_TRUE(constraint.advance(kEndToken));
  EXPECT_FALSE(constraint.after(token_of('7')).has_value());
  EXPECT_FALSE(bit(mask_of(start), kEndToken)) << "the state that it was made from";
}

TEST(GrammarConstraint, BeginsBehindAMarker) {
  Constraint constraint = behind_token(kControl, constraint_of(R"({"type": "null"})"), small_vocabulary());
  const std::vector<uint32_t> free = mask_of(constraint);
  for (int32_t token = 0; token < small_vocabulary()->size(); ++token)
    EXPECT_EQ(bit(free, token), token != kEndToken) << token;
  for (auto token = small_vocabulary()->size(); token < static_cast<int64_t>(free.size()) * 32; ++token)
    EXPECT_FALSE(bit(free, token)) << "beyond the vocabulary";
  EXPECT_FALSE(constraint.advance(kEndToken));
  for (const char byte : {'x', '}', 'n'}) EXPECT_TRUE(constraint.advance(token_of(byte)));
  EXPECT_EQ(mask_of(constraint), free);
  EXPECT_TRUE(constraint.advance(kControl));
  EXPECT_FALSE(bit(mask_of(constraint), token_of('x')));
  EXPECT_FALSE(bit(mask_of(constraint), kControl));
  for (const char byte : {'n', 'u', 'l', 'l'}) EXPECT_TRUE(constraint.advance(token_of(byte)));
  EXPECT_TRUE(bit(mask_of(constraint), kEndToken));
}

TEST(GrammarConstraint, BeginsAgainWhereAnEndEndsNothing) {
  Constraint constraint = repeated(constraint_of(R"({"type": "null"})"), small_vocabulary());
  for (int reply = 0; reply < 3; ++reply) {
    EXPECT_EQ(mask_of(constraint), mask_of(constraint_of(R"({"type": "null"})")));
    for (const char byte : {'n', 'u', 'l', 'l'}) {
      EXPECT_FALSE(constraint.after(kEndToken).has_value());
      EXPECT_TRUE(constraint.advance(token_of(byte)));
    }
    EXPECT_FALSE(constraint.after(token_of('n')).has_value());
    EXPECT_TRUE(bit(mask_of(constraint), kEndToken));
    EXPECT_TRUE(constraint.advance(kEndToken));
  }
}

}  // namespace
}  // namespace ft::grammar
