#include "verify/sampler.h"

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

}  // namespace

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
  const bool narrowed = params.top_k > 0 || params.top_p < 1.0 || params.min_p > 0.0;
  const std::span<const RankedToken> best =
      narrowed && !params.greedy()
          ? ranking_.rank(
                processed,
                candidates_.select(processed, params.temperature, params.top_k, params.top_p, params.min_p),
                params.temperature, key, 1)
          : ranking_.rank(processed, params.temperature, key, 1);
  out.degenerate = best.empty();
  out.token = best.empty() ? lowest_allowed(mask, logits.size()) : best[0].token;
  out.logprob = 0.0f;
  out.top_logprobs.clear();
  if (params.logprobs >= 0 && !out.degenerate) fill_logprobs(logits, params.logprobs, out);
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

void Sampler::rank_children(std::span<const float> logits, const SamplingParams& params,
                            const TokenCounts* counts, int64_t position, TokenMask mask, int64_t count,
                            std::vector<RankedChild>& out) {
  out.clear();
  const std::span<const float> processed = process(logits, params, counts, mask);
  const double inverse_temperature = params.greedy() ? 1.0 : 1.0 / params.temperature;
  const double normaliser = log_sum_exp(processed, inverse_temperature);
  for (const RankedToken& ranked :
       ranking_.rank(processed, params.temperature, {params.seed, position}, count)) {
    const float logit =
        std::min(processed[static_cast<size_t>(ranked.token)], std::numeric_limits<float>::max());
    const double log_probability = static_cast<double>(logit) * inverse_temperature - normaliser;
    out.push_back({ranked.token, static_cast<float>(std::min(1.0, std::exp(log_probability)))});
  }
}

}  // namespace ft::verify
