// The sampler's definition (verify/sampler.h) written down in the slowest way: sort everything, add all the
// noise.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "core/noise.h"
#include "verify/sampling_params.h"

namespace ft::verify {

struct ReferenceSampler {
  SamplingParams params;
  std::vector<int32_t> prompt;
  std::vector<int32_t> output;
  std::vector<bool> allowed;  // empty: everything

  std::vector<float> process(std::span<const float> logits) const {
    std::vector<float> l(logits.begin(), logits.end());
    for (const auto& [token, bias] : params.logit_bias) l[static_cast<size_t>(token)] += bias;
    for (size_t v = 0; v < l.size(); ++v) {
      const auto in_prompt = std::count(prompt.begin(), prompt.end(), static_cast<int32_t>(v));
      const auto in_output = std::count(output.begin(), output.end(), static_cast<int32_t>(v));
      if (in_prompt + in_output > 0) {
        const float r = static_cast<float>(params.repetition_penalty);
        l[v] = l[v] > 0 ? l[v] / r : l[v] * r;
      }
      if (in_output > 0) {
        l[v] -= static_cast<float>(params.frequency_penalty) * static_cast<float>(in_output);
        l[v] -= static_cast<float>(params.presence_penalty);
      }
      if (!allowed.empty() && !allowed[v]) l[v] = -std::numeric_limits<float>::infinity();
    }
    return l;
  }

  // The candidates and their probabilities after top-k, top-p and min-p, largest first; T > 0.
  std::vector<std::pair<int32_t, double>> distribution(std::span<const float> logits) const {
    const std::vector<float> l = process(logits);
    std::vector<std::pair<double, int32_t>> order;
    for (size_t v = 0; v < l.size(); ++v) {
      if (l[v] > -std::numeric_limits<float>::infinity()) {
        order.emplace_back(-static_cast<double>(l[v]) / params.temperature, static_cast<int32_t>(v));
      }
    }
    std::sort(order.begin(), order.end());
    if (params.top_k > 0) order.resize(std::min(order.size(), static_cast<size_t>(params.top_k)));
    std::vector<std::pair<int32_t, double>> kept;
    double total = 0;
    for (const auto& [negative, token] : order) total += std::exp(order[0].first - negative);
    double sum = 0;
    for (const auto& [negative, token] : order) {
      const double weight = std::exp(order[0].first - negative);
      if (weight < params.min_p) break;
      kept.emplace_back(token, weight);
      sum += weight;
      if (params.top_p < 1.0 && sum >= params.top_p * total) break;
    }
    for (auto& [token, weight] : kept) weight /= sum;
    return kept;
  }

  int32_t sample(std::span<const float> logits, int64_t position) const {
    const std::vector<float> l = process(logits);
    if (params.greedy()) return static_cast<int32_t>(std::max_element(l.begin(), l.end()) - l.begin());
    int32_t best = -1;
    double best_score = 0;
    for (const auto& [token, probability] : distribution(logits)) {
      const double score = static_cast<double>(l[static_cast<size_t>(token)]) / params.temperature +
                           gumbel({params.seed, position}, token);
      if (best == -1 || score > best_score || (score == best_score && token < best)) {
        best = token;
        best_score = score;
      }
    }
    return best;
  }
};

}  // namespace ft::verify
