#include "scheduler/batch_planner.h"

#include <gtest/gtest.h>

#include <random>

namespace ft::scheduler {
namespace {

std::vector<PlanEntry> planned(std::vector<PlanInput> inputs, PlanLimits limits) {
  std::vector<PlanEntry> entries;
  plan_batch(inputs, limits, entries);
  return entries;
}

TEST(BatchPlanner, decoding_comes_before_prefill_and_drafts_last) {
  const auto entries = planned({{.pending = 300, .tokens_left = 5, .nodes_max = 1},
                                {.pending = 1, .tokens_left = 9, .nodes_max = 8},
                                {.pending = 1, .tokens_left = 9, .nodes_max = 1}},
                               {.batch_rows = 140, .prefill_chunk = 128});
  EXPECT_EQ(entries[0].known, 128);
  EXPECT_EQ(entries[1].known, 1);
  EXPECT_EQ(entries[1].drafts, 7);
  EXPECT_EQ(entries[2].known, 1);
  EXPECT_EQ(entries[2].drafts, 0);
}

TEST(BatchPlanner, drafts_share_what_is_left) {
  const auto entries = planned({{1, 9, 8}, {1, 9, 8}, {1, 9, 8}}, {.batch_rows = 11, .prefill_chunk = 8});
  EXPECT_EQ(entries[0].drafts + entries[1].drafts + entries[2].drafts, 8);
  for (const PlanEntry& entry : entries) EXPECT_GE(entry.drafts, 2);
}

TEST(BatchPlanner, a_request_that_may_emit_one_token_needs_no_drafts) {
  EXPECT_EQ(planned({{1, 1, 8}}, {.batch_rows = 64, .prefill_chunk = 8})[0].drafts, 0);
}

TEST(BatchPlanner, never_exceeds_its_limits) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    const PlanLimits limits{static_cast<int32_t>(1 + random() % 40), static_cast<int32_t>(1 + random() % 20)};
    std::vector<PlanInput> inputs(random() % 12);
    for (PlanInput& input : inputs)
      input = {1 + static_cast<int64_t>(random() % 3 == 0 ? random() % 50 : 0),
               1 + static_cast<int64_t>(random() % 5), static_cast<int32_t>(1 + random() % 10)};
    const auto entries = planned(inputs, limits);
    int64_t rows = 0;
    bool someone_works = inputs.empty();
    for (size_t i = 0; i < inputs.size(); ++i) {
      rows += entries[i].known + entries[i].drafts;
      EXPECT_LE(entries[i].known,
                inputs[i].pending == 1 ? 1 : std::min<int64_t>(inputs[i].pending, limits.prefill_chunk));
      EXPECT_LT(entries[i].drafts, inputs[i].nodes_max);
      EXPECT_TRUE(entries[i].drafts == 0 || (inputs[i].pending == 1 && entries[i].known == 1));
      someone_works = someone_works || entries[i].known > 0;
    }
    EXPECT_LE(rows, limits.batch_rows);
    EXPECT_TRUE(someone_works);
  }
}

}  // namespace
}  // namespace ft::scheduler
