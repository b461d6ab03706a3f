#include "eval/bench_server.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace ft::eval {
namespace {

BenchServerOptions small_bench() {
  BenchServerOptions options;
  options.model = std::string(FT_MODELS) + "/v4-nano";
  options.streams = 3;
  options.steps = 20;
  options.tokens_per_step = 2;
  options.prompt_tokens = 300;
  options.prompts = 2;
  return options;
}

TEST(BenchServer, MeasuresEveryApi) {
  for (const char* api : {"chat", "completions", "responses", "messages"}) {
    BenchServerOptions options = small_bench();
    options.api = api;
    const auto result = bench_server(options);
    ASSERT_TRUE(result) << api << ": " << result.error().message;
    EXPECT_GT(result->io_us_per_event, 0.0) << api;
    EXPECT_GT(result->engine_us_per_event, 0.0) << api;
    EXPECT_GT(result->events_per_second, 0.0) << api;
    EXPECT_GT(result->event_p50_us, 0.0) << api;
    EXPECT_GE(result->event_p99_us, result->event_p50_us) << api;
    EXPECT_GE(result->prompt_tokens, 300) << api;
    EXPECT_GT(result->first_p50_ms, 0.0) << api;
    const auto json = nlohmann::json::parse(bench_server_report(options, *result).json());
    EXPECT_EQ(json["api"], api);
    EXPECT_EQ(json["io_us_per_event"], result->io_us_per_event);
    EXPECT_EQ(json["first_token_p50_ms"], result->first_p50_ms);
  }
}

TEST(BenchServer, LetsTheEngineRunAhead) {
  BenchServerOptions options = small_bench();
  options.ahead = 8;
  const auto result = bench_server(options);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_GT(result->events_per_second, 0.0);
}

TEST(BenchServer, NamesWhatItCannotDo) {
  BenchServerOptions options = small_bench();
  options.api = "telegrams";
  auto result = bench_server(options);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find("telegrams"), std::string::npos) << result.error().message;
  options = small_bench();
  options.steps = 0;
  EXPECT_FALSE(bench_server(options));
  options = small_bench();
  options.model = "/no/such/tokenizer.json";
  result = bench_server(options);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find("/no/such"), std::string::npos) << result.error().message;
}

}  // namespace
}  // namespace ft::eval
