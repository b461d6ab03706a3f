// What a step costs, learned from steps whose true cost the test knows.
#include "scheduler/speculation/cost_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace ft::scheduler {
namespace {

std::vector<double> whole_numbers(int last) {
  std::vector<double> numbers;
  for (int i = 1; i <= last; ++i) numbers.push_back(i);
  return numbers;
}

TEST(CostGrid, HasEveryCountUpTo8AndThenFourPerOctave) {
  EXPECT_EQ(cost_grid(1), whole_numbers(1));
  EXPECT_EQ(cost_grid(8), whole_numbers(8));
  EXPECT_EQ(cost_grid(21), (std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 21}));
  for (int32_t max : {9, 64, 100, 256, 1000, 65536}) {
    const std::vector<double> grid = cost_grid(max);
    EXPECT_EQ(grid.back(), max);
    for (int32_t octave = 8; 2 * octave <= max; octave *= 2)
      EXPECT_EQ(std::ranges::count_if(grid, [&](double x) { return x >= octave && x < 2 * octave; }), 4)
          << octave << " of " << max;
    for (size_t i = 1; i < grid.size(); ++i) EXPECT_LT(grid[i - 1], grid[i]);
  }
}

TEST(CostCurve, IsAStraightLineBetweenWhatWasObserved) {
  CostCurve curve(cost_grid(32));
  EXPECT_TRUE(curve.empty());
  EXPECT_EQ(curve.at(5), 0.0);
  curve.observe(4, 6e-3, 0.0);
  // One point: in proportion above it, flat below.
  EXPECT_DOUBLE_EQ(curve.at(8), 12e-3);
  EXPECT_DOUBLE_EQ(curve.at(1), 6e-3);
  curve.observe(8, 10e-3, 0.0);
  EXPECT_DOUBLE_EQ(curve.at(4), 6e-3);
  EXPECT_DOUBLE_EQ(curve.at(5), 7e-3);
  EXPECT_DOUBLE_EQ(curve.at(6.5), 8.5e-3);
  EXPECT_DOUBLE_EQ(curve.at(32), 34e-3);  // continued with the last slope
  EXPECT_DOUBLE_EQ(curve.at(2), 6e-3);
}

TEST(CostCurve, KeepsALineThatIsSeenAnywhere) {
  const auto truth = [](double x) { return 2e-3 + 1e-4 * x; };
  CostCurve curve(cost_grid(256));
  for (double x = 1.0; x <= 256.0; x *= 2.0) curve.observe(x, truth(x), 0.0);
  // Between grid points, too: 9, 77 and 201 are none.
  for (int round = 0; round < 50; ++round)
    for (double x : {9.0, 77.0, 201.0, 3.0}) curve.observe(x, truth(x), 0.0);
  for (double x = 1.0; x <= 256.0; x += 0.37) EXPECT_NEAR(curve.at(x), truth(x), 1e-9) << x;
}

TEST(CostCurve, FollowsAStaircase) {
  const auto truth = [](int x) { return 1e-3 * ((x + 3) / 4); };
  CostCurve curve(cost_grid(16));
  for (int round = 0; round < 200; ++round)
    for (int x : {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16}) curve.observe(x, truth(x), 0.0);
  for (int x = 1; x <= 8; ++x) EXPECT_NEAR(curve.at(x), truth(x), 1e-6) << x;
}

TEST(CostCurve, NeverFalls) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 50; ++round) {
    CostCurve curve(cost_grid(100));
    for (int i = 0; i < 30; ++i) {
      curve.observe(1 + static_cast<double>(random() % 100),
                    1e-3 * std::exp(std::normal_distribution()(random)), 0.0);
      double before = 0.0;
      for (double x = 0.0; x <= 100.0; x += 0.5) {
        EXPECT_GE(curve.at(x), before);
        before = curve.at(x);
      }
    }
  }
}

