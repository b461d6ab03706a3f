// The DSpark draft against the goldens of tiny-v4-dspark, exact mode (tests/data/goldens/README.md).
#include <gtest/gtest.h>

#include "draft/dspark_network.h"
#include "draft/greedy_block.h"
#include "draft/markov_head.h"
#include "tests/draft/draft_harness.h"
#include "tests/support/drafter_choice.h"

namespace ft::draft {
namespace {

constexpr double kLogits = 1e-4;
constexpr double kIntermediate = 5e-5;  // and 1e-5 of the value

const std::string kTiny = FT_TEST_DATA "/goldens/tiny-v4-dspark";

class DsparkGolden : public ::testing::TestWithParam<const char*> {
 protected:
  DsparkGolden()
      : loaded_(kTiny, GetParam(), Numerics::kExact, 64),
        goldens_(kTiny + "/goldens.safetensors"),
        network_(*loaded_.backend, *loaded_.checkpoint, limits()),
        markov_(*loaded_.backend, network_.weights(), 4) {}

  static CacheLimits limits() {
    CacheLimits limits;
    limits.sequences = 2;
    limits.rows = 64;
    limits.context = 512;
    return limits;
  }

  // Runs `tokens` through the target and their auxiliary hidden states through the draft;
  // the logits of the last row.
  std::vector<float> feed(SequenceId target, SequenceId context, std::span<const int32_t> tokens) {
    std::vector<float> last;
    run_and_commit(*loaded_.model, target, tokens, [&](const ForwardOutput& output) {
      const auto count = static_cast<int32_t>(tokens.size());
      const int64_t first = network_.cache().length(context);
      std::vector<Row> rows;
      std::vector<int32_t> auxiliary_rows;
      for (int32_t i = 0; i < count; ++i) {
        rows.push_back({0, static_cast<int32_t>(first) + i, context, i - 1});
        auxiliary_rows.push_back(i);
      }
      network_.append(output.auxiliary, auxiliary_rows, rows);
      auxiliary_ = downloaded(*loaded_.backend, output.auxiliary);
      const auto row = output.logits.last(static_cast<size_t>(loaded_.model->config().vocab_size));
      last.assign(row.begin(), row.end());
    });
    return last;
  }

  void expect_near(std::span<const float> got, const std::string& name, double absolute,
                   double relative = 0.0) {
    EXPECT_LE(worst_difference(got, goldens_.f32(name), relative), absolute) << name;
  }

  void expect_block(const GreedyBlock& block, const std::string& prefix) {
    expect_near(block.logits, prefix + "logits", kLogits);
    expect_near(block.confidence, prefix + "confidence", kLogits);
    const auto tokens = goldens_.i32(prefix + "tokens");
    EXPECT_TRUE(std::ranges::equal(block.tokens, tokens)) << prefix;
  }

  void expect_ring(SequenceId context, const std::string& prefix, int64_t length) {
    const ModelConfig& config = loaded_.model->config();
    const int64_t window = config.sliding_window;
    const int64_t ring_rows = window - 1 + kRewindMax;  // core/kv_cache.h
    for (int stage = 0; stage < config.dspark.stage_count; ++stage) {
      const std::string name = prefix + ".stage" + std::to_string(stage);
      const std::span<const float> want = goldens_.f32(name);
      for (int64_t position = std::max<int64_t>(0, length - window); position < length; ++position) {
        const int64_t row = context * ring_rows + position % ring_rows;
        const auto width = static_cast<size_t>(config.head_dim);
        const std::vector<float> got = downloaded(
            *loaded_.backend,
            Matrix(network_.cache().layer(stage).raw.f32() + row * config.head_dim, 1, config.head_dim));
        EXPECT_LE(
            worst_difference(got, want.subspan(static_cast<size_t>(position % window) * width, width), 1e-5),
            kIntermediate)
            << name << " position " << position;
      }
    }
  }

