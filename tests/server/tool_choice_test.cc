// What a request's tool_choice, strict tools and parallel_tool_calls make of its answers, in every API that has them.
#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <utility>

#include "server/api/dialect.h"
#include "server/api/tool_grammar.h"
#include "tests/server/fake_model.h"

namespace ft::server {
namespace {

using encoding::Json;
using testing::ByteTokenizer;

constexpr std::string_view kParameters =
    R"({"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false})";

class ToolChoiceTest : public ::testing::Test {
 protected:
  ToolChoiceTest() { defaults_.thinking = false; }

  ApiResult<GenerationJob> job(std::string_view path, const std::string& members) {
    const std::string prompt = path == "/responses"
                                   ? R"("input":"hi")"
                                   : R"("max_tokens":9,"messages":[{"role":"user","content":"hi"}])";
    const auto body = Json::parse("{" + prompt + "," + members + "}");
    EXPECT_TRUE(body.has_value()) << members;
    for (const Dialect& dialect : dialects())
      if (dialect.path == path) return dialect.parse({request_, *body, *model_, defaults_});
    return refuse(refusal(404, "no such API"));
  }
  // With the tools weather and time; `strict`: the first is.
  ApiResult<GenerationJob> chat(const std::string& members, bool strict = false) {
    const auto tool = [](const char* name, bool is_strict) {
      return fmt::format(R"({{"type":"function","function":{{"name":"{}","strict":{},"parameters":{}}}}})",
                         name, is_strict, kParameters);
    };
    return job("/chat/completions", fmt::format(R"("tools":[{},{}]{}{})", tool("weather", strict),
                                                tool("time", false), members.empty() ? "" : ",", members));
  }
  ApiResult<GenerationJob> messages(const std::string& members) {
    const auto tool = [](const char* name) {
      return fmt::format(R"({{"name":"{}","input_schema":{}}})", name, kParameters);
    };
    return job("/messages", fmt::format(R"("tools":[{},{}]{}{})", tool("weather"), tool("time"),
                                        members.empty() ? "" : ",", members));
  }

  HttpRequest request_;
  std::shared_ptr<ServedModel> model_ = testing::fake_model(nullptr);
  RequestDefaults defaults_;
};

std::string call(const std::string& name, const std::string& key) {
  return "<｜DSML｜invoke name=\"" + name + "\">\n<｜DSML｜parameter name=\"" + key +
         "\" string=\"true\">Rome</｜DSML｜parameter>\n</｜DSML｜invoke>";
}
std::string block(const std::string& calls) {
  return "\n\n<｜DSML｜tool_calls>\n" + calls + "\n</｜DSML｜tool_calls>";
}

// Whether this text may come next, with the mark of tags as its token.
bool advance(Constraint& constraint, const std::string& text) {
  const std::string mark(encoding::kDsmlToken);
  for (size_t at = 0; at < text.size(); ++at) {
    const bool marked = text.compare(at, mark.size(), mark) == 0;
    if (!constraint.advance(marked ? ByteTokenizer::kDsmlId : ByteTokenizer::bytes(text.substr(at, 1))[0]))
      return false;
    if (marked) at += mark.size() - 1;
  }
  return true;
}

// Whether this text may come next, and end there.
bool takes(Constraint constraint, const std::string& text) {
  return advance(constraint, text) && constraint.after(ByteTokenizer::kEosId).has_value();
}

// Whether a reply may be this text.
bool takes(const ApiResult<GenerationJob>& job, const std::string& text) {
  EXPECT_TRUE(job.has_value()) << job.error().message;
  EXPECT_NE(job->request.constraint, nullptr);
  return takes(*job->request.constraint, text);
}

const std::string kWeather = block(call("weather", "city"));
const std::string kTime = block(call("time", "city"));
const std::string kTwo = block(call("weather", "city") + "\n" + call("time", "city"));

TEST_F(ToolChoiceTest, AutoBindsTheNamesOfTools) {
  for (const auto& made : {chat(""), chat(R"("tool_choice":"auto")"), messages(""),
                           messages(R"("tool_choice":{"type":"auto"})")}) {
    EXPECT_TRUE(takes(made, "It rains."));
    EXPECT_TRUE(takes(made, "Let me see." + kWeather));
    EXPECT_TRUE(takes(made, kTwo));
    EXPECT_TRUE(takes(made, block(call("time", "zone")))) << "its schema is advice";
    EXPECT_FALSE(takes(made, block(call("tide", "city"))));
  }
  EXPECT_EQ(chat(R"("tool_choice":"none")")->request.constraint, nullptr);
  EXPECT_EQ(messages(R"("tool_choice":{"type":"none"})")->request.constraint, nullptr);
}

