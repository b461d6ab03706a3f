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

TEST(BatchPlanner, DecodingComesBeforePrefillAndDraftsLast) {
  const auto entries = planned(
      {{.pending = 300, .known_max = 300}, {.pending = 1, .drafts_max = 8}, {.pending = 1, .drafts_max = 0}},
      {.batch_rows = 137, .prefill_chunk = 128});
  EXPECT_EQ(entries[0].known, 128);
  EXPECT_EQ(entries[1].known, 1);
  EXPECT_EQ(entries[1].drafts, 7);
  EXPECT_EQ(entries[2].known, 1);
  EXPECT_EQ(entries[2].drafts, 0);
}

TEST(BatchPlanner, PrefillStopsWhereItsStateIsToBeRemembered) {
  const auto entries = planned({{.pending = 300, .known_max = 17}, {.pending = 40, .known_max = 100}},
                               {.batch_rows = 200, .prefill_chunk = 128});
  EXPECT_EQ(entries[0].known, 17);
  EXPECT_EQ(entries[1].known, 40);
}

TEST(BatchPlanner, OlderPromptsAreReadFirst) {
  const auto entries = planned({{.pending = 90, .known_max = 90}, {.pending = 90, .known_max = 90}},
                               {.batch_rows = 100, .prefill_chunk = 64});
  EXPECT_EQ(entries[0].known, 64);
  EXPECT_EQ(entries[1].known, 36);
}

TEST(BatchPlanner, DraftsShareWhatIsLeft) {
  const auto entries = planned({{1, 1, 8}, {1, 1, 8}, {1, 1, 8}}, {.batch_rows = 11, .prefill_chunk = 8});
  EXPECT_EQ(entries[0].drafts + entries[1].drafts + entries[2].drafts, 8);
  for (const PlanEntry& entry : entries) EXPECT_GE(entry.drafts, 2);
  // What one does not want goes to those after it.
  const auto modest = planned({{1, 1, 1}, {1, 1, 8}}, {.batch_rows = 10, .prefill_chunk = 8});
  EXPECT_EQ(modest[0].drafts, 1);
  EXPECT_EQ(modest[1].drafts, 7);
}

TEST(BatchPlanner, NeverExceedsItsLimits) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    const PlanLimits limits{static_cast<int32_t>(1 + random() % 40), static_cast<int32_t>(1 + random() % 20)};
    std::vector<PlanInput> inputs(random() % 12);
    for (PlanInput& input : inputs)
      input = {1 + static_cast<int64_t>(random() % 3 == 0 ? random() % 50 : 0),
               1 + static_cast<int64_t>(random() % 60), static_cast<int32_t>(random() % 10)};
    const auto entries = planned(inputs, limits);
    int64_t rows = 0;
    int64_t decoding = 0;
    for (const PlanInput& input : inputs) decoding += input.pending == 1 ? 1 : 0;
    bool someone_works = inputs.empty();
    for (size_t i = 0; i < inputs.size(); ++i) {
      const PlanInput& input = inputs[i];
      rows += entries[i].known + entries[i].drafts;
      EXPECT_LE(entries[i].known, input.pending);
      if (input.pending > 1) {
        EXPECT_LE(entries[i].known, std::min<int64_t>(input.known_max, limits.prefill_chunk));
      }
      if (input.pending == 1 && decoding <= limits.batch_rows) {
        EXPECT_EQ(entries[i].known, 1);
      }
      EXPECT_LE(entries[i].drafts, input.drafts_max);
      EXPECT_TRUE(entries[i].drafts == 0 || (input.pending == 1 && entries[i].known == 1));
      someone_works = someone_works || entries[i].known > 0;
    }
    EXPECT_LE(rows, limits.batch_rows);
    EXPECT_TRUE(someone_works);
  }
}

}  // namespace
}  // namespace ft::scheduler
