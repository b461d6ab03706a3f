// Drafts whose true chances the test knows, from a drafter that is too sure of itself.
#include "scheduler/speculation/acceptance_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

namespace ft::scheduler {
namespace {

using draft::DraftNode;
using draft::DraftSource;

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

// dspark.md 1.7: expected calibration error over equal bins.
class Outcomes {
 public:
  void add(double predicted, bool hit) {
    const auto bin = std::min(static_cast<size_t>(predicted * 20.0), size_t{19});
    ++count_[bin];
    predicted_[bin] += predicted;
    hits_[bin] += hit ? 1.0 : 0.0;
  }
  double ece() const {
    double total = 0.0;
    double difference = 0.0;
    for (size_t bin = 0; bin < 20; ++bin) {
      total += count_[bin];
      if (count_[bin] > 0.0)
        difference += count_[bin] * std::abs(predicted_[bin] / count_[bin] - hits_[bin] / count_[bin]);
    }
    return difference / total;
  }

 private:
  std::array<double, 20> count_{}, predicted_{}, hits_{};
};

// The log-odds that a source reports for its child of rank `rank` at `depth`, given the true ones: it
// overstates them, and more so deeper down.
double reported(double truth, int depth, int rank) {
  return (truth + 0.4) * (1.6 + 0.15 * depth) + 0.3 * rank;
}

// One random tree and what the target does with it. The chain of first children is `depth` long, and every
// node of it has a second child.
struct Trial {
  std::vector<DraftNode> nodes;
  std::vector<bool> hit;
  std::vector<int32_t> target;  // its tokens, one more than the tree is deep
};

class Source {
 public:
  Source(uint64_t seed, int depth, bool branches) : random_(seed), depth_(depth), branches_(branches) {}

  Trial next(const draft::AcceptanceTable& table, DraftSource source = DraftSource::kModel) {
    Trial trial;
    int32_t parent = -1;
    float parent_path = 1.0f;
    bool on_path = true;
    // Text that is easy stays easy for a while: shares of one path are not independent.
    const double mood = 0.8 * std::normal_distribution()(random_);
    for (int depth = 1; depth <= depth_; ++depth) {
      int32_t target = kOther;
      float left = 1.0f;
      bool taken = false;
      int32_t first = -1;
      for (int rank = 0; rank < (branches_ ? 2 : 1); ++rank) {
        const double truth = (rank == 0 ? 1.0 : -0.5) + mood + std::normal_distribution()(random_);
        DraftNode node;
        node.token = 2 * depth + rank;
        node.parent = parent;
        node.depth = static_cast<uint8_t>(depth);
        node.rank = static_cast<uint8_t>(rank);
        node.source = source;
        node.score = static_cast<float>(reported(truth, depth, rank));
        const float share = left * table.probability(source, depth, rank, node.score);
        left -= share;
        node.path_probability = parent_path * share;
        const bool takes = !taken && std::uniform_real_distribution(0.0, 1.0)(random_) < sigmoid(truth);
        if (takes) {
          target = node.token;
          taken = true;
        }
        if (rank == 0) first = static_cast<int32_t>(trial.nodes.size());
        trial.nodes.push_back(node);
        trial.hit.push_back(on_path && takes);
      }
      // Once off the path, what the target says is not about this tree.
      trial.target.push_back(on_path ? target : kOther);
      on_path = on_path && target == trial.nodes[static_cast<size_t>(first)].token;
      parent = first;
      parent_path = trial.nodes[static_cast<size_t>(first)].path_probability;
    }
    trial.target.push_back(kOther);
    return trial;
  }

