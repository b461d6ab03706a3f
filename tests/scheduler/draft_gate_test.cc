// Drafting that pays is done and drafting that does not is left, on a clock that the test turns.
#include "scheduler/speculation/draft_gate.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ft::scheduler {
namespace {

constexpr int32_t kNodes = 8;

// Of the steps in which drafting pays, one in nine at most is a plain one, to see what that costs.
constexpr int most_of(int steps) {
  return steps * 8 / 9;
}

// seconds = 1 ms + row * rows; a draft for n requests takes `first` + (n - 1) * `next`.
CostModel machine(double row, double first, double next) {
  CostModel costs(64, 16, 1.0);
  std::vector<CostCurve::Point> verify, draft;
  for (double rows : cost_grid(64)) verify.push_back({rows, 1e-3 + row * rows, 0.0, CostCurve::kMemory});
  for (double requests : cost_grid(16))
    draft.push_back({requests, first + next * (requests - 1.0), 0.0, CostCurve::kMemory});
  costs.restore(verify, draft, 0.0, 0.0);
  return costs;
}

// A model that drafts one token: as many positions as requests.
constexpr draft::ModelDepth kShallow{1, 1};

void observe(AcceptanceHistory& history, const std::vector<float>& probability) {
  history.observe(AcceptanceHistory::show(std::vector<draft::DraftNode>(probability.size()), probability,
                                          kShallow.trained, kShallow.trained));
}

void observe(DraftGate& gate, AcceptanceHistory& history, const std::vector<float>& probability) {
  gate.observe(history, std::vector<draft::DraftNode>(probability.size()), probability, kShallow.trained);
}

// A tree as a drafter of this quality makes them: each node half as likely as the one before.
std::vector<float> tree(float best) {
  std::vector<float> probability;
  for (int i = 0; i < kNodes; ++i) probability.push_back(best / static_cast<float>(1 << i));
  return probability;
}

// Requests that decode, and how good their drafts are now.
class Decoding {
 public:
  Decoding(const CostModel& costs, std::vector<float> quality)
      : costs_(costs), gate_(costs, kShallow), quality_(std::move(quality)), histories_(quality_.size()) {
    for (AcceptanceHistory& history : histories_) requests_.push_back({&history, kNodes});
  }

  // One step: asks the gate, shows it the drafts that were made, lets the time pass. Verifies no drafts, so
  // that time only goes into drafting.
  const std::vector<uint8_t>& step() {
    const auto emitting = static_cast<int32_t>(requests_.size());
    gate_.decide(requests_, emitting, emitting, drafted_);
    const auto drafting = static_cast<double>(std::ranges::count(drafted_, 1));
    const double drafted_seconds = costs_.draft_seconds(drafting);
    const double step_seconds = drafted_seconds + costs_.verify_seconds(emitting);
    gate_.spend(requests_, drafted_, step_seconds);
    for (size_t i = 0; i < requests_.size(); ++i)
      if (drafted_[i] != 0) observe(gate_, histories_[i], tree(quality_[i]));
    seconds += step_seconds;
    drafting_seconds += drafted_seconds;
    return drafted_;
  }
  // How many of `steps` steps drafted for request i.
  int drafts(int steps, size_t i = 0) {
    int count = 0;
    for (int k = 0; k < steps; ++k) count += step()[i];
    return count;
  }

  std::vector<float>& quality() { return quality_; }
  AcceptanceHistory& history(size_t i) { return histories_[i]; }
  std::vector<DraftGate::Request>& requests() { return requests_; }

  double seconds = 0.0;
  double drafting_seconds = 0.0;

