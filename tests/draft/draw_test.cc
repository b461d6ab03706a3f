// Chains drawn from the draft's own distribution, for rejection acceptance (dspark.md 2.3).
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "core/noise.h"
#include "draft/child_proposer.h"
#include "tests/draft/draft_harness.h"
#include "tests/support/drafter_choice.h"

namespace ft::draft {
namespace {

// Chance that a correct program fails one of the comparisons of frequencies below; the seeds are fixed, so it
// does or does not. |z| of a normal variable beyond 5.33 has 1e-7.
constexpr double kZ = 5.33;

// By the definition: the first token at which the cumulative sum passes u.
int32_t inverse_cdf(std::span<const double> q, double u) {
  double total = 0.0;
  for (double p : q) total += p;
  double sum = 0.0;
  for (size_t v = 0; v < q.size(); ++v) {
    sum += q[v];
    if (sum > u * total) return static_cast<int32_t>(v);
  }
  return static_cast<int32_t>(q.size()) - 1;
}

std::vector<double> softmax_of(std::span<const float> logits, double temperature) {
  std::vector<double> q;
  double total = 0.0;
  for (float logit : logits) q.push_back(std::exp(logit / temperature));
  for (double p : q) total += p;
  for (double& p : q) p /= total;
  return q;
}

ProposeRequest drawn_request(uint64_t seed, double temperature) {
  ProposeRequest request;
  request.position = 70;
  request.temperature = temperature;
  request.seed = seed;
  request.nodes_max = 1;
  request.draw = true;
  return request;
}

DraftTree propose_once(ChildProposer& proposer, const ProposeRequest& request,
                       std::span<const float> logits) {
  TreeBuilder builder;
  builder.start(request, DraftSource::kModel, 4);
  DraftTree tree;
  DraftTree finished;
  NodeConstraints free;
  proposer.propose(request, logits, std::nullopt, TreeBuilder::kAnchor, builder, free, tree);
  builder.descend();
  builder.finish(finished);
  finished.probability = tree.probability;
  return finished;
}

std::vector<float> some_logits(size_t count) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0.0f, 1.5f);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

TEST(DrawnChild, FrequenciesAreTheSoftmaxAtTheTemperature) {
  ChildProposer proposer;
  const auto logits = some_logits(12);
  constexpr int kDraws = 20000;
  for (double temperature : {0.6, 1.3}) {
    const auto q = softmax_of(logits, temperature);
    std::vector<double> counts(q.size(), 0.0);
    for (int seed = 0; seed < kDraws; ++seed) {
      const DraftTree tree =
          propose_once(proposer, drawn_request(static_cast<uint64_t>(seed), temperature), logits);
      counts[static_cast<size_t>(tree.nodes.at(0).token)] += 1.0;
    }
    for (size_t v = 0; v < q.size(); ++v) {
      const double deviation = std::sqrt(kDraws * q[v] * (1.0 - q[v]));
      EXPECT_LE(std::abs(counts[v] - kDraws * q[v]), kZ * deviation + 1.0)
          << "T " << temperature << " token " << v;
    }
  }
}

TEST(DrawnChild, DoesNotKnowTheNoiseOfTheTarget) {
  // Two independent tokens of q are equal with probability sum q^2; with the same noise they would always be.
  ChildProposer proposer;
  const auto logits = some_logits(12);
  const auto q = softmax_of(logits, 1.0);
  constexpr int kDraws = 20000;
  double expected = 0.0;
  for (double p : q) expected += p * p;
  double equal = 0.0;
  for (int seed = 0; seed < kDraws; ++seed) {
    ProposeRequest request = drawn_request(static_cast<uint64_t>(seed), 1.0);
    const int32_t drawn = propose_once(proposer, request, logits).nodes.at(0).token;
    request.draw = false;
    equal += propose_once(proposer, request, logits).nodes.at(0).token == drawn ? 1.0 : 0.0;
  }
  EXPECT_LE(std::abs(equal - kDraws * expected), kZ * std::sqrt(kDraws * expected * (1.0 - expected)));
}

TEST(DrawnChild, EndsTheChainWhereNoTokenCanBeChosen) {
  ChildProposer proposer;
  const std::vector<float> logits(5, std::numeric_limits<float>::quiet_NaN());
  const DraftTree tree = propose_once(proposer, drawn_request(1, 1.0), logits);
  EXPECT_TRUE(tree.nodes.empty());
  EXPECT_TRUE(tree.probability.empty());
}

struct DrawCase {
  const char* model;
  DrafterChoice kind;
  const char* name;
  int32_t depth_max;  // of the model
};

class DrawnChain : public ::testing::TestWithParam<DrawCase> {
 protected:
  DraftTree draw(const Growing& growing, uint64_t seed, double temperature, int32_t nodes_max,
                 const AcceptanceTable* table = nullptr) {
    ProposeRequest request = harness_.request(growing, temperature, nodes_max);
    request.seed = seed;
    request.draw = true;
    request.acceptance = table;
    DraftTree tree;
    harness_.drafter->propose(std::span(&request, 1), std::span(&tree, 1));
    return tree;
  }
  std::span<const double> row(const DraftTree& tree, size_t node) const {
    return std::span(tree.probability).subspan(node * kVocab, kVocab);
  }

