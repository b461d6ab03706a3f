// The fuzz targets on inputs that are bred from good ones: a short run of what libFuzzer does for hours.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/fuzz/breeding.h"
#include "tests/fuzz/fuzz_targets.h"

namespace ft::fuzz {
namespace {

// Bytes behind the zero byte: choices among the tokens that are allowed, or a text.
constexpr int kTail = 12;

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
  breed(schema, kSchemas, 3000, kTail);
}

TEST(Fuzz, RegularExpressionsKeepTheirPromises) {
  breed(regex, kPatterns, 5000, kTail);
}

TEST(FullFuzz, SchemasKeepTheirPromises) {
  breed(schema, kSchemas, 100'000, kTail);
}

TEST(FullFuzz, RegularExpressionsKeepTheirPromises) {
  breed(regex, kPatterns, 200'000, kTail);
}

}  // namespace
}  // namespace ft::fuzz
