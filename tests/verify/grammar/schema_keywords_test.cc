// Keyword by keyword: what a schema's grammar accepts and what it does not.
#include <string>
#include <vector>

#include "tests/verify/grammar/grammar_text.h"

namespace ft::grammar {
namespace {

struct Case {
  const char* schema;
  std::vector<const char*> valid;
  std::vector<const char*> invalid;
};

class SchemaKeywords : public testing::TestWithParam<Case> {};

TEST_P(SchemaKeywords, AcceptsTheValidAloneByteByByte) {
  const auto start = start_of(GetParam().schema);
  ASSERT_TRUE(start.has_value());
  for (const char* text : GetParam().valid) EXPECT_TRUE(accepts(*start, text)) << text;
  for (const char* text : GetParam().invalid) EXPECT_FALSE(accepts(*start, text)) << text;
}

const Case kTypes[] = {
    {R"({})",
     {"null", "true", "-1.5e+10", R"("x\n\u001f\"")", "[]", R"([1, [2, {"a": {}}]])",
      R"({"a": 1, "b": "c"})"},
     {"", "nul", "[1,2]", R"({"a":1})", R"({"a": 1, "a": 2})", "01", "\"\n\"", "\"\\/\"", "\"\\u0041\"",
      "[1, ]"}},
    {R"(true)", {"1"}, {"x"}},
    {R"({"type": "integer"})", {"0", "-7", "12"}, {"1.5", "\"1\"", "1e3", "null"}},
    {R"({"type": ["string", "null"]})", {"\"\"", "null"}, {"1", "[]"}},
    {R"({"type": "boolean"})", {"true", "false"}, {"null", "0"}},
    {R"({"enum": ["a", 1, null, [1, "x"], {"k": true}]})",
     {"\"a\"", "1", "1.0", "null", R"([1, "x"])", R"({"k": true})"},
     {"\"b\"", "2", "[1]", "{}", R"({"k": false})", R"({"k": true, "l": 1})"}},
    {R"({"const": "a\"b\n"})", {R"("a\"b\n")"}, {R"("a")"}},
    {R"({"type": "string", "enum": ["a", 1]})", {"\"a\""}, {"1"}},
};
INSTANTIATE_TEST_SUITE_P(Types, SchemaKeywords, testing::ValuesIn(kTypes));

const Case kStrings[] = {
    {R"({"type": "string", "minLength": 2, "maxLength": 3})",
     {"\"ab\"", "\"abc\"", "\"\xC3\xA9\xC3\xA9\"", R"("\n\n")"},
     {"\"a\"", "\"abcd\"", "\"\xC3\xA9\""}},
    {R"({"type": "string", "pattern": "^a+$", "maxLength": 2})",
     {"\"a\"", "\"aa\""},
     {"\"\"", "\"aaa\"", "\"b\""}},
    {R"({"type": "string", "pattern": "^(ab)*$", "minLength": 3, "maxLength": 5})",
     {"\"abab\""},
     {"\"ab\"", "\"aba\""}},
    {R"({"type": "string", "pattern": "\"|\\n"})", {R"("a\"b")", R"("\n")"}, {R"("ab")"}},
    {R"({"pattern": "^a"})", {"\"ab\"", "1", "null"}, {"\"b\""}},
    {R"({"type": "string", "format": "date"})", {"\"2024-01-31\""}, {"\"2024-01-32\"", "\"\""}},
    {R"({"type": "string", "format": "uuid", "pattern": "^0"})",
     {"\"01234567-89ab-cdef-0123-456789abcdef\""},
     {"\"11234567-89ab-cdef-0123-456789abcdef\""}},
    {R"({"type": "string", "format": "country-code"})", {"\"anything\""}, {"1"}},
};
INSTANTIATE_TEST_SUITE_P(Strings, SchemaKeywords, testing::ValuesIn(kStrings));

const Case kNumbers[] = {
    {R"({"type": "integer", "minimum": -3, "maximum": 12})",
     {"-3", "0", "12", "9"},
     {"-4", "13", "100", "1.5"}},
    {R"({"type": "number", "exclusiveMinimum": 0, "maximum": 1.5})",
     {"0.1", "1.5", "1"},
     {"0", "0.0", "1.51", "-1"}},
    {R"({"type": "number", "minimum": 0, "exclusiveMinimum": true})", {"0.1"}, {"0"}},
    {R"({"type": "number", "minimum": 0, "exclusiveMinimum": false})", {"0"}, {"-1"}},
    {R"({"type": "integer", "multipleOf": 5})", {"0", "15", "-10"}, {"7"}},
    {R"({"type": "number", "multipleOf": 0.01})", {"1.25", "3", "0.10"}, {"0.125"}},
    {R"({"type": "integer", "format": "int32"})", {"2147483647", "-2147483648"}, {"2147483648"}},
    {R"({"minimum": 5})", {"5", "\"a\"", "null"}, {"4"}},
};
INSTANTIATE_TEST_SUITE_P(Numbers, SchemaKeywords, testing::ValuesIn(kNumbers));

