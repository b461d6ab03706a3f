// Which sampling parameters are accepted, and what the refusal says.
#include "verify/sampling_params.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

namespace ft::verify {
namespace {

constexpr int64_t kVocab = 100;
const double kNan = std::numeric_limits<double>::quiet_NaN();
const double kInfinity = std::numeric_limits<double>::infinity();

using Change = std::function<void(SamplingParams&)>;

TEST(SamplingParams, DefaultsAndLimitsAreValid) {
  const Change changes[] = {
      [](auto&) {},
      [](auto& p) { p.temperature = 0; },
      [](auto& p) { p.temperature = 100; },
      [](auto& p) { p.top_k = 1 << 30; },
      [](auto& p) { p.top_p = 1e-300; },
      [](auto& p) { p.min_p = 1; },
      [](auto& p) { p.repetition_penalty = 100; },
      [](auto& p) { p.presence_penalty = -2, p.frequency_penalty = 2; },
      [](auto& p) { p.logprobs = 20; },
      [](auto& p) { p.seed = ~0ull; },
      [](auto& p) {
        p.logit_bias = {{0, -100.0f}, {99, 100.0f}};
      },
  };
  for (const Change& change : changes) {
    SamplingParams params;
    change(params);
    const Result<void> result = validate(params, kVocab);
    EXPECT_TRUE(result.has_value()) << result.error().message;
  }
}

TEST(SamplingParams, RefusalsNameFieldValueAndRange) {
  const struct {
    Change change;
    const char* message;
  } cases[] = {
      {[](auto& p) { p.temperature = -0.1; }, "temperature is -0.1, must be in [0, 100]"},
      {[](auto& p) { p.temperature = 100.5; }, "temperature is 100.5, must be in [0, 100]"},
      {[](auto& p) { p.temperature = kNan; }, "temperature is nan, must be in [0, 100]"},
      {[](auto& p) { p.temperature = kInfinity; }, "temperature is inf, must be in [0, 100]"},
      {[](auto& p) { p.top_k = -1; }, "top_k is -1, must be 0 (off) or more"},
      {[](auto& p) { p.top_p = 0; }, "top_p is 0, must be in (0, 1]"},
      {[](auto& p) { p.top_p = 1.01; }, "top_p is 1.01, must be in (0, 1]"},
      {[](auto& p) { p.top_p = kNan; }, "top_p is nan, must be in (0, 1]"},
      {[](auto& p) { p.min_p = -1; }, "min_p is -1, must be in [0, 1]"},
      {[](auto& p) { p.min_p = 1.5; }, "min_p is 1.5, must be in [0, 1]"},
      {[](auto& p) { p.repetition_penalty = 0; }, "repetition_penalty is 0, must be in (0, 100]"},
      {[](auto& p) { p.repetition_penalty = 101; }, "repetition_penalty is 101, must be in (0, 100]"},
      {[](auto& p) { p.presence_penalty = 2.5; }, "presence_penalty is 2.5, must be in [-2, 2]"},
      {[](auto& p) { p.frequency_penalty = -3; }, "frequency_penalty is -3, must be in [-2, 2]"},
      {[](auto& p) { p.logprobs = 21; }, "logprobs is 21, must be in [0, 20], or -1 for none"},
      {[](auto& p) { p.logprobs = -2; }, "logprobs is -2, must be in [0, 20], or -1 for none"},
      {[](auto& p) {
         p.logit_bias = {{100, 0.0f}};
       },
       "logit_bias names token 100, the vocabulary is [0, 100)"},
      {[](auto& p) {
         p.logit_bias = {{-1, 0.0f}};
       },
       "logit_bias names token -1, the vocabulary is [0, 100)"},
      {[](auto& p) {
         p.logit_bias = {{5, 0.0f}, {5, 1.0f}};
       },
       "logit_bias has token 5 after 5, ids must ascend"},
      {[](auto& p) {
         p.logit_bias = {{5, 101.0f}};
       },
       "logit_bias of token 5 is 101, must be in [-100, 100]"},
      {[](auto& p) {
         p.logit_bias = {{5, std::numeric_limits<float>::quiet_NaN()}};
       },
       "logit_bias of token 5 is nan, must be in [-100, 100]"},
  };
  for (const auto& c : cases) {
    SamplingParams params;
    c.change(params);
    const Result<void> result = validate(params, kVocab);
    ASSERT_FALSE(result.has_value()) << c.message;
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(result.error().message, c.message);
  }
}

}  // namespace
}  // namespace ft::verify
