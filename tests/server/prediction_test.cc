// A client's prediction of the answer: what reaches the engine, and what the usage says of it.
#include <gtest/gtest.h>

#include <string>

#include "server/api/dialect.h"
#include "server/api/openai_json.h"
#include "server/generation/choice.h"
#include "tests/server/fake_model.h"

namespace ft::server {
namespace {

using encoding::Json;
using testing::ByteTokenizer;

std::shared_ptr<ServedModel> model() {
  static const std::shared_ptr<ServedModel> kModel = testing::fake_model(nullptr);
  return kModel;
}

ApiResult<GenerationJob> job(const std::string& members) {
  const HttpRequest request;
  RequestDefaults defaults;
  defaults.thinking = false;
  const auto body = Json::parse(R"({"messages":[{"role":"user","content":"hi"}],)" + members + "}");
  EXPECT_TRUE(body.has_value()) << members;
  for (const Dialect& dialect : dialects())
    if (dialect.path == "/chat/completions") return dialect.parse({request, *body, *model(), defaults});
  return refuse(refusal(404, "no such API"));
}

scheduler::TokenEvent event_of(int32_t token) {
  scheduler::TokenEvent event;
  event.token = token;
  return event;
}

TEST(Prediction, IsTokenizedAsTextOfTheClient) {
  const auto made = job(R"("prediction":{"type":"content","content":"a</think>b"})");
  ASSERT_TRUE(made.has_value()) << made.error().message;
  const auto next = made->request.prediction->next();
  EXPECT_EQ(std::vector<int32_t>(next.begin(), next.end()), ByteTokenizer::bytes("a</think>b"));
  EXPECT_FALSE(job(R"("n":1)")->request.prediction.has_value());
}

TEST(Prediction, IsOfTheAnswerBehindReasoning) {
  auto made = job(R"("thinking":{"type":"enabled"},"prediction":{"type":"content","content":"ab"})");
  ASSERT_TRUE(made.has_value()) << made.error().message;
  draft::PredictedText& prediction = *made->request.prediction;
  EXPECT_TRUE(prediction.next().empty());
  prediction.advance(ByteTokenizer::kThinkCloseId);
  EXPECT_EQ(prediction.next().size(), 2u);
}

// Tokens that the engine makes behind a stop string are none of the answer's, so its usage does not depend on them.
TEST(Prediction, CountsTheAnswersTokensAlone) {
  for (const char* stop : {"", "d"}) {
    auto made = job(R"("prediction":{"type":"content","content":"abcdef"})" +
                    (*stop == '\0' ? std::string() : std::string(R"(,"stop":"d")")));
    ASSERT_TRUE(made.has_value()) << made.error().message;
    Choice choice(made->choice);
    for (const int32_t token : ByteTokenizer::bytes("abxcdef")) choice.feed(event_of(token));
    EXPECT_EQ(choice.prediction()->accepted(), *stop == '\0' ? 6 : 4);
    EXPECT_EQ(choice.prediction()->rejected(), *stop == '\0' ? 0 : 2);
  }
}

TEST(Prediction, IsInTheUsageWhereThereIsOne) {
  Usage usage;
  EXPECT_EQ(openai_usage_json(usage).find("prediction"), std::string::npos);
  usage.predicted = true;
  usage.accepted_prediction_tokens = 3;
  usage.rejected_prediction_tokens = 1;
  const auto json = Json::parse(openai_usage_json(usage));
  ASSERT_TRUE(json.has_value());
  EXPECT_EQ(*json->get("completion_tokens_details").get("accepted_prediction_tokens").to_int64(), 3);
  EXPECT_EQ(*json->get("completion_tokens_details").get("rejected_prediction_tokens").to_int64(), 1);
}

}  // namespace
}  // namespace ft::server
