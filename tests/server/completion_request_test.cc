#include <gtest/gtest.h>

#include "server/api/openai_completions.h"

namespace ft::server {
namespace {

using encoding::Json;

ApiResult<CompletionRequest> parse(const std::string& text) {
  RequestDefaults defaults;
  defaults.vocab_size = 100;
  return parse_completion_request(*Json::parse(text), defaults);
}

TEST(CompletionRequest, ReadsEveryKindOfPrompt) {
  EXPECT_EQ(std::get<std::string>(parse(R"({"prompt":"a"})")->prompts.at(0)), "a");
  EXPECT_EQ(std::get<std::string>(parse(R"({"prompt":""})")->prompts.at(0)), "");
  const auto texts = parse(R"({"prompt":["a","b"]})");
  ASSERT_TRUE(texts);
  EXPECT_EQ(texts->prompts.size(), 2U);
  EXPECT_EQ(std::get<std::string>(texts->prompts[1]), "b");
  const auto ids = parse(R"({"prompt":[1,2,3]})");
  ASSERT_TRUE(ids);
  EXPECT_EQ(std::get<std::vector<int32_t>>(ids->prompts.at(0)), (std::vector<int32_t>{1, 2, 3}));
  const auto lists = parse(R"({"prompt":[[1],[2,3]]})");
  ASSERT_TRUE(lists);
  EXPECT_EQ(lists->prompts.size(), 2U);
}

TEST(CompletionRequest, ReadsItsOwnFields) {
  const auto request = parse(
      R"({"prompt":"a","echo":true,"best_of":2,"n":2,"skip_special_tokens":false,"add_special_tokens":false})");
  ASSERT_TRUE(request);
  EXPECT_TRUE(request->echo);
  EXPECT_FALSE(request->skip_special_tokens);
  EXPECT_FALSE(request->add_special_tokens);
  EXPECT_FALSE(request->logprobs);
  EXPECT_TRUE(parse(R"({"prompt":"a","logprobs":0})")->logprobs);
  EXPECT_EQ(parse(R"({"prompt":"a","logprobs":5})")->top_logprobs, 5);
  EXPECT_FALSE(parse(R"({"prompt":"a","max_tokens":0})")->echo_only);
  EXPECT_TRUE(parse(R"({"prompt":"a","max_tokens":0,"echo":true})")->echo_only);
}

TEST(CompletionRequest, NamesTheFieldAtFault) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({})", "prompt"},
      {R"({"prompt":null})", "prompt"},
      {R"({"prompt":7})", "prompt"},
      {R"({"prompt":{}})", "prompt"},
      {R"({"prompt":true})", "prompt"},
      {R"({"prompt":[]})", "prompt"},
      {R"({"prompt":[true]})", "prompt[0]"},
      {R"({"prompt":["a",1]})", "prompt[1]"},
      {R"({"prompt":[1,"a"]})", "prompt[1]"},
      {R"({"prompt":[1.5]})", "prompt[0]"},
      {R"({"prompt":[100]})", "prompt[0]"},
      {R"({"prompt":[-1]})", "prompt[0]"},
      {R"({"prompt":[[1],[100]]})", "prompt[1][0]"},
      {R"({"prompt":[[1],[]]})", "prompt[1]"},
      {R"({"prompt":[[1],"a"]})", "prompt[1]"},
      {R"({"prompt":"a","suffix":7})", "suffix"},
      {R"({"prompt":"a","parse_special":1})", "parse_special"},
      {R"({"prompt":"a","best_of":3})", "best_of"},
      {R"({"prompt":"a","logprobs":true})", "logprobs"},
      {R"({"prompt":"a","logprobs":21})", "logprobs"},
      {R"({"prompt":"a","echo":1})", "echo"},
      {R"({"prompt":"a","temperature":"hot"})", "temperature"},
  };
  for (const auto& [body, param] : cases) {
    const auto request = parse(body);
    ASSERT_FALSE(request) << body;
    EXPECT_EQ(request.error().param, param) << body << ": " << request.error().message;
    EXPECT_EQ(request.error().status, 400);
  }
}

TEST(CompletionRequest, LimitsThePrompts) {
  std::string many = R"({"prompt":["a")";
  for (size_t i = 0; i < kPromptsMax; ++i) many += R"(,"a")";
  EXPECT_FALSE(parse(many + "]}"));
}

}  // namespace
}  // namespace ft::server
