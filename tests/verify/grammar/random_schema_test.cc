// What a random walk through the masks writes is valid, by a validator that shares nothing with the grammars.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "tests/verify/grammar/grammar_text.h"

#ifdef FT_HAVE_VALIJSON
// The validator's headers do not keep to our warnings.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>
#pragma GCC diagnostic pop
#endif

namespace ft::grammar {
namespace {

using nlohmann::json;
using Random = std::mt19937;

int below(Random& random, int limit) {
  return static_cast<int>(random() % static_cast<unsigned>(limit));
}

const char* name(Random& random) {
  constexpr const char* kNames[] = {"a", "ab", "abc", "name", "x-1", "b"};
  return kNames[below(random, 6)];
}

const char* pattern(Random& random) {
  constexpr const char* kPatterns[] = {"^[a-c]*$", "b",        "^x-",   "^(ab|c){1,3}$",
                                       "[0-9]$",   "^.{2,4}$", "^\\w+$"};
  return kPatterns[below(random, 7)];
}

json value(Random& random) {
  const json values[] = {"a", "abc", "x-1", 3, -7, 2.5, true, nullptr, json::array({1, "a"}), {{"a", 1}}};
  return values[below(random, 10)];
}

json schema(Random& random, int depth);

json object_schema(Random& random, int depth) {
  json made = {{"type", "object"}};
  for (int i = below(random, 4); i > 0; --i) made["properties"][name(random)] = schema(random, depth - 1);
  for (int i = below(random, 3); i > 0; --i) made["required"].push_back(name(random));
  if (made.contains("required") && made["required"].size() == 2 && made["required"][0] == made["required"][1])
    made["required"].erase(1);
  switch (below(random, 4)) {
    case 0:
      made["additionalProperties"] = false;
      break;
    case 1:
      made["additionalProperties"] = schema(random, depth - 1);
      break;
  }
  if (below(random, 4) == 0) made["patternProperties"][pattern(random)] = schema(random, depth - 1);
  if (below(random, 5) == 0) made["propertyNames"] = {{"pattern", pattern(random)}};
  if (below(random, 4) == 0) made["minProperties"] = below(random, 4);
  if (below(random, 4) == 0) made["maxProperties"] = 1 + below(random, 4);
  if (below(random, 6) == 0) made["dependencies"][name(random)] = json::array({name(random)});
  return made;
}

json array_schema(Random& random, int depth) {
  json made = {{"type", "array"}};
  if (below(random, 3) > 0) made["items"] = schema(random, depth - 1);
  if (below(random, 4) == 0) {
    made["items"] = json::array({schema(random, depth - 1), schema(random, depth - 1)});
    made["additionalItems"] = schema(random, depth - 1);
  } else if (below(random, 4) == 0) {
    made["items"] = {{"type", "string"}, {"maxLength", 2}};
    made["uniqueItems"] = true;
  }
  if (below(random, 6) == 0) made["contains"] = schema(random, depth - 1);
  if (below(random, 3) == 0) made["minItems"] = below(random, 4);
  if (below(random, 3) == 0) made["maxItems"] = 1 + below(random, 4);
  return made;
}

json schema(Random& random, int depth) {
  const int kinds = depth > 0 ? 14 : 7;
  switch (below(random, kinds)) {
    case 0:
      return json::object();
    case 1:
      return {{"type", "integer"}, {"minimum", below(random, 30) - 20}, {"maximum", 5 + below(random, 200)}};
    case 2: {
      json made = {{"type", "number"}};
      made[below(random, 2) == 0 ? "exclusiveMinimum" : "minimum"] = below(random, 9) / 4.0 - 1;
      return made;
    }
    case 3: {
      json made = {{"type", "string"}};
      if (below(random, 2) == 0) made["minLength"] = below(random, 4);
      if (below(random, 2) == 0) made["maxLength"] = 2 + below(random, 5);
      if (below(random, 2) == 0) made["pattern"] = pattern(random);
      return made;
    }
    case 4:
      return {{"enum", json::array({value(random), value(random), value(random)})}};
    case 5:
      return {{"type", json::array({"boolean", "null", "string"})}};
    case 6:
      return {{"type", "integer"}, {"multipleOf", 1 + below(random, 12)}};
    case 7:
    case 8:
      return array_schema(random, depth);
    case 9:
    case 10:
      return object_schema(random, depth);
    case 11: {
      json made = schema(random, depth - 1);
      made["anyOf"] = json::array({schema(random, depth - 1), schema(random, depth - 1)});
      return made;
    }
    case 12: {
      json made = schema(random, depth - 1);
      made[below(random, 2) == 0 ? "oneOf" : "allOf"] =
          json::array({schema(random, depth - 1), schema(random, depth - 1)});
      return made;
    }
    default: {
      json made = schema(random, depth - 1);
      if (below(random, 2) == 0) {
        made["not"] = schema(random, depth - 1);
      } else {
        made["if"] = schema(random, depth - 1);
        made["then"] = schema(random, depth - 1);
        made["else"] = schema(random, depth - 1);
      }
      return made;
    }
  }
}

// A text of the grammar, by tokens: any at first, later those that close something. Empty if it does not end.
std::string walk(const GrammarState& start, Random& random) {
  const Vocabulary& vocabulary = start.vocabulary();
  std::vector<uint32_t> mask(vocabulary.mask_words());
  GrammarState state = start;
  std::string text;
  const int free_steps = below(random, 60);
  for (int step = 0; step < 3000; ++step) {
    state.fill_mask(mask);
    std::vector<int32_t> allowed;
    std::vector<int32_t> closing;
    for (int32_t token = 0; token < vocabulary.size(); ++token) {
      if ((mask[static_cast<size_t>(token) / 32] >> token % 32 & 1) == 0) continue;
      const std::string_view bytes = vocabulary.bytes_of(token);
      // The validator's patterns read bytes, not characters.
      if (std::any_of(bytes.begin(), bytes.end(), [](char byte) { return (byte & 0x80) != 0; })) continue;
      allowed.push_back(token);
      if (token == kEndToken || bytes == "}" || bytes == "]" || bytes == "\"") closing.push_back(token);
    }
    if (allowed.empty()) {
      ADD_FAILURE() << "a dead end behind " << text;
      return "";
    }
    const std::vector<int32_t>& from = step > free_steps && !closing.empty() ? closing : allowed;
    const int32_t token = from[random() % from.size()];
    if (token == kEndToken) return text;
    text += vocabulary.bytes_of(token);
    auto next = state.after(token);
    if (!next) {
      ADD_FAILURE() << "the mask allows what the grammar does not, behind " << text;
      return "";
    }
    state = std::move(*next);
  }
  return "";
}

#ifdef FT_HAVE_VALIJSON
bool valid(const json& schema, const json& instance) {
  valijson::Schema parsed;
  valijson::SchemaParser parser(valijson::SchemaParser::kDraft7);
  parser.populateSchema(valijson::adapters::NlohmannJsonAdapter(schema), parsed);
  valijson::Validator validator(valijson::Validator::kStrongTypes);
  return validator.validate(parsed, valijson::adapters::NlohmannJsonAdapter(instance), nullptr);
}
#else
bool valid(const json&, const json&) {
  return true;
}
#endif

void check(uint32_t seed, int schemas) {
  Random random(seed);
  int compiled = 0;
  int texts = 0;
  for (int i = 0; i < schemas; ++i) {
    const json made = schema(random, 3);
    const auto grammar = compile_schema(made.dump());
    if (!grammar) continue;
    ++compiled;
    const GrammarState start(*grammar, small_vocabulary());
    for (int w = 0; w < 4; ++w) {
      const std::string text = walk(start, random);
      if (text.empty() || text.find("\\u0000") != std::string::npos)
        continue;  // the validator ends strings there
      ++texts;
      const json instance = json::parse(text, nullptr, false);
      ASSERT_FALSE(instance.is_discarded()) << made << "\nallows " << text;
      ASSERT_TRUE(valid(made, instance)) << made << "\nallows " << text;
    }
  }
  EXPECT_GT(compiled, schemas / 2);
  EXPECT_GT(texts, schemas);
#ifndef FT_HAVE_VALIJSON
  GTEST_SKIP() << "SKIPPED: no validator (Debian's libvalijson-dev), so only dead ends were looked for";
#endif
}

TEST(RandomSchema, WalksThroughTheMasksWriteValidInstances) {
  check(1, 300);
}

TEST(FullRandomSchema, WalksThroughTheMasksWriteValidInstances) {
  check(2, 6000);
}

}  // namespace
}  // namespace ft::grammar
