// The MTP draft against the goldens of tiny-v4, exact mode (tests/data/goldens/README.md).
#include <gtest/gtest.h>

#include "core/mtp.h"
#include "draft/child_ranking.h"
#include "draft/mtp.h"
#include "tests/draft/draft_harness.h"
#include "tests/support/drafter_choice.h"

namespace ft::draft {
namespace {

const std::string kTiny = FT_TEST_DATA "/goldens/tiny-v4";

CacheLimits mtp_limits() {
  CacheLimits limits;
  limits.sequences = 2;
  limits.rows = 64;
  limits.context = 512;
  return limits;
}

std::vector<Row> chain(SequenceId sequence, int64_t first, std::span<const int32_t> tokens) {
  std::vector<Row> rows;
  for (size_t i = 0; i < tokens.size(); ++i)
    rows.push_back({tokens[i], static_cast<int32_t>(first) + static_cast<int32_t>(i), sequence,
                    static_cast<int32_t>(i) - 1});
  return rows;
}

std::vector<int32_t> in_order(size_t count) {
  std::vector<int32_t> indices(count);
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

class MtpGolden : public ::testing::TestWithParam<const char*> {};

TEST_P(MtpGolden, BlockAndLogitsMatchInPrefillAndDecode) {
  support::LoadedModel loaded(kTiny, GetParam(), Numerics::kExact, 64);
  const support::GoldenFile goldens(kTiny + "/goldens.safetensors");
  MtpBlock block(*loaded.backend, *loaded.checkpoint, 0, mtp_limits());
  const std::string prefix = "detail.exact.mtp.";
  const auto vocab = static_cast<size_t>(loaded.model->config().vocab_size);
  const SequenceId target = *loaded.model->cache().open(512);
  const SequenceId ahead = *block.cache().open(512);

  // Feeds the target and, at the same positions, the block; returns both logits.
  std::vector<float> main_logits;
  std::vector<float> logits;
  std::vector<float> streams;
  const auto feed = [&](std::span<const int32_t> tokens, std::span<const int32_t> next_tokens) {
    run_and_commit(*loaded.model, target, tokens, [&](const ForwardOutput& output) {
      main_logits.assign(output.logits.begin(), output.logits.end());
      KvTransaction transaction = block.cache().begin();
      const StepPlan& plan = transaction.stage(chain(ahead, block.cache().length(ahead), next_tokens));
      const Matrix out = block.forward(plan, output.streams);
      streams = downloaded(*loaded.backend, out);
      const auto values = block.logits(out);
      logits.assign(values.begin(), values.end());
      std::move(transaction).commit(in_order(next_tokens.size()));
    });
  };

  const auto tokens = goldens.i32("detail.tokens");
  const auto input_ids = goldens.i32(prefix + "input_ids");
  feed(tokens, input_ids);
  EXPECT_EQ(argmax(std::span(main_logits).last(vocab)), input_ids.back());
  EXPECT_LE(worst_difference(logits, goldens.f32(prefix + "logits")), 1e-4);
  const auto block_out = goldens.f32(prefix + "block_out");
  EXPECT_LE(worst_difference(std::span(streams).last(block_out.size()), block_out, 1e-5), 5e-5);

  const auto main_tokens = goldens.i32(prefix + "decode.main_tokens");
  const auto decode_ids = goldens.i32(prefix + "decode.input_ids");
  for (size_t i = 0; i < main_tokens.size(); ++i) {
    feed(main_tokens.subspan(i, 1), decode_ids.subspan(i, 1));
    EXPECT_LE(
        worst_difference(main_logits, goldens.f32(prefix + "decode.main_logits").subspan(i * vocab, vocab)),
        1e-4)
        << "step " << i;
    EXPECT_LE(worst_difference(logits, goldens.f32(prefix + "decode.logits").subspan(i * vocab, vocab)), 1e-4)
        << "step " << i;
  }
}

// Every node of a tree, recomputed alone: its path run through the block one row after the other, each fed
// the streams that the row before gave.
TEST_P(MtpGolden, EveryNodeFollowsFromItsOwnPath) {
  const support::GoldenFile goldens(kTiny + "/goldens.safetensors");
  DraftHarness harness(kTiny, GetParam(), Numerics::kExact, support::drafter("mtp"));
  EXPECT_EQ(harness.drafter->name(), "mtp");
  const auto prompt = goldens.i32("detail.tokens");
  const auto input_ids = goldens.i32("detail.exact.mtp.input_ids");
  std::vector<int32_t> tokens(prompt.begin(), prompt.end());
  tokens.push_back(input_ids.back());
  Growing growing = harness.open(tokens);
  harness.advance_all_but_anchor(growing, 64);

  // A second block with the same rows, and the streams of its last row.
  Backend& backend = *harness.loaded.backend;
  Model& model = *harness.loaded.model;
  const auto cols = static_cast<size_t>(model.config().hc_mult * model.config().hidden_size);
  MtpBlock block(backend, *harness.loaded.checkpoint, 0, mtp_limits());
  const SequenceId target = *model.cache().open(512);
  const SequenceId ahead = *block.cache().open(512);
  std::vector<float> anchor_streams;
  run_and_commit(model, target, prompt, [&](const ForwardOutput& output) {
    KvTransaction transaction = block.cache().begin();
    const auto all =
        downloaded(backend, block.forward(transaction.stage(chain(ahead, 0, input_ids)), output.streams));
    anchor_streams.assign(all.end() - static_cast<std::ptrdiff_t>(cols), all.end());
    std::move(transaction).commit(in_order(input_ids.size()));
  });

  Buffer input = backend.allocate(cols * sizeof(float));
  const auto vocab = static_cast<size_t>(model.config().vocab_size);
  const auto logits_after = [&](const std::vector<int32_t>& path) {
    const Matrix fed(input.f32(), 1, static_cast<int64_t>(cols));
    backend.upload(input.data(), anchor_streams.data(), cols * sizeof(float));
    if (path.empty()) {
      const auto values = block.logits(fed);
      return std::vector<float>(values.begin(), values.end());
    }
    KvTransaction transaction = block.cache().begin();
    std::vector<float> values;
    for (size_t i = 0; i < path.size(); ++i) {
      const Row row{path[i], static_cast<int32_t>(prompt.size() + i), ahead, static_cast<int32_t>(i) - 1};
      const Matrix out = block.forward(transaction.stage(std::span(&row, 1)), fed);
      const auto logits = block.logits(out);
      values.assign(logits.begin(), logits.end());
      const std::vector<float> streams = downloaded(backend, out);
      backend.upload(input.data(), streams.data(), cols * sizeof(float));
    }
    return values;
  };

  EXPECT_LE(worst_difference(logits_after({}), goldens.f32("detail.exact.mtp.logits").last(vocab)), 1e-4);
  for (double temperature : {0.0, 1.0}) {
    const ProposeRequest request = harness.request(growing, temperature, 14, TreeShape::kBestFirst);
    DraftTree tree;
    harness.drafter->propose(std::span(&request, 1), std::span(&tree, 1));
    EXPECT_EQ(tree.nodes.size(), 14u);
    size_t deepest = 0;
    for (const DraftNode& node : tree.nodes) {
      std::vector<int32_t> path;
      for (int32_t at = node.parent; at >= 0; at = tree.nodes[static_cast<size_t>(at)].parent)
        path.insert(path.begin(), tree.nodes[static_cast<size_t>(at)].token);
      deepest = std::max(deepest, path.size() + 1);
      std::vector<RankedChild> best(kBranchMax);
      const auto position = request.position + static_cast<int64_t>(path.size()) + 1;
      const Ranking ranking{temperature, {request.seed, position}};
      ChildRanking().rank(logits_after(path), ranking, best);
      // acceptance_table.h, by hand: the default model at temperature 0 is sigmoid(score); above, ranks after the
      // first take half of what is left.
      std::vector<double> shares;
      double named = 0.0;
      double shared = 0.0;
      for (size_t j = 0; j < best.size(); ++j) {
        const double odds = best[j].probability / (1.0 - named);
        const double part = ranking.greedy() || j == 0 ? std::clamp(odds, 1e-4, 1.0 - 1e-4) : 0.5;
        shares.push_back(std::min((1.0 - shared) * part, j == 0 ? 1.0 : shares.back()));
        named += best[j].probability;
        shared += shares.back();
      }
      const auto rank = std::ranges::find(best, node.token, &RankedChild::token) - best.begin();
      ASSERT_LT(rank, static_cast<std::ptrdiff_t>(best.size())) << "depth " << path.size() + 1;
      const float parent =
          node.parent < 0 ? 1.0f : tree.nodes[static_cast<size_t>(node.parent)].path_probability;
      EXPECT_NEAR(node.path_probability, parent * shares[static_cast<size_t>(rank)], 3e-5 * parent);
      EXPECT_EQ(node.rank, rank);
      EXPECT_EQ(node.depth, path.size() + 1);
      EXPECT_EQ(node.source, DraftSource::kModel);
    }
    EXPECT_LE(deepest, static_cast<size_t>(Mtp::kDepthMax));
    const DraftTree chain_tree = harness.propose(growing, temperature, 14, TreeShape::kChain);
    EXPECT_EQ(chain_tree.nodes.size(), static_cast<size_t>(Mtp::kDepthMax));
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, MtpGolden, ::testing::Values("reference", "cpu1"),
                         [](const auto& case_info) { return case_info.param; });

}  // namespace
}  // namespace ft::draft