 private:
  const CostModel& costs_;
  DraftGate gate_;
  std::vector<float> quality_;
  std::vector<AcceptanceHistory> histories_;
  std::vector<DraftGate::Request> requests_;
  std::vector<uint8_t> drafted_;
};

TEST(AcceptanceHistory, AveragesTheBestNodesInFallingOrder) {
  AcceptanceHistory history;
  observe(history, {0.2f, 0.8f, 0.4f});
  EXPECT_FLOAT_EQ(history.value[0], 0.8f);
  EXPECT_FLOAT_EQ(history.value[1], 0.4f);
  EXPECT_FLOAT_EQ(history.value[2], 0.2f);
  EXPECT_EQ(history.value[3], 0.0f);
  observe(history, {0.4f});
  EXPECT_FLOAT_EQ(history.value[0], 0.6f);
  EXPECT_FLOAT_EQ(history.value[1], 0.2f);
  for (int i = 0; i < 200; ++i) observe(history, std::vector<float>(40, 0.5f));
  for (float value : history.value) EXPECT_NEAR(value, 0.5f, 1e-3f);
}

// Near the end of a reply trees are short because no more tokens may come, not because the draft is bad.
TEST(AcceptanceHistory, TakesWhatATreeCutShortLacksForUnknown) {
  constexpr int kTrained = 3;
  const std::vector<draft::DraftNode> nodes = {
      {.depth = 1}, {.parent = 0, .depth = 2}, {.parent = 1, .depth = 3}};
  AcceptanceHistory history;
  history.observe(AcceptanceHistory::show(nodes, std::vector<float>{0.8f, 0.0f, 0.0f}, 1, kTrained));
  EXPECT_FLOAT_EQ(history.value[0], 0.8f);
  EXPECT_FLOAT_EQ(history.value[2], 0.8f) << "at most as likely as what was seen";
  for (int i = 0; i < 50; ++i)
    history.observe(AcceptanceHistory::show(nodes, std::vector<float>{0.8f, 0.6f, 0.5f}, kTrained, kTrained));
  for (int i = 0; i < 50; ++i)
    history.observe(AcceptanceHistory::show(nodes, std::vector<float>{0.7f, 0.0f, 0.0f}, 1, kTrained));
  EXPECT_NEAR(history.value[0], 0.7f, 1e-2f);
  EXPECT_NEAR(history.value[1], 0.6f, 1e-2f);
  EXPECT_NEAR(history.value[2], 0.5f, 1e-2f);
  EXPECT_NEAR(history.reach, 0.5f, 1e-2f);
  // A whole tree that has nothing more is another matter.
  for (int i = 0; i < 50; ++i)
    history.observe(AcceptanceHistory::show(nodes, std::vector<float>{0.7f, 0.0f, 0.0f}, kTrained, kTrained));
  EXPECT_NEAR(history.value[2], 0.0f, 1e-2f);
  EXPECT_NEAR(history.reach, 0.0f, 1e-2f);
}

TEST(DraftGate, RowsThatShareExpertsCostLess) {
  // 0.1 ms per row and 0.01 ms for each of its 100 experts, of which there are many.
  CostModel costs(64, 16, 100.0);
  std::vector<CostCurve::Point> verify, draft;
  for (double rows : cost_grid(64))
    verify.push_back({rows, 1e-4 * rows + 1e-5 * 100.0 * rows, 100.0 * rows, CostCurve::kMemory});
  for (double x : cost_grid(16)) draft.push_back({x, 1e-4, 0.0, CostCurve::kMemory});
  costs.restore(verify, draft, 1e-5, 0.0);
  for (const bool shares : {false, true}) {
    DraftGate gate(costs, kShallow);
    AcceptanceHistory history;
    for (int i = 0; i < 20; ++i) observe(gate, history, tree(0.8f));
    const DraftGate::Request request{&history, kNodes, 0, shares ? 0.7f : 0.0f};
    std::vector<uint8_t> drafted;
    gate.decide(std::span(&request, 1), 1, 1, drafted);
    EXPECT_EQ(drafted[0], shares ? 1 : 0);
  }
}

TEST(DraftGate, DraftsWhereItPays) {
  const CostModel costs = machine(1e-5, 1e-4, 1e-5);
  Decoding decoding(costs, {0.9f});
  EXPECT_GE(decoding.drafts(900), most_of(900));
}

// Two more rows cost as much as five.
TEST(DraftGate, DraftsWhereAllRowsPayAlthoughHalfOfThemWouldNot) {
  CostModel costs(64, 16, 1.0);
  std::vector<CostCurve::Point> verify, draft;
  for (double rows : cost_grid(64))
    verify.push_back({rows, 1e-3 + 0.5e-3 * std::min(rows - 1.0, 2.0), 0.0, CostCurve::kMemory});
  for (double positions : cost_grid(16)) draft.push_back({positions, 0.2e-3, 0.0, CostCurve::kMemory});
  costs.restore(verify, draft, 0.0, 0.0);
  DraftGate gate(costs, {5, 5});
  const std::vector<float> probability{0.5f, 0.4f, 0.35f, 0.3f, 0.25f};
  AcceptanceHistory history;
  for (int i = 0; i < 50; ++i) gate.observe(history, std::vector<draft::DraftNode>(5), probability, 5);
  const std::vector<DraftGate::Request> requests{{&history, 5}};
  std::vector<uint8_t> drafted;
  gate.decide(requests, 1, 1, drafted);
  EXPECT_EQ(drafted, std::vector<uint8_t>{1});
}

TEST(DraftGate, ALookAtPlainStepsStaysWithinItsShare) {
  const CostModel costs = machine(1e-5, 1e-4, 1e-5);
  Decoding decoding(costs, {0.9f});
  constexpr int kSteps = 20'000;
  const int plain = kSteps - decoding.drafts(kSteps);
  EXPECT_GT(plain, 0) << "it does look";
  // All eight nodes are worth their rows: 1 + 0.9 + 0.45 + ... tokens per step of 9 rows.
  const double rate = (1.0 + 0.9 * (2.0 - 1.0 / 128.0)) / (1e-4 + 1e-3 + 9e-5);
  const double plain_seconds = 1e-3 + 1e-5;
  const double given_away = plain * plain_seconds * (1.0 - 1.0 / plain_seconds / rate);
  EXPECT_LE(given_away, DraftGate::kProbeShare * kSteps * (1e-4 + 1e-3 + 9e-5) * 1.02);
}

TEST(DraftGate, AsksForMoreWhereADrafterHasToCatchUp) {
  // Worth its draft, but not what would have to be taken in first.
  CostModel costs = machine(1e-5, 1e-4, 1e-5);
  costs.restore(costs.verify_curve().points(), costs.draft_curve().points(), 0.0, 1e-4);
  DraftGate gate(costs, kShallow);
  AcceptanceHistory history;
  for (int i = 0; i < 20; ++i) observe(gate, history, tree(0.3f));
  std::vector<uint8_t> draft;
  DraftGate::Request request{&history, kNodes};
  gate.decide(std::span(&request, 1), 1, 1, draft);
  EXPECT_EQ(draft[0], 1);
  request.catch_up_rows = 128;
  gate.decide(std::span(&request, 1), 1, 1, draft);
  EXPECT_EQ(draft[0], 0);
}

TEST(DraftGate, LeavesWhatDoesNotPay) {
  // 0.1 tokens more per step, for half a step's time.
  const CostModel costs = machine(1e-5, 5e-4, 5e-4);
  Decoding decoding(costs, {0.05f});
  decoding.drafts(20);
  EXPECT_LE(decoding.drafts(1000), 20);
}

TEST(DraftGate, SeesDraftsBeforeItJudgesThem) {
  const CostModel costs = machine(1e-5, 5e-4, 5e-4);
  Decoding decoding(costs, {0.05f, 0.05f});
  EXPECT_EQ(decoding.step(), (std::vector<uint8_t>{1, 1}));
  const CostModel unmeasured(64, 16, 1.0);
  Decoding blind(unmeasured, {0.05f});
  EXPECT_EQ(blind.drafts(5), 5);
}

TEST(DraftGate, ProbingStaysWithinItsShareOfTime) {
  for (size_t requests : {1u, 3u, 12u}) {
    const CostModel costs = machine(2e-5, 8e-4, 4e-4);
    Decoding decoding(costs, std::vector<float>(requests, 0.01f));
    decoding.drafts(50);
    decoding.seconds = decoding.drafting_seconds = 0.0;
    for (int i = 0; i < 50'000; ++i) decoding.step();
    EXPECT_LE(decoding.drafting_seconds, DraftGate::kProbeShare * decoding.seconds * 1.01);
    EXPECT_GE(decoding.drafting_seconds, DraftGate::kProbeShare * decoding.seconds * 0.5) << "it does probe";
  }
}

// Rows were measured while something else used the machine, or in steps unlike those of replies. No step without drafts
// would ever show that they are cheaper.
TEST(DraftGate, FindsOutThatRowsCostLessThanWasMeasured) {
  const std::vector<float> chain = {0.8f, 0.64f, 0.51f, 0.41f};
  const auto step_seconds = [](double row, int32_t rows) { return 1e-3 * (1.0 + row * (rows - 1)); };
  CostModel costs(64, 16, 1.0);
  std::vector<CostCurve::Point> verify;
  for (double rows : cost_grid(64))
    verify.push_back({rows, step_seconds(0.8, static_cast<int32_t>(rows)), 0.0, CostCurve::kMemory});
  const std::vector<CostCurve::Point> draft = {{1.0, 4e-4, 0.0, CostCurve::kMemory}};
  costs.restore(verify, draft, 0.0, 0.0);
  DraftGate gate(costs, kShallow);
  AcceptanceHistory history;
  for (int i = 0; i < 20; ++i) observe(gate, history, chain);
  const DraftGate::Request request{&history, static_cast<int32_t>(chain.size())};
  std::vector<uint8_t> drafted;
  const auto drafts = [&](int steps) {
    int count = 0;
    for (int i = 0; i < steps; ++i) {
      gate.decide(std::span(&request, 1), 1, 1, drafted);
      count += drafted[0];
      // Where drafts pay, all nodes do; else what the gate wants to look at.
      const double drafting = costs.verify_seconds(5.0) + 4e-4;
      const bool pays = (1.0 + 0.8 + 0.64 + 0.51 + 0.41) / drafting > 1.02 / costs.verify_seconds(1.0);
      const int32_t rows = drafted[0] == 0 ? 1 : 1 + (pays ? request.nodes_max : gate.look().nodes);
      const double seconds = step_seconds(0.2, rows);
      costs.observe_verify(rows, 0.0, seconds);
      gate.spend(std::span(&request, 1), drafted, seconds + (drafted[0] != 0 ? 4e-4 : 0.0));
      if (drafted[0] != 0) observe(gate, history, chain);
    }
    return count;
  };
  EXPECT_LE(drafts(100), 3) << "by what was measured it does not pay";
  drafts(4000);
  EXPECT_GE(drafts(900), most_of(900));
}

TEST(DraftGate, ProbesEachRequestInTurn) {
  const CostModel costs = machine(2e-5, 8e-4, 4e-4);
  Decoding decoding(costs, {0.01f, 0.01f, 0.01f, 0.01f});
  decoding.drafts(50);
  std::vector<int> probes(4);
  for (int i = 0; i < 20'000; ++i) {
    const std::vector<uint8_t>& drafted = decoding.step();
    for (size_t r = 0; r < 4; ++r) probes[r] += drafted[r];
  }
  EXPECT_GT(probes[0], 5);
  EXPECT_LE(*std::ranges::max_element(probes) - *std::ranges::min_element(probes), 1);
}

TEST(DraftGate, ComesBackWhenTheContentChanges) {
  const CostModel costs = machine(1e-5, 4e-4, 4e-4);
  Decoding decoding(costs, {0.02f});
  decoding.drafts(1000);
  EXPECT_LE(decoding.drafts(200), 4);
  decoding.quality()[0] = 0.95f;
  // A probe costs 0.41 ms, which 0.5 % of a 1 ms step pays for in about 81 steps; 8 remembered drafts fade
  // within a few.
  decoding.drafts(8 * 90);
  EXPECT_GE(decoding.drafts(900), most_of(900));
  // And leaves again.
  decoding.quality()[0] = 0.02f;
  decoding.drafts(100);
  EXPECT_LE(decoding.drafts(1000), 20);
}

TEST(DraftGate, DraftsForThoseThatGain) {
  const CostModel costs = machine(1e-5, 1e-4, 1e-4);
  Decoding decoding(costs, {0.9f, 0.01f, 0.9f});
  decoding.drafts(100);
  int good = 0;
  int bad = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::vector<uint8_t>& drafted = decoding.step();
    good += drafted[0] + drafted[2];
    bad += drafted[1];
  }
  EXPECT_GE(good, most_of(2000));
  EXPECT_LE(bad, 60);
}

TEST(DraftGate, StopsWhenTheMachineFillsUp) {
  // Rows are nearly free up to 16 and dear above.
  CostModel costs(64, 16, 1.0);
  std::vector<CostCurve::Point> verify, draft;
  for (double rows : cost_grid(64))
    verify.push_back({rows, 1e-3 + std::max(0.0, rows - 16.0) * 2e-4, 0.0, CostCurve::kMemory});
  for (double requests : cost_grid(16)) draft.push_back({requests, 1e-4, 0.0, CostCurve::kMemory});
  costs.restore(verify, draft, 0.0, 0.0);
  DraftGate gate(costs, kShallow);
  AcceptanceHistory history;
  for (int i = 0; i < 20; ++i) observe(gate, history, tree(0.8f));
  const DraftGate::Request request{&history, kNodes};
  std::vector<uint8_t> draft_for;
  gate.decide(std::span(&request, 1), 1, 1, draft_for);
  EXPECT_EQ(draft_for[0], 1);
  gate.decide(std::span(&request, 1), 32, 32, draft_for);
  EXPECT_EQ(draft_for[0], 0);
}

TEST(DraftGate, NeverDraftsForWhoMayNot) {
  const CostModel costs = machine(1e-5, 1e-4, 1e-5);
  Decoding decoding(costs, {0.9f, 0.9f});
  decoding.requests()[1].nodes_max = 0;
  EXPECT_EQ(decoding.drafts(100, 1), 0);
  EXPECT_GE(decoding.drafts(900, 0), most_of(900));
  DraftGate gate(costs, kShallow);
  std::vector<uint8_t> draft;
  gate.decide(decoding.requests(), 40, 0, draft);  // a step that only reads prompts
  EXPECT_EQ(draft, (std::vector<uint8_t>{0, 0}));
}

TEST(DraftGate, ANewRequestBeginsWithWhatOthersHaveShown) {
  const CostModel costs = machine(1e-5, 5e-4, 5e-4);
  DraftGate gate(costs, kShallow);
  AcceptanceHistory seen;
  for (int i = 0; i < 20; ++i) observe(gate, seen, tree(0.02f));
  AcceptanceHistory fresh;
  const DraftGate::Request request{&fresh, kNodes};
  std::vector<uint8_t> draft;
  gate.decide(std::span(&request, 1), 1, 1, draft);
  EXPECT_EQ(draft[0], 0);
  for (int i = 0; i < 40; ++i) observe(gate, seen, tree(0.95f));
  gate.decide(std::span(&request, 1), 1, 1, draft);
  EXPECT_EQ(draft[0], 1);
}

// A model trained for 3 positions that can go 5 deep. A draft of n positions takes 0.1 ms + n * `position`.
class DeepDrafts {
 public:
  explicit DeepDrafts(double position) : costs_(64, 16, 1.0), gate_(costs_, {3, 5}) {
    std::vector<CostCurve::Point> verify, draft;
    for (double rows : cost_grid(64)) verify.push_back({rows, 1e-3 + 1e-5 * rows, 0.0, CostCurve::kMemory});
    for (double x : cost_grid(16)) draft.push_back({x, 1e-4 + position * x, 0.0, CostCurve::kMemory});
    costs_.restore(verify, draft, 0.0, 0.0);
  }