  support::LoadedModel loaded_;
  support::GoldenFile goldens_;
  DsparkNetwork network_;
  MarkovHead markov_;
  std::vector<float> auxiliary_;  // of the last forward call
};

TEST_P(DsparkGolden, DraftsAfterThePrefillAndAfterEveryStep) {
  int prefills = 0;
  int steps = 0;
  for (const std::string& name : goldens_.names("tokens.L")) {
    const std::string length = name.substr(7);
    const std::string run = "draft.exact." + length;
    SCOPED_TRACE(run);
    const auto tokens = goldens_.i32(name);
    const SequenceId target = *loaded_.model->cache().open(512);
    const SequenceId context = *network_.cache().open(512);
    const std::vector<float> logits = feed(target, context, tokens);
    expect_near(auxiliary_, "main_hidden.exact." + length, kIntermediate, 1e-5);
    expect_near(downloaded(*loaded_.backend, network_.context()), "main_x_prefill.exact." + length,
                kIntermediate, 1e-5);
    // The arrays of L7 are a copy of those of L37, a defect of the goldens: all 16 slots are in use after 7
    // tokens.
    if (length == "L37")
      expect_ring(context, "ctx_ring.exact." + length, static_cast<int64_t>(tokens.size()));
    if (goldens_.has(run + ".r0.anchor")) {
      const std::string prefix = run + ".r0.";
      const int32_t anchor = argmax(logits);
      EXPECT_EQ(anchor, goldens_.i32(prefix + "anchor")[0]);
      const GreedyBlock block =
          draft_greedy_block(network_, markov_, {context, anchor}, [&](int stage, Matrix streams) {
            expect_near(downloaded(*loaded_.backend, streams), fmt::format("{}stage{}.out", prefix, stage),
                        kIntermediate, 1e-5);
          });
      expect_near(downloaded(*loaded_.backend, network_.collapsed()), prefix + "head_hidden", kIntermediate,
                  1e-5);
      expect_near(block.base_logits, prefix + "base_logits", kLogits);
      const auto embeddings = goldens_.f32(prefix + "markov_embed");
      EXPECT_LE(worst_difference(downloaded(*loaded_.backend, markov_.embeddings()),
                                 embeddings.last(embeddings.size() / block.tokens.size())),
                0.0);
      expect_block(block, prefix);
      ++prefills;
    }
    for (int step = 0; goldens_.has(fmt::format("{}.step{}.anchor", run, step)); ++step) {
      const std::string prefix = fmt::format("{}.step{}.", run, step);
      ASSERT_EQ(loaded_.model->cache().length(target), goldens_.i32(prefix + "target_pos")[0]);
      const std::vector<float> next = feed(target, context, goldens_.i32(prefix + "target_token"));
      expect_near(next, prefix + "target_logits", kLogits);
      expect_near(auxiliary_, prefix + "main_hidden", kIntermediate, 1e-5);
      expect_block(draft_greedy_block(network_, markov_, {context, goldens_.i32(prefix + "anchor")[0]}),
                   prefix);
      ++steps;
    }
    network_.cache().close(context);
    loaded_.model->cache().close(target);
  }
  EXPECT_EQ(prefills, 6);
  EXPECT_EQ(steps, 28);
}

TEST_P(DsparkGolden, ABlockOfSeveralSequencesIsEachAlone) {
  const auto first = goldens_.i32("tokens.L37");
  const auto second = goldens_.i32("tokens.L7");
  const SequenceId targets[] = {*loaded_.model->cache().open(512), *loaded_.model->cache().open(512)};
  const SequenceId contexts[] = {*network_.cache().open(512), *network_.cache().open(512)};
  const BlockAnchor anchors[] = {{contexts[0], argmax(feed(targets[0], contexts[0], first))},
                                 {contexts[1], argmax(feed(targets[1], contexts[1], second))}};
  const GreedyBlock alone[] = {draft_greedy_block(network_, markov_, anchors[0]),
                               draft_greedy_block(network_, markov_, anchors[1])};
  network_.draft(anchors, network_.block_size());
  for (size_t b = 0; b < 2; ++b)
    for (int j = 0; j < network_.block_size(); ++j) {
      const auto together = network_.base_logits(b, j);
      const auto apart =
          std::span(alone[b].base_logits).subspan(static_cast<size_t>(j) * together.size(), together.size());
      EXPECT_TRUE(std::ranges::equal(together, apart)) << b << " " << j;
    }
}

INSTANTIATE_TEST_SUITE_P(Backends, DsparkGolden, ::testing::Values("reference", "cpu1"),
                         [](const auto& case_info) { return case_info.param; });

// The drafter on top: the same tokens as a chain, and probabilities from the confidence.
TEST(Dspark, AGreedyChainIsTheGoldenDraft) {
  const support::GoldenFile goldens(kTiny + "/goldens.safetensors");
  DraftHarness harness(kTiny, "reference", Numerics::kExact, support::drafter("dspark"));
  EXPECT_EQ(harness.drafter->name(), "dspark");
  EXPECT_EQ(harness.drafter->depth_max(), 8);
  for (const char* length : {"L2", "L16", "L37"}) {
    const std::string prefix = std::string("draft.exact.") + length + ".r0.";
    const auto prompt = goldens.i32(std::string("tokens.") + length);
    std::vector<int32_t> tokens(prompt.begin(), prompt.end());
    tokens.push_back(goldens.i32(prefix + "anchor")[0]);
    Growing growing = harness.open(tokens);
    harness.advance_all_but_anchor(growing, 64);
    const DraftTree chain = harness.propose(growing, 0.0, 5, TreeShape::kChain);
    const auto want = goldens.i32(prefix + "tokens");
    const auto confidence = goldens.f32(prefix + "confidence");
    ASSERT_EQ(chain.nodes.size(), want.size()) << length;
    double path = 1.0;
    for (size_t i = 0; i < want.size(); ++i) {
      path /= 1.0 + std::exp(-static_cast<double>(confidence[i]));
      EXPECT_EQ(chain.nodes[i].token, want[i]) << length << " " << i;
      EXPECT_EQ(chain.nodes[i].parent, static_cast<int32_t>(i) - 1);
      EXPECT_NEAR(chain.nodes[i].path_probability, path, 1e-4) << length << " " << i;
      EXPECT_NEAR(chain.nodes[i].score, confidence[i], 1e-4) << length << " " << i;
    }
    // A shorter chain is its beginning; the best tree of one node too.
    EXPECT_EQ(tree_text(harness.propose(growing, 0.0, 2, TreeShape::kChain)),
              tree_text({{chain.nodes[0], chain.nodes[1]}}));
    EXPECT_EQ(tree_text(harness.propose(growing, 0.0, 1)), tree_text({{chain.nodes[0]}}));
    EXPECT_TRUE(harness.propose(growing, 0.0, 0).nodes.empty());
    // Room for more asks for a longer block, unless the trained depth is enough.
    ProposeRequest more = harness.request(growing, 0.0, 20);
    more.shape = TreeShape::kChain;
    DraftTree deep;
    harness.drafter->propose(std::span(&more, 1), std::span(&deep, 1));
    ASSERT_EQ(deep.nodes.size(), 8u);
    for (size_t i = 0; i < deep.nodes.size(); ++i) {
      EXPECT_EQ(deep.nodes[i].parent, static_cast<int32_t>(i) - 1);
      EXPECT_EQ(deep.nodes[i].depth, i + 1);
      EXPECT_EQ(deep.nodes[i].source, DraftSource::kModel);
    }
    more.model_depth = 5;
    harness.drafter->propose(std::span(&more, 1), std::span(&deep, 1));
    EXPECT_EQ(tree_text(deep), tree_text(chain));
    harness.close(growing);
  }
}

}  // namespace
}  // namespace ft::draft
