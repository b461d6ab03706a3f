#include "verify/sampling_params.h"

namespace ft::verify {

namespace {

// Written so that NaN is outside every range.
bool within(double value, double low, double high) {
  return value >= low && value <= high;
}

Result<void> validate_bias(const SamplingParams& params, int64_t vocab_size) {
  int64_t previous = -1;
  for (const auto& [token, bias] : params.logit_bias) {
    if (token < 0 || token >= vocab_size) {
      return fail_field("logit_bias", "logit_bias names token {}, the vocabulary is [0, {})", token,
                        vocab_size);
    }
    if (token <= previous) {
      return fail_field("logit_bias", "logit_bias has token {} after {}, ids must ascend", token, previous);
    }
    if (!within(static_cast<double>(bias), -100.0, 100.0)) {
      return fail_field("logit_bias", "logit_bias of token {} is {}, must be in [-100, 100]", token, bias);
    }
    previous = token;
  }
  return {};
}

}  // namespace

Result<void> validate(const SamplingParams& params, int64_t vocab_size) {
  const auto outside = [](const char* field, auto value, const char* range) {
    return fail_field(field, "{} is {}, must be in {}", field, value, range);
  };
  if (!within(params.temperature, 0.0, 100.0)) return outside("temperature", params.temperature, "[0, 100]");
  if (params.top_k < 0) {
    return fail_field("top_k", "top_k is {}, must be 0 (off) or more", params.top_k);
  }
  if (!(within(params.top_p, 0.0, 1.0) && params.top_p > 0.0))
    return outside("top_p", params.top_p, "(0, 1]");
  if (!within(params.min_p, 0.0, 1.0)) return outside("min_p", params.min_p, "[0, 1]");
  if (!(within(params.repetition_penalty, 0.0, 100.0) && params.repetition_penalty > 0.0)) {
    return outside("repetition_penalty", params.repetition_penalty, "(0, 100]");
  }
  if (!within(params.presence_penalty, -2.0, 2.0)) {
    return outside("presence_penalty", params.presence_penalty, "[-2, 2]");
  }
  if (!within(params.frequency_penalty, -2.0, 2.0)) {
    return outside("frequency_penalty", params.frequency_penalty, "[-2, 2]");
  }
  if (params.logprobs < -1 || params.logprobs > 20) {
    return fail_field("logprobs", "logprobs is {}, must be in [0, 20], or -1 for none", params.logprobs);
  }
  return validate_bias(params, vocab_size);
}

}  // namespace ft::verify
