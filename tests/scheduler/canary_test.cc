// The canary finds nothing where there is nothing, leaves the cache as it was, and notices one wrong bit.
#include "scheduler/canary.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <numeric>

#include "tests/support/loaded_model.h"

namespace ft::scheduler {
namespace {

TEST(Canary, IsChosenAtItsRateAndTheSameInEveryRun) {
  Canary never(0.0, 10), always(1.0, 10), some(0.05, 10), again(0.05, 10);
  int chosen = 0;
  for (int i = 0; i < 20'000; ++i) {
    EXPECT_FALSE(never.chosen());
    EXPECT_TRUE(always.chosen());
    const bool here = some.chosen();
    EXPECT_EQ(again.chosen(), here);
    chosen += here ? 1 : 0;
  }
  EXPECT_NEAR(chosen, 1000, 150);
}

// Two sequences in one cache with the same tokens; the canary looks at the first one only.
class CanaryTest : public ::testing::Test {
 protected:
  CanaryTest()
      : loaded_(FT_MODELS "/v4-nano", "cpu1", Numerics::kOfficial, 256, 2),
        model_(*loaded_.model),
        canary_(1.0, model_.config().vocab_size) {
    for (SequenceId& sequence : sequences_) {
      sequence = *model_.cache().open(600);
      step(sequence, tokens(0, 200), {});
    }
  }

  static std::vector<int32_t> tokens(int32_t from, int32_t count) {
    std::vector<int32_t> list;
    for (int32_t i = from; i < from + count; ++i) list.push_back((i * i * 31 + 7 * i + 3) % 2000);
    return list;
  }

  // Runs `path` as a chain among `decoys`, siblings of each of its rows; commits the chain. Returns all
  // logits; committed_ are the rows of the chain.
  std::vector<float> step(SequenceId sequence, const std::vector<int32_t>& path,
                          const std::vector<int32_t>& decoys) {
    const auto first = static_cast<int32_t>(model_.cache().length(sequence));
    std::vector<Row> rows;
    committed_.clear();
    int32_t parent = kCommitted;
    for (size_t i = 0; i < path.size(); ++i) {
      const int32_t position = first + static_cast<int32_t>(i);
      for (int32_t decoy : decoys) rows.push_back({decoy, position, sequence, parent});
      rows.push_back({path[i], position, sequence, parent});
      parent = static_cast<int32_t>(rows.size()) - 1;
      committed_.push_back(parent);
    }
    std::vector<int32_t> all(rows.size());
    std::iota(all.begin(), all.end(), 0);
    KvTransaction transaction = model_.cache().begin();
    const ForwardOutput output = model_.forward(transaction.stage(rows), all);
    std::vector<float> logits(output.logits.begin(), output.logits.end());
    std::move(transaction).commit(committed_);
    return logits;
  }

  Canary::Outcome check(const std::vector<int32_t>& path, std::span<const float> logits) {
    const SequenceId sequence = sequences_[0];
    return canary_.run(model_, {.sequence = sequence,
                                .first_position = model_.cache().length(sequence) - std::ssize(path),
                                .tokens = path,
                                .logit_rows = committed_,
                                .logits = logits});
  }

  support::LoadedModel loaded_;
  Model& model_;
  Canary canary_;
  SequenceId sequences_[2] = {};
  std::vector<int32_t> committed_;
};

TEST_F(CanaryTest, FindsNothingAndLeavesTheCacheAsItWas) {
  // Past window and page borders, on trees of several widths.
  int32_t at = 200;
  for (int32_t length : {1, 3, 8, 5, 1, 12, 8, 8, 8, 8, 8, 8}) {
    const std::vector<int32_t> path = tokens(at, length);
    const std::vector<int32_t> decoys = tokens(5000 + at, at % 3);
    const std::vector<float> untouched = step(sequences_[1], path, decoys);
    const std::vector<float> checked = step(sequences_[0], path, decoys);
    const Canary::Outcome outcome = check(path, checked);
    EXPECT_EQ(outcome.checked, length);
    EXPECT_EQ(outcome.mismatches, 0) << outcome.first;
    // What comes next sees the same context, bit for bit, whether or not the canary was there.
    ASSERT_EQ(checked.size(), untouched.size());
    EXPECT_EQ(std::memcmp(checked.data(), untouched.data(), checked.size() * sizeof(float)), 0) << at;
    model_.cache().check_integrity();
    at += length;
  }
  EXPECT_EQ(model_.cache().length(sequences_[0]), at);
}

TEST_F(CanaryTest, NoticesOneWrongBit) {
  const std::vector<int32_t> path = tokens(200, 4);
  std::vector<float> logits = step(sequences_[0], path, {17});
  const auto vocab = static_cast<size_t>(model_.config().vocab_size);
  float& wrong = logits[static_cast<size_t>(committed_[2]) * vocab + 321];
  wrong = std::bit_cast<float>(std::bit_cast<uint32_t>(wrong) ^ 1u);
  const Canary::Outcome outcome = check(path, logits);
  EXPECT_EQ(outcome.checked, 4);
  EXPECT_EQ(outcome.mismatches, 1);
  EXPECT_NE(outcome.first.find("position 202"), std::string::npos) << outcome.first;
  EXPECT_NE(outcome.first.find("token 321"), std::string::npos) << outcome.first;
}

TEST_F(CanaryTest, LeavesAloneWhatItCannotRewind) {
  const std::vector<int32_t> path = tokens(200, 2);
  const std::vector<float> logits = step(sequences_[0], path, {});
  step(sequences_[0], tokens(202, 1), {});
  const int64_t length = model_.cache().length(sequences_[0]);
  const Canary::Outcome outcome = canary_.run(model_, {.sequence = sequences_[0],
                                                       .first_position = 200,
                                                       .tokens = path,
                                                       .logit_rows = committed_,
                                                       .logits = logits});
  EXPECT_EQ(outcome.checked, 0);
  EXPECT_EQ(outcome.mismatches, 0);
  EXPECT_EQ(model_.cache().length(sequences_[0]), length);
}

}  // namespace
}  // namespace ft::scheduler