const Case kArrays[] = {
    {R"({"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3})",
     {"[1]", "[1, 2, 3]"},
     {"[]", "[1, 2, 3, 4]", "[\"a\"]"}},
    {R"({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": false})",
     {"[]", "[1]", "[1, \"a\"]"},
     {"[1, \"a\", 2]", "[\"a\"]"}},
    {R"({"type": "array", "items": [{"type": "integer"}], "additionalItems": {"type": "null"}})",
     {"[]", "[1]", "[1, null, null]"},
     {"[null]", "[1, 2]"}},
    {R"({"type": "array", "prefixItems": [{}, false]})", {"[]", "[1]"}, {"[1, 2]"}},
    {R"({"type": "array", "items": {"type": "array", "maxItems": 1}})", {"[[], [1]]"}, {"[[1, 2]]"}},
    {R"({"type": "array", "items": {"type": "string"}, "uniqueItems": true})",
     {"[]", R"(["a"])", R"(["a", "ab", "b"])"},
     {R"(["a", "a"])", R"(["a", "b", "a"])"}},
    {R"({"type": "array", "items": {"enum": ["a", "b", null]}, "uniqueItems": true, "minItems": 2})",
     {R"(["b", "a"])", R"([null, "b", "a"])"},
     {R"(["a"])", R"(["a", "a"])", R"(["a", "b", null, "a"])"}},
    {R"({"type": "array", "items": {"type": "integer", "minimum": 8, "maximum": 11}, "uniqueItems": true})",
     {"[8, 11, 10, 9]"},
     {"[8, 8]", "[8, 9, 10, 11, 8]"}},
    {R"({"type": "array", "items": {"enum": [0, 1, 2, "1", true]}, "uniqueItems": true})",
     {R"([2, "1", 0, 1, true])", "[]"},
     {"[1, 1]", "[1, 1.0]", "[0, -0]", "[true, true]"}},
    {R"({"type": "array", "items": {"type": "integer"}, "contains": {"minimum": 10}, "maxItems": 3})",
     {"[10]", "[1, 2, 11]", "[12, 1, 2]", "[10, 11]"},
     {"[]", "[1]", "[1, 2, 3]", "[\"a\", 10]"}},
    {R"({"type": "array", "contains": {"const": "x"}, "minContains": 0})", {"[]", "[1]"}, {"1"}},
    {R"({"type": "array", "not": {"contains": {"type": "null"}}})",
     {"[]", "[1, \"a\"]"},
     {"[null]", "[1, null]"}},
    {R"({"type": "array", "items": {}, "uniqueItems": true, "maxItems": 1})", {"[[1]]"}, {"[1, 2]"}},
};
INSTANTIATE_TEST_SUITE_P(Arrays, SchemaKeywords, testing::ValuesIn(kArrays));