  static constexpr size_t kVocab = 512;
  DraftHarness harness_{std::string(FT_TEST_DATA "/goldens/") + GetParam().model, "cpu1", Numerics::kExact,
                        GetParam().kind};
};

TEST_P(DrawnChain, TokensFollowFromTheRowsAndTheDraftsNoise) {
  Growing growing = harness_.open({5, 17, 80, 3, 44, 200, 17, 80, 91});
  harness_.advance_all_but_anchor(growing, 4);
  const int32_t depth_max = GetParam().depth_max;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const DraftTree tree = draw(growing, seed, 1.1, 99);
    ASSERT_EQ(tree.nodes.size(), static_cast<size_t>(depth_max));
    ASSERT_EQ(tree.probability.size(), tree.nodes.size() * kVocab);
    for (size_t i = 0; i < tree.nodes.size(); ++i) {
      double sum = 0.0;
      for (double p : row(tree, i)) {
        EXPECT_GE(p, 0.0);
        sum += p;
      }
      EXPECT_NEAR(sum, 1.0, 1e-12);
      const NoiseKey anchor{seed, growing.committed};
      const double u = uniform(anchor, NoiseStream::kDraft, static_cast<uint32_t>(i + 1));
      EXPECT_EQ(tree.nodes[i].token, inverse_cdf(row(tree, i), u));
      EXPECT_EQ(tree.nodes[i].parent, static_cast<int32_t>(i) - 1);
      EXPECT_EQ(tree.nodes[i].depth, i + 1);
    }
  }
}

TEST_P(DrawnChain, RowsAreTheDraftsDistributionAfterTheTokensBefore) {
  Growing growing = harness_.open({5, 17, 80, 3, 44, 200, 17, 80, 91});
  harness_.advance_all_but_anchor(growing, 4);
  const DraftTree warm = draw(growing, 6, 1.0, 1);
  const DraftTree hot = draw(growing, 6, 2.0, 1);
  // One row of logits at two temperatures: log q differs by the factor and a constant.
  const double constant = std::log(row(warm, 0)[0]) - 2.0 * std::log(row(hot, 0)[0]);
  for (size_t v = 0; v < kVocab; ++v)
    EXPECT_NEAR(std::log(row(warm, 0)[v]), 2.0 * std::log(row(hot, 0)[v]) + constant, 1e-9);
  // The greedy draft is the largest entry.
  const DraftTree greedy = harness_.propose(growing, 0.0, 1);
  EXPECT_EQ(greedy.nodes.at(0).token, std::ranges::max_element(row(warm, 0)) - row(warm, 0).begin());
  // The first row is everybody's; the second depends on the first token. At a low temperature tokens come
  // again.
  int again = 0;
  int other_tokens = 0;
  for (double temperature : {0.05, 0.4, 1.0, 2.0}) {
    std::map<int32_t, DraftTree> by_first;
    for (uint64_t seed = 0; seed < 12; ++seed) {
      const DraftTree tree = draw(growing, seed, temperature, 2);
      again += by_first.try_emplace(tree.nodes[0].token, tree).second ? 0 : 1;
      for (const auto& [token, other] : by_first) {
        EXPECT_TRUE(std::ranges::equal(row(tree, 0), row(other, 0)));
        EXPECT_EQ(std::ranges::equal(row(tree, 1), row(other, 1)), token == tree.nodes[0].token) << seed;
      }
    }
    other_tokens += static_cast<int>(by_first.size()) - 1;
  }
  EXPECT_GT(again, 0);
  EXPECT_GT(other_tokens, 0);
}

TEST_P(DrawnChain, WhetherATokenIsOfferedDoesNotDependOnIt) {
  Growing growing = harness_.open({5, 17, 80, 3, 44, 200, 17, 80, 91});
  harness_.advance_all_but_anchor(growing, 4);
  // The score of a node is a function of the tokens before it.
  const DraftTree first = draw(growing, 0, 1.0, 1);
  for (uint64_t seed = 1; seed < 10; ++seed)
    EXPECT_EQ(draw(growing, seed, 1.0, 1).nodes.at(0).score, first.nodes[0].score) << seed;
  // Nothing is dropped even where the acceptance table expects nothing.
  AcceptanceTable hopeless;
  for (SourceAcceptance& table : hopeless.tables)
    for (DepthAcceptance& row : table)
      for (int rank = 0; rank < kBranchMax; ++rank) row.set(rank, {0.0f, -1000.0f});
  for (int32_t nodes_max : {0, 1, 2, 99}) {
    const DraftTree tree = draw(growing, 3, 1.0, nodes_max, &hopeless);
    EXPECT_EQ(tree.nodes.size(), static_cast<size_t>(std::min(nodes_max, GetParam().depth_max)));
    EXPECT_EQ(tree.probability.size(), tree.nodes.size() * kVocab);
  }
}

INSTANTIATE_TEST_SUITE_P(Tiny, DrawnChain,
                         ::testing::Values(DrawCase{"tiny-v4-dspark", support::drafter("dspark"), "dspark",
                                                    8},
                                           DrawCase{"tiny-v4", support::drafter("mtp"), "mtp", 4}),
                         [](const auto& case_info) { return case_info.param.name; });

}  // namespace
}  // namespace ft::draft
