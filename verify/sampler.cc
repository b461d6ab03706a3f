#include "verify/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/log_sum_exp.h"

namespace ft::verify {

namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

void add_bias(const SamplingParams& params, std::span<float> logits) {
  for (const auto& [token, bias] : params.logit_bias) {
    FT_CHECK(token >= 0 && token < std::ssize(logits), token, logits.size());
    logits[static_cast<size_t>(token)] += bias;
  }
}

void apply_penalties(const SamplingParams& params, const TokenCounts& counts, std::span<float> logits) {
  const float repetition = static_cast<float>(params.repetition_penalty);
  const float frequency = static_cast<float>(params.frequency_penalty);
  const float presence = static_cast<float>(params.presence_penalty);
  for (const TokenCounts::Entry& entry : counts.entries()) {
    if (entry.prompt + entry.output == 0) continue;
    FT_CHECK(entry.token < std::ssize(logits), entry.token, logits.size());
    float& logit = logits[static_cast<size_t>(entry.token)];
    logit = logit > 0.0f ? logit / repetition : logit * repetition;
    if (entry.output == 0) continue;
    logit -= frequency * static_cast<float>(entry.output);
    logit -= presence;
  }
}

void apply_mask(TokenMask mask, std::span<float> logits) {
  for (size_t word = 0; word < mask.size(); ++word) {
    for (uint32_t forbidden = ~mask[word]; forbidden != 0; forbidden &= forbidden - 1) {
      const size_t token = word * 32 + static_cast<size_t>(std::countr_zero(forbidden));
      if (token >= logits.size()) break;
      logits[token] = kForbidden;
    }
  }
}

int32_t lowest_allowed(TokenMask mask, size_t vocab) {
  for (size_t word = 0; word < mask.size(); ++word) {
    if (mask[word] == 0) continue;
    const size_t token = word * 32 + static_cast<size_t>(std::countr_zero(mask[word]));
    return token < vocab ? static_cast<int32_t>(token) : 0;
  }
  return 0;
}

bool narrows(const SamplingParams& params) {
  return !params.greedy() && (params.top_k > 0 || params.top_p < 1.0 || params.min_p > 0.0);
}

}  // namespace

std::span<const int32_t> Sampler::narrow(std::span<const float> processed, const SamplingParams& params) {
  return candidates_.select(processed, params.temperature, params.top_k, params.top_p, params.min_p);
}

std::span<const float> Sampler::process(std::span<const float> logits, const SamplingParams& params,
                                        const TokenCounts* counts, TokenMask mask) {
  FT_CHECK(mask.empty() || mask.size() * 32 >= logits.size(), mask.size(), logits.size());
  FT_CHECK(counts != nullptr || !params.uses_counts());
  const bool penalised = params.uses_counts() && !counts->entries().empty();
  if (params.logit_bias.empty() && !penalised && mask.empty()) return logits;
  processed_.assign(logits.begin(), logits.end());
  add_bias(params, processed_);
  if (penalised) apply_penalties(params, *counts, processed_);
  apply_mask(mask, processed_);
  return processed_;
}

void Sampler::sample(std::span<const float> logits, const SamplingParams& params, const TokenCounts* counts,
                     int64_t position, TokenMask mask, SampleResult& out) {
  FT_CHECK(!logits.empty());
  const std::span<const float> processed = process(logits, params, counts, mask);
  const NoiseKey key{params.seed, position};
  const std::span<const RankedToken> best =
      narrows(params) ? ranking_.rank(processed, narrow(processed, params), params.temperature, key, 1)
                      : ranking_.rank(processed, params.temperature, key, 1);
  if (!best.empty()) return report(logits, params, best[0].token, out);
  out.token = lowest_allowed(mask, logits.size());
  out.degenerate = true;
  out.logprob = 0.0f;
  out.top_logprobs.clear();
}

void Sampler::report(std::span<const float> logits, const SamplingParams& params, int32_t token,
                     SampleResult& out) {
  out.token = token;
  out.degenerate = false;
  out.logprob = 0.0f;
  out.top_logprobs.clear();
  if (params.logprobs >= 0) fill_logprobs(logits, params.logprobs, out);
}

bool Sampler::distribution(std::span<const float> logits, const SamplingParams& params,
                           const TokenCounts* counts, TokenMask mask, std::span<double> out) {
  FT_CHECK(!logits.empty() && out.size() == logits.size(), logits.size(), out.size());
  std::fill(out.begin(), out.end(), 0.0);
  const std::span<const float> processed = process(logits, params, counts, mask);
  if (params.greedy()) {
    const std::span<const RankedToken> best = ranking_.rank(processed, params.temperature, NoiseKey{}, 1);
    if (!best.empty()) out[static_cast<size_t>(best[0].token)] = 1.0;
    return !best.empty();
  }
  const float largest = largest_logit(processed);
  if (largest == kForbidden) return false;
  const double largest_x = static_cast<double>(largest) / params.temperature;
  const auto weigh = [&](size_t token) {
    const float logit = std::min(processed[token], std::numeric_limits<float>::max());
    out[token] = std::exp(static_cast<double>(logit) / params.temperature - largest_x);
  };
  if (narrows(params)) {
    for (const int32_t token : narrow(processed, params)) weigh(static_cast<size_t>(token));
  } else {
    for (size_t token = 0; token < processed.size(); ++token) {
      if (processed[token] > kForbidden) weigh(token);
    }
  }
  // Summed by id, whatever order the candidates came in.
  double total = 0.0;
  for (const double weight : out) total += weight;
  for (double& weight : out) weight /= total;
  return true;
}

void Sampler::fill_logprobs(std::span<const float> logits, int32_t top, SampleResult& out) {
  const double normaliser = log_sum_exp(logits, 1.0);
  // A chosen token's raw logit is above -inf: nothing in process() raises -inf or NaN.
  const double logit = static_cast<double>(
      std::min(logits[static_cast<size_t>(out.token)], std::numeric_limits<float>::max()));
  out.logprob = static_cast<float>(logit - normaliser);
  if (top == 0) return;
  for (const RankedToken& ranked : ranking_.rank(logits, 0.0, NoiseKey{}, top)) {
    out.top_logprobs.push_back({ranked.token, static_cast<float>(ranked.score - normaliser)});
  }
}

}  // namespace ft::verify
