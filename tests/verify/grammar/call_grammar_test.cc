// Tool calls as grammars: what they accept, and that walks through them are calls that the server's reader
// reads back.
#include "verify/grammar/call_grammar.h"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "encoding/completion_parser.h"
#include "tests/verify/grammar/grammar_text.h"

namespace ft::grammar {
namespace {

using nlohmann::json;

constexpr const char* kWeather = R"({"type": "object", "properties": {
    "city": {"type": "string", "maxLength": 12}, "days": {"type": "integer", "minimum": 1, "maximum": 9},
    "unit": {"enum": ["C", "F", null]}}, "required": ["city"], "additionalProperties": false})";
constexpr const char* kPlot = R"({"type": "object", "properties": {
    "points": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
    "title": {"type": ["string", "boolean"], "pattern": "^[A-Za-z ]*$"},
    "style": {"type": "object", "properties": {"wide": {"type": "boolean"}}, "additionalProperties": false}},
    "required": ["points", "style"]})";
constexpr const char* kMove = R"({"type": "object", "oneOf": [
      {"properties": {"op": {"const": "move"}, "to": {"type": "string"}}, "required": ["op", "to"],
       "additionalProperties": false},
      {"properties": {"op": {"const": "turn"}, "by": {"type": "integer"}}, "required": ["op", "by"],
       "additionalProperties": false},
      {"properties": {"op": {"enum": ["stop", "turn back"]}}, "required": ["op"], "additionalProperties": false}]})";

std::string block(const std::string& calls) {
  return "\n\n<｜DSML｜tool_calls>\n" + calls + "\n</｜DSML｜tool_calls>";
}
std::string call(const std::string& name, const std::string& parameters) {
  return "<｜DSML｜invoke name=\"" + name + "\">\n" + parameters + "\n</｜DSML｜invoke>";
}
std::string text(const std::string& name, const std::string& value) {
  return "<｜DSML｜parameter name=\"" + name + "\" string=\"true\">" + value + "</｜DSML｜parameter>";
}
std::string value(const std::string& name, const std::string& value) {
  return "<｜DSML｜parameter name=\"" + name + "\" string=\"false\">" + value + "</｜DSML｜parameter>";
}

std::optional<GrammarState> start(const std::vector<CallableTool>& tools, const CallOptions& options) {
  const auto made = call_grammar(tools, options);
  if (made) return GrammarState(*made, small_vocabulary());
  ADD_FAILURE() << made.error().tool << ": " << made.error().why.message;
  return std::nullopt;
}

const std::vector<CallableTool> kTools = {
    {"weather", kWeather}, {"plot", kPlot}, {"weather_now", std::nullopt}};

TEST(CallGrammar, RequiredCallsHaveTheSchemasParameters) {
  const auto calls = start(kTools, {.required = true});
  ASSERT_TRUE(calls.has_value());
  const std::string rome = call("weather", text("city", "Rome"));
  EXPECT_TRUE(accepts(*calls, block(rome)));
  EXPECT_TRUE(accepts(*calls, block(rome + "\n" + rome)));
  EXPECT_TRUE(accepts(*calls, block(call("weather", text("city", "") + "\n" + value("days", "3")))));
  EXPECT_TRUE(
      accepts(*calls, block(call("weather", text("city", "a \"<b>\" c\\") + "\n" + text("unit", "F")))));
  EXPECT_TRUE(accepts(*calls, block(call("weather", text("city", "Rome") + "\n" + value("unit", "null")))));
  EXPECT_TRUE(accepts(*calls, block(call("plot", value("points", "[1, 2]") + "\n" + value("title", "true") +
                                                     "\n" + value("style", "{\"wide\": true}")))));
  for (const std::string& wrong : {
           std::string(),
           std::string("The weather"),
           rome,
           block(call("whether", text("city", "Rome"))),
           block(call("weather", "")),
           block(call("weather", value("days", "3"))),
           block(call("weather", value("days", "3") + "\n" + text("city", "Rome"))),
           block(call("weather", text("city", "Rome") + "\n" + text("city", "Rome"))),
           block(call("weather", text("city", "Rome") + "\n" + text("days", "3"))),
           block(call("weather", text("city", "Rome") + "\n" + value("days", "30"))),
           block(call("weather", text("city", "Rome") + "\n" + value("unit", "\"C\""))),
           block(call("weather", value("city", "\"Rome\""))),
           block(call("weather", text("city", "a city of thirteen"))),
           block(call("weather", text("city", "Rome") + "\n" + text("street", "x"))),
           block(
               call("plot", value("points", "[]") + "\n" + text("title", "3") + "\n" + value("style", "{}"))),
           block(rome) + "more",
       })
    EXPECT_FALSE(accepts(*calls, wrong)) << wrong;
}

