// Speculative generation emits each string with the probability that the target gives it. This is tested for
// coupled trees of any shape and for both rejection rules, under penalties, top-k, top-p and min-p, stop
// rules and constraints. Whole strings are tested over all their steps, because an error may be in what one
// step leaves to the next.
//
// Chi-square at alpha = 1e-6 over the strings of up to three of three tokens, n = 100000 (at most 26 degrees,
// limit about 77): a statistic of n * sum d^2 / p = 120 is found with probability 0.99; for a string of
// probability 0.05, an error of 0.0077. TheTestFindsWrongRules shows three rules that fail it.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "tests/verify/reference_sampler.h"
#include "tests/verify/scripted_constraint.h"
#include "tests/verify/statistics.h"
#include "verify/rejection_verifier.h"
#include "verify/verifier.h"

namespace ft::verify {
namespace {

constexpr int32_t kVocab = 3;
constexpr int64_t kLength = 3;
constexpr int64_t kTrials = 100000;
using Tokens = std::vector<int32_t>;
using Strings = std::array<int64_t, 64>;  // per string: digits of base 4, the first token highest, 3 = ended

size_t string_index(const Tokens& tokens) {
  size_t index = 0;
  for (size_t i = 0; i < kLength; ++i) {
    index = index * 4 + (i < tokens.size() ? static_cast<size_t>(tokens[i]) : 3);
  }
  return index;
}

// Rows by the last two tokens; the draft's lean the wrong way by up to 1.5 nats.
std::vector<float> toy_logits(const Tokens& context, bool draft) {
  const int32_t last = context.back();
  const int32_t before = context.size() > 1 ? context[context.size() - 2] : 0;
  std::vector<float> logits;
  for (int32_t v = 0; v < kVocab; ++v) {
    const float target = 1.2f * std::sin(static_cast<float>(5 * last + 3 * before + 2 * v + 1));
    const float lean = 1.5f * std::sin(static_cast<float>(2 * last + before + 7 * v));
    logits.push_back(draft ? target + lean : target);
  }
  return logits;
}

std::vector<double> draft_probability(const Tokens& context) {
  ReferenceSampler plain;
  std::vector<double> row(kVocab, 0.0);
  for (const auto& [token, p] : plain.distribution(toy_logits(context, true))) {
    row[static_cast<size_t>(token)] = p;
  }
  return row;
}

struct Setting {
  const char* name;
  SamplingParams params;
  Tokens stop_tokens;
  ScriptedConstraint::Rule rule;
};

std::vector<Setting> settings() {
  SamplingParams cool;
  cool.temperature = 0.8;
  SamplingParams penalised;
  penalised.presence_penalty = 0.8;
  penalised.frequency_penalty = 0.4;
  penalised.repetition_penalty = 1.3;
  penalised.logit_bias = {{2, 0.5f}};
  SamplingParams top_k;
  top_k.top_k = 2;
  SamplingParams nucleus;
  nucleus.temperature = 2.0;
  nucleus.top_p = 0.9;
  nucleus.min_p = 0.3;
  const auto no_repeats = [](const Tokens& history, int32_t token) {
    return history.empty() || history.back() != token;
  };
  return {{"cool", cool, {}, {}},        {"penalised", penalised, {}, {}},
          {"top-k", top_k, {}, {}},      {"nucleus", nucleus, {}, {}},
          {"stop token", cool, {1}, {}}, {"constrained, penalised, stop token", penalised, {0}, no_repeats}};
}

// Adds the probability of every string that goes on from `output`.
void add_probability(const Setting& setting, const Tokens& output, double so_far,
                     std::array<double, 64>& probability) {
  const bool stopped =
      !output.empty() && !setting.stop_tokens.empty() && output.back() == setting.stop_tokens[0];
  if (stopped || std::ssize(output) == kLength) {
    probability[string_index(output)] += so_far;
    return;
  }
  ReferenceSampler reference;
  reference.params = setting.params;
  reference.prompt = {0};
  reference.output = output;
  for (int32_t v = 0; v < kVocab && setting.rule; ++v) {
    reference.allowed.push_back(setting.rule(output, v));
  }
  Tokens context = {0};
  context.insert(context.end(), output.begin(), output.end());
  for (const auto& [token, p] : reference.distribution(toy_logits(context, false))) {
    Tokens next = output;
    next.push_back(token);
    add_probability(setting, next, so_far * p, probability);
  }
}

std::array<double, 64> string_probability(const Setting& setting) {
  std::array<double, 64> probability{};
  add_probability(setting, {}, 1.0, probability);
  return probability;
}

// The statistic over its limit: above 1 the strings do not follow the probability.
double excess(const Strings& strings, const std::array<double, 64>& probability) {
  double cells = 0;
  for (const double p : probability) cells += p > 0 ? 1 : 0;
  return chi_square(strings, probability) / chi_square_limit(cells - 1);
}

// One step: the tokens after the context, whose last is the anchor. It fills `out`.
using Step = std::function<void(const Tokens& context, VerifyInput input, Verified& out)>;

Strings generate(const Setting& setting, const Step& step, int64_t trials = kTrials) {
  Strings strings{};
  SamplingParams params = setting.params;
  TokenTree none;
  Verified out;
  for (int64_t trial = 0; trial < trials; ++trial) {
    params.seed = static_cast<uint64_t>(trial);
    Tokens context = {0};
    TokenCounts counts;
    counts.add_prompt(context);
    ScriptedConstraint constraint(kVocab, setting.rule);
    Tokens output;
    do {
      const StopRule stop{.stop_tokens = setting.stop_tokens, .tokens_left = kLength - std::ssize(output)};
      step(context,
           {.tree = none,
            .logits = {},
            .params = params,
            .anchor_position = std::ssize(context) - 1,
            .stop = stop,
            .counts = &counts,
            .constraint = setting.rule ? &constraint : nullptr},
           out);
      if (out.degenerate) ADD_FAILURE() << "degenerate";
      output.insert(output.end(), out.emitted.begin(), out.emitted.end());
      context.insert(context.end(), out.emitted.begin(), out.emitted.end());
    } while (out.finish == FinishReason::kNone && !out.degenerate);
    ++strings[string_index(output)];
  }
  return strings;
}

VerifyInput with_tree(const VerifyInput& input, const TokenTree& tree, std::span<const float> logits) {
  return {.tree = tree,
          .logits = logits,
          .params = input.params,
          .anchor_position = input.anchor_position,
          .stop = input.stop,
          .counts = input.counts,
          .constraint = input.constraint};
}

Tokens at_node(const Tokens& context, const TokenTree& tree, int32_t node) {
  Tokens path;
  for (; node > 0; node = tree[node].parent) {
    path.insert(path.begin(), tree[node].token);
  }
  path.insert(path.begin(), context.begin(), context.end());
  return path;
}

std::vector<float> tree_logits(const Tokens& context, const TokenTree& tree) {
  std::vector<float> logits;
  for (int32_t node = 0; node < tree.size(); ++node) {
    const std::vector<float> row = toy_logits(at_node(context, tree, node), false);
    logits.insert(logits.end(), row.begin(), row.end());
  }
  return logits;
}

// A tree whose nodes down to `depth` have `width` children by the biased draft under the target's noise, in
// which `keep` may drop a child by looking at it.
Step coupled(
    int depth, int width, std::function<bool(int32_t)> keep = [](int32_t) { return true; }) {
  return [=, verifier = Verifier(), ranking = KeyedRanking()](const Tokens& context, const VerifyInput& input,
                                                              Verified& out) mutable {
    TokenTree tree;
    tree.start(context.back());
    for (int32_t node = 0; node < tree.size(); ++node) {
      if (tree[node].depth == depth) break;
      const Tokens here = at_node(context, tree, node);
      const NoiseKey noise{input.params.seed, static_cast<int64_t>(here.size())};
      for (const RankedToken& child :
           ranking.rank(toy_logits(here, true), input.params.temperature, noise, width)) {
        if (keep(child.token)) tree.add(child.token, node, 0.0f);
      }
    }
    const std::vector<float> logits = tree_logits(context, tree);
    verifier.verify(with_tree(input, tree, logits), out);
  };
}

// Length of the chain to offer, given the drafts: exact only if it does not look at them.
using Schedule = std::function<size_t(const Tokens& drafts)>;

// `own_position`: the draft noise of a token is keyed by its own position, which steps share.
Step rejection(AcceptanceRule rule, size_t gamma, Schedule schedule = {}, bool own_position = false) {
  return [=, verifier = RejectionVerifier()](const Tokens& context, const VerifyInput& input,
                                             Verified& out) mutable {
    TokenTree tree;
    std::vector<double> q;
    Tokens here = context;
    Tokens drafts;
    for (size_t depth = 1; depth <= gamma; ++depth) {
      const std::vector<double> row = draft_probability(here);
      const NoiseKey own{input.params.seed, std::ssize(here)};
      const NoiseKey anchor{input.params.seed, input.anchor_position};
      drafts.push_back(draw(row, own_position
                                     ? uniform(own, NoiseStream::kDraft)
                                     : uniform(anchor, NoiseStream::kDraft, static_cast<uint32_t>(depth))));
      here.push_back(drafts.back());
      q.insert(q.end(), row.begin(), row.end());
    }
    if (schedule) drafts.resize(schedule(drafts));
    tree.start(context.back());
    for (const int32_t token : drafts) tree.add(token, tree.size() - 1, 0.0f);
    const std::vector<float> logits = tree_logits(context, tree);
    verifier.verify(with_tree(input, tree, logits), std::span(q).first(drafts.size() * kVocab), rule, out);
  };
}

TEST(FullExactness, CoupledTreesOfAnyShape) {
  for (const Setting& setting : settings()) {
    SCOPED_TRACE(setting.name);
    EXPECT_LT(excess(generate(setting, coupled(0, 0)), string_probability(setting)), 1.0);
    // The very same strings whatever the tree, even when it is pruned by looking at the drafts.
    constexpr int64_t kSeeds = 20000;
    const Strings plain = generate(setting, coupled(0, 0), kSeeds);
    EXPECT_EQ(generate(setting, coupled(3, 1), kSeeds), plain);
    EXPECT_EQ(generate(setting, coupled(1, 2), kSeeds), plain);
    EXPECT_EQ(generate(setting, coupled(2, 2), kSeeds), plain);
    EXPECT_EQ(generate(setting, coupled(3, 2, [](int32_t token) { return token != 0; }), kSeeds), plain);
  }
}

TEST(FullExactness, TokenRejection) {
  for (const Setting& setting : settings()) {
    SCOPED_TRACE(setting.name);
    const std::array<double, 64> probability = string_probability(setting);
    for (const size_t gamma : {size_t{0}, size_t{1}, size_t{3}}) {
      EXPECT_LT(excess(generate(setting, rejection(AcceptanceRule::kToken, gamma)), probability), 1.0)
          << gamma;
    }
  }
}

TEST(FullExactness, BlockRejection) {
  for (const Setting& setting : settings()) {
    SCOPED_TRACE(setting.name);
    const std::array<double, 64> probability = string_probability(setting);
    for (const size_t gamma : {size_t{2}, size_t{3}}) {
      EXPECT_LT(excess(generate(setting, rejection(AcceptanceRule::kBlock, gamma)), probability), 1.0)
          << gamma;
    }
  }
}

// A schedule may look at every draft before the one whose offer it decides.
TEST(FullExactness, ACausalScheduleIsExactUnderBothRules) {
  const Setting setting = settings()[0];
  const std::array<double, 64> probability = string_probability(setting);
  const Schedule causal = [](const Tokens& drafts) { return drafts[0] == 1 ? 1 : 2; };
  for (const AcceptanceRule rule : {AcceptanceRule::kToken, AcceptanceRule::kBlock}) {
    EXPECT_LT(excess(generate(setting, rejection(rule, 2, causal)), probability), 1.0);
  }
}

TEST(FullExactness, TheTestFindsWrongRules) {
  const Setting setting = settings()[0];
  const std::array<double, 64> probability = string_probability(setting);
  // Appendix A: the first draft is offered because of what it is.
  const Schedule anticipating = [](const Tokens& drafts) { return drafts[0] == 1 ? 0 : 2; };
  for (const AcceptanceRule rule : {AcceptanceRule::kToken, AcceptanceRule::kBlock}) {
    EXPECT_GT(excess(generate(setting, rejection(rule, 2, anticipating)), probability), 1.0);
  }
  // The block rule stops because of drafts beyond the one it stops at: drawn again from the same noise by the
  // next step, they are no longer drawn from q.
  EXPECT_GT(excess(generate(setting, rejection(AcceptanceRule::kBlock, 3, {}, true)), probability), 1.0);
  // Every token of a request under the noise of one position: each is right alone, the string is not.
  const Step one_position = [sampler = Sampler()](const Tokens& context, const VerifyInput& input,
                                                  Verified& out) mutable {
    out.clear();
    SampleResult sample;
    sampler.sample(toy_logits(context, false), input.params, input.counts, 1, {}, sample);
    out.emitted = {sample.token};
    out.finish = input.stop.finish_after(sample.token, 1);
  };
  EXPECT_GT(excess(generate(setting, one_position), probability), 1.0);
}

}  // namespace
}  // namespace ft::verify