// An end that ends nothing begins another reply, whose calls are those of tools that are offered, too.
TEST_F(ToolChoiceTest, AutoBindsTheNamesOfToolsBehindAnEndThatEndsNothing) {
  const auto made = chat(R"("ignore_eos":true)", true);
  for (const std::string& reply : {std::string("It rains."), kWeather, "Let me see." + kTwo}) {
    Constraint constraint = *made->request.constraint;
    EXPECT_TRUE(advance(constraint, reply)) << reply;
    EXPECT_TRUE(constraint.advance(ByteTokenizer::kEosId)) << reply;
    for (const Constraint& begun : {*made->request.constraint, constraint}) {
      EXPECT_TRUE(takes(begun, "It rains."));
      EXPECT_TRUE(takes(begun, kTwo));
      EXPECT_FALSE(takes(begun, block(call("tide", "city"))));
      EXPECT_FALSE(takes(begun, block(call("weather", "zone")))) << "it is strict";
    }
  }
  // A reply that does not end has no end.
  Constraint constraint = *made->request.constraint;
  EXPECT_TRUE(advance(constraint, kWeather.substr(0, kWeather.size() - 30)));
  EXPECT_FALSE(constraint.advance(ByteTokenizer::kEosId));
}

TEST_F(ToolChoiceTest, StrictToolsMayHaveAlternativesOfAllParameters) {
  const auto made = job("/chat/completions", R"("tools":[{"type":"function","function":{"name":"weather",
      "strict":true,"parameters":{"anyOf":[
        {"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false},
        {"type":"object","properties":{"place":{"type":"string"}},"required":["place"],"additionalProperties":false}]}}}])");
  EXPECT_TRUE(takes(made, kWeather));
  EXPECT_TRUE(takes(made, block(call("weather", "place"))));
  EXPECT_FALSE(takes(made, block(call("weather", "zone"))));
}

TEST_F(ToolChoiceTest, StrictToolsHaveTheirSchemasParameters) {
  const auto made = chat("", true);
  EXPECT_TRUE(takes(made, "It rains."));
  EXPECT_TRUE(takes(made, kWeather));
  EXPECT_FALSE(takes(made, block(call("weather", "zone"))));
  EXPECT_TRUE(takes(made, block(call("time", "zone"))));
}

TEST_F(ToolChoiceTest, RequiredIsACallOfASchemasParameters) {
  for (
      const auto& made :
      {chat(R"("tool_choice":"required")"), messages(R"("tool_choice":{"type":"any"})"),
       chat(
           R"("tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"time"},{"type":"function","name":"weather"}]})")}) {
    EXPECT_TRUE(takes(made, kWeather));
    EXPECT_TRUE(takes(made, kTwo));
    EXPECT_FALSE(takes(made, "It rains."));
    EXPECT_FALSE(takes(made, "Let me see." + kWeather));
    EXPECT_FALSE(takes(made, block(call("time", "zone"))));
  }
}

TEST_F(ToolChoiceTest, ANamedToolIsTheOneThatIsCalled) {
  for (const auto& made : {chat(R"("tool_choice":{"type":"function","function":{"name":"time"}})"),
                           chat(R"("tool_choice":{"type":"function","name":"time"})"),
                           messages(R"("tool_choice":{"type":"tool","name":"time"})")}) {
    EXPECT_TRUE(takes(made, kTime));
    EXPECT_FALSE(takes(made, kWeather));
    EXPECT_FALSE(takes(made, "It rains."));
  }
}

TEST_F(ToolChoiceTest, AllowedToolsAreThoseThatMayBeCalled) {
  const auto made = chat(
      R"("tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"time"}}]}})");
  EXPECT_TRUE(takes(made, "It rains."));
  EXPECT_TRUE(takes(made, kTime));
  EXPECT_FALSE(takes(made, kWeather));
}

TEST_F(ToolChoiceTest, OneCallWithoutParallelCalls) {
  for (const auto& made : {chat(R"("parallel_tool_calls":false)"),
                           messages(R"("tool_choice":{"type":"any","disable_parallel_tool_use":true})")}) {
    EXPECT_TRUE(takes(made, kWeather));
    EXPECT_FALSE(takes(made, kTwo));
  }
}

