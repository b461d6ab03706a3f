// The rejection verifier's walk: the rules of dspark.md 2.3 written down over whole arrays, the greedy walk,
// ends, constraints and broken rows.
#include "verify/rejection_verifier.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "tests/verify/reference_sampler.h"
#include "tests/verify/scripted_constraint.h"
#include "tests/verify/toy_model.h"

namespace ft::verify {
namespace {

constexpr size_t kVocab = kToyVocab;
constexpr AcceptanceRule kRules[] = {AcceptanceRule::kToken, AcceptanceRule::kBlock};
using Tokens = std::vector<int32_t>;
using Row = std::vector<double>;

Row softmax(const std::vector<float>& logits) {
  Row row(kVocab);
  double total = 0;
  for (size_t v = 0; v < kVocab; ++v) total += row[v] = std::exp(static_cast<double>(logits[v]));
  for (double& p : row) p /= total;
  return row;
}

// A chain drafted behind a context (its last token is the anchor) by a disturbed model.
struct Drafted {
  TokenTree tree;
  std::vector<Row> q;
  std::vector<double> flat;

  Drafted(const Tokens& context, uint64_t seed, int gamma, float disturbance) {
    tree.start(context.back());
    Tokens here = context;
    for (int depth = 1; depth <= gamma; ++depth) {
      std::vector<float> logits = model_logits(here);
      const std::vector<float> other = model_logits(here, 17);
      for (size_t v = 0; v < kVocab; ++v) logits[v] += disturbance * other[v];
      q.push_back(softmax(logits));
      flat.insert(flat.end(), q.back().begin(), q.back().end());
      const NoiseKey anchor{seed, std::ssize(context) - 1};
      here.push_back(draw(q.back(), uniform(anchor, NoiseStream::kDraft, static_cast<uint32_t>(depth))));
      tree.add(here.back(), tree.size() - 1, 0.0f);
    }
  }
};

struct Expected {
  Tokens emitted;
  FinishReason finish = FinishReason::kNone;
};

// All rows first, then the formulas of dspark.md 2.3.
Expected by_definition(AcceptanceRule rule, const Tokens& context, size_t prompt_size, const Drafted& drafted,
                       const SamplingParams& params, const StopRule& stop,
                       const ScriptedConstraint::Rule& allowed) {
  const int64_t anchor = std::ssize(context) - 1;
  Tokens x;
  for (int32_t node = 1; node < drafted.tree.size(); ++node) x.push_back(drafted.tree[node].token);
  size_t length = 0;
  FinishReason end = FinishReason::kNone;
  while (length < x.size() && end == FinishReason::kNone) {
    end = stop.finish_after(x[length], static_cast<int64_t>(length) + 1);
    ++length;
  }
  ReferenceSampler reference;
  reference.params = params;
  reference.prompt.assign(context.begin(), context.begin() + static_cast<std::ptrdiff_t>(prompt_size));
  reference.output.assign(context.begin() + static_cast<std::ptrdiff_t>(prompt_size), context.end());
  std::vector<Row> p;
  Tokens here = context;
  for (size_t k = 0; k <= length; ++k) {
    if (allowed) {
      reference.allowed.clear();
      for (size_t v = 0; v < kVocab; ++v) {
        reference.allowed.push_back(allowed(reference.output, static_cast<int32_t>(v)));
      }
    }
    Row row(kVocab, 0.0);
    for (const auto& [token, share] : reference.distribution(model_logits(here))) {
      row[static_cast<size_t>(token)] = share;
    }
    p.push_back(row);
    if (k < length) {
      here.push_back(x[k]);
      reference.output.push_back(x[k]);
    }
  }
  const auto at = [&](const std::vector<Row>& rows, size_t k) { return rows[k][static_cast<size_t>(x[k])]; };
  const auto eta = [&](size_t k) {
    return uniform({params.seed, anchor}, NoiseStream::kAcceptance, static_cast<uint32_t>(k));
  };
  size_t accepted = 0;
  double weight = 1.0;
  if (rule == AcceptanceRule::kToken) {
    while (accepted < length && eta(accepted + 1) * at(drafted.q, accepted) < at(p, accepted)) ++accepted;
  } else {
    std::vector<double> w = {1.0};
    for (size_t k = 0; k < length; ++k) w.push_back(std::min(1.0, w[k] * at(p, k) / at(drafted.q, k)));
    for (size_t k = 1; k <= length; ++k) {
      double h = w[k];
      if (k < length && w[k] < 1.0) {
        double s = 0;
        for (size_t v = 0; v < kVocab; ++v) s += std::max(w[k] * p[k][v] - drafted.q[k][v], 0.0);
        h = s / (s + 1.0 - w[k]);
      }
      if (eta(k) <= h) accepted = k;
    }
    weight = w[accepted];
  }
  Expected expected;
  expected.emitted.assign(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(accepted));
  expected.finish = accepted == length ? end : FinishReason::kNone;
  if (expected.finish != FinishReason::kNone) return expected;
  Row rest = p[accepted];
  if (accepted < length) {
    for (size_t v = 0; v < kVocab; ++v) rest[v] = std::max(weight * rest[v] - drafted.q[accepted][v], 0.0);
  }
  const NoiseKey own{params.seed, anchor + static_cast<int64_t>(accepted) + 1};
  expected.emitted.push_back(draw(rest, uniform(own, NoiseStream::kResidual)));
  expected.finish = stop.finish_after(expected.emitted.back(), std::ssize(expected.emitted));
  return expected;
}

TEST(RejectionVerifier, MatchesTheDefinition) {
  std::mt19937_64 rng(11);
  const ScriptedConstraint::Rule rules[] = {{}, [](const Tokens& history, int32_t token) {
                                              const int32_t last = history.empty() ? 1 : history.back();
                                              return (last * 5 + token + std::ssize(history)) % 4 != 0;
                                            }};
  RejectionVerifier verifier;
  Verified verified;
  int64_t accepted = 0, stopped = 0, whole = 0, forbidden = 0;
  for (int trial = 0; trial < 4000; ++trial) {
    SCOPED_TRACE(trial);
    const AcceptanceRule acceptance_rule = kRules[trial % 2];
    const ScriptedConstraint::Rule& rule = rules[trial / 2 % 2];
    SamplingParams params;
    params.seed = rng();
    params.temperature = trial % 3 == 0 ? 0.7 : 1.0;
    params.logprobs = trial % 5 == 0 ? 2 : -1;
    if (trial / 4 % 3 == 1) {
      params.presence_penalty = 0.9;
      params.frequency_penalty = 0.4;
      params.repetition_penalty = 1.3;
    } else if (trial / 4 % 3 == 2) {
      params.top_k = 12;
      params.top_p = 0.95;
      params.min_p = 0.01;
      params.logit_bias = {{3, 1.0f}};
    }
    Tokens context;
    while (context.size() < 6) context.push_back(static_cast<int32_t>(rng() % kVocab));
    constexpr size_t kPrompt = 3;
    const int gamma = static_cast<int>(rng() % 6);
    const Drafted drafted(context, params.seed, gamma, 0.4f);
    const Tokens end_tokens = {2, 9};
    const StopRule stop{.end_tokens = end_tokens, .tokens_left = 1 + static_cast<int64_t>(rng() % 6)};
    TokenCounts counts;
    counts.add_prompt(std::span(context).first(kPrompt));
    for (size_t i = kPrompt; i < context.size(); ++i) counts.push(context[i]);
    ScriptedConstraint constraint(kVocab, rule, Tokens(context.begin() + kPrompt, context.end()));

    const Expected expected = by_definition(acceptance_rule, context, kPrompt, drafted, params, stop, rule);
    const std::vector<float> logits = tree_logits(context, drafted.tree);
    verifier.verify({.tree = drafted.tree,
                     .logits = logits,
                     .params = params,
                     .anchor_position = std::ssize(context) - 1,
                     .stop = stop,
                     .counts = &counts,
                     .constraint = rule ? &constraint : nullptr},
                    drafted.flat, acceptance_rule, verified);
    ASSERT_EQ(verified.emitted, expected.emitted);
    ASSERT_EQ(verified.finish, expected.finish);
    ASSERT_FALSE(verified.degenerate);
    ASSERT_EQ(verified.path.size(), expected.emitted.size());
    ASSERT_EQ(verified.samples.size(), expected.emitted.size());
    for (size_t i = 0; i < verified.path.size(); ++i) {
      ASSERT_EQ(verified.path[i], static_cast<int32_t>(i));
      ASSERT_EQ(verified.samples[i].token, expected.emitted[i]);
      if (params.logprobs < 0) continue;
      const Row raw = softmax({logits.begin() + static_cast<std::ptrdiff_t>(i * kVocab),
                               logits.begin() + static_cast<std::ptrdiff_t>((i + 1) * kVocab)});
      ASSERT_NEAR(verified.samples[i].logprob, std::log(raw[static_cast<size_t>(expected.emitted[i])]), 1e-4);
      ASSERT_EQ(verified.samples[i].top_logprobs.size(), 2u);
      ASSERT_NEAR(verified.samples[i].top_logprobs[0].logprob,
                  std::log(*std::max_element(raw.begin(), raw.end())), 1e-4);
    }
    // Counts and constraint have moved past the emitted tokens, and no further.
    Tokens output(context.begin() + kPrompt, context.end());
    output.insert(output.end(), expected.emitted.begin(), expected.emitted.end());
    for (const TokenCounts::Entry& entry : counts.entries()) {
      ASSERT_EQ(entry.output, std::count(output.begin(), output.end(), entry.token)) << entry.token;
    }
    if (expected.finish != FinishReason::kNone) output.pop_back();
    if (rule) {
      ASSERT_EQ(constraint.history(), output);
    }

    accepted += verified.accepted();
    const TokenTree& chain = drafted.tree;
    bool all = std::ssize(expected.emitted) == chain.size() - 1;
    for (int32_t node = 1; all && node < chain.size(); ++node)
      all = expected.emitted[static_cast<size_t>(node) - 1] == chain[node].token;
    if (verified.finish == FinishReason::kStop && all) ++stopped;
    if (std::ssize(verified.path) == drafted.tree.size()) ++whole;
    if (rule && gamma > 0 && !rule({context.begin() + kPrompt, context.end()}, chain[1].token)) ++forbidden;
  }
  // Counts of what the trials have covered.
  EXPECT_GT(accepted, 2000);
  EXPECT_GT(stopped, 20) << "a draft that ends the request";
  EXPECT_GT(whole, 200);
  EXPECT_GT(forbidden, 100);
}

// Whatever the drafts and their distribution, at T = 0; broken rows and refusals included.
TEST(RejectionVerifier, GreedyIsTheVerifiersWalk) {
  std::mt19937_64 rng(12);
  const ScriptedConstraint::Rule rules[] = {
      {},
      [](const Tokens& history, int32_t token) {
        return (token + std::ssize(history)) % 3 != 0 || history.size() == 9;
      },
      [](const Tokens& history, int32_t) { return history.size() < 2; }};  // a dead end after two tokens
  RejectionVerifier rejection;
  Verifier verifier;
  int64_t degenerate = 0, accepted = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    SCOPED_TRACE(trial);
    SamplingParams params;
    params.temperature = 0;
    params.seed = rng();
    params.logprobs = trial % 4 == 0 ? 3 : -1;
    if (trial % 2 == 0) {
      params.presence_penalty = 0.7;
      params.repetition_penalty = 1.2;
    }
    const ScriptedConstraint::Rule& rule = rules[rng() % 3];
    const Tokens context = {static_cast<int32_t>(rng() % kVocab), static_cast<int32_t>(rng() % kVocab)};
    const Tokens end_tokens = {static_cast<int32_t>(rng() % kVocab)};
    const StopRule stop{.end_tokens = end_tokens, .tokens_left = 1 + static_cast<int64_t>(rng() % 6)};

    // Mostly the greedy walk's own tokens.
    TokenTree tree;
    tree.start(context.back());
    Tokens here = context;
    ReferenceSampler reference;
    reference.params = params;
    std::vector<double> q;
    for (size_t depth = rng() % 6; depth > 0; --depth) {
      if (rule) {
        reference.allowed.clear();
        for (size_t v = 0; v < kVocab; ++v) {
          reference.allowed.push_back(rule(reference.output, static_cast<int32_t>(v)));
        }
      }
      const int32_t best = reference.sample(model_logits(here), std::ssize(here));
      here.push_back(rng() % 5 == 0 ? static_cast<int32_t>(rng() % kVocab) : best);
      reference.output.push_back(here.back());
      tree.add(here.back(), tree.size() - 1, 0.0f);
      const Row row = softmax(model_logits(here, rng()));
      q.insert(q.end(), row.begin(), row.end());
    }
    std::vector<float> logits = tree_logits(context, tree);
    if (rng() % 4 == 0) {
      const auto row = static_cast<std::ptrdiff_t>(rng() % static_cast<uint64_t>(tree.size()) * kVocab);
      std::fill_n(logits.begin() + row, kVocab, std::numeric_limits<float>::quiet_NaN());
    }

    TokenCounts counts[2];
    ScriptedConstraint constraints[2] = {{kVocab, rule}, {kVocab, rule}};
    Verified verified[2];
    for (const AcceptanceRule acceptance_rule : kRules) {
      for (const size_t side : {0, 1}) {
        counts[side].clear();
        constraints[side] = ScriptedConstraint(kVocab, rule);
        const VerifyInput input{.tree = tree,
                                .logits = logits,
                                .params = params,
                                .anchor_position = 1,
                                .stop = stop,
                                .counts = &counts[side],
                                .constraint = rule ? &constraints[side] : nullptr};
        if (side == 0)
          verifier.verify(input, verified[0]);
        else
          rejection.verify(input, q, acceptance_rule, verified[1]);
      }
      ASSERT_EQ(verified[1].emitted, verified[0].emitted);
      ASSERT_EQ(verified[1].path, verified[0].path);
      ASSERT_EQ(verified[1].finish, verified[0].finish);
      ASSERT_EQ(verified[1].degenerate, verified[0].degenerate);
      ASSERT_EQ(verified[1].samples.size(), verified[0].samples.size());
      for (size_t i = 0; i < verified[0].samples.size(); ++i) {
        const SampleResult& one = verified[1].samples[i];
        const SampleResult& other = verified[0].samples[i];
        ASSERT_EQ(one.token, other.token);
        ASSERT_EQ(one.degenerate, other.degenerate);
        ASSERT_EQ(one.logprob, other.logprob);
        ASSERT_EQ(one.top_logprobs.size(), other.top_logprobs.size());
      }
      ASSERT_EQ(constraints[1].history(), constraints[0].history());
      for (const TokenCounts::Entry& entry : counts[1].entries()) {
        const auto same = [&](const TokenCounts::Entry& e) { return e.token == entry.token; };
        const auto found = std::find_if(counts[0].entries().begin(), counts[0].entries().end(), same);
        ASSERT_EQ(entry.output, found == counts[0].entries().end() ? 0 : found->output);
      }
      degenerate += verified[0].degenerate ? 1 : 0;
      accepted += verified[0].accepted();
    }
  }
  EXPECT_GT(degenerate, 300);
  EXPECT_GT(accepted, 3000);
}

TEST(RejectionVerifier, OneNodeDrawsFromTheTargetByResidualNoise) {
  TokenTree tree;
  tree.start(4);
  const std::vector<float> logits = model_logits({1, 4});
  RejectionVerifier verifier;
  Verified verified;
  for (const AcceptanceRule rule : kRules) {
    for (uint64_t seed = 0; seed < 50; ++seed) {
      SamplingParams params;
      params.seed = seed;
      verifier.verify({.tree = tree,
                       .logits = logits,
                       .params = params,
                       .anchor_position = 7,
                       .stop = {.tokens_left = 9}},
                      {}, rule, verified);
      const int32_t expected = draw(softmax(logits), uniform({seed, 8}, NoiseStream::kResidual));
      EXPECT_EQ(verified.emitted, Tokens{expected});
      EXPECT_EQ(verified.path, Tokens{0});
    }
  }
}

TEST(RejectionVerifier, ResultsDoNotDependOnEarlierCalls) {
  RejectionVerifier used;
  Verified first, second;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SamplingParams params;
    params.seed = seed;
    const Tokens context = {3, static_cast<int32_t>(seed % kVocab)};
    const Drafted drafted(context, seed, static_cast<int>(seed % 5), 0.5f);
    const std::vector<float> logits = tree_logits(context, drafted.tree);
    const StopRule stop{.tokens_left = 99};
    const VerifyInput input{
        .tree = drafted.tree, .logits = logits, .params = params, .anchor_position = 1, .stop = stop};
    for (const AcceptanceRule rule : kRules) {
      RejectionVerifier fresh;
      used.verify(input, drafted.flat, rule, first);
      fresh.verify(input, drafted.flat, rule, second);
      EXPECT_EQ(first.emitted, second.emitted);
    }
  }
}

