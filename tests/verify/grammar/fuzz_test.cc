// The fuzz targets on inputs that are bred from good ones: a short run of what libFuzzer does for hours.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_targets.h"

namespace ft::fuzz {
namespace {

using Target = void (*)(std::span<const uint8_t>);

std::string mutated(std::string text, const std::vector<std::string>& seeds, std::mt19937& random) {
  for (int edits = 1 + static_cast<int>(random() % 4); edits > 0; --edits) {
    const size_t place = text.empty() ? 0 : random() % text.size();
    switch (random() % 5) {
      case 0:
        text.erase(place, 1 + random() % 4);
        break;
      case 1:
        text.insert(place, 1, static_cast<char>(random()));
        break;
      case 2:
        if (!text.empty()) text[place] = static_cast<char>(random());
        break;
      case 3: {  // a piece of another
        const std::string& other = seeds[random() % seeds.size()];
        const size_t from = random() % other.size();
        text.insert(place, other.substr(from, 1 + random() % 40));
        break;
      }
      default:  // a piece again
        text.insert(place, text.substr(place, 1 + random() % 20));
    }
  }
  return text;
}

void breed(Target target, const std::vector<std::string>& seeds, int rounds) {
  std::mt19937 random(5);
  for (int round = 0; round < rounds; ++round) {
    std::string text = mutated(seeds[random() % seeds.size()], seeds, random);
    text += '\0';
    for (int i = 0; i < 12; ++i) text += static_cast<char>(random());
    target({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
}

const std::vector<std::string> kSchemas = {
    R"({"type":"object","properties":{"a":{"type":"integer","minimum":3},"b":{"enum":["x",1,null]}},"required":["a"]})",
    R"({"anyOf":[{"type":"string","pattern":"^a+$","maxLength":3},{"type":"array","items":{"$ref":"#"},"maxItems":2}]})",
    R"({"$defs":{"n":{"type":"object","additionalProperties":{"$ref":"#/$defs/n"}}},"$ref":"#/$defs/n"})",
    R"({"type":"object","patternProperties":{"^x":{"type":"null"}},"propertyNames":{"maxLength":3},"minProperties":1})",
    R"({"oneOf":[{"required":["a"]},{"required":["b"]}],"not":{"const":1},"if":{"type":"string"},"then":{"minLength":2}})",
    R"({"type":"array","items":[{"multipleOf":0.5},{"format":"date"}],"uniqueItems":false,"dependencies":{"a":["b"]}})",
    R"({"type":"array","items":{"type":"string","maxLength":2},"uniqueItems":true,"minItems":2})"};

const std::vector<std::string> kPatterns = {"^(a|b)*c{2,3}$",     "[^a-z\\d-]+?",         "^(?!x)(?=a).*\\s",
                                            "\\u00e9|\\x41",      "(?:ab)?|(c$|^d){0,4}", "((a*)*b+){3,}",
                                            "[\\w.]+@[\\w]+\\.de"};

TEST(Fuzz, SchemasKeepTheirPromises) {
  breed(schema, kSchemas, 3000);
}

TEST(Fuzz, RegularExpressionsKeepTheirPromises) {
  breed(regex, kPatterns, 5000);
}

TEST(FullFuzz, SchemasKeepTheirPromises) {
  breed(schema, kSchemas, 100'000);
}

TEST(FullFuzz, RegularExpressionsKeepTheirPromises) {
  breed(regex, kPatterns, 200'000);
}

}  // namespace
}  // namespace ft::fuzz
