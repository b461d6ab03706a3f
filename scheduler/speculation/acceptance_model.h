// How likely drafted tokens are accepted, learned online from what the target really takes.
//
// A path probability is corrected twice. First, a logistic map per source, temperature bucket, depth and rank
// turns a drafter's score into a conditional acceptance probability (online_logistic.h; sequential
// temperature scaling, dspark.md 1.7, continuously and with an offset). Then an isotonic map per depth
// corrects the product along the path, because acceptances along one path are not independent
// (isotonic_map.h).
//
// The logistic maps learn from every candidate whose parent the target has reached, verified or not: what the
// target took instead is known. The isotonic maps learn from nodes behind a verified one only, whose outcome
// is known whatever it is; of others only misses would be seen. Memory is fixed; no allocation after
// construction. Tokens that a constraint forces are as probable as what is before them, and teach nothing.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "draft/drafter.h"
#include "scheduler/speculation/isotonic_map.h"
#include "scheduler/speculation/online_logistic.h"
#include "scheduler/speculation/reliability.h"
#include "scheduler/speculation/temperature_bucket.h"

namespace ft::scheduler {

class AcceptanceModel {
 public:
  static constexpr int kDepths = draft::kAcceptanceDepths;

  AcceptanceModel();

  // What the drafts of a request at this temperature are to be scored by. Changes with observe().
  const draft::AcceptanceTable& table(double temperature) const;
  // Path probabilities of a tree, corrected: corrected[i] from the product of conditional probabilities that
  // node i carries, never above its parent's.
  void correct(double temperature, std::span<const draft::DraftNode> nodes,
               std::vector<float>& corrected) const;

  // Optimistic estimates, for deciding whether to draft and what to verify: `corrected`, but those of the
  // model's first choices as if, at each depth, kOptimisticOutcomes more outcomes had been seen and had been
  // hits. Without them, estimates that begin too low would never be put right, because nothing would be
  // drafted. They approach `corrected` as outcomes are observed.
  static constexpr double kOptimisticOutcomes = 4.0;
  void optimistic(double temperature, std::span<const draft::DraftNode> nodes,
                  std::span<const float> corrected, std::vector<float>& optimistic) const;

  // Whether to learn from a step's `tree`-th tree of `trees`: from all of a few, in turns from about
  // kTreesPerStep of many, where there is more than enough to learn from and a step has no time to lose.
  static constexpr size_t kFewTrees = 8;
  static constexpr size_t kTreesPerStep = 4;
  static bool learns_from(int64_t step, size_t tree, size_t trees);

  // Learns from a tree and the estimates that correct() gave for it. `verified`: the nodes that were
  // verified, closed under parents. emitted[k] is the target's token k + 1 places after the anchor; at least
  // one.
  void observe(double temperature, std::span<const draft::DraftNode> nodes, std::span<const float> corrected,
               std::span<const int32_t> verified, std::span<const int32_t> emitted);

  // depth >= 1.
  const Reliability& reliability(int bucket, int depth) const;
  // Begins to count predictions anew at every depth, without forgetting anything that was learned.
  void restart_reliability(int bucket);
  // Chance that the target's token is the draft's second child where it is not the first (dspark.md 6.1,
  // "s2").
  double second_choice_rate(int bucket) const;

  // One number per fact, for keeping what was learned; restore ignores a list of another length. Saving takes
  // in what is pending, so that both go on alike.
  std::vector<double> save();
  bool restore(std::span<const double> saved);

 private:
  struct Bucket {
    std::array<std::array<std::array<OnlineLogistic, draft::kBranchMax>, kDepths>, draft::kDraftSources>
        logistic;
    std::array<IsotonicMap, kDepths> isotonic;
    std::array<Reliability, kDepths> reliability;
    draft::AcceptanceTable table;            // the parameters of `logistic`
    std::array<double, kDepths> outcomes{};  // of the model's first choices that were learned from
    std::array<float, kDepths>
        optimism{};            // weight of the optimistic outcomes beside these; 0 once it is low
    size_t optimism_from = 0;  // first index at which it is not
    double second_chances = 0.0;
    double second_hits = 0.0;
    void refresh_optimism();
    void refresh_table();
  };
  // Whether the target's path runs through a node.
  enum class Passed : uint8_t { kNo, kYes, kUnknown };

  Bucket& bucket(double temperature) {
    return buckets_[static_cast<size_t>(temperature_bucket(temperature))];
  }
  const Bucket& bucket(double temperature) const {
    return buckets_[static_cast<size_t>(temperature_bucket(temperature))];
  }
  void observe_conditional(Bucket& bucket, const draft::DraftNode& node, bool hit);
  template <class Self, class Visit>
  static void visit_state(Self& self, Visit visit);

  std::vector<Bucket> buckets_;
  // Scratch of observe(), per node of the tree.
  std::vector<Passed> passed_;
  std::vector<uint8_t> verified_;
  std::vector<uint8_t> went_on_;  // whether one of node i - 1's children so far passed, the anchor being -1
};

}  // namespace ft::scheduler