// Says yes in its mask, and no after the first token.
ScriptedConstraint refusing() {
  return ScriptedConstraint(
      kVocab, [](const Tokens&, int32_t) { return true; }, {},
      [](const Tokens& history, int32_t) { return history.empty(); });
}

TEST(RejectionVerifier, ARefusedTokenEndsTheWalkAndSaysSo) {
  TokenTree tree;
  tree.start(0);
  for (const int32_t token : {1, 2, 3}) tree.add(token, tree.size() - 1, 0.5f);
  std::vector<float> logits(4 * kVocab, 0.0f);
  for (size_t row = 0; row < 4; ++row) logits[row * kVocab + row + 1] = 5.0f;
  SamplingParams params;
  params.temperature = 0;
  const std::vector<double> q(3 * kVocab, 1.0 / static_cast<double>(kVocab));
  for (const AcceptanceRule rule : kRules) {
    ScriptedConstraint constraint = refusing();
    RejectionVerifier verifier;
    Verified verified;
    verifier.verify({.tree = tree,
                     .logits = logits,
                     .params = params,
                     .anchor_position = 0,
                     .stop = {.tokens_left = 9},
                     .constraint = &constraint},
                    q, rule, verified);
    EXPECT_TRUE(verified.degenerate);
    EXPECT_EQ(verified.emitted, (Tokens{1, 2}));
    EXPECT_EQ(verified.path, (Tokens{0, 1}));
    EXPECT_EQ(constraint.history(), Tokens{1});
  }
}

TEST(RejectionVerifierDeathTest, NeedsAChainAndItsProbabilities) {
  TokenTree fork;
  fork.start(0);
  fork.add(1, 0, 0.5f);
  fork.add(2, 0, 0.5f);
  const std::vector<float> logits(3 * kVocab, 0.0f);
  const std::vector<double> q(2 * kVocab, 1.0 / static_cast<double>(kVocab));
  const SamplingParams params;
  const StopRule stop{.tokens_left = 9};
  RejectionVerifier verifier;
  Verified verified;
  EXPECT_DEATH(verifier.verify({.tree = fork, .logits = logits, .params = params, .stop = stop}, q,
                               AcceptanceRule::kToken, verified),
               "parent");
  TokenTree chain;
  chain.start(0);
  chain.add(1, 0, 0.5f);
  chain.add(2, 1, 0.5f);
  EXPECT_DEATH(verifier.verify({.tree = chain, .logits = logits, .params = params, .stop = stop},
                               std::span(q).first(kVocab), AcceptanceRule::kToken, verified),
               "draft_probability");
}

}  // namespace
}  // namespace ft::verify
