// Which tokens of a row top-k, top-p and min-p leave to choose from, without sorting the vocabulary.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace ft::verify {

// Scratch, reused (allocates for the first row only). A pure function of the arguments.
class CandidateSet {
 public:
  // The tokens that survive top-k, then top-p, then min-p at temperature T >= kGreedyTemperature, as
  // sampler.h defines them; at least one if any logit is usable. Distinct ids, in no particular order. top_k
  // 0, top_p 1 and min_p 0 are off; with all of them off it is every usable token. Valid until the next call.
  // Probabilities for top-p are float32 (core/log_sum_exp.h), summed in double.
  std::span<const int32_t> select(std::span<const float> logits, double temperature, int64_t top_k,
                                  double top_p, double min_p);

 private:
  struct Candidate {
    float logit = 0;
    int32_t token = 0;
  };
  // Tokens by distance from the largest logit, 1/32 nat a bucket; the last bucket holds all the rest (below
  // -32).
  static constexpr int32_t kBuckets = 1024;
  static constexpr float kBucketsPerNat = 32.0f;

  void fill_buckets(std::span<const float> logits, float largest, float scale);
  void collect_upto(std::span<const float> logits, float largest, float scale, int32_t last_bucket);
  void keep_top_k(std::span<const float> logits, float largest, float scale, int64_t top_k);
  void keep_top_p(std::span<const float> logits, float largest, float scale, double top_p);
  void cut_prefix(size_t begin, double mass_before, double mass_wanted, float largest, float scale);
  void keep_min_p(float largest, double temperature, double min_p);

  std::array<int64_t, kBuckets> count_{};
  std::array<double, kBuckets> mass_{};
  std::vector<Candidate> candidates_;
  std::vector<int32_t> tokens_;
};

}  // namespace ft::verify