TEST(CostCurve, ShrugsOffAStepThatTheSystemInterrupted) {
  CostCurve curve(cost_grid(8));
  for (int i = 0; i < 200; ++i) curve.observe(4, 1e-3, 0.0);
  curve.observe(4, 10.0, 0.0);
  EXPECT_LE(curve.at(4), 1e-3 * (1.0 + 1.0 / CostCurve::kMemory) + 1e-12);
  EXPECT_GT(curve.at(4), 1e-3);
  // And forgets a first step that paid for everything.
  CostCurve fresh(cost_grid(8));
  fresh.observe(4, 0.1, 0.0);
  for (int i = 0; i < 1000; ++i) fresh.observe(4, 1e-3, 0.0);
  EXPECT_NEAR(fresh.at(4), 1e-3, 5e-5);
}

TEST(CostCurve, FollowsAMachineThatGetsSlower) {
  CostCurve curve(cost_grid(8));
  for (int i = 0; i < 1000; ++i) curve.observe(4, 1e-3, 0.0);
  for (int i = 0; i < 500; ++i) curve.observe(4, 1.7e-3, 0.0);
  EXPECT_NEAR(curve.at(4), 1.7e-3, 1e-5);
}

// Steps of a machine whose cost the test knows.
struct Machine {
  double seconds_per_expert;
  double noise;
  double base(int rows) const { return 1e-3 + 5e-5 * rows; }
  double seconds(int rows, double experts, std::mt19937_64& random) const {
    return (base(rows) + seconds_per_expert * experts) * (1.0 + noise * std::normal_distribution()(random));
  }
};

TEST(CostModel, TellsThePriceOfAnExpertFromThatOfARow) {
  std::mt19937_64 random(3);
  const Machine machine{2e-5, 0.02};
  CostModel model(16, 4, 6.0);
  for (int i = 0; i < 4000; ++i) {
    const int rows = 1 << (random() % 5);
    const double experts = std::floor(6.0 * rows * std::uniform_real_distribution(0.4, 1.0)(random));
    model.observe_verify(rows, experts, machine.seconds(rows, experts, random));
  }
  EXPECT_NEAR(model.seconds_per_expert(), 2e-5, 2e-6);
  for (int rows : {1, 2, 4, 8, 16})
    for (double share : {0.5, 0.7, 0.9}) {
      const double experts = 6.0 * rows * share;
      const double truth = machine.base(rows) + machine.seconds_per_expert * experts;
      EXPECT_NEAR(model.verify_seconds(rows, experts), truth, 0.05 * truth) << rows << " " << share;
    }
  EXPECT_DOUBLE_EQ(model.verify_seconds(8), model.verify_seconds(8, 48.0));
}

TEST(CostModel, BelievesInNoPriceThatWasNotSeen) {
  std::mt19937_64 random(4);
  const Machine free_experts{0.0, 0.02};
  CostModel model(16, 4, 6.0);
  for (int i = 0; i < 2000; ++i) {
    const int rows = 1 + static_cast<int>(random() % 8);
    const double experts = std::floor(6.0 * rows * std::uniform_real_distribution(0.4, 1.0)(random));
    model.observe_verify(rows, experts, free_experts.seconds(rows, experts, random));
  }
  EXPECT_GE(model.seconds_per_expert(), 0.0);
  EXPECT_LT(model.seconds_per_expert(), 2e-6);
  // Steps that always read the same number of experts say nothing about one.
  CostModel constant(16, 4, 6.0);
  for (int i = 0; i < 500; ++i)
    constant.observe_verify(4, 24.0, Machine{2e-5, 0.02}.seconds(4, 24.0, random));
  EXPECT_LT(constant.seconds_per_expert(), 1e-6);
  // More experts in less time is noise, not a gift.
  CostModel backwards(16, 4, 6.0);
  for (int i = 0; i < 500; ++i)
    backwards.observe_verify(4, i % 2 == 0 ? 24.0 : 12.0, i % 2 == 0 ? 1e-3 : 1.2e-3);
  EXPECT_EQ(backwards.seconds_per_expert(), 0.0);
}

