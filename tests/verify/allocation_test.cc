// The step path of verification allocates nothing once warm: every operator new of this program is counted.
#include <gtest/gtest.h>

#include <random>

#include "core/allocations.h"
#include "verify/rejection_verifier.h"
#include "verify/verifier.h"

namespace ft::verify {
namespace {

TEST(Allocation, NoneInAWarmStep) {
  constexpr size_t kVocab = 3000;
  std::mt19937_64 rng(1);
  TokenTree tree;
  tree.reserve(8);
  std::vector<float> logits(8 * kVocab);
  Sampler sampler;
  Verifier verifier;
  RejectionVerifier rejection;
  std::vector<double> draft_probability(7 * kVocab);
  Verified verified;
  SampleResult sample;
  SampleResult sampled;
  TokenCounts counts;
  counts.reserve(kVocab);
  SamplingParams plain;
  SamplingParams narrowed;
  narrowed.top_k = 50;
  narrowed.top_p = 0.9;
  narrowed.min_p = 0.01;
  SamplingParams nucleus;
  nucleus.top_p = 0.95;
  nucleus.frequency_penalty = 0.5;
  nucleus.logit_bias = {{3, 1.0f}};
  SamplingParams greedy;
  greedy.temperature = 0;

  const auto step = [&](int64_t position) {
    for (float& logit : logits) logit = std::normal_distribution<float>(0, 2)(rng);
    for (const SamplingParams* params : {&plain, &narrowed, &nucleus, &greedy}) {
      tree.start(0);
      int32_t node = 0;
      for (int64_t depth = 0; depth < 7; ++depth) {  // the target's own tokens: the whole path is walked
        sampler.sample(std::span(logits).subspan(static_cast<size_t>(depth) * kVocab, kVocab), *params,
                       &counts, position + depth + 1, {}, sampled);
        node = tree.add(sampled.token, node, 0.1f);
      }
      const StopRule stop{.tokens_left = 100};
      const VerifyInput input{.tree = tree,
                              .logits = logits,
                              .params = *params,
                              .anchor_position = position,
                              .stop = stop,
                              .counts = &counts};
      verifier.verify(input, verified);
      for (size_t row = 0; row < 7; ++row) {
        sampler.distribution(std::span(logits).subspan(row * kVocab, kVocab), *params, &counts, {},
                             std::span(draft_probability).subspan(row * kVocab, kVocab));
      }
      rejection.verify(input, draft_probability, AcceptanceRule::kToken, verified);
      rejection.verify(input, draft_probability, AcceptanceRule::kBlock, verified);
      sampler.sample(std::span(logits).first(kVocab), *params, &counts, position, {}, sample);
    }
  };
  for (int64_t position = 0; position < 50; ++position) step(position);
  const int64_t before = allocation_count();
  ASSERT_GT(before, 0);
  for (int64_t position = 50; position < 100; ++position) step(position);
  EXPECT_EQ(allocation_count(), before);
}

}  // namespace
}  // namespace ft::verify