TEST_F(ToolChoiceTest, AFormatIsThatOfAnAnswerWithoutCalls) {
  const auto made = chat(R"("response_format":{"type":"json_object"})");
  EXPECT_TRUE(takes(made, R"({"a": 1})"));
  EXPECT_TRUE(takes(made, kWeather));
  EXPECT_FALSE(takes(made, "It rains."));
  const auto anthropic =
      messages(R"("output_config":{"format":{"type":"json_schema","schema":{"type":"integer"}}})");
  EXPECT_TRUE(takes(anthropic, "12"));
  EXPECT_TRUE(takes(anthropic, kWeather));
  EXPECT_FALSE(takes(anthropic, "It rains."));
}

TEST_F(ToolChoiceTest, ResponsesBindTheirToolsAndText) {
  const auto respond = [&](const std::string& members) {
    return job("/responses",
               fmt::format(R"("tools":[{{"type":"function","name":"weather","parameters":{}}}],{})",
                           kParameters, members));
  };
  const auto required = respond(R"("tool_choice":"required")");
  EXPECT_TRUE(takes(required, kWeather));
  EXPECT_FALSE(takes(required, "It rains."));
  const auto either =
      respond(R"("text":{"format":{"type":"json_schema","name":"n","schema":{"type":"integer"}}})");
  EXPECT_TRUE(takes(either, kWeather));
  EXPECT_TRUE(takes(either, "12"));
  EXPECT_FALSE(takes(either, "It rains."));
}

TEST_F(ToolChoiceTest, CallsBeginBehindReasoning) {
  const auto made = chat(R"("tool_choice":"required","thinking":{"type":"enabled"})");
  ASSERT_TRUE(made.has_value()) << made.error().message;
  Constraint constraint = *made->request.constraint;
  for (const int32_t token : ByteTokenizer::bytes("well, <")) EXPECT_TRUE(constraint.advance(token));
  EXPECT_FALSE(constraint.advance(ByteTokenizer::kDsmlId)) << "a call within reasoning";
  EXPECT_TRUE(constraint.advance(ByteTokenizer::kThinkCloseId));
  EXPECT_FALSE(constraint.after(ByteTokenizer::bytes("I")[0]).has_value());
  EXPECT_TRUE(constraint.after(ByteTokenizer::bytes("\n")[0]).has_value());
}

TEST_F(ToolChoiceTest, WhatCannotBeEnforcedIsAdviceUnlessStrict) {
  const auto with = [&](const char* strict) {
    return job(
        "/chat/completions",
        fmt::format(R"("tool_choice":"required","tools":[{{"type":"function","function":{{"name":"weather"{},
                   "parameters":{{"type":"object","unevaluatedProperties":false}}}}}}])",
                    strict));
  };
  EXPECT_TRUE(takes(with(""), kWeather));
  const auto refused = with(R"(,"strict":true)");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().param, "tools[0].function.parameters");
  EXPECT_NE(refused.error().message.find("'unevaluatedProperties' at #"), std::string::npos)
      << refused.error().message;
}

TEST_F(ToolChoiceTest, RefusesByName) {
  const std::tuple<const char*, const char*> cases[] = {
      {R"("tool_choice":"any")", "tool_choice"},
      {R"("tool_choice":7)", "tool_choice"},
      {R"("tool_choice":{})", "tool_choice.type"},
      {R"("tool_choice":{"type":"web_search"})", "tool_choice.type"},
      {R"("tool_choice":{"type":"function"})", "tool_choice.name"},
      {R"("tool_choice":{"type":"function","function":{}})", "tool_choice.name"},
      {R"("tool_choice":{"type":"function","function":{"name":"tide"}})", "tool_choice"},
      {R"("tool_choice":{"type":"allowed_tools","mode":"all","tools":[]})", "tool_choice.mode"},
      {R"("tool_choice":{"type":"allowed_tools","mode":"auto"})", "tool_choice.tools"},
      {R"("tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"type":"mcp"}]})",
       "tool_choice.tools[0].name"},
      {R"("tool_choice":{"type":"allowed_tools","mode":"required","tools":[]})", "tool_choice.tools"},
      {R"("tool_choice":"required","ignore_eos":true)", "ignore_eos"},
  };
  for (const auto& [members, param] : cases) {
    const auto made = chat(members);
    ASSERT_FALSE(made.has_value()) << members;
    EXPECT_EQ(made.error().status, 400);
    EXPECT_EQ(made.error().param, param) << made.error().message;
  }
  EXPECT_EQ(job("/chat/completions", R"("tool_choice":"required")").error().param, "tool_choice");
  EXPECT_EQ(job("/messages", R"("tool_choice":{"type":"tool"})").error().param, "tool_choice.name");
}

}  // namespace
}  // namespace ft::server
