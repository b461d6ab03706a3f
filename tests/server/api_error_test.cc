#include <gtest/gtest.h>

#include "server/generation/engine_error.h"
#include "verify/sampling_params.h"

namespace ft::server {
namespace {

TEST(ApiError, ErrorsOfTheEngineHaveAStatus) {
  const auto status = [](ErrorCode code) { return from_engine({code, "x", ""}).status; };
  EXPECT_EQ(status(ErrorCode::kInvalidArgument), 400);
  EXPECT_EQ(status(ErrorCode::kTooLarge), 400);
  EXPECT_EQ(status(ErrorCode::kOverloaded), 429);
  EXPECT_EQ(status(ErrorCode::kUnavailable), 503);
  EXPECT_EQ(status(ErrorCode::kInternal), 500);
  EXPECT_EQ(from_engine({ErrorCode::kTooLarge, "x", ""}).code, "context_length_exceeded");
  EXPECT_EQ(from_engine({ErrorCode::kOverloaded, "x", ""}).retry_after_seconds, 1);
  EXPECT_TRUE(from_engine({ErrorCode::kInternal, "x", ""}).work_was_begun);
  EXPECT_FALSE(from_engine({ErrorCode::kOverloaded, "x", ""}).work_was_begun);
}

TEST(ApiError, InvalidArgumentsNameTheirField) {
  EXPECT_EQ(from_engine({ErrorCode::kInvalidArgument, "max_tokens is 0", "max_tokens"}).param, "max_tokens");
  EXPECT_EQ(from_engine({ErrorCode::kInvalidArgument, "max_tokens is 0", ""}).param, "");
}

TEST(ApiError, InvalidSamplingNamesItsField) {
  const auto param = [](auto change) {
    verify::SamplingParams sampling;
    change(sampling);
    const Result<void> valid = verify::validate(sampling, 100);
    return valid ? std::string("valid") : from_engine(valid.error()).param;
  };
  EXPECT_EQ(param([](auto& sampling) { sampling.temperature = -1.0; }), "temperature");
  EXPECT_EQ(param([](auto& sampling) { sampling.top_k = -1; }), "top_k");
  EXPECT_EQ(param([](auto& sampling) { sampling.top_p = 0.0; }), "top_p");
  EXPECT_EQ(param([](auto& sampling) { sampling.min_p = 2.0; }), "min_p");
  EXPECT_EQ(param([](auto& sampling) { sampling.repetition_penalty = 0.0; }), "repetition_penalty");
  EXPECT_EQ(param([](auto& sampling) { sampling.presence_penalty = 3.0; }), "presence_penalty");
  EXPECT_EQ(param([](auto& sampling) { sampling.frequency_penalty = 3.0; }), "frequency_penalty");
  EXPECT_EQ(param([](auto& sampling) { sampling.logprobs = 99; }), "logprobs");
  EXPECT_EQ(param([](auto& sampling) { sampling.logit_bias = {{100, 1.0F}}; }), "logit_bias");
}

}  // namespace
}  // namespace ft::server
