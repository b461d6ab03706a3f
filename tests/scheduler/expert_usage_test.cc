// Counts of experts against the routing itself.
#include "scheduler/expert_usage.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tests/support/loaded_model.h"

namespace ft::scheduler {
namespace {

class ExpertUsageTest : public ::testing::Test {
 protected:
  ExpertUsageTest() : loaded_(FT_TEST_DATA "/goldens/tiny-v4", "cpu1", Numerics::kOfficial, 64) {
    sequence_ = *loaded_.model->cache().open(128);
  }

  // A forward call over these tokens as siblings, which commits nothing.
  void run(const std::vector<int32_t>& tokens) {
    std::vector<Row> rows;
    for (int32_t token : tokens) rows.push_back({token, 0, sequence_, kCommitted});
    KvTransaction transaction = loaded_.model->cache().begin();
    loaded_.model->forward(transaction.stage(rows), {});
  }

  support::LoadedModel loaded_;
  SequenceId sequence_;
};

TEST_F(ExpertUsageTest, CountsLayerAndExpertPairsOnce) {
  Model& model = *loaded_.model;
  const auto layers = static_cast<size_t>(model.config().num_hidden_layers);
  const auto per_token = static_cast<size_t>(model.config().num_experts_per_tok);
  ExpertUsage usage(model.config());
  std::mt19937 random(3);
  std::set<int64_t> counts;
  for (size_t rows : {1u, 2u, 5u, 17u, 64u}) {
    std::vector<int32_t> tokens(rows);
    for (int32_t& token : tokens)
      token = static_cast<int32_t>(random() % static_cast<uint32_t>(model.config().vocab_size));
    run(tokens);
    const std::span<const int32_t> routing = model.fetch_routing(static_cast<int64_t>(rows));
    const std::vector<int32_t> ids(routing.begin(), routing.end());
    usage.count(model, static_cast<int64_t>(rows));
    std::set<std::pair<size_t, int32_t>> used;
    std::vector<std::set<std::pair<size_t, int32_t>>> of_row(rows);
    for (size_t layer = 0; layer < layers; ++layer)
      for (size_t row = 0; row < rows; ++row)
        for (size_t k = 0; k < per_token; ++k) {
          const std::pair pair{layer, ids[(layer * rows + row) * per_token + k]};
          used.insert(pair);
          of_row[row].insert(pair);
        }
    EXPECT_EQ(usage.distinct(), static_cast<int64_t>(used.size()));
    counts.insert(usage.distinct());
    // Of every second row.
    std::vector<int32_t> some;
    for (size_t row = 0; row < rows; row += 2) some.push_back(static_cast<int32_t>(row));
    std::vector<float> shares = {-1.0f};  // what is there stays
    usage.append_overlaps(some, shares);
    ASSERT_EQ(shares.size(), some.size());
    EXPECT_EQ(shares[0], -1.0f);
    std::set<std::pair<size_t, int32_t>> before = of_row[0];
    for (size_t i = 1; i < some.size(); ++i) {
      const auto& own = of_row[static_cast<size_t>(some[i])];
      size_t shared = 0;
      for (const auto& pair : own) shared += before.count(pair);
      EXPECT_NEAR(shares[i], static_cast<float>(shared) / static_cast<float>(layers * per_token), 1e-6f);
      before.insert(own.begin(), own.end());
    }
  }
  EXPECT_EQ(*counts.begin(), static_cast<int64_t>(layers * per_token));  // of one row
  EXPECT_GE(counts.size(), 4u);
}

TEST_F(ExpertUsageTest, EqualRowsShareEverything) {
  ExpertUsage usage(loaded_.model->config());
  run({7, 7, 7});
  usage.count(*loaded_.model, 3);
  EXPECT_EQ(usage.distinct(),
            loaded_.model->config().num_hidden_layers * loaded_.model->config().num_experts_per_tok);
  std::vector<float> shares;
  usage.append_overlaps(std::vector<int32_t>{0, 2}, shares);
  ASSERT_EQ(shares.size(), 1u);
  EXPECT_NEAR(shares[0], 1.0f, 1e-6f);
}

}  // namespace
}  // namespace ft::scheduler