TEST(CallGrammar, AnyParametersWithoutASchema) {
  const auto calls = start(kTools, {.required = true});
  ASSERT_TRUE(calls.has_value());
  EXPECT_TRUE(accepts(*calls, block("<｜DSML｜invoke name=\"weather_now\">\n\n</｜DSML｜invoke>")));
  EXPECT_TRUE(
      accepts(*calls, block(call("weather_now", text("Stadt", "Köln") + "\n" + value("n", "{\"a\": [1]}") +
                                                    "\n" + text("Stadt", "")))));
  EXPECT_FALSE(accepts(*calls, block(call("weather_now", value("n", "nul")))));
  EXPECT_FALSE(accepts(*calls, block(call("weather_now", text("", "x")))));
}

TEST(CallGrammar, OneCallWhereSeveralAreNotWanted) {
  const auto calls = start(kTools, {.required = true, .several = false});
  ASSERT_TRUE(calls.has_value());
  const std::string rome = call("weather", text("city", "Rome"));
  EXPECT_TRUE(accepts(*calls, block(rome)));
  EXPECT_FALSE(accepts(*calls, block(rome + "\n" + rome)));
}

TEST(CallGrammar, TextMayComeInsteadOfCallsOrBeforeThem) {
  const auto calls = start(kTools, {});
  ASSERT_TRUE(calls.has_value());
  const std::string rome = block(call("weather", text("city", "Rome")));
  for (const std::string& right : {std::string(), std::string("Just a < b, <｜ and \"text\"\n\n"), rome,
                                   "I look it up." + rome, "a <" + rome, "x" + rome.substr(1)})
    EXPECT_TRUE(accepts(*calls, right)) << right;
  for (const std::string& wrong :
       {"I look it up." + block(call("whether", "")), std::string("<｜DSML｜x"), rome + "And more.",
        rome + rome, std::string("<｜DSML｜invoke name=\"weather\">")})
    EXPECT_FALSE(accepts(*calls, wrong)) << wrong;
}

TEST(CallGrammar, AnAnswerOfAFormMayComeInsteadOfCalls) {
  const auto answer =
      compile_schema(R"({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})");
  ASSERT_TRUE(answer.has_value());
  const auto calls = start(kTools, {.answer = *answer});
  ASSERT_TRUE(calls.has_value());
  EXPECT_TRUE(accepts(*calls, R"({"a": 1})"));
  EXPECT_TRUE(accepts(*calls, block(call("weather", text("city", "Rome")))));
  EXPECT_FALSE(accepts(*calls, "text"));
  EXPECT_FALSE(accepts(*calls, R"({"a": 1})" + block(call("weather", text("city", "Rome")))));
}

// The parameters of one alternative, whole.
TEST(CallGrammar, AlternativesOfAllParameters) {
  const auto calls = start({{"go", kMove}, {"weather", kWeather}}, {.required = true});
  ASSERT_TRUE(calls.has_value());
  const auto op = [](const char* name) { return text("op", name); };
  for (const std::string& right : {op("move") + "\n" + text("to", "Rome"),
                                   op("turn") + "\n" + value("by", "3"), op("stop"), op("turn back")})
    EXPECT_TRUE(accepts(*calls, block(call("go", right) + "\n" + call("go", op("stop"))))) << right;
  for (const std::string& wrong :
       {op("move"), op("move") + "\n" + value("by", "3"), op("turn") + "\n" + text("to", "Rome"), op("turn"),
        op("stop") + "\n" + text("to", "Rome"), op("halt"), text("to", "Rome"), std::string(),
        op("turn back") + "\n" + value("by", "3")})
    EXPECT_FALSE(accepts(*calls, block(call("go", wrong)))) << wrong;
}