 private:
  static constexpr int32_t kOther = 1000;
  std::mt19937_64 random_;
  int depth_;
  bool branches_;
};

std::vector<int32_t> all_of(const Trial& trial) {
  std::vector<int32_t> nodes;
  for (size_t i = 0; i < trial.nodes.size(); ++i) nodes.push_back(static_cast<int32_t>(i));
  return nodes;
}

// What a step that verifies `verified` emits: the target's tokens while they are among them, and one more.
std::vector<int32_t> emitted(const Trial& trial, std::span<const int32_t> verified) {
  std::vector<int32_t> tokens;
  int32_t at = -1;
  for (int32_t token : trial.target) {
    tokens.push_back(token);
    int32_t next = -1;
    for (int32_t i : verified)
      if (trial.nodes[static_cast<size_t>(i)].parent == at &&
          trial.nodes[static_cast<size_t>(i)].token == token)
        next = i;
    if (next < 0) break;
    at = next;
  }
  return tokens;
}

void learn(AcceptanceModel& acceptance, double temperature, const Trial& trial,
           std::span<const int32_t> verified) {
  std::vector<float> corrected;
  acceptance.correct(temperature, trial.nodes, corrected);
  acceptance.observe(temperature, trial.nodes, corrected, verified, emitted(trial, verified));
}

TEST(TemperatureBucket, GreedyIsOneOfItsOwn) {
  EXPECT_EQ(temperature_bucket(0.0), 0);
  EXPECT_EQ(temperature_bucket(1e-6), 0);
  EXPECT_EQ(temperature_bucket(0.1), 1);
  EXPECT_EQ(temperature_bucket(0.5), 1);
  EXPECT_EQ(temperature_bucket(0.51), 2);
  EXPECT_EQ(temperature_bucket(0.85), 2);
  EXPECT_EQ(temperature_bucket(1.0), 3);
  EXPECT_EQ(temperature_bucket(100.0), 3);
  for (int bucket = 0; bucket < kTemperatureBuckets; ++bucket)
    EXPECT_FALSE(temperature_bucket_name(bucket).empty());
}

class CalibrationFromColdStart : public ::testing::TestWithParam<bool> {};

TEST_P(CalibrationFromColdStart, IsWithinTwoPercentAfter2000Trees) {
  constexpr int kDepth = 5;
  AcceptanceModel acceptance;
  Source source(11, kDepth, GetParam());
  std::array<Outcomes, kDepth> cold, warm;
  for (int tree = 0; tree < 42000; ++tree) {
    const Trial trial = source.next(acceptance.table(0.7));
    std::vector<float> corrected;
    acceptance.correct(0.7, trial.nodes, corrected);
    for (size_t i = 0; i < trial.nodes.size(); ++i) {
      std::array<Outcomes, kDepth>& outcomes = tree < 2000 ? cold : warm;
      outcomes[trial.nodes[i].depth - 1u].add(static_cast<double>(corrected[i]), trial.hit[i]);
      const int32_t parent = trial.nodes[i].parent;
      if (parent >= 0) {
        EXPECT_LE(corrected[i], corrected[static_cast<size_t>(parent)]);
      }
    }
    learn(acceptance, 0.7, trial, all_of(trial));
    // Uncorrected scores are far off, or there would be nothing to learn.
    if (tree == 0) {
      Outcomes raw;
      Source same(12, kDepth, GetParam());
      for (int i = 0; i < 5000; ++i) {
        const Trial other = same.next(draft::default_acceptance(false));
        raw.add(static_cast<double>(other.nodes[0].path_probability), other.hit[0]);
      }
      EXPECT_GT(raw.ece(), 0.05);
    }
  }
  for (size_t depth = 0; depth < kDepth; ++depth) {
    EXPECT_LE(warm[depth].ece(), 0.02) << "depth " << depth + 1;
    // What it reports of itself is about the last 20,000 predictions.
    const Reliability& reliability =
        acceptance.reliability(temperature_bucket(0.7), static_cast<int>(depth) + 1);
    EXPECT_LE(reliability.ece(), 0.02) << "depth " << depth + 1;
    EXPECT_GT(reliability.auc(), 0.6);
  }
}

INSTANTIATE_TEST_SUITE_P(Trees, CalibrationFromColdStart, ::testing::Bool(),
                         [](const auto& cell) { return cell.param ? "branching" : "chains"; });

TEST(AcceptanceModel, WhatIsNotVerifiedMakesNoPredictionWorse) {
  // Only what is likely is verified, as a policy does. Behind the rest a hit would go unseen.
  constexpr int kDepth = 4;
  AcceptanceModel acceptance;
  Source source(13, kDepth, false);
  std::array<Outcomes, kDepth> outcomes;
  std::vector<float> corrected;
  for (int tree = 0; tree < 30000; ++tree) {
    const Trial trial = source.next(acceptance.table(0.7));
    acceptance.correct(0.7, trial.nodes, corrected);
    std::vector<int32_t> likely;
    for (size_t i = 0; i < trial.nodes.size(); ++i) {
      if (corrected[i] >= 0.4f) likely.push_back(static_cast<int32_t>(i));
      if (tree >= 5000) outcomes[i].add(static_cast<double>(corrected[i]), trial.hit[i]);
    }
    learn(acceptance, 0.7, trial, likely);
  }
  for (size_t depth = 0; depth < kDepth; ++depth) EXPECT_LE(outcomes[depth].ece(), 0.02) << depth + 1;
  // Nodes whose parents are never verified are not judged at all.
  AcceptanceModel deeper;
  Source three(14, 3, false);
  const int32_t first[] = {0};
  for (int tree = 0; tree < 500; ++tree) learn(deeper, 0.7, three.next(deeper.table(0.7)), first);
  EXPECT_NEAR(deeper.reliability(2, 1).count(), 500.0, 10.0);
  EXPECT_NEAR(deeper.reliability(2, 2).count(), 500.0, 10.0);
  EXPECT_EQ(deeper.reliability(2, 3).count(), 0.0);
}

TEST(AcceptanceModel, TokensThatNoNodeWasVerifiedForAreOutcomesToo) {
  // Nothing is verified, and still every first token is known.
  AcceptanceModel acceptance;
  Source source(15, 1, true);
  Outcomes warm;
  std::vector<float> corrected;
  for (int tree = 0; tree < 22000; ++tree) {
    const Trial trial = source.next(acceptance.table(0.7));
    acceptance.correct(0.7, trial.nodes, corrected);
    if (tree >= 2000)
      for (size_t i = 0; i < 2; ++i) warm.add(static_cast<double>(corrected[i]), trial.hit[i]);
    learn(acceptance, 0.7, trial, {});
  }
  EXPECT_LE(warm.ece(), 0.02);
}

// Most drafts of a good drafter are nearly certain. There no straight line in log-odds fits, and the
// correction must not lean to one side within its last interval.
TEST(AcceptanceModel, IsRightWhereNearlyAllPredictionsAreNearlyCertain) {
  AcceptanceModel acceptance;
  std::mt19937_64 random(43);
  std::normal_distribution<double> score(3.5, 1.0);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  std::vector<float> corrected;
  double predicted = 0.0, hits = 0.0;
  Outcomes outcomes;
  for (int tree = 0; tree < 60000; ++tree) {
    Trial trial;
    DraftNode node;
    node.token = 1;
    node.depth = 1;
    node.source = DraftSource::kModel;
    node.score = static_cast<float>(score(random));
    node.path_probability = acceptance.table(0.7).probability(DraftSource::kModel, 1, 0, node.score);
    const bool hit = uniform(random) < 0.93 * sigmoid(static_cast<double>(node.score));
    trial.nodes = {node};
    trial.hit = {hit};
    trial.target = {hit ? 1 : 1000, 1000};
    acceptance.correct(0.7, trial.nodes, corrected);
    if (tree >= 10000) {
      outcomes.add(static_cast<double>(corrected[0]), hit);
      predicted += static_cast<double>(corrected[0]);
      hits += hit ? 1.0 : 0.0;
    }
    learn(acceptance, 0.7, trial, all_of(trial));
  }
  EXPECT_LE(outcomes.ece(), 0.006);
  EXPECT_NEAR(predicted / 50000.0, hits / 50000.0, 0.006);
}

// A drafter that is right nine times out of ten at each of three depths and says that it is right three
// times.
Trial modest(std::mt19937_64& random, const draft::AcceptanceTable& table) {
  Trial trial;
  float path = 1.0f;
  bool on_path = true;
  for (int depth = 1; depth <= 3; ++depth) {
    DraftNode node;
    node.token = depth;
    node.parent = depth - 2;
    node.depth = static_cast<uint8_t>(depth);
    node.source = DraftSource::kModel;
    node.score = -0.85f;
    path *= table.probability(DraftSource::kModel, depth, 0, node.score);
    node.path_probability = path;
    on_path = on_path && std::uniform_real_distribution(0.0, 1.0)(random) < 0.9;
    trial.nodes.push_back(node);
    trial.hit.push_back(on_path);
    trial.target.push_back(on_path ? node.token : 1000);
  }
  trial.target.push_back(1000);
  return trial;
}

TEST(AcceptanceModel, HopeFindsThatDraftsAreBetterThanTheySay) {
  // Who verifies only what is worth it by the estimates alone never sees the third token.
  for (const bool hopes : {false, true}) {
    AcceptanceModel acceptance;
    std::mt19937_64 random(41);
    std::vector<float> corrected, optimistic;
    size_t verified = 0;
    for (int tree = 0; tree < 200; ++tree) {
      const Trial trial = modest(random, acceptance.table(0.7));
      acceptance.correct(0.7, trial.nodes, corrected);
      acceptance.optimistic(0.7, trial.nodes, corrected, optimistic);
      for (size_t i = 0; i < 3; ++i) {
        EXPECT_GE(optimistic[i], corrected[i]);
        EXPECT_LE(optimistic[i], i == 0 ? 1.0f : optimistic[i - 1]);
      }
      std::vector<int32_t> worth;
      for (size_t i = 0; i < 3 && (hopes ? optimistic : corrected)[i] > 0.6f; ++i)
        worth.push_back(static_cast<int32_t>(i));
      verified = worth.size();
      if (!worth.empty()) learn(acceptance, 0.7, trial, worth);
    }
    EXPECT_EQ(verified, hopes ? 3U : 0U);
    if (hopes) {
      EXPECT_NEAR(corrected[2], 0.729f, 0.1f);
      EXPECT_LT(optimistic[0] - corrected[0], 0.02f);
    }
  }
}

TEST(AcceptanceModel, HopeCostsLittleWhereDraftsAreBad) {
  AcceptanceModel acceptance;
  Source source(17, 3, false);
  std::vector<float> corrected, optimistic;
  int verified = 0;
  for (int tree = 0; tree < 400; ++tree) {
    Trial trial = source.next(acceptance.table(0.7));
    trial.hit.assign(trial.hit.size(), false);
    trial.target.assign(trial.target.size(), 1000);
    acceptance.correct(0.7, trial.nodes, corrected);
    acceptance.optimistic(0.7, trial.nodes, corrected, optimistic);
    std::vector<int32_t> worth;
    for (size_t i = 0; i < 3 && optimistic[i] > 0.4f; ++i) worth.push_back(static_cast<int32_t>(i));
    verified += static_cast<int>(worth.size());
    learn(acceptance, 0.7, trial, worth);
  }
  EXPECT_GT(verified, 0);
  EXPECT_LE(verified, 40);
}

// A node of depth 1 with this product.
DraftNode of_product(float product) {
  DraftNode node;
  node.token = 1;
  node.path_probability = product;
  return node;
}

float corrected_at(const AcceptanceModel& acceptance, float product) {
  const DraftNode node = of_product(product);
  std::vector<float> corrected;
  acceptance.correct(0.0, std::span(&node, 1), corrected);
  return corrected[0];
}

void observe_product(AcceptanceModel& acceptance, float product, bool hit) {
  const DraftNode node = of_product(product);
  const float predicted[] = {corrected_at(acceptance, product)};
  const int32_t target[] = {hit ? 1 : 2};
  acceptance.observe(0.0, std::span(&node, 1), predicted, {}, target);
}

TEST(AcceptanceModel, CorrectionNeverFallsAndStaysAProbability) {
  using Curve = float (*)(float);
  const Curve curves[] = {
      [](float p) { return 1.0f - p; },                              // likelier ones are hit less often
      [](float p) { return p < 0.9f ? 0.0f : (p - 0.9f) * 9.9f; },   // nothing, then steep
      [](float p) { return p < 0.98f ? 0.0f : 1.0f; },               // a step near the end
      [](float p) { return p < 0.02f ? 0.0f : 0.95f + 0.05f * p; },  // and one near the beginning
      [](float p) { return std::sqrt(p); },
  };
  for (const Curve curve : curves) {
    std::mt19937_64 random(5);
    std::uniform_real_distribution<float> uniform(0.0f, 1.0f);
    AcceptanceModel acceptance;
    for (int i = 0; i < 5000; ++i) {
      const float product = i % 2 == 0 ? uniform(random) : 0.9f + 0.1f * uniform(random);
      observe_product(acceptance, product, uniform(random) < curve(product));
      if (i % 500 != 0) continue;
      float before = 0.0f;
      for (int k = 0; k <= 1024; ++k) {
        const float edge = static_cast<float>(k) / 1024.0f;
        for (const float at : {std::nextafter(edge, 0.0f), edge}) {
          const float corrected = corrected_at(acceptance, at);
          ASSERT_GE(corrected, before) << at;
          ASSERT_LE(corrected, 1.0f) << at;
          before = corrected;
        }
      }
    }
  }
}

TEST(AcceptanceModel, CorrectsWhatIsAlways0Or1) {
  AcceptanceModel acceptance;
  for (int i = 0; i < 200000; ++i) {
    observe_product(acceptance, 1.0f, true);
    observe_product(acceptance, 0.0f, false);
  }
  EXPECT_NEAR(corrected_at(acceptance, 1.0f), 1.0f, 1e-3f);
  EXPECT_NEAR(corrected_at(acceptance, 0.0f), 0.0f, 1e-3f);
  for (float product : {0.2f, 0.5f, 0.8f}) EXPECT_NEAR(corrected_at(acceptance, product), product, 1e-3f);
}

// Where the curve bends down, lines from the mean of one interval to that of the next would all be too low.
TEST(AcceptanceModel, CorrectionIsRightOnAverageWhereTheCurveBends) {
  const auto truth = [](float product) { return std::min(0.8f + 0.2f * product, 4.0f * product); };
  std::mt19937_64 random(43);
  std::uniform_real_distribution<float> uniform(0.0f, 1.0f);
  // Within one interval, the bend in its middle; its neighbours give it slopes.
  double mean = 0.0;
  constexpr int kRuns = 40;
  for (int run = 0; run < kRuns; ++run) {
    AcceptanceModel acceptance;
    for (int i = 0; i < 4000; ++i) {
      const float product = 0.125f + 0.1875f * uniform(random);
      observe_product(acceptance, product, uniform(random) < truth(product));
    }
    double difference = 0.0;
    for (int k = 0; k < 64; ++k) {
      const float product = 0.1875f + 0.0625f * (static_cast<float>(k) + 0.5f) / 64.0f;
      difference += static_cast<double>(corrected_at(acceptance, product) - truth(product)) / 64.0;
    }
    mean += difference / kRuns;
  }
  EXPECT_NEAR(mean, 0.0, 0.006);  // 0.022 too low between means
}

TEST(AcceptanceModel, LearnsTheSecondChoiceWhereItIsNotTheFirst) {
  AcceptanceModel acceptance;
  std::mt19937_64 random(17);
  const auto uniform = [&] { return std::uniform_real_distribution(0.0, 1.0)(random); };
  const auto truth = [](float score) { return sigmoid(0.5 * static_cast<double>(score) - 0.6); };
  double chances = 0.0;
  double hits = 0.0;
  for (int i = 0; i < 8000; ++i) {
    DraftNode nodes[2];
    for (int rank = 0; rank < 2; ++rank) {
      nodes[rank].token = rank;
      nodes[rank].rank = static_cast<uint8_t>(rank);
      nodes[rank].score = static_cast<float>(std::normal_distribution(0.0, 1.5)(random));
      nodes[rank].path_probability = 0.3f;
    }
    const bool first = uniform() < 0.6;
    const bool second = !first && uniform() < truth(nodes[1].score);
    chances += first ? 0.0 : 1.0;
    hits += second ? 1.0 : 0.0;
    const float predicted[] = {0.3f, 0.3f};
    const int32_t target[] = {first ? 0 : second ? 1 : 2};
    acceptance.observe(1.0, nodes, predicted, {}, target);
  }
  for (float score : {-2.0f, -1.0f, 0.0f, 1.0f, 2.0f})
    EXPECT_NEAR(acceptance.table(1.0).probability(DraftSource::kModel, 1, 1, score), truth(score), 0.04)
        << score;
  EXPECT_NEAR(acceptance.second_choice_rate(temperature_bucket(1.0)), hits / chances, 1e-9);
  // Rank 0 had no say in it: its score meant nothing.
  EXPECT_NEAR(acceptance.table(1.0).probability(DraftSource::kModel, 1, 0, 0.0f), 0.6, 0.04);
}

// Whether two acceptance tables differ anywhere.
bool differ(const draft::AcceptanceTable& a, const draft::AcceptanceTable& b, DraftSource source) {
  for (int depth = 1; depth <= draft::kAcceptanceDepths; ++depth)
    for (int rank = 0; rank < draft::kBranchMax; ++rank)
      if (a.row(source, depth).at(rank).scale != b.row(source, depth).at(rank).scale ||
          a.row(source, depth).at(rank).offset != b.row(source, depth).at(rank).offset)
        return true;
  return false;
}

TEST(AcceptanceModel, KeepsTemperaturesAndSourcesApart) {
  AcceptanceModel acceptance;
  const AcceptanceModel untouched;
  Source source(19, 3, true);
  std::vector<float> before, after;
  const Trial probe = source.next(acceptance.table(0.0));
  untouched.correct(0.0, probe.nodes, before);
  for (int i = 0; i < 500; ++i) {
    const Trial trial = source.next(acceptance.table(0.7), DraftSource::kNgram);
    learn(acceptance, 0.7, trial, all_of(trial));
  }
  for (DraftSource which : {DraftSource::kModel, DraftSource::kNgram, DraftSource::kBoth}) {
    EXPECT_EQ(differ(acceptance.table(0.7), untouched.table(0.7), which), which == DraftSource::kNgram);
    for (double temperature : {0.0, 0.4, 1.0})
      EXPECT_FALSE(differ(acceptance.table(temperature), untouched.table(temperature), which));
  }
  acceptance.correct(0.0, probe.nodes, after);
  EXPECT_EQ(before, after);
  EXPECT_GT(acceptance.reliability(2, 1).count(), 0.0);
  EXPECT_EQ(acceptance.reliability(0, 1).count(), 0.0);
}

// Most paths of a good drafter are nearly certain: what differs there must not be averaged.
TEST(AcceptanceModel, FollowsABendCloseToCertainty) {
  AcceptanceModel acceptance;
  std::mt19937_64 random(31);
  std::uniform_real_distribution<float> uniform(0.0f, 1.0f);
  for (int i = 0; i < 20000; ++i) {
    const float product = 0.9f + 0.1f * uniform(random);
    observe_product(acceptance, product, uniform(random) < (product < 0.97f ? 0.85f : 0.995f));
  }
  for (const auto& [product, truth] : {std::pair(0.94f, 0.85f), std::pair(0.99f, 0.995f)})
    EXPECT_NEAR(corrected_at(acceptance, product), truth, 0.02f) << product;
}

TEST(AcceptanceModel, IsTheSameAfterSavingAndRestoring) {
  AcceptanceModel acceptance;
  Source source(23, 5, true);
  for (int i = 0; i < 650; ++i) {
    const Trial trial = source.next(acceptance.table(0.7));
    learn(acceptance, 0.7, trial, all_of(trial));
  }
  const std::vector<double> saved = acceptance.save();
  AcceptanceModel again;
  ASSERT_TRUE(again.restore(saved));
  EXPECT_EQ(again.save(), saved);
  EXPECT_FALSE(differ(again.table(0.7), acceptance.table(0.7), DraftSource::kModel));
  EXPECT_EQ(again.second_choice_rate(2), acceptance.second_choice_rate(2));
  for (int i = 0; i < 100; ++i) {
    const Trial trial = source.next(acceptance.table(0.7));
    std::vector<float> a, b;
    acceptance.correct(0.7, trial.nodes, a);
    again.correct(0.7, trial.nodes, b);
    EXPECT_EQ(a, b);
    // And it goes on learning the same.
    learn(acceptance, 0.7, trial, all_of(trial));
    learn(again, 0.7, trial, all_of(trial));
  }
  EXPECT_EQ(again.save(), acceptance.save());
}

TEST(AcceptanceModel, RefusesWhatItDidNotSave) {
  AcceptanceModel acceptance;
  std::vector<double> saved = acceptance.save();
  const std::vector<double> before = saved;
  saved.pop_back();
  EXPECT_FALSE(acceptance.restore(saved));
  saved.push_back(1.0);
  saved.push_back(1.0);
  EXPECT_FALSE(acceptance.restore(saved));
  EXPECT_FALSE(acceptance.restore({}));
  saved.pop_back();
  saved[3] = std::nan("");
  EXPECT_FALSE(acceptance.restore(saved));
  EXPECT_EQ(acceptance.save(), before);
}

TEST(Reliability, AgreesWithTheDefinitions) {
  std::mt19937_64 random(29);
  Reliability reliability;
  std::vector<std::pair<double, bool>> all;
  for (int i = 0; i < 400; ++i) {
    const double predicted = (static_cast<double>(random() % 20) + 0.5) / 20.0;  // one value per bin
    const bool hit = std::uniform_real_distribution(0.0, 1.0)(random) < predicted * predicted;
    reliability.add(predicted, hit);
    all.emplace_back(predicted, hit);
  }
  // A prediction weighs 1 - 1/20000 of the next one, up to that squared.
  double weight_sum = 0.0, squared = 0.0, pairs = 0.0, ordered = 0.0;
  std::map<double, std::pair<double, double>> bins;
  const auto weight = [&](size_t i) {
    return std::pow(1.0 - 1.0 / 20000.0, static_cast<double>(all.size() - 1 - i));
  };
  for (size_t i = 0; i < all.size(); ++i) {
    const auto [predicted, hit] = all[i];
    weight_sum += weight(i);
    squared += weight(i) * std::pow(predicted - (hit ? 1.0 : 0.0), 2);
    bins[predicted].first += weight(i);
    bins[predicted].second += hit ? weight(i) : 0.0;
    for (size_t k = 0; k < all.size(); ++k) {
      if (!hit || all[k].second) continue;
      pairs += weight(i) * weight(k);
      ordered += weight(i) * weight(k) *
                 (predicted > all[k].first    ? 1.0
                  : predicted == all[k].first ? 0.5
                                              : 0.0);
    }
  }
  double ece = 0.0;
  for (const auto& [predicted, bin] : bins)
    ece += bin.first / weight_sum * std::abs(predicted - bin.second / bin.first);
  EXPECT_NEAR(reliability.ece(), ece, 1e-6);
  EXPECT_NEAR(reliability.brier(), squared / weight_sum, 1e-6);
  EXPECT_NEAR(reliability.auc(), ordered / pairs, 1e-6);
  EXPECT_NEAR(reliability.count(), weight_sum, 1e-3);
}

// Predictions that are right have the ECE that noise() expects of them, and wrong ones have more.
TEST(Reliability, NoiseIsTheEceOfRightPredictions) {
  std::mt19937_64 random(31);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  for (const double bias : {0.0, 0.2}) {
    double ece = 0.0, noise = 0.0;
    for (int run = 0; run < 40; ++run) {
      Reliability reliability;
      for (int i = 0; i < 2000; ++i) {
        const double predicted = uniform(random);
        reliability.add(predicted, uniform(random) < predicted * (1.0 - bias));
      }
      ece += reliability.ece() / 40.0;
      noise += reliability.noise() / 40.0;
    }
    EXPECT_NEAR(noise, 0.0314, 0.002);  // 20 bins: sum of sqrt(2 / pi * 100 * p (1 - p)) / 2000
    if (bias == 0.0) {
      EXPECT_NEAR(ece, noise, 0.003);
    } else {
      EXPECT_GT(ece, 0.09);
    }
  }
}

TEST(Reliability, ForgetsAtTheStatedRateAndForEver) {
  Reliability reliability;
  for (int i = 0; i < 900'000; ++i) reliability.add(0.9, true);
  EXPECT_NEAR(reliability.count(), 20'000.0, 10.0);
  EXPECT_NEAR(reliability.ece(), 0.1, 1e-9);
  for (int i = 0; i < 20'000; ++i) reliability.add(0.9, false);
  EXPECT_NEAR(reliability.ece(), 0.9 - std::exp(-1.0), 1e-3);
  EXPECT_EQ(Reliability().auc(), 0.5);
  EXPECT_EQ(Reliability().ece(), 0.0);
}

}  // namespace
}  // namespace ft::scheduler
