#include "server/api/output_format.h"

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <utility>

#include "server/api/dialect.h"
#include "tests/server/fake_model.h"

namespace ft::server {
namespace {

using encoding::Json;
using testing::ByteTokenizer;

class OutputFormatTest : public ::testing::Test {
 protected:
  OutputFormatTest() { defaults_.thinking = false; }

  // The job of a body at "/chat/completions" or "/completions", with these members beside the prompt.
  ApiResult<GenerationJob> job(std::string_view path, const std::string& members) {
    const std::string prompt = path == "/completions" || members.find("\"messages\"") != std::string::npos
                                   ? R"("prompt":"hi")"
                                   : R"("messages":[{"role":"user","content":"hi"}])";
    const auto body = Json::parse("{" + prompt + "," + members + "}");
    EXPECT_TRUE(body.has_value()) << members;
    for (const Dialect& dialect : dialects())
      if (dialect.path == path) return dialect.parse({request_, *body, *model_, defaults_});
    return refuse(refusal(404, "no such API"));
  }

  HttpRequest request_;
  std::shared_ptr<ServedModel> model_ = testing::fake_model(nullptr);
  RequestDefaults defaults_;
};

// Whether a constraint allows a text, and an end behind it.
bool takes(Constraint constraint, const std::string& text) {
  for (const int32_t token : ByteTokenizer::bytes(text))
    if (!constraint.advance(token)) return false;
  return constraint.after(ByteTokenizer::kEosId).has_value();
}

TEST_F(OutputFormatTest, BindsAnswersOfEveryApi) {
  const std::tuple<const char*, const char*, const char*> formats[] = {
      {R"("response_format":{"type":"json_object"})", R"({"a": [1]})", "[1]"},
      {R"("response_format":{"type":"json_schema","json_schema":{"schema":{"type":"integer","maximum":5}}})",
       "5", "6"},
      {R"("guided_json":{"type":"boolean"})", "true", "null"},
      {R"("json_schema":{"type":"boolean"})", "true", "null"},
      {R"("guided_regex":"a+b")", "aab", "ab "},
      {R"("regex":"a+b")", "aab", "ab "},
      {R"("guided_choice":["yes","no"])", "no", "yesno"},
      {R"("structured_outputs":{"regex":"[0-9]{2}"})", "42", "4"},
      {R"("structured_outputs":{"json":{"type":"null"}})", "null", "4"},
      {R"("structured_outputs":{"choice":["a"]})", "a", "b"}};
  for (const auto& [member, allowed, forbidden] : formats)
    for (const char* path : {"/chat/completions", "/completions"}) {
      const auto made = job(path, member);
      ASSERT_TRUE(made.has_value()) << member << ": " << made.error().message;
      ASSERT_NE(made->request.constraint, nullptr) << member;
      EXPECT_TRUE(takes(*made->request.constraint, allowed)) << member;
      EXPECT_FALSE(takes(*made->request.constraint, forbidden)) << member;
    }
  EXPECT_EQ(job("/chat/completions", R"("response_format":{"type":"text"})")->request.constraint, nullptr);
}

TEST_F(OutputFormatTest, BeginsBehindReasoning) {
  const auto made = job("/chat/completions", R"("thinking":{"type":"enabled"},"guided_choice":["yes"])");
  ASSERT_TRUE(made.has_value()) << made.error().message;
  Constraint constraint = *made->request.constraint;
  for (const int32_t token : ByteTokenizer::bytes("well, no")) EXPECT_TRUE(constraint.advance(token));
  EXPECT_FALSE(constraint.advance(ByteTokenizer::kEosId));
  EXPECT_TRUE(constraint.advance(ByteTokenizer::kThinkCloseId));
  EXPECT_TRUE(takes(constraint, "yes"));
  EXPECT_FALSE(takes(constraint, "no"));
}

TEST_F(OutputFormatTest, RefusesWhatDoesNotGoWithIt) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("ignore_eos":true)", "ignore_eos"},
      {R"("guided_regex":"a")", "guided_choice"},
      {R"("messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"y","prefix":true}])",
       "messages"}};
  for (const auto& [member, param] : cases) {
    const auto made = job("/chat/completions", std::string(R"("guided_choice":["yes"],)") + member);
    ASSERT_FALSE(made.has_value()) << member;
    EXPECT_EQ(made.error().status, 400) << member;
    EXPECT_EQ(made.error().param, param) << made.error().message;
  }
}

}  // namespace
}  // namespace ft::server