TEST(CallGrammar, AlternativesThatCannotBeAreLeftOut) {
  const auto calls = start({{"f", R"({"type": "object", "anyOf": [
      {"properties": {"a": {"type": "integer", "minimum": 2, "maximum": 1}}, "required": ["a"]},
      {"properties": {"<b>": {"type": "string"}}, "required": ["<b>"]},
      {"properties": {"c": {"type": "string"}}, "required": ["c"]}]})"}},
                           {.required = true});
  ASSERT_TRUE(calls.has_value());
  EXPECT_TRUE(accepts(*calls, block(call("f", text("c", "x")))));
  EXPECT_FALSE(accepts(*calls, block(call("f", ""))));
  EXPECT_FALSE(accepts(*calls, block(call("f", value("a", "1")))));
}

// Which alternative a call is may show late: none of them is lost on the way, and one without members is one, too.
TEST(CallGrammar, AlternativesMayBeginAlike) {
  const auto calls =
      start({{"f", R"({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
      "if": {"properties": {"a": {"const": "x"}}, "required": ["a"]}, "then": {"required": ["b"]},
      "additionalProperties": false})"}},
            {.required = true});
  ASSERT_TRUE(calls.has_value());
  EXPECT_TRUE(accepts(*calls, block(call("f", text("a", "x") + "\n" + value("b", "1")))));
  EXPECT_TRUE(accepts(*calls, block(call("f", text("a", "xy")))));
  EXPECT_TRUE(accepts(*calls, block("<｜DSML｜invoke name=\"f\">\n\n</｜DSML｜invoke>")));
  EXPECT_FALSE(accepts(*calls, block(call("f", text("a", "x")))));
}

// A parameter's text that looked like markup would end it, or the call.
TEST(CallGrammar, TheTextOfAParameterHoldsNoMarkup) {
  const auto calls = start(kTools, {.required = true});
  ASSERT_TRUE(calls.has_value());
  for (const char* tag : {"<｜DSML｜invoke", "</｜DSML｜x", "<|DSML|a", "</||DSML||"})
    EXPECT_FALSE(accepts(*calls, block(call("weather_now", text("a", std::string("b") + tag + "c"))))) << tag;
  EXPECT_TRUE(accepts(*calls, block(call("weather_now", text("a", "｜DSML｜ <DSML> <｜ </")))))
      << "none of these is a tag";
}

TEST(CallGrammar, RefusesWhatItCannotEnforceByToolAndKeyword) {
  const auto refused = [](const char* schema) {
    const std::vector<CallableTool> tools = {{"f", std::nullopt}, {"g", schema}};
    const auto made = call_grammar(tools, {.required = true});
    EXPECT_FALSE(made.has_value()) << schema;
    return made ? "" : made.error().tool + " " + made.error().why.keyword;
  };
  EXPECT_EQ(refused(R"({"properties": {"a": {"unevaluatedItems": false}}})"), "g unevaluatedItems");
  EXPECT_EQ(refused(R"({"type": "array"})"), "g type");
  EXPECT_EQ(refused(R"({"anyOf": [{"type": "object", "properties": {"a": {}, "b": {}}, "minProperties": 1},
                                  {"type": "object"}]})"),
            "g minProperties");
  EXPECT_EQ(refused(R"({"type": "object", "properties": {"a": {}, "b": {}}, "minProperties": 1})"),
            "g minProperties");
  EXPECT_EQ(refused(R"({"type": "object", "properties": {"a": {}, "b": {}}, "maxProperties": 1})"),
            "g maxProperties");
  EXPECT_EQ(refused(R"({"type": "object", "properties": {"a\"b": {}}, "required": ["a\"b"]})"), "g required");
  const std::vector<CallableTool> twice = {{"f", std::nullopt}, {"f", std::nullopt}};
  EXPECT_EQ(call_grammar(twice, {}).error().why.keyword, "name");
  const std::vector<CallableTool> quoted = {{"a\">", std::nullopt}};
  EXPECT_EQ(call_grammar(quoted, {}).error().why.keyword, "name");
}

TEST(CallGrammar, ASchemaThatIsAdviceMayBeOneThatCannotBeEnforced) {
  const std::vector<CallableTool> tools = {{"f", R"({"unevaluatedProperties": false})", true}};
  EXPECT_TRUE(accepts(*start(tools, {.required = true}), block(call("f", text("a", "b")))));
}

