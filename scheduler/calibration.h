// Calibration of drafts, online: from the scores that drafters give to what the target really takes.
//
// Per (source, temperature bucket, depth, rank) a logistic scale and offset, fitted to observed outcomes with
// exponential forgetting: sequential temperature scaling (dspark.md 1.7) with an offset, continuously. Every
// candidate whose parent the target has reached has a known outcome, verified or not: what the target took
// instead is known. On top, per depth, a monotone correction of the product of shares, because shares of one
// path are not independent of each other. It learns from nodes behind a verified one only, whose outcome is
// known whatever it is; of others only misses would be seen. Memory is fixed; no allocation after
// construction.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "draft/drafter.h"

namespace ft::scheduler {

// Temperatures whose drafts behave alike; T = 0 compares without noise and is a bucket of its own.
inline constexpr int kTemperatureBuckets = 4;
int temperature_bucket(double temperature);
std::string_view temperature_bucket_name(int bucket);  // "0", "0-0.5", "0.5-0.85", "0.85+"

// How well predicted path probabilities match what happened, at one depth. Predictions count as they were
// made, before their outcome was learned from.
struct Reliability {
  static constexpr int kBins = 20;  // equal, as in dspark.md 1.7

  struct Bin {
    double count = 0.0;
    double predicted = 0.0;  // sum of predictions
    double hits = 0.0;
    double variance = 0.0;  // that hits would have if the predictions were right
  };
  // Sums with growing weights: the last 20,000 predictions or so count.
  std::array<Bin, kBins> bins{};
  double squared_error = 0.0;
  double weight = 1.0;

  void add(double predicted, bool hit);
  double count() const { return total() / weight; }
  // sum_b n_b/N |mean prediction - mean outcome|
  double ece() const;
  // ece() expected of as many predictions that are right: what chance alone makes of it.
  double noise() const;
  // Mean squared error.
  double brier() const;
  // Chance that a hit had a higher prediction than a miss, over the bins; 0.5 if there is one kind only.
  double auc() const;

 private:
  static constexpr double kGrowth = 1.0 + 1.0 / 20000.0;
  static constexpr double kWeightMax = 1e9;
  double total() const;
};

// A logistic regression with two parameters, updated per outcome by a Newton step with forgetting.
class OnlineLogistic {
 public:
  void start(draft::ShareParameters prior);
  void observe(float score, bool hit);
  draft::ShareParameters parameters() const {
    return {static_cast<float>(scale_), static_cast<float>(offset_)};
  }

 private:
  friend class Calibration;
  double scale_ = 1.0;
  double offset_ = 0.0;
  // Inverse Hessian of the loss.
  double p00_ = 1.0;
  double p01_ = 0.0;
  double p11_ = 1.0;
};

class Calibration {
 public:
  static constexpr int kDepths = draft::kShareDepthMax;

  Calibration();

  // What drafters of a request at this temperature are to use. Changes with observe().
  const draft::ShareModel& shares(double temperature) const;
  // Estimates of the path probabilities of a tree, from the products of shares that its nodes carry:
  // corrected[i] of node i, never above its parent's.
  void correct(double temperature, std::span<const draft::DraftNode> nodes,
               std::vector<float>& corrected) const;

  // What the probabilities `corrected` may turn out to be, for who decides whether to draft and what to
  // verify: those of the model's first choices as if, at each depth, kHopefulOutcomes more had been seen and
  // had gone well. Without that, estimates that begin too low would never be put right, because nobody would
  // look. It wears off with what is observed.
  static constexpr double kHopefulOutcomes = 4.0;
  void hope(double temperature, std::span<const draft::DraftNode> nodes, std::span<const float> corrected,
            std::vector<float>& hoped) const;

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
  // Predictions by product, and what came of them.
  struct Correction {
    static constexpr int kGrid = 256;
    // Edges of intervals of products, in parts of the grid. Narrow at the ends: most predictions of a good
    // drafter are there, and there shares that are not independent matter most.
    static constexpr std::array kEdges = {0,   8,   16,  32,  48,  64,  80,  96,  112, 128, 144,
                                          160, 176, 192, 208, 224, 236, 243, 248, 252, 255, kGrid};
    static constexpr size_t kKnots = kEdges.size() - 1;
    static constexpr std::array<uint8_t, kGrid> kKnotOf = [] {
      std::array<uint8_t, kGrid> knots{};
      for (size_t part = 0, knot = 0; part < knots.size(); ++part) {
        if (static_cast<int>(part) == kEdges[knot + 1]) ++knot;
        knots[part] = static_cast<uint8_t>(knot);
      }
      return knots;
    }();
    // Of each interval: outcomes, and sums of their products and of hits.
    std::array<double, kKnots> count{};
    std::array<double, kKnots> product{};
    std::array<double, kKnots> hits{};
    double observed = 0.0;  // outcomes, as far as that makes refits rarer
    double since_refit = 0.0;
    // The map, a straight line per interval.
    struct Line {
      float begin = 0.0f;
      float value = 0.0f;  // at its beginning
      float slope = 0.0f;
      float at(float predicted) const { return value + slope * (predicted - begin); }
    };
    std::array<Line, kKnots> lines{};
    void start();
    void observe(float predicted, bool hit);
    void refit();
    static size_t knot(float predicted) {
      const auto part = static_cast<uint32_t>(static_cast<int32_t>(predicted * kGrid));
      return kKnotOf[std::min(part, uint32_t{kGrid - 1})];
    }
    float at(float predicted) const {  // in [0, 1]
      return std::min(lines[knot(predicted)].at(predicted), 1.0f);
    }
  };
  struct Bucket {
    std::array<std::array<std::array<OnlineLogistic, draft::kBranchMax>, kDepths>, draft::kDraftSources>
        logistic;
    std::array<Correction, kDepths> correction;
    std::array<Reliability, kDepths> reliability;
    draft::ShareModel shares;
    std::array<double, kDepths> outcomes{};  // of the model's first choices that were learned from
    std::array<float, kDepths> hope{};       // weight of the hopeful outcomes beside these; 0 once it is low
    size_t hope_from = 0;                    // first index at which it is not
    double second_chances = 0.0;
    double second_hits = 0.0;
    void refresh_hope();
  };
  template <class Self, class Visit>
  static void visit_state(Self& self, Visit visit);

  std::vector<Bucket> buckets_;
  // Whether the target went through each node of the tree in observe().
  enum class Passed : uint8_t { kNo, kYes, kUnknown };
  std::vector<Passed> passed_;
  std::vector<uint8_t> verified_;  // whether each node was
  std::vector<uint8_t> went_on_;   // whether one of node i - 1's children so far passed, the anchor being -1
};

}  // namespace ft::scheduler
