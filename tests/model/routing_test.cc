// A forward call reports which experts every layer chose for each row of the call.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "tests/support/loaded_model.h"

namespace ft {
namespace {

using support::LoadedModel;

const std::string kTiny = FT_TEST_DATA "/goldens/tiny-v4";

class Routing : public ::testing::TestWithParam<std::tuple<std::string, Numerics>> {
 protected:
  Routing() : loaded_(kTiny, std::get<0>(GetParam()), std::get<1>(GetParam()), 64), model_(*loaded_.model) {}

  // Runs and commits `tokens` as one chain. Returns the routing, [layers, tokens, K].
  std::vector<int32_t> run(SequenceId sequence, std::span<const int32_t> tokens) {
    std::vector<Row> rows;
    for (int32_t token : tokens) {
      const auto index = static_cast<int32_t>(rows.size());
      rows.push_back(
          {token, static_cast<int32_t>(model_.cache().length(sequence)) + index, sequence, index - 1});
    }
    std::vector<int32_t> path(rows.size());
    std::iota(path.begin(), path.end(), 0);
    KvTransaction transaction = model_.cache().begin();
    model_.forward(transaction.stage(rows), {});
    const auto routing = model_.fetch_routing(static_cast<int64_t>(rows.size()));
    const std::vector<int32_t> kept(routing.begin(), routing.end());
    std::move(transaction).commit(path);
    return kept;
  }

  std::vector<int32_t> random_tokens(size_t count) const {
    std::mt19937 random(17);
    std::vector<int32_t> tokens(count);
    for (int32_t& token : tokens)
      token = static_cast<int32_t>(random() % static_cast<uint32_t>(model_.config().vocab_size));
    return tokens;
  }