// All schemas together are bounded like one.
TEST(CallGrammar, ManyHostileToolsTakeBoundedTime) {
  const auto hostile = [](int i) {
    std::string schema = R"({"type":"object","properties":{"a":{"allOf":[)";
    for (int k = 0; k < 4; ++k)
      schema += fmt::format(R"({}{{"anyOf":[{{"required":["a{}"]}},{{"required":["b{}"]}}]}})",
                            k > 0 ? "," : "", k, i);
    return schema + "]}}}";
  };
  std::vector<CallableTool> tools;
  for (int i = 0; i < 1000; ++i) tools.push_back({fmt::format("tool_{}", i), hostile(i), true});
  const auto begin = std::chrono::steady_clock::now();
  const auto made = call_grammar(tools, {.required = true});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_TRUE(made.has_value());
  for (CallableTool& tool : tools) tool.advice = false;
  const auto alone = call_grammar(std::span(tools).first(1), {.required = true});
  EXPECT_TRUE(alone.has_value()) << alone.error().why.message;
  const auto refused = call_grammar(tools, {.required = true});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().why.message.find("together"), std::string::npos) << refused.error().why.message;
}

TEST(CallGrammar, ManyOrdinaryToolsAreEnforced) {
  std::vector<CallableTool> tools;
  for (int i = 0; i < 300; ++i) tools.push_back({fmt::format("tool_{}", i), kPlot, false});
  const auto calls = start(tools, {.required = true});
  ASSERT_TRUE(calls.has_value());
  EXPECT_TRUE(accepts(*calls, block(call("tool_299", value("points", "[]") + "\n" + value("style", "{}")))));
  EXPECT_FALSE(accepts(*calls, block(call("tool_299", value("points", "[]")))));
}

// Random walks end, and the reader of replies finds the calls with arguments that the schemas accept.
TEST(CallGrammar, WalksAreCallsThatTheReaderReadsBack) {
  std::mt19937 random(8);
  const auto weather = *start_of(kWeather);
  const auto move = *start_of(kMove);
  std::vector<CallableTool> tools = kTools;
  tools.push_back({"go", kMove});
  int calls_read = 0;
  int moves = 0;
  for (int walk = 0; walk < 150; ++walk) {
    const bool required = walk % 2 == 0;
    GrammarState state = *start(tools, {.required = required, .several = walk % 3 != 0});
    std::string reply;
    if (!required) {
      reply = "Text.<｜DSML｜";
      state = *state.after(reply);
    }
    for (int step = 0; step < 4000 && !state.complete(); ++step) {
      std::vector<uint32_t> mask(state.vocabulary().mask_words());
      state.fill_mask(mask);
      std::vector<int32_t> allowed;
      for (int32_t token = 1; token < state.vocabulary().size(); ++token)
        if ((mask[static_cast<size_t>(token) / 32] >> token % 32 & 1) != 0) allowed.push_back(token);
      ASSERT_FALSE(allowed.empty()) << "a dead end behind " << reply;
      int32_t token = allowed[random() % allowed.size()];
      // Towards an end, and into a block where text is free.
      for (const int32_t other : allowed)
        if (state.vocabulary().bytes_of(other) == "<" && random() % 2 == 0) token = other;
      reply += state.vocabulary().bytes_of(token);
      state = *state.after(token);
    }
    if (!state.complete()) continue;
    const encoding::AssistantMessage read = encoding::parse_completion(
        reply, {.thinking = false, .tools_offered = true, .eos_in_text = false}, encoding::TextEnd::kEos);
    ASSERT_FALSE(read.tool_calls.empty()) << reply;
    if (walk % 3 == 0) {
      EXPECT_EQ(read.tool_calls.size(), 1u) << reply;
    }
    for (const auto& one : read.tool_calls) {
      ++calls_read;
      EXPECT_TRUE(one.name == "weather" || one.name == "plot" || one.name == "weather_now" ||
                  one.name == "go")
          << reply;
      const json arguments = json::parse(one.arguments, nullptr, false);
      ASSERT_TRUE(arguments.is_object()) << reply << one.arguments;
      if (one.name == "weather") {
        EXPECT_TRUE(accepts(weather, one.arguments)) << one.arguments << " of " << reply;
      } else if (one.name == "go") {
        ++moves;
        EXPECT_TRUE(accepts(move, one.arguments)) << one.arguments << " of " << reply;
      }
    }
  }
  EXPECT_GT(calls_read, 30);
  EXPECT_GT(moves, 5);
}

}  // namespace
}  // namespace ft::grammar