const Case kObjects[] = {
    {R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {}, "c": {}}, "required": ["b"],
         "additionalProperties": false})",
     {R"({"b": 1})", R"({"a": 1, "b": 2})", R"({"a": 1, "b": 2, "c": 3})"},
     {"{}", R"({"a": 1})", R"({"b": 1, "a": 1})", R"({"b": 1, "d": 2})", R"({"a": "x", "b": 1})"}},
    {R"({"type": "object", "properties": {"ab": {"type": "null"}}})",
     {"{}", R"({"ab": null})", R"({"a": 1})", R"({"abc": 1})", R"({"ab": null, "x": 1})", R"({"": 1})"},
     {R"({"ab": 1})", R"({"x": 1, "ab": null})", R"({"x": 1, "x": 1})"}},
    {R"({"type": "object", "required": ["z"]})",
     {R"({"z": 1})", R"({"z": 1, "y": 2})"},
     {"{}", R"({"y": 1})"}},
    {R"({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2, "maxProperties": 3})",
     {R"({"a": 1, "b": 2})", R"({"a": 1, "b": 2, "c": 3})"},
     {R"({"a": 1})", R"({"a": 1, "b": 2, "c": 3, "d": 4})", R"({"a": "x", "b": 2})"}},
    {R"({"type": "object", "properties": {"a": {}, "b": {}, "c": {}}, "required": ["c"], "minProperties": 2,
         "maxProperties": 2, "additionalProperties": false})",
     {R"({"a": 1, "c": 1})", R"({"b": 1, "c": 1})"},
     {R"({"c": 1})", R"({"a": 1, "b": 1})", R"({"a": 1, "b": 1, "c": 1})"}},
    {R"({"type": "object", "patternProperties": {"^x-": {"type": "integer"}, "n$": {"minimum": 5}},
         "additionalProperties": false})",
     {"{}", R"({"x-a": 1})", R"({"x-n": 7})", R"({"n": 6})", R"({"n": "a"})"},
     {R"({"x-n": 1})", R"({"x-n": "a"})", R"({"y": 1})"}},
    {R"({"type": "object", "properties": {"x-a": {"maximum": 3}}, "patternProperties": {"^x-": {"type": "integer"}}})",
     {R"({"x-a": 2})", R"({"y": null})"},
     {R"({"x-a": 4})", R"({"x-a": 1.5})", R"({"x-b": null})"}},
    {R"({"type": "object", "propertyNames": {"pattern": "^[ab]$"}, "minProperties": 2})",
     {R"({"a": 1, "b": 2})", R"({"b": 1, "a": 2})"},
     {R"({"a": 1})", R"({"a": 1, "c": 1})", R"({"a": 1, "a": 1})", R"({"a": 1, "b": 1, "a": 1})"}},
    {R"({"type": "object", "properties": {"a": false, "b": {}}})", {R"({"b": 1})"}, {R"({"a": 1})"}},
    {R"({"type": "object", "properties": {"\u00e9\"": {"type": "null"}}, "additionalProperties": false})",
     {"{\"\xC3\xA9\\\"\": null}"},
     {"{\"\xC3\xA9\": null}"}},
    {R"({"type": "object", "dependentRequired": {"a": ["b"]}, "properties": {"a": {}, "b": {}}})",
     {"{}", R"({"b": 1})", R"({"a": 1, "b": 1})", R"({"c": 1})"},
     {R"({"a": 1})", R"({"a": 1, "c": 1})"}},
    {R"({"type": "object", "dependencies": {"a": {"properties": {"b": {"type": "null"}}}},
         "properties": {"a": {}, "b": {}}})",
     {R"({"b": 1})", R"({"a": 1, "b": null})", R"({"a": 1})"},
     {R"({"a": 1, "b": 1})"}},
};
INSTANTIATE_TEST_SUITE_P(Objects, SchemaKeywords, testing::ValuesIn(kObjects));

