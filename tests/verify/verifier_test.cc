// The walk: the same tokens whatever the tree, ends inside the accepted path, constraints, cost.
#include "verify/verifier.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <random>

#include "core/keyed_ranking.h"
#include "tests/verify/reference_sampler.h"
#include "tests/verify/scripted_constraint.h"
#include "tests/verify/toy_model.h"

namespace ft::verify {
namespace {

constexpr size_t kVocab = kToyVocab;
using Tokens = std::vector<int32_t>;

// Fills a tree under a context; the anchor is the context's last token.
using Drafter = std::function<void(const Tokens& context, const SamplingParams& params, TokenTree& tree)>;

void draft_nothing(const Tokens&, const SamplingParams&, TokenTree&) {}

Drafter random_tree(uint64_t seed, int nodes) {
  return [rng = std::mt19937_64(seed), nodes](const Tokens&, const SamplingParams&, TokenTree& tree) mutable {
    for (int i = 0; i < nodes; ++i) {
      const int32_t parent = static_cast<int32_t>(rng() % static_cast<uint64_t>(tree.size()));
      const int32_t token = static_cast<int32_t>(rng() % kVocab);
      if (tree.child(parent, token) == -1) tree.add(token, parent, 0.0f);
    }
  };
}

// Children ranked under the shared noise by the model itself, disturbed; `width` children down the first
// ones' path.
Drafter ranked_tree(int depth, int width, float disturbance) {
  return [=](const Tokens& context, const SamplingParams& params, TokenTree& tree) {
    KeyedRanking ranking;
    int32_t node = 0;
    for (int d = 0; d < depth; ++d) {
      Tokens here = context;
      const Tokens path = path_to(tree, node);
      here.insert(here.end(), path.begin(), path.end());
      std::vector<float> logits = model_logits(here);
      const std::vector<float> other = model_logits(here, 17);
      for (size_t v = 0; v < kVocab; ++v) logits[v] += disturbance * other[v];
      const NoiseKey noise{params.seed, static_cast<int64_t>(here.size())};
      const auto children = ranking.rank(logits, params.temperature, noise, width);
      const int32_t parent = node;
      for (const RankedToken& child : children) tree.add(child.token, parent, 0.0f);
      node = tree.child(parent, children[0].token);
    }
  };
}

struct Generation {
  Tokens tokens;
  FinishReason finish = FinishReason::kNone;
  std::vector<float> logprobs;
  int steps = 0;
};

Generation generate(const Tokens& prompt, const SamplingParams& params, const StopRule& stop, Drafter drafter,
                    Constraint* constraint = nullptr) {
  Generation generation;
  Verifier verifier;
  Verified verified;
  TokenTree tree;
  TokenCounts counts;
  counts.add_prompt(prompt);
  Tokens context = prompt;
  StopRule rule = stop;
  while (generation.finish == FinishReason::kNone) {
    tree.start(context.back());
    drafter(context, params, tree);
    EXPECT_TRUE(validate(tree, kVocab).has_value());
    const std::vector<float> logits = tree_logits(context, tree);
    rule.tokens_left = stop.tokens_left - std::ssize(generation.tokens);
    verifier.verify({.tree = tree,
                     .logits = logits,
                     .params = params,
                     .anchor_position = std::ssize(context) - 1,
                     .stop = rule,
                     .counts = &counts,
                     .constraint = constraint},
                    verified);
    EXPECT_FALSE(verified.degenerate);
    EXPECT_EQ(verified.emitted.size(), verified.path.size());
    EXPECT_EQ(verified.samples.size(), verified.emitted.size());
    for (size_t i = 1; i < verified.path.size(); ++i) {
      EXPECT_EQ(tree[verified.path[i]].token, verified.emitted[i - 1]);
      EXPECT_EQ(tree[verified.path[i]].parent, verified.path[i - 1]);
    }
    for (size_t i = 0; i < verified.emitted.size(); ++i) {
      context.push_back(verified.emitted[i]);
      generation.tokens.push_back(verified.emitted[i]);
      generation.logprobs.push_back(verified.samples[i].logprob);
    }
    generation.finish = verified.finish;
    ++generation.steps;
    if (verified.degenerate) break;
  }
  return generation;
}

// The expected tokens: one at a time by the sampler's definition, without a tree or a verifier.
Generation generate_by_definition(const Tokens& prompt, const SamplingParams& params, const StopRule& stop,
                                  const ScriptedConstraint::Rule& rule = {}) {
  ReferenceSampler reference;
  reference.params = params;
  reference.prompt = prompt;
  Generation generation;
  Tokens context = prompt;
  while (generation.finish == FinishReason::kNone) {
    if (rule) {
      reference.allowed.assign(kVocab, false);
      for (size_t v = 0; v < kVocab; ++v) {
        reference.allowed[v] = rule(generation.tokens, static_cast<int32_t>(v));
      }
    }
    const int32_t token = reference.sample(model_logits(context), std::ssize(context));
    context.push_back(token);
    reference.output.push_back(token);
    generation.tokens.push_back(token);
    StopRule left = stop;
    left.tokens_left = stop.tokens_left - std::ssize(generation.tokens) + 1;
    generation.finish = left.finish_after(token, 1);
  }
  return generation;
}

std::vector<SamplingParams> parameter_grid() {
  std::vector<SamplingParams> grid;
  for (const double temperature : {0.0, 0.7, 1.0}) {
    for (const int kind : {0, 1, 2, 3}) {
      SamplingParams params;
      params.temperature = temperature;
      params.seed = static_cast<uint64_t>(100 + kind);
      params.logprobs = kind == 3 ? 2 : -1;
      if (kind == 1) {
        params.repetition_penalty = 1.3;
        params.presence_penalty = 0.7;
        params.frequency_penalty = 0.4;
      } else if (kind == 2) {
        params.top_k = 6;
        params.top_p = 0.8;
        params.min_p = 0.05;
        params.logit_bias = {{3, 1.5f}, {4, -2.0f}};
      }
      grid.push_back(params);
    }
  }
  return grid;
}

TEST(Verifier, TheTokensDoNotDependOnTheTree) {
  const Tokens prompt = {1, 2, 3, 4};
  const StopRule stop{.tokens_left = 60};
  // Two rules: none, and one that forbids whole branches depending on the path.
  const ScriptedConstraint::Rule rules[] = {{}, [](const Tokens& history, int32_t token) {
                                              const int32_t last = history.empty() ? 1 : history.back();
                                              return (last * 5 + token + std::ssize(history)) % 3 != 0;
                                            }};
  for (const SamplingParams& params : parameter_grid()) {
    for (const ScriptedConstraint::Rule& rule : rules) {
      const Generation expected = generate_by_definition(prompt, params, stop, rule);
      ASSERT_EQ(expected.tokens.size(), 60u);
      const Drafter drafters[] = {draft_nothing,           random_tree(1, 3),        random_tree(2, 40),
                                  ranked_tree(1, 1, 0),    ranked_tree(5, 1, 0.0f),  ranked_tree(5, 1, 0.5f),
                                  ranked_tree(4, 3, 0.5f), ranked_tree(4, 24, 2.0f), ranked_tree(90, 1, 0)};
      std::vector<float> logprobs;
      for (size_t d = 0; d < std::size(drafters); ++d) {
        SCOPED_TRACE(testing::Message() << "drafter " << d << " T " << params.temperature << " seed "
                                        << params.seed << (rule ? " constrained" : ""));
        ScriptedConstraint constraint(kVocab, rule);
        const Generation actual = generate(prompt, params, stop, drafters[d], rule ? &constraint : nullptr);
        ASSERT_EQ(actual.tokens, expected.tokens);
        EXPECT_EQ(actual.finish, FinishReason::kLength);
        if (d == 0) logprobs = actual.logprobs;
        EXPECT_EQ(actual.logprobs, logprobs);
        if (rule) {
          EXPECT_EQ(constraint.history(), Tokens(expected.tokens.begin(), expected.tokens.end() - 1));
          EXPECT_EQ(constraint.masks_filled(), 60)
              << "one mask per emitted token, none for rows off the path";
        }
      }
    }
  }
}

TEST(Verifier, APerfectDraftIsAcceptedWhole) {
  SamplingParams params;
  params.seed = 7;
  const Generation plain = generate({1, 2, 3}, params, {.tokens_left = 60}, draft_nothing);
  const Generation drafted = generate({1, 2, 3}, params, {.tokens_left = 60}, ranked_tree(5, 1, 0));
  EXPECT_EQ(plain.steps, 60);
  EXPECT_EQ(drafted.steps, 10) << "six tokens a step";
  EXPECT_EQ(drafted.tokens, plain.tokens);
}

TEST(Verifier, EndsInsideTheAcceptedPathAtTheSameToken) {
  SamplingParams params;
  params.seed = 3;
  const Tokens prompt = {1, 2};
  const Generation endless = generate(prompt, params, {.tokens_left = 60}, draft_nothing);
  for (int32_t token = 0; token < static_cast<int32_t>(kVocab); ++token) {
    const Tokens ids = {token};
    const auto first = std::find(endless.tokens.begin(), endless.tokens.end(), token);
    const bool found = first != endless.tokens.end();
    const Tokens expected(endless.tokens.begin(), found ? first + 1 : first);
    for (const bool by_end_token : {true, false}) {
      StopRule stop{.tokens_left = 60};
      (by_end_token ? stop.end_tokens : stop.stop_tokens) = ids;
      for (const Drafter& drafter : {Drafter(draft_nothing), ranked_tree(7, 2, 0), random_tree(4, 30)}) {
        const Generation actual = generate(prompt, params, stop, drafter);
        ASSERT_EQ(actual.tokens, expected) << token;
        ASSERT_EQ(actual.finish, found ? FinishReason::kStop : FinishReason::kLength);
      }
      stop.ignore_eos = true;
      const Generation ignoring = generate(prompt, params, stop, ranked_tree(7, 2, 0));
      ASSERT_EQ(ignoring.tokens, by_end_token ? endless.tokens : expected);
    }
  }
}

TEST(Verifier, MatchesThePureAcceptance) {
  std::mt19937_64 rng(8);
  Verifier verifier;
  Verified verified;
  for (int trial = 0; trial < 200; ++trial) {
    SamplingParams params;
    params.seed = rng();
    const Tokens context = {static_cast<int32_t>(rng() % kVocab), static_cast<int32_t>(rng() % kVocab)};
    TokenTree tree;
    tree.start(context.back());
    ranked_tree(4, 3, 1.0f)(context, params, tree);
    std::vector<float> logits;
    Tokens target;
    Sampler sampler;
    SampleResult sample;
    for (int32_t node = 0; node < tree.size(); ++node) {
      Tokens here = context;
      const Tokens path = path_to(tree, node);
      here.insert(here.end(), path.begin(), path.end());
      const std::vector<float> row = model_logits(here);
      logits.insert(logits.end(), row.begin(), row.end());
      sampler.sample(row, params, nullptr, std::ssize(here), {}, sample);
      target.push_back(sample.token);
    }
    std::vector<int32_t> path{0};  // the target's own tokens, for as long as they are in the tree
    for (int32_t child = 0; child >= 0;) {
      child = tree.child(path.back(), target[static_cast<size_t>(path.back())]);
      if (child >= 0) path.push_back(child);
    }
    verifier.verify(
        {.tree = tree, .logits = logits, .params = params, .anchor_position = 1, .stop = {.tokens_left = 99}},
        verified);
    EXPECT_EQ(verified.path, path);
    EXPECT_EQ(verified.emitted.back(), target[static_cast<size_t>(path.back())]);
    EXPECT_EQ(verified.accepted(), std::ssize(path) - 1);
  }
}

TEST(Verifier, ABrokenRowEndsTheWalkAndSaysSo) {
  TokenTree tree;
  tree.start(0);
  tree.add(1, 0, 0.5f);
  tree.add(0, 1, 0.5f);
  std::vector<float> logits(3 * kVocab, 0.0f);
  logits[1] = 5.0f;
  std::fill_n(logits.begin() + kVocab, kVocab, std::numeric_limits<float>::quiet_NaN());
  SamplingParams params;
  params.temperature = 0;
  Verifier verifier;
  Verified verified;
  verifier.verify(
      {.tree = tree, .logits = logits, .params = params, .anchor_position = 0, .stop = {.tokens_left = 9}},
      verified);
  EXPECT_TRUE(verified.degenerate);
  EXPECT_EQ(verified.path, (Tokens{0, 1}));
  EXPECT_EQ(verified.emitted, (Tokens{1, 0}));
  EXPECT_EQ(verified.finish, FinishReason::kNone);
}

TEST(Verifier, AConstraintThatAllowsNothingEndsTheWalk) {
  TokenTree tree;
  tree.start(0);
  tree.add(0, 0, 0.5f);
  const std::vector<float> logits(2 * kVocab, 0.0f);
  ScriptedConstraint dead_end(kVocab, [](const Tokens&, int32_t) { return false; });
  SamplingParams params;
  Verifier verifier;
  Verified verified;
  verifier.verify({.tree = tree,
                   .logits = logits,
                   .params = params,
                   .anchor_position = 0,
                   .stop = {.tokens_left = 9},
                   .constraint = &dead_end},
                  verified);
  EXPECT_TRUE(verified.degenerate);
  EXPECT_EQ(verified.path, Tokens{0});
  EXPECT_EQ(dead_end.masks_filled(), 1);
}

TEST(Verifier, CountsHoldEveryEmittedToken) {
  SamplingParams params;
  params.temperature = 0;
  params.frequency_penalty = 1.0;
  TokenTree tree;
  tree.start(9);
  tree.add(2, 0, 0.5f);
  tree.add(2, 1, 0.5f);
  // Token 2 leads token 3 by 1.5: the penalty of its first two uses on the path turns the third row to 3.
  std::vector<float> logits(3 * kVocab, -9.0f);
  for (size_t row = 0; row < 3; ++row) {
    logits[row * kVocab + 2] = 3.0f;
    logits[row * kVocab + 3] = 1.5f;
  }
  TokenCounts counts;
  Verifier verifier;
  Verified verified;
  verifier.verify({.tree = tree,
                   .logits = logits,
                   .params = params,
                   .anchor_position = 0,
                   .stop = {.tokens_left = 9},
                   .counts = &counts},
                  verified);
  EXPECT_EQ(verified.emitted, (Tokens{2, 2, 3}));
  ASSERT_EQ(counts.entries().size(), 2u);
  EXPECT_EQ(counts.entries()[0].output, 2);
  EXPECT_EQ(counts.entries()[1].output, 1);
}

}  // namespace
}  // namespace ft::verify