// A model whose costs were measured: base(rows) a step, 0.4 ms a draft of five positions, 1 us a row of catching up.
CostModel measured(const Machine& machine) {
  CostModel model(16, 8, 6.0);
  for (int rows = 1; rows <= 16; ++rows)
    for (int i = 0; i < 4; ++i) model.observe_verify(rows, 0.0, machine.base(rows));
  for (int i = 0; i < 4; ++i) model.observe_draft(5, 0, 4e-4);
  model.observe_draft(5, 100, 5e-4);
  model.settle();
  return model;
}

TEST(CostModel, TakesAMachineThatGetsSlowerForSlowerAtEverything) {
  const Machine machine{0.0, 0.0};
  CostModel model = measured(machine);
  for (int i = 0; i < 50; ++i) model.observe_verify(1, 0.0, machine.base(1));
  EXPECT_NEAR(model.verify_seconds(6, 0.0), machine.base(6), 1e-9);
  // Somebody else takes half of it away, and gives it back; what is not run meanwhile is known to cost twice as much.
  for (const double slower : {1.9, 1.0}) {
    for (int i = 0; i < 40; ++i) model.observe_verify(1, 0.0, slower * machine.base(1));
    for (const int rows : {1, 2, 6, 16})
      EXPECT_NEAR(model.verify_seconds(rows, 0.0), slower * machine.base(rows), 0.03 * machine.base(rows))
          << rows;
    EXPECT_NEAR(model.draft_seconds(5), slower * 4e-4, 0.1 * slower * 4e-4);
    EXPECT_NEAR(model.catch_up_seconds(100), slower * 1e-4, 0.1 * slower * 1e-4);
  }
}

TEST(CostModel, LearnsTheSameRelationsWhateverTheSpeed) {
  std::mt19937_64 random(8);
  const Machine machine{0.0, 0.02};
  // Six rows were measured to cost half of what they do.
  CostModel model = measured(machine);
  const auto truth = [&](int rows) { return (rows == 6 ? 2.0 : 1.0) * machine.base(rows); };
  const double right = truth(6) / truth(1);
  for (int i = 0; i < 600; ++i) {
    const double slower = i % 200 < 100 ? 1.0 : 1.8;
    const int rows = i % 5 == 0 ? 1 : 6;
    model.observe_verify(rows, 0.0, slower * truth(rows) * (1.0 + 0.02 * std::normal_distribution()(random)));
    if (i > 100) {
      ASSERT_NEAR(model.verify_seconds(6, 0.0) / model.verify_seconds(1, 0.0), right, 0.15 * right) << i;
    }
  }
}

TEST(CostModel, TakesWhatIsUnusualAtARareRowCountForItsOwn) {
  const Machine machine{0.0, 0.0};
  CostModel model = measured(machine);
  for (int i = 0; i < 50; ++i) model.observe_verify(1, 0.0, machine.base(1));
  model.observe_verify(8, 0.0, 0.5 * machine.base(8));
  EXPECT_NEAR(model.verify_seconds(1, 0.0), machine.base(1), 2e-3 * machine.base(1));
  EXPECT_LT(model.verify_seconds(8, 0.0), 0.9 * machine.base(8));
}

TEST(CostModel, DraftsCostNothingWhereThereAreNone) {
  CostModel model(16, 4, 6.0);
  EXPECT_FALSE(model.measured());
  EXPECT_EQ(model.verify_seconds(4), 0.0);
  model.observe_draft(1, 0, 2e-4);
  model.observe_draft(4, 0, 5e-4);
  EXPECT_FALSE(model.measured());
  EXPECT_EQ(model.draft_seconds(0), 0.0);
  EXPECT_DOUBLE_EQ(model.draft_seconds(1), 2e-4);
  EXPECT_DOUBLE_EQ(model.draft_seconds(3), 4e-4);
  model.observe_verify(1, 6.0, 1e-3);
  EXPECT_TRUE(model.measured());
}