  int depth() {
    const DraftGate::Request request{&outlook_, nodes_max};
    std::vector<uint8_t> draft;
    return gate_.decide(std::span(&request, 1), 1, 1, draft);
  }
  // Chains whose nodes are passed with `rate` down to depth 3 and with `deep` below, as deep as was asked.
  void observe(int depth, float rate, float deep) {
    std::vector<draft::DraftNode> nodes;
    std::vector<float> probability;
    for (int d = 1; d <= depth; ++d) {
      nodes.push_back({.parent = d - 2, .depth = static_cast<uint8_t>(d)});
      probability.push_back((d == 1 ? 1.0f : probability.back()) * (d <= 3 ? rate : deep));
    }
    gate_.observe(outlook_, nodes, probability, depth);
  }

  int32_t nodes_max = kNodes;

 private:
  CostModel costs_;
  DraftGate gate_;
  AcceptanceHistory outlook_;
};

TEST(DraftGate, GoesDeeperThanTrainedWhereThatPays) {
  DeepDrafts cheap(1e-5);
  EXPECT_EQ(cheap.depth(), 3) << "nothing is known";
  for (int i = 0; i < 10; ++i) cheap.observe(3, 0.9f, 0.0f);
  EXPECT_EQ(cheap.depth(), 5);
  cheap.nodes_max = 3;
  EXPECT_EQ(cheap.depth(), 3) << "no room for deeper nodes";
  DeepDrafts unlikely(1e-5);
  for (int i = 0; i < 10; ++i) unlikely.observe(3, 0.2f, 0.0f);
  EXPECT_EQ(unlikely.depth(), 3);
  // Two more positions cost 1.2 ms, in which steps of 3 emit 1.4 tokens; they would bring 1.25.
  DeepDrafts dear(6e-4);
  for (int i = 0; i < 10; ++i) dear.observe(3, 0.9f, 0.0f);
  EXPECT_EQ(dear.depth(), 3);
}

TEST(DraftGate, LearnsThatDraftsDoNotGoOnAsTheyBegan) {
  DeepDrafts drafts(1e-5);
  for (int i = 0; i < 10; ++i) drafts.observe(3, 0.9f, 0.0f);
  ASSERT_EQ(drafts.depth(), 5);
  for (int i = 0; i < 40; ++i) drafts.observe(5, 0.9f, 0.01f);
  EXPECT_EQ(drafts.depth(), 3);
}

}  // namespace
}  // namespace ft::scheduler
