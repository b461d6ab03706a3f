// The choice of nodes against the best of all choices, and what it may look at under which acceptance.
#include "scheduler/speculation/node_selection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <random>
#include <set>

#include "core/categorical.h"
#include "eval/paper_selection.h"
#include "scheduler/speculation/global_selection.h"
#include "verify/rejection_verifier.h"
#include "verify/verifier.h"

namespace ft::scheduler {
namespace {

using Kept = std::vector<std::vector<int32_t>>;

// A request's drafts.
struct Draft {
  std::vector<draft::DraftNode> nodes;
  std::vector<float> probability;
  int32_t nodes_max = 100;
  float overlap = 0.0f;

  int32_t add(int32_t parent, float p, int32_t token = 0) {
    draft::DraftNode node;
    node.token = token;
    node.parent = parent;
    node.depth = static_cast<uint8_t>(parent < 0 ? 1 : nodes[static_cast<size_t>(parent)].depth + 1);
    nodes.push_back(node);
    probability.push_back(p);
    return static_cast<int32_t>(nodes.size()) - 1;
  }
};

std::vector<Candidates> candidates(const std::vector<Draft>& drafts) {
  std::vector<Candidates> list;
  for (const Draft& draft : drafts)
    list.push_back({draft.nodes, draft.probability, draft.nodes_max, draft.overlap});
  return list;
}

// Costs of which every point is known.
CostModel exact_costs(int32_t rows_max, const std::function<double(double)>& seconds,
                      double expert_price = 0.0) {
  std::vector<CostCurve::Point> points;
  for (double rows : cost_grid(rows_max)) points.push_back({rows, seconds(rows), 0.0, CostCurve::kMemory});
  CostModel costs(rows_max, 8, 1.0);
  costs.restore(points, {}, expert_price, 0.0);
  return costs;
}

Kept select(NodeSelection& policy, const std::vector<Draft>& drafts, const StepBase& base,
            double* rate = nullptr) {
  Kept kept(drafts.size());
  const double found = policy.select(candidates(drafts), base, kept);
  if (rate != nullptr) *rate = found;
  return kept;
}

// "global", "stepwise" or "two-step", of a model without experts.
std::unique_ptr<NodeSelection> make_selection(const char* name, const CostModel& costs) {
  const MakeSelection make = eval::parse_selection(name).value();
  if (make) return make(costs);
  return std::make_unique<GlobalSelection>(costs, ExpertLayout());
}

size_t count(const Kept& kept) {
  size_t nodes = 0;
  for (const auto& list : kept) nodes += list.size();
  return nodes;
}

// The definition: expected tokens over seconds.
double rate_of(const CostModel& costs, const std::vector<Draft>& drafts, const StepBase& base,
               const Kept& kept) {
  double tokens = base.emitting;
  for (size_t r = 0; r < drafts.size(); ++r)
    for (int32_t node : kept[r])
      tokens += static_cast<double>(drafts[r].probability[static_cast<size_t>(node)]);
  return tokens /
         (base.draft_seconds + costs.verify_seconds(base.rows + static_cast<double>(count(kept)), 0.0));
}

// The best of every set that is closed under parents and within the limits.
double best_rate(const CostModel& costs, const std::vector<Draft>& drafts, const StepBase& base) {
  double best = 0.0;
  Kept kept(drafts.size());
  const std::function<void(size_t)> extend = [&](size_t r) {
    if (base.rows + static_cast<int32_t>(count(kept)) > base.rows_max) return;
    if (r == drafts.size()) {
      best = std::max(best, rate_of(costs, drafts, base, kept));
      return;
    }
    const Draft& draft = drafts[r];
    for (uint32_t set = 0; set < 1u << draft.nodes.size(); ++set) {
      bool closed = std::popcount(set) <= draft.nodes_max;
      kept[r].clear();
      for (size_t i = 0; i < draft.nodes.size() && closed; ++i) {
        if ((set >> i & 1u) == 0) continue;
        const int32_t parent = draft.nodes[i].parent;
        closed = parent < 0 || (set >> parent & 1u) != 0;
        kept[r].push_back(static_cast<int32_t>(i));
      }
      if (closed) extend(r + 1);
    }
    kept[r].clear();
  };
  extend(0);
  return best;
}

void expect_valid(const std::vector<Draft>& drafts, const StepBase& base, const Kept& kept) {
  EXPECT_LE(base.rows + static_cast<int32_t>(count(kept)), std::max(base.rows, base.rows_max));
  for (size_t r = 0; r < drafts.size(); ++r) {
    EXPECT_LE(kept[r].size(), static_cast<size_t>(drafts[r].nodes_max));
    EXPECT_TRUE(std::ranges::is_sorted(kept[r]));
    for (int32_t node : kept[r]) {
      const int32_t parent = drafts[r].nodes[static_cast<size_t>(node)].parent;
      EXPECT_TRUE(parent < 0 || std::ranges::binary_search(kept[r], parent)) << node;
    }
  }
}

// A random probability with as many bits as the policy sorts by, so that its order is the exact one.
float coarse_probability(std::mt19937_64& random, float below) {
  const float p = below * std::uniform_real_distribution(0.05f, 1.0f)(random);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(p) & 0xfffc0000u);
}

std::vector<Draft> random_drafts(std::mt19937_64& random, bool coarse) {
  std::vector<Draft> drafts(1 + random() % 3);
  for (Draft& draft : drafts) {
    const size_t nodes = random() % (drafts.size() == 3 ? 5 : 7);
    for (size_t i = 0; i < nodes; ++i) {
      const auto parent = static_cast<int32_t>(random() % (i + 1)) - 1;
      const float below = parent < 0 ? 1.0f : draft.probability[static_cast<size_t>(parent)];
      draft.add(parent, coarse ? coarse_probability(random, below)
                               : below * std::uniform_real_distribution(0.05f, 1.0f)(random));
    }
    draft.nodes_max = static_cast<int32_t>(random() % 8);
  }
  return drafts;
}

StepBase random_base(std::mt19937_64& random, size_t requests) {
  StepBase base;
  base.emitting = static_cast<int32_t>(requests + random() % 3);
  base.rows = base.emitting + static_cast<int32_t>(random() % 4);
  base.rows_max = base.rows + static_cast<int32_t>(random() % 20);
  base.draft_seconds = std::uniform_real_distribution(0.0, 0.5)(random);
  return base;
}

std::function<double(double)> random_costs(std::mt19937_64& random, bool staircase) {
  const double fixed = std::uniform_real_distribution(0.1, 2.0)(random);
  const double row = std::uniform_real_distribution(0.01, 0.5)(random);
  if (!staircase) return [=](double rows) { return fixed + row * rows; };
  const auto width = static_cast<double>(2 + random() % 7);
  return [=](double rows) { return fixed + row * width * std::ceil(rows / width); };
}

class SpeculationPolicyTest : public ::testing::TestWithParam<bool> {};

TEST_P(SpeculationPolicyTest, GlobalFindsTheBestOfAllClosedSets) {
  std::mt19937_64 random(GetParam() ? 1 : 2);
  size_t chosen = 0;
  size_t left = 0;
  double lost = 0.0;
  for (int round = 0; round < 1500; ++round) {
    const bool coarse = round % 2 == 0;
    const std::vector<Draft> drafts = random_drafts(random, coarse);
    const StepBase base = random_base(random, drafts.size());
    const CostModel costs = exact_costs(64, random_costs(random, GetParam()));
    GlobalSelection policy(costs, {});
    double rate = 0.0;
    const Kept kept = select(policy, drafts, base, &rate);
    expect_valid(drafts, base, kept);
    EXPECT_NEAR(rate, rate_of(costs, drafts, base, kept), 1e-9 * rate);
    // Probabilities are sorted by their 5 leading bits, and what is worth less than a tenth of its row is not
    // looked at, although it may be free on the tread of a staircase.
    const double best = best_rate(costs, drafts, base);
    const double pruned = GetParam() ? 0.1 : 1e-9;
    EXPECT_GE(rate, best * (1.0 - std::max(pruned, coarse ? 0.0 : 1.0 / 32))) << "round " << round;
    lost += 1.0 - rate / best;
    EXPECT_GE(rate, rate_of(costs, drafts, base, Kept(drafts.size())) * (1.0 - 1e-12));
    chosen += count(kept);
    for (const Draft& draft : drafts) left += draft.nodes.size();
  }
  EXPECT_GT(chosen, left / 10);
  EXPECT_LT(chosen, left * 9 / 10);
  EXPECT_LT(lost / 1500, 0.001);
}

// dspark.md 3.2, algorithm S, on probabilities that the policy sorts exactly.
TEST_P(SpeculationPolicyTest, StepwiseStopsWhereThePapersAlgorithmStops) {
  std::mt19937_64 random(GetParam() ? 3 : 4);
  size_t chosen = 0;
  for (int round = 0; round < 1500; ++round) {
    std::vector<Draft> drafts = random_drafts(random, true);
    for (Draft& draft : drafts) draft.nodes_max = 100;
    const StepBase base = random_base(random, drafts.size());
    const CostModel costs = exact_costs(64, random_costs(random, GetParam()));
    eval::StepwiseSelection policy(costs);
    const Kept kept = select(policy, drafts, base);
    expect_valid(drafts, base, kept);
    std::vector<std::tuple<float, int32_t, size_t, int32_t>> order;  // -value, depth, request, node
    for (size_t r = 0; r < drafts.size(); ++r)
      for (size_t i = 0; i < drafts[r].nodes.size(); ++i)
        order.emplace_back(-drafts[r].probability[i], drafts[r].nodes[i].depth, r, static_cast<int32_t>(i));
    std::ranges::sort(order);
    Kept expected(drafts.size());
    double best = rate_of(costs, drafts, base, expected);
    for (const auto& [value, depth, r, i] : order) {
      if (base.rows + static_cast<int32_t>(count(expected)) >= base.rows_max) break;
      expected[r].push_back(i);
      const double here = rate_of(costs, drafts, base, expected);
      if (here <= best) {
        expected[r].pop_back();
        break;
      }
      best = here;
    }
    for (auto& list : expected) std::ranges::sort(list);
    EXPECT_EQ(kept, expected) << "round " << round;
    chosen += count(kept);
  }
  EXPECT_GT(chosen, 500u);
}

INSTANTIATE_TEST_SUITE_P(Costs, SpeculationPolicyTest, ::testing::Bool(),
                         [](const auto& cell) { return cell.param ? "staircase" : "linear"; });

// dspark.md 3.2, algorithm A.
TEST(TwoStepSelection, BudgetCountsByThePastAndPicksByThePresent) {
  std::mt19937_64 random(5);
  const CostModel costs = exact_costs(64, [](double rows) { return 0.5 + 0.2 * rows; });
  eval::TwoStepSelection policy(costs);
  std::vector<std::vector<float>> past;
  StepBase base;
  base.rows = 3;
  base.emitting = 3;
  base.rows_max = 64;
  std::set<size_t> budgets;
  for (int step = 0; step < 300; ++step) {
    std::vector<Draft> drafts = random_drafts(random, true);
    for (Draft& draft : drafts) draft.nodes_max = 100;
    std::vector<std::tuple<float, int32_t, size_t, int32_t>> order;
    std::vector<float> values;
    for (size_t r = 0; r < drafts.size(); ++r)
      for (size_t i = 0; i < drafts[r].nodes.size(); ++i) {
        order.emplace_back(-drafts[r].probability[i], drafts[r].nodes[i].depth, r, static_cast<int32_t>(i));
        values.push_back(drafts[r].probability[i]);
      }
    std::ranges::sort(order);
    std::ranges::sort(values, std::greater<>());
    size_t budget = order.size();  // everything, as long as there is no past
    if (past.size() >= 2) {
      const std::vector<float>& stale = past[past.size() - 2];
      double tokens = base.emitting;
      double best = tokens / costs.verify_seconds(base.rows);
      budget = 0;
      for (size_t k = 0; k < stale.size(); ++k) {
        tokens += static_cast<double>(stale[k]);
        const double here = tokens / costs.verify_seconds(base.rows + static_cast<double>(k + 1));
        if (here > best) {
          best = here;
          budget = k + 1;
        }
      }
    }
    past.push_back(values);
    Kept expected(drafts.size());
    for (size_t k = 0; k < std::min(budget, order.size()); ++k)
      expected[std::get<2>(order[k])].push_back(std::get<3>(order[k]));
    for (auto& list : expected) std::ranges::sort(list);
    EXPECT_EQ(select(policy, drafts, base), expected) << "step " << step;
    budgets.insert(budget);
  }
  EXPECT_GT(budgets.size(), 4u);
}

TEST(GlobalSelection, EverythingIsVerifiedBeforeCostsAreKnown) {
  const CostModel unmeasured(64, 8, 1.0);
  for (const char* name : {"global", "stepwise", "two-step"}) {
    const auto policy_of_name = make_selection(name, unmeasured);
    NodeSelection& policy = *policy_of_name;
    std::vector<Draft> drafts(2);
    drafts[0].add(-1, 0.5f);
    drafts[0].add(0, 0.25f);
    drafts[1].add(-1, 0.01f);
    StepBase base;
    base.rows = base.emitting = 2;
    base.rows_max = 64;
    EXPECT_EQ(select(policy, drafts, base), (Kept{{0, 1}, {0}}));
    base.rows_max = 4;
    EXPECT_EQ(select(policy, drafts, base), (Kept{{0, 1}, {}}));
    base.rows_max = 2;
    EXPECT_EQ(select(policy, drafts, base), (Kept{{}, {}}));
  }
}

TEST(GlobalSelection, TiesGoToTheShallowerNodeAndThenToTheEarlierRequest) {
  const CostModel costs = exact_costs(64, [](double rows) { return 10.0 + 0.001 * rows; });
  for (const char* name : {"global", "stepwise"}) {
    const auto policy_of_name = make_selection(name, costs);
    NodeSelection& policy = *policy_of_name;
    std::vector<Draft> drafts(3);
    for (Draft& draft : drafts) draft.add(draft.add(-1, 0.5f), 0.5f);
    StepBase base;
    base.rows = base.emitting = 3;
    base.rows_max = 3 + 4;
    EXPECT_EQ(select(policy, drafts, base), (Kept{{0, 1}, {0}, {0}}));
    base.rows_max = 3 + 2;
    EXPECT_EQ(select(policy, drafts, base), (Kept{{0}, {0}, {}}));
  }
}

TEST(GlobalSelection, DraftsLessAsLoadGrowsAndRowsGetDearer) {
  std::mt19937_64 random(6);
  // Load: requests that decode. On the second machine rows are free up to 16.
  const CostModel linear = exact_costs(256, [](double rows) { return 1.0 + 0.05 * rows; });
  const CostModel filling =
      exact_costs(256, [](double rows) { return 1.0 + std::max(0.0, 0.1 * (rows - 16)); });
  size_t light = 0;
  size_t heavy = 0;
  for (int round = 0; round < 200; ++round) {
    const std::vector<Draft> drafts = random_drafts(random, true);
    for (const CostModel* costs : {&linear, &filling}) {
      GlobalSelection policy(*costs, {});
      size_t before = SIZE_MAX;
      for (int32_t rows = 3; rows < 120; rows += 3) {
        StepBase base;
        base.rows = base.emitting = rows;
        base.rows_max = 256;
        const size_t nodes = count(select(policy, drafts, base));
        EXPECT_LE(nodes, before) << rows;
        if (rows == 3) light += nodes;
        before = nodes;
      }
      heavy += before;
    }
  }
  EXPECT_GT(light, 500u);
  EXPECT_LT(heavy, light / 2);
}

// Two experts per token, out of 8, in one layer that routes by token.
struct HashLayer {
  std::vector<int32_t> table;
  ExpertLayout layout;