TEST(CostModel, PricesTheRowsThatADrafterCatchesUpOn) {
  std::mt19937_64 random(6);
  CostModel model(16, 4, 6.0);
  EXPECT_EQ(model.catch_up_seconds(100), 0.0);
  for (int i = 0; i < 300; ++i) {
    const auto requests = static_cast<int32_t>(1 + random() % 4);
    const auto rows = static_cast<int64_t>(i % 3 == 2 ? 10 + random() % 50 : 0);
    const double usual = 2e-4 + 1e-4 * requests;
    const double noise = 1.0 + 0.02 * std::normal_distribution()(random);
    model.observe_draft(requests, rows, (usual + 5e-6 * static_cast<double>(rows)) * noise);
  }
  EXPECT_NEAR(model.catch_up_seconds(40), 2e-4, 3e-5);
  // And it does not make other drafts look dearer.
  EXPECT_NEAR(model.draft_seconds(2), 4e-4, 2e-5);
}

TEST(CostModel, ContinuesFromWhatWasKept) {
  std::mt19937_64 random(5);
  const Machine machine{2e-5, 0.02};
  CostModel model(64, 8, 6.0);
  for (int i = 0; i < 1500; ++i) {
    const int rows = 1 + static_cast<int>(random() % 40);
    const double experts = std::floor(6.0 * rows * std::uniform_real_distribution(0.4, 1.0)(random));
    model.observe_verify(rows, experts, machine.seconds(rows, experts, random));
    model.observe_draft(1 + static_cast<int32_t>(random() % 8), 0,
                        1e-4 * static_cast<double>(1 + random() % 3));
  }
  model.observe_draft(2, 20, 1e-3);
  CostModel again(64, 8, 6.0);
  again.restore(model.verify_curve().points(), model.draft_curve().points(), model.seconds_per_expert(),
                model.seconds_per_catch_up_row());
  EXPECT_GT(again.catch_up_seconds(1), 0.0);
  EXPECT_DOUBLE_EQ(again.catch_up_seconds(7), model.catch_up_seconds(7));
  EXPECT_TRUE(again.measured());
  EXPECT_DOUBLE_EQ(again.seconds_per_expert(), model.seconds_per_expert());
  for (double x = 1.0; x <= 64.0; x += 0.5) {
    EXPECT_DOUBLE_EQ(again.verify_seconds(x, 3.0 * x), model.verify_seconds(x, 3.0 * x)) << x;
    EXPECT_DOUBLE_EQ(again.draft_seconds(x / 8.0), model.draft_seconds(x / 8.0)) << x;
  }
  // One step does not throw the restored price away.
  again.observe_verify(8, 40.0, machine.seconds(8, 40.0, random));
  EXPECT_NEAR(again.seconds_per_expert(), model.seconds_per_expert(), 0.05 * model.seconds_per_expert());
}

TEST(CostModel, IgnoresKeptPointsThatItHasNoPlaceFor) {
  CostModel model(8, 4, 6.0);
  const CostCurve::Point points[] = {{3.5, 1.0, 0.0, 4.0}, {2.0, 0.0, 0.0, 0.0}};
  model.restore(points, points, 0.0, 0.0);
  EXPECT_FALSE(model.measured());
  const CostCurve::Point heavy[] = {{2.0, 1e-3, 12.0, 1e9}};
  model.restore(heavy, {}, 0.0, 0.0);
  for (int i = 0; i < 400; ++i) model.observe_verify(2, 12.0, 1.5e-3);
  EXPECT_NEAR(model.verify_seconds(2, 12.0), 1.5e-3, 1e-5);  // it still learns
}

}  // namespace
}  // namespace ft::scheduler