  LoadedModel loaded_;
  Model& model_;
};

TEST_P(Routing, HashLayersFollowTheTableAndAllIdsAreInOrder) {
  const ModelConfig& config = model_.config();
  const std::vector<int32_t> tokens = random_tokens(60);
  const SequenceId id = *model_.cache().open(60);
  const std::vector<int32_t> routing = run(id, tokens);
  const auto k = static_cast<size_t>(config.num_experts_per_tok);
  ASSERT_EQ(routing.size(), static_cast<size_t>(config.num_hidden_layers) * tokens.size() * k);
  for (int layer = 0; layer < config.num_hidden_layers; ++layer)
    for (size_t row = 0; row < tokens.size(); ++row) {
      const auto ids = std::span(routing).subspan((static_cast<size_t>(layer) * tokens.size() + row) * k, k);
      EXPECT_EQ(std::ranges::adjacent_find(ids, std::greater_equal<>()), ids.end()) << layer << " " << row;
      EXPECT_GE(ids.front(), 0);
      EXPECT_LT(ids.back(), config.n_routed_experts);
      const int32_t* table = model_.weights().layers[static_cast<size_t>(layer)].ffn.host_tid2eid;
      ASSERT_EQ(table != nullptr, layer < config.num_hash_layers);
      if (table == nullptr) continue;
      std::vector<int32_t> want(table + static_cast<size_t>(tokens[row]) * k,
                                table + static_cast<size_t>(tokens[row] + 1) * k);
      std::ranges::sort(want);
      EXPECT_TRUE(std::ranges::equal(ids, want)) << layer << " " << row;
    }
  model_.cache().close(id);
}

// Row by row, in chunks, and beside another sequence.
TEST_P(Routing, DoesNotDependOnTheBatch) {
  const std::vector<int32_t> tokens = random_tokens(48);
  const auto layers = static_cast<size_t>(model_.config().num_hidden_layers);
  const auto k = static_cast<size_t>(model_.config().num_experts_per_tok);
  KvCache& cache = model_.cache();
  const SequenceId whole_id = *cache.open(48);
  const std::vector<int32_t> whole = run(whole_id, tokens);
  cache.close(whole_id);
  for (size_t chunk : {1u, 7u, 32u}) {
    const SequenceId id = *cache.open(48);
    for (size_t first = 0; first < tokens.size(); first += chunk) {
      const size_t count = std::min(chunk, tokens.size() - first);
      const std::vector<int32_t> part = run(id, std::span(tokens).subspan(first, count));
      for (size_t layer = 0; layer < layers; ++layer)
        EXPECT_TRUE(
            std::ranges::equal(std::span(part).subspan(layer * count * k, count * k),
                               std::span(whole).subspan((layer * tokens.size() + first) * k, count * k)))
            << "chunk " << chunk << ", row " << first << ", layer " << layer;
    }
    cache.close(id);
  }

  const SequenceId ids[] = {*cache.open(48), *cache.open(48)};
  std::vector<Row> rows;
  for (int32_t i = 0; i < 24; ++i) {
    rows.push_back({tokens[static_cast<size_t>(47 - i)], i, ids[0], i == 0 ? kCommitted : 2 * i - 2});
    rows.push_back({tokens[static_cast<size_t>(i)], i, ids[1], i == 0 ? kCommitted : 2 * i - 1});
  }
  {
    KvTransaction transaction = cache.begin();
    model_.forward(transaction.stage(rows), {});
    const auto mixed = model_.fetch_routing(48);
    for (size_t layer = 0; layer < layers; ++layer)
      for (size_t row = 0; row < 24; ++row)
        EXPECT_TRUE(std::ranges::equal(mixed.subspan((layer * 48 + 2 * row + 1) * k, k),
                                       std::span(whole).subspan((layer * 48 + row) * k, k)))
            << layer << " " << row;
    // Fewer rows are the same ids, closer together.
    const std::vector<int32_t> all(mixed.begin(), mixed.end());
    const auto few = model_.fetch_routing(5);
    ASSERT_EQ(few.size(), layers * 5 * k);
    for (size_t layer = 0; layer < layers; ++layer)
      EXPECT_TRUE(std::ranges::equal(few.subspan(layer * 5 * k, 5 * k),
                                     std::span(all).subspan(layer * 48 * k, 5 * k)))
          << layer;
  }
  for (SequenceId id : ids) cache.close(id);
}

// The choices that the goldens record; official mode is chaotic at this size.
using ExactRouting = Routing;
TEST_P(ExactRouting, IsTheRecordedOne) {
  const support::GoldenFile goldens(kTiny + "/goldens.safetensors");
  const auto tokens = goldens.i32("detail.tokens");
  const auto k = static_cast<size_t>(model_.config().num_experts_per_tok);
  const SequenceId id = *model_.cache().open(static_cast<int64_t>(tokens.size()));
  const std::vector<int32_t> routing = run(id, tokens);
  int layers = 0;
  for (int layer = 0; layer < model_.config().num_hidden_layers; ++layer) {
    const std::string name = fmt::format("detail.exact.layers.{}.ffn.gate.indices", layer);
    if (!goldens.has(name)) continue;
    ++layers;
    const auto want = goldens.i32(name);
    ASSERT_EQ(want.size(), tokens.size() * k);
    for (size_t row = 0; row < tokens.size(); ++row) {
      std::vector<int32_t> ids(want.begin() + static_cast<std::ptrdiff_t>(row * k),
                               want.begin() + static_cast<std::ptrdiff_t>((row + 1) * k));
      std::ranges::sort(ids);
      EXPECT_TRUE(std::ranges::equal(
          ids, std::span(routing).subspan((static_cast<size_t>(layer) * tokens.size() + row) * k, k)))
          << layer << " " << row;
    }
  }
  EXPECT_EQ(layers, 4);
  model_.cache().close(id);
}

std::string case_name(const ::testing::TestParamInfo<std::tuple<std::string, Numerics>>& info) {
  return std::get<0>(info.param) + (std::get<1>(info.param) == Numerics::kExact ? "_exact" : "_official");
}

INSTANTIATE_TEST_SUITE_P(Backends, Routing,
                         ::testing::Combine(::testing::ValuesIn(support::model_backends()),
                                            ::testing::Values(Numerics::kExact, Numerics::kOfficial)),
                         case_name);
INSTANTIATE_TEST_SUITE_P(Backends, ExactRouting,
                         ::testing::Combine(::testing::ValuesIn(support::model_backends()),
                                            ::testing::Values(Numerics::kExact)),
                         case_name);

}  // namespace
}  // namespace ft