  explicit HashLayer(std::vector<int32_t> ids) : table(std::move(ids)) {
    layout.experts = 8;
    layout.per_token = 2;
    layout.vocab = static_cast<int32_t>(table.size()) / layout.per_token;
    layout.hash_tables = {table.data()};
  }
};

TEST(GlobalSelection, OfTwoEqualNodesTheOneThatSharesExpertsIsTaken) {
  const HashLayer hash({0, 1, 0, 1, 2, 3});  // tokens 0 and 1 use the same experts, token 2 others
  const CostModel costs = exact_costs(
      64, [](double rows) { return 0.9 + 0.1 * rows; }, 0.3);
  GlobalSelection policy(costs, hash.layout);
  const int32_t anchors[] = {0, 0};
  StepBase base;
  base.rows = base.emitting = 2;
  base.rows_max = 64;
  base.anchors = anchors;
  for (size_t sharing : {0u, 1u}) {
    std::vector<Draft> drafts(2);
    drafts[sharing].add(-1, 0.5f, 1);
    drafts[1 - sharing].add(-1, 0.5f, 2);
    Kept expected(2);
    expected[sharing] = {0};
    double rate = 0.0;
    EXPECT_EQ(select(policy, drafts, base, &rate), expected);
    EXPECT_DOUBLE_EQ(rate, 2.5 / (0.9 + 0.1 * 3 + 0.3 * 2.0));  // two experts
  }
}

TEST(GlobalSelection, CountsEachExpertOfATokenOnce) {
  std::mt19937_64 random(8);
  std::vector<int32_t> table;
  for (int token = 0; token < 50; ++token) {
    const auto first = static_cast<int32_t>(random() % 8);
    table.push_back(first);
    table.push_back(static_cast<int32_t>((first + 1 + static_cast<int32_t>(random() % 7)) % 8));
  }
  const HashLayer hash(table);
  constexpr double kPrice = 0.05;
  const auto row_seconds = [](double rows) { return 0.5 + 0.1 * rows; };
  const CostModel costs = exact_costs(64, row_seconds, kPrice);
  for (int round = 0; round < 300; ++round) {
    std::vector<Draft> drafts = random_drafts(random, false);
    for (Draft& draft : drafts)
      for (draft::DraftNode& node : draft.nodes) node.token = static_cast<int32_t>(random() % 50);
    StepBase base = random_base(random, drafts.size());
    std::vector<int32_t> anchors(static_cast<size_t>(base.emitting));
    for (int32_t& anchor : anchors) anchor = static_cast<int32_t>(random() % 50);
    base.anchors = anchors;
    GlobalSelection policy(costs, hash.layout);
    double rate = 0.0;
    const Kept kept = select(policy, drafts, base, &rate);
    expect_valid(drafts, base, kept);
    std::set<int32_t> used;
    const auto use = [&](int32_t token) {
      used.insert({table[2 * static_cast<size_t>(token)], table[2 * static_cast<size_t>(token) + 1]});
    };
    for (int32_t anchor : anchors) use(anchor);
    const double plain = base.emitting / (base.draft_seconds + row_seconds(base.rows) +
                                          kPrice * static_cast<double>(used.size()));
    double tokens = base.emitting;
    for (size_t r = 0; r < drafts.size(); ++r)
      for (int32_t i : kept[r]) {
        use(drafts[r].nodes[static_cast<size_t>(i)].token);
        tokens += static_cast<double>(drafts[r].probability[static_cast<size_t>(i)]);
      }
    const double seconds = base.draft_seconds + row_seconds(base.rows + static_cast<double>(count(kept))) +
                           kPrice * static_cast<double>(used.size());
    EXPECT_NEAR(rate, tokens / seconds, 1e-9 * rate);
    EXPECT_GE(rate, plain * (1.0 - 1e-12));
  }
}

TEST(GlobalSelection, ExpectsExpertsOfIndependentRowsAsTheFormulaSays) {
  // dspark.md 3.4: 6, 11.9, 17.6, ... of 256 experts for 1, 2, 3, ... rows.
  ExpertLayout layout;
  layout.experts = 256;
  layout.per_token = 6;
  layout.score_layers = 3;
  constexpr double kPrice = 1e-3;
  const auto row_seconds = [](double rows) { return 10.0 + 0.01 * rows; };
  const CostModel costs = exact_costs(64, row_seconds, kPrice);
  GlobalSelection policy(costs, layout);
  for (int32_t rows = 1; rows <= 6; ++rows)
    for (float overlap : {0.0f, 0.5f, 1.0f}) {
      std::vector<Draft> drafts(1);
      drafts[0].overlap = overlap;
      drafts[0].add(-1, 0.9f);
      StepBase base;
      base.rows = rows;
      base.emitting = 1;
      base.rows_max = 64;
      double rate = 0.0;
      ASSERT_EQ(count(select(policy, drafts, base, &rate)), 1u);
      const double seconds = (1.0 + static_cast<double>(0.9f)) / rate;
      const auto expected = [](double m) { return 3.0 * 256.0 * (1.0 - std::pow(1.0 - 6.0 / 256.0, m)); };
      EXPECT_NEAR(
          (seconds - row_seconds(rows + 1)) / kPrice,
          expected(rows) + (1.0 - static_cast<double>(overlap)) * (expected(rows + 1) - expected(rows)),
          1e-9);
    }
}

// dspark.md 3.3: two tokens, A and B; the second draft is worth verifying only if the first is A.
constexpr double kFirst[] = {0.7, 0.3};
constexpr double kSecond[2][2] = {{0.6, 0.4}, {0.2, 0.8}};  // the target's, after A and after B
constexpr double kDrafted[] = {0.5, 0.5};
constexpr int64_t kAnchor = 100;
constexpr int kTrials = 60000;
// 4.5 standard deviations of a share of 0.7 over so many trials.
constexpr double kBound = 0.0085;

struct Joint {
  double count[2][2] = {};
  double first_is_a() const { return (count[0][0] + count[0][1]) / kTrials; }
};

// How many of the two drafted tokens the policy offers.
int64_t offered(NodeSelection& policy, int32_t first) {
  std::vector<Draft> drafts(1);
  drafts[0].add(drafts[0].add(-1, 0.8f), first == 0 ? 0.8f * 0.9f : 0.0f);
  StepBase base;
  base.rows = base.emitting = 1;
  base.rows_max = 3;
  const Kept kept = select(policy, drafts, base);
  return static_cast<int64_t>(kept[0].size());
}

// One step of verification: what the target says at the anchor and after each offered draft.
struct OfferedChain {
  verify::TokenTree tree;
  std::vector<float> logits;
  verify::SamplingParams params;
  verify::StopRule stop{.tokens_left = 10};

