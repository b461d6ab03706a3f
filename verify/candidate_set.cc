#include "verify/candidate_set.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/log_sum_exp.h"

namespace ft::verify {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr size_t kBlock = 512;

// Rounding is monotonic, so a smaller logit is never in an earlier bucket: buckets refine the order, never
// break it.
int32_t bucket_of(float logit, float largest, float scale_to_buckets, int32_t last) {
  const float distance = (largest - std::min(logit, kLargest)) * scale_to_buckets;
  return distance < static_cast<float>(last) ? static_cast<int32_t>(distance) : last;
}

// Largest logit first, equal ones by lowest id.
constexpr auto kBefore = [](const auto& a, const auto& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
};

}  // namespace

std::span<const int32_t> CandidateSet::select(std::span<const float> logits, double temperature,
                                              int64_t top_k, double top_p, double min_p) {
  candidates_.clear();
  tokens_.clear();
  // How many remain depends on the row: set aside for all at once, not whenever a flatter row comes.
  candidates_.reserve(logits.size());
  tokens_.reserve(logits.size());
  const float largest = largest_logit(logits);
  if (largest == -kInfinity) return tokens_;
  const float scale = static_cast<float>(1.0 / temperature);
  if (top_k > 0 && top_k < std::ssize(logits)) {
    fill_buckets(logits, largest, scale);
    keep_top_k(logits, largest, scale, top_k);
    if (top_p < 1.0) {
      std::sort(candidates_.begin(), candidates_.end(), kBefore);
      double mass = 0.0;
      for (const Candidate& candidate : candidates_) {
        float term = 0;
        softmax_terms({&candidate.logit, 1}, largest, scale, &term);
        mass += static_cast<double>(term);
      }
      cut_prefix(0, 0.0, top_p * mass, largest, scale);
    }
  } else if (top_p < 1.0) {
    fill_buckets(logits, largest, scale);
    keep_top_p(logits, largest, scale, top_p);
  } else {
    // One bucket more than min-p reaches, for the rounding of both.
    const double reach = min_p > 0.0 ? 1.0 - std::log(min_p) * static_cast<double>(kBucketsPerNat) : kBuckets;
    collect_upto(logits, largest, scale, static_cast<int32_t>(std::min<double>(reach, kBuckets - 1)));
  }
  if (min_p > 0.0) keep_min_p(largest, temperature, min_p);
  for (const Candidate& candidate : candidates_) tokens_.push_back(candidate.token);
  return tokens_;
}

void CandidateSet::fill_buckets(std::span<const float> logits, float largest, float scale) {
  count_.fill(0);
  mass_.fill(0.0);
  std::array<float, kBlock> terms;
  for (size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const size_t size = std::min(kBlock, logits.size() - begin);
    softmax_terms(logits.subspan(begin, size), largest, scale, terms.data());
    for (size_t i = 0; i < size; ++i) {
      const float logit = logits[begin + i];
      if (!(logit > -kInfinity)) continue;
      const size_t bucket =
          static_cast<size_t>(bucket_of(logit, largest, scale * kBucketsPerNat, kBuckets - 1));
      ++count_[bucket];
      mass_[bucket] += static_cast<double>(terms[i]);
    }
  }
}

void CandidateSet::collect_upto(std::span<const float> logits, float largest, float scale,
                                int32_t last_bucket) {
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > -kInfinity)) continue;
    if (bucket_of(logits[i], largest, scale * kBucketsPerNat, kBuckets - 1) > last_bucket) continue;
    candidates_.push_back({std::min(logits[i], kLargest), static_cast<int32_t>(i)});
  }
}

void CandidateSet::keep_top_k(std::span<const float> logits, float largest, float scale, int64_t top_k) {
  int64_t count = 0;
  int32_t bucket = 0;
  while (bucket < kBuckets - 1 && count + count_[static_cast<size_t>(bucket)] < top_k) {
    count += count_[static_cast<size_t>(bucket)];
    ++bucket;
  }
  collect_upto(logits, largest, scale, bucket);
  if (std::ssize(candidates_) <= top_k) return;
  std::nth_element(candidates_.begin(), candidates_.begin() + top_k, candidates_.end(), kBefore);
  candidates_.resize(static_cast<size_t>(top_k));
}

void CandidateSet::keep_top_p(std::span<const float> logits, float largest, float scale, double top_p) {
  double total = 0.0;
  for (const double mass : mass_) total += mass;
  const double wanted = top_p * total;
  double before = 0.0;
  int32_t bucket = 0;
  while (bucket < kBuckets - 1 && before + mass_[static_cast<size_t>(bucket)] < wanted) {
    before += mass_[static_cast<size_t>(bucket)];
    ++bucket;
  }
  collect_upto(logits, largest, scale, bucket);
  // Only the bucket in which the sum passes the mark needs an order within.
  const auto boundary =
      std::partition(candidates_.begin(), candidates_.end(), [&](const Candidate& candidate) {
        return bucket_of(candidate.logit, largest, scale * kBucketsPerNat, kBuckets - 1) < bucket;
      });
  std::sort(boundary, candidates_.end(), kBefore);
  cut_prefix(static_cast<size_t>(boundary - candidates_.begin()), before, wanted, largest, scale);
}

// Drops everything after the first candidate, from `begin` on, at which the mass reaches what is wanted. If
// rounding keeps the sum just below it, nothing is dropped.
void CandidateSet::cut_prefix(size_t begin, double mass_before, double mass_wanted, float largest,
                              float scale) {
  double mass = mass_before;
  for (size_t i = begin; i < candidates_.size(); ++i) {
    float term = 0;
    softmax_terms({&candidates_[i].logit, 1}, largest, scale, &term);
    mass += static_cast<double>(term);
    if (mass >= mass_wanted) {
      candidates_.resize(i + 1);
      return;
    }
  }
}

void CandidateSet::keep_min_p(float largest, double temperature, double min_p) {
  const double limit = static_cast<double>(largest) / temperature + std::log(min_p);
  std::erase_if(candidates_, [&](const Candidate& candidate) {
    return static_cast<double>(candidate.logit) / temperature < limit;
  });
}

}  // namespace ft::verify