const Case kApplicators[] = {
    {R"({"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 1}]})",
     {"1", "\"a\""},
     {"\"ab\"", "null"}},
    {R"({"anyOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                   {"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["a", "b"]}]})",
     {R"({"a": 1})", R"({"a": "x", "b": 1})"},
     {R"({"a": "x"})", "{}"}},
    {R"({"allOf": [{"properties": {"a": {"minimum": 1}}}, {"properties": {"a": {"maximum": 3}}, "required": ["a"]}],
         "type": "object"})",
     {R"({"a": 2})", R"({"a": "x"})"},
     {R"({"a": 0})", R"({"a": 4})", "{}"}},
    {R"({"oneOf": [{"type": "integer", "multipleOf": 2}, {"type": "integer", "multipleOf": 3}]})",
     {"2", "3", "4", "9"},
     {"6", "0", "5"}},
    {R"({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {}, "b": {}}})",
     {R"({"a": 1})", R"({"b": 1})", R"({"a": 1, "c": 1})"},
     {"{}", R"({"a": 1, "b": 1})"}},
    {R"({"type": "object", "properties": {"k": {"enum": ["x", "y"]}}, "required": ["k"],
         "oneOf": [{"properties": {"k": {"const": "x"}, "v": {"type": "integer"}}},
                   {"properties": {"k": {"const": "y"}, "v": {"type": "string"}}}]})",
     {R"({"k": "x", "v": 1})", R"({"k": "y", "v": "s"})"},
     {R"({"k": "x", "v": "s"})", R"({"k": "z"})"}},
    {R"({"type": "string", "oneOf": [{"enum": ["", "x"]}, {"minLength": 0}]})",
     {"\"a\""},
     {"\"\"", "\"x\"", "1"}},
    {R"({"type": "string", "not": {"enum": ["a", "b"]}})", {"\"c\"", "\"ab\"", "\"\""}, {"\"a\"", "\"b\""}},
    {R"({"not": {"type": "string"}})", {"1", "[]"}, {"\"a\""}},
    {R"({"type": "string", "not": {"pattern": "a"}})", {"\"b\""}, {"\"ba\""}},
    {R"({"type": "integer", "not": {"minimum": 5, "maximum": 7}})", {"4", "8"}, {"5", "6", "7"}},
    {R"({"not": {"not": {"type": "null"}}})", {"null"}, {"1"}},
    {R"({"type": "object", "properties": {"t": {}, "v": {}}, "if": {"properties": {"t": {"const": 1}}, "required": ["t"]},
         "then": {"required": ["v"]}, "else": {"properties": {"v": false}}})",
     {R"({"t": 1, "v": 2})", R"({"t": 2})", "{}"},
     {R"({"t": 1})", R"({"t": 2, "v": 1})", R"({"v": 1})"}},
    {R"({"$ref": "#/$defs/n", "$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}},
         "additionalProperties": false}}})",
     {"{}", R"({"next": {"next": {}}})"},
     {R"({"next": 1})"}},
    {R"({"$id": "http://x.y/s.json", "$ref": "http://x.y/s.json#/definitions/a%20b",
         "definitions": {"a b": {"type": "null"}}})",
     {"null"},
     {"1"}},
    {R"({"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a", "type": "null",
         "definitions": {"a": {"type": "integer"}}})",
     {"1"},
     {"null"}},
    {R"({"$ref": "#/definitions/a", "minimum": 3, "definitions": {"a": {"type": "integer"}}})",
     {"3"},
     {"2", "null"}},
    // A branch that nothing satisfies is no branch.
    {R"({"anyOf": [{"type": "null"}, {"$ref": "#/$defs/loop"}],
         "$defs": {"loop": {"type": "object", "properties": {"a": {"$ref": "#/$defs/loop"}}, "required": ["a"]}}})",
     {"null"},
     {"{}", R"({"a": {}})"}},
};
INSTANTIATE_TEST_SUITE_P(Applicators, SchemaKeywords, testing::ValuesIn(kApplicators));

TEST(SchemaRefusals, NameTheKeywordAndThePath) {
  struct Refusal {
    const char* schema;
    const char* keyword;
    const char* path;
  };
  const Refusal cases[] = {
      {R"({"properties": {"a": {"uniqueItems": true}}})", "uniqueItems", "#/properties/a"},
      {R"({"items": {"type": "array", "items": {"type": "number"}, "uniqueItems": true}})", "uniqueItems",
       "#/items"},
      {R"({"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": true, "minItems": 3})",
       "uniqueItems", "#"},
      {R"({"items": {"type": "array", "contains": {}, "maxContains": 2}})", "maxContains", "#/items"},
      {R"({"unevaluatedProperties": false})", "unevaluatedProperties", "#"},
      {R"({"properties": {"a": {"format": "regex"}}})", "format", "#/properties/a"},
      {R"({"properties": {"a": {"pattern": "(a)\\1"}}})", "pattern", "#/properties/a"},
      {R"({"$ref": "other.json"})", "$ref", "#"},
      {R"({"$ref": "#"})", "$ref", "#"},
      {R"({"type": "strin"})", "type", "#"},
      {R"({"minLength": -1})", "minLength", "#"},
      {R"({"required": true})", "required", "#"},
      {R"({"properties": []})", "properties", "#"},
      {R"({"items": {"oneOf": [{"additionalProperties": {"type": "string"}, "type": "object"},
                               {"additionalProperties": {"type": "number"}, "type": "object"}]}})",
       "oneOf", "#/items"},
      {R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})", "required", "#"},
      {R"({"type": "integer", "minimum": 3, "maximum": 2})", "minimum", "#"},
      {R"({"allOf": [{"enum": [{"a": 1}]}, {"not": {"enum": [{"a": true}]}}]})", "allOf", "#"},
      {R"({"not": {}})", "not", "#"},
      {R"({"a": 1, "a": 2})", "", "#"},
      {R"([])", "", "#"},
      {"{", "", "#"},
  };
  for (const Refusal& c : cases) {
    const auto grammar = compile_schema(c.schema);
    ASSERT_FALSE(grammar.has_value()) << c.schema;
    EXPECT_EQ(grammar.error().keyword, c.keyword) << c.schema << ": " << grammar.error().message;
    EXPECT_EQ(grammar.error().path, c.path) << c.schema;
    EXPECT_FALSE(grammar.error().message.empty()) << c.schema;
  }
}

}  // namespace
}  // namespace ft::grammar