  OfferedChain(const int32_t* draft, int64_t length, uint64_t seed) {
    params.seed = seed;
    tree.start(0);
    for (int64_t k = 0; k < length; ++k) tree.add(draft[k], static_cast<int32_t>(k), 0.5f);
    // After the second token anything may come.
    for (int64_t k = 0; k <= length; ++k)
      for (int v = 0; v < 2; ++v)
        logits.push_back(static_cast<float>(std::log(k == 0   ? kFirst[v]
                                                     : k == 1 ? kSecond[draft[0]][v]
                                                              : 0.5)));
  }
  verify::VerifyInput input() const {
    return {.tree = tree, .logits = logits, .params = params, .anchor_position = kAnchor, .stop = stop};
  }
};

Joint under_rejection(const char* name, const CostModel& costs) {
  const auto policy_of_name = make_selection(name, costs);
  NodeSelection& policy = *policy_of_name;
  verify::RejectionVerifier verifier;
  verify::Verified verified;
  Joint joint;
  for (int trial = 0; trial < kTrials; ++trial) {
    const NoiseKey key{.seed = static_cast<uint64_t>(trial), .position = kAnchor};
    int32_t draft[2];
    for (uint32_t k = 0; k < 2; ++k) draft[k] = draw(kDrafted, uniform(key, NoiseStream::kDraft, k + 1));
    const int64_t length = offered(policy, draft[0]);
    const OfferedChain chain(draft, length, key.seed);
    const double drawn[] = {0.5, 0.5, 0.5, 0.5};
    verifier.verify(chain.input(), std::span(drawn).first(static_cast<size_t>(2 * length)),
                    verify::AcceptanceRule::kToken, verified);
    const auto first = static_cast<size_t>(verified.emitted[0]);
    // Where the step emitted one token, the next step is a plain one.
    const int32_t second = verified.emitted.size() > 1
                               ? verified.emitted[1]
                               : draw(kSecond[first], uniform(key, NoiseStream::kToken, 7));
    joint.count[first][static_cast<size_t>(second)] += 1.0;
  }
  return joint;
}

// Rates of the paper's example: 1, 1/2 and 0.45 steps per second.
CostModel papers_costs() {
  return exact_costs(3, [](double rows) { return rows == 1.0 ? 1.0 : rows == 2.0 ? 2.0 : 1.0 / 0.45; });
}
// Costs under which the second draft is offered after A only, and the first always.
CostModel mild_costs() {
  return exact_costs(3, [](double rows) { return 0.7 + 0.3 * rows; });
}

TEST(SpeculationPolicyCounterexample, AGlobalChoiceDistortsRejectionAsThePaperSays) {
  EXPECT_NEAR(under_rejection("global", papers_costs()).first_is_a(), 0.85, kBound);
}

TEST(SpeculationPolicyCounterexample, TheCausalModesDoNot) {
  for (const std::string name : {"stepwise", "two-step"}) {
    EXPECT_NEAR(under_rejection(name.c_str(), papers_costs()).first_is_a(), 0.70, kBound);
    const CostModel costs = mild_costs();
    if (name == "stepwise") {
      eval::StepwiseSelection policy(costs);
      EXPECT_EQ(offered(policy, 0), 2);
      EXPECT_EQ(offered(policy, 1), 1);
    }
    const Joint joint = under_rejection(name.c_str(), costs);
    for (int first = 0; first < 2; ++first)
      for (int second = 0; second < 2; ++second)
        EXPECT_NEAR(joint.count[first][second] / kTrials, kFirst[first] * kSecond[first][second], kBound);
  }
}

TEST(SpeculationPolicyCounterexample, UnderCoupledAcceptanceEveryChoiceIsExact) {
  const CostModel costs = papers_costs();
  GlobalSelection policy(costs, {});
  verify::Verifier verifier;
  verify::Verified verified;
  KeyedRanking ranking;
  double first_is_a = 0.0;
  std::set<int64_t> lengths;
  for (int trial = 0; trial < kTrials; ++trial) {
    const auto seed = static_cast<uint64_t>(trial);
    // The draft ranks with the target's own noise, which is the hardest case.
    const float drafted[] = {0.0f, 0.0f};
    int32_t draft[2];
    for (int k = 0; k < 2; ++k) draft[k] = ranking.rank(drafted, 1.0, {seed, kAnchor + 1 + k}, 1)[0].token;
    const int64_t length = offered(policy, draft[0]);
    lengths.insert(length);
    const OfferedChain chain(draft, length, seed);
    verifier.verify(chain.input(), verified);
    first_is_a += verified.emitted[0] == 0 ? 1.0 : 0.0;
  }
  EXPECT_EQ(lengths, (std::set<int64_t>{0, 2}));
  EXPECT_NEAR(first_is_a / kTrials, 0.70, kBound);
}

}  // namespace
}  // namespace ft::scheduler
