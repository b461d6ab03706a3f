// The paper's rules are exact: the emitted strings follow the target, with the acceptance rate of their
// formulas, and the bias of choosing drafts by looking at them (paper's appendix A, dspark.md 3.3) shows
// where it should.
//
// Chi-square at alpha = 1e-6 over the 27 strings of three tokens, n = 300000 (26 degrees, limit about 77): a
// statistic of n * sum d^2 / p = 120 is found with probability 0.99; for a string of probability 0.05, an
// error of 0.0045.
#include "verify/rejection.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "tests/verify/statistics.h"

namespace ft::verify {
namespace {

constexpr size_t kVocab = 3;
constexpr int64_t kTrials = 300000;
using Row = std::array<double, kVocab>;

// Target and draft after a context: by its length and last token; the draft is wrong in every row, twice in
// its support.
Row target_row(size_t depth, int32_t last) {
  static const Row rows[3][kVocab] = {{{0.5, 0.3, 0.2}, {0.5, 0.3, 0.2}, {0.5, 0.3, 0.2}},
                                      {{0.6, 0.4, 0.0}, {0.1, 0.2, 0.7}, {0.25, 0.5, 0.25}},
                                      {{0.2, 0.2, 0.6}, {0.8, 0.15, 0.05}, {0.3, 0.3, 0.4}}};
  return rows[depth][last];
}
Row draft_row(size_t depth, int32_t last) {
  static const Row rows[2][kVocab] = {{{0.2, 0.3, 0.5}, {0.2, 0.3, 0.5}, {0.2, 0.3, 0.5}},
                                      {{0.3, 0.2, 0.5}, {0.5, 0.5, 0.0}, {0.6, 0.2, 0.2}}};
  return rows[depth][last];
}

// A chain with all its rows at hand.
struct Chain {
  std::span<const int32_t> draft = {};              // x_1..x_l, x_k drawn from row k-1 of draft_probability
  std::span<const double> target_probability = {};  // [l + 1, vocab]
  std::span<const double> draft_probability = {};   // [l, vocab]
  size_t vocab = kVocab;
  NoiseKey anchor = {};
};

struct Accepted {
  int64_t accepted = 0;
  int32_t next = 0;
};

using Rule = Accepted (*)(const Chain&);

Accepted accept(AcceptanceRule rule, const Chain& chain) {
  ChainAcceptance acceptance;
  acceptance.start(rule, chain.anchor);
  for (size_t k = 0; k <= chain.draft.size(); ++k) {
    const std::span<const double> p = chain.target_probability.subspan(k * chain.vocab, chain.vocab);
    if (k == chain.draft.size()) {
      acceptance.last_row(p);
    } else if (!acceptance.row(p, chain.draft_probability.subspan(k * chain.vocab, chain.vocab),
                               chain.draft[k])) {
      break;
    }
  }
  return {acceptance.accepted(), acceptance.next()};
}

Accepted accept_chain(const Chain& chain) {
  return accept(AcceptanceRule::kToken, chain);
}
Accepted accept_block(const Chain& chain) {
  return accept(AcceptanceRule::kBlock, chain);
}

struct Outcome {
  std::array<int64_t, 27> strings{};
  double mean_accepted = 0;
  double first_accepted = 0;
};

Outcome simulate(Rule rule) {
  Outcome outcome;
  for (int64_t trial = 0; trial < kTrials; ++trial) {
    const NoiseKey anchor{static_cast<uint64_t>(trial), 5};
    std::vector<int32_t> draft;
    std::vector<double> p, q;
    for (size_t k = 0; k < 2; ++k) {
      const int32_t last = draft.empty() ? 0 : draft.back();
      const Row row = draft_row(k, last);
      const Row target = target_row(k, last);
      q.insert(q.end(), row.begin(), row.end());
      p.insert(p.end(), target.begin(), target.end());
      draft.push_back(draw(row, uniform(anchor, NoiseStream::kDraft, static_cast<uint32_t>(k + 1))));
    }
    const Row last_row = target_row(2, draft.back());
    p.insert(p.end(), last_row.begin(), last_row.end());
    const Accepted accepted =
        rule({.draft = draft, .target_probability = p, .draft_probability = q, .anchor = anchor});
    std::vector<int32_t> emitted(draft.begin(), draft.begin() + accepted.accepted);
    emitted.push_back(accepted.next);
    while (emitted.size() < 3) {  // what plain decoding would add
      const Row row = target_row(emitted.size(), emitted.back());
      const NoiseKey at{anchor.seed, anchor.position + std::ssize(emitted) + 1};
      emitted.push_back(draw(row, uniform(at, NoiseStream::kResidual)));
    }
    ++outcome.strings[static_cast<size_t>(emitted[0] * 9 + emitted[1] * 3 + emitted[2])];
    outcome.mean_accepted += static_cast<double>(accepted.accepted) / static_cast<double>(kTrials);
    if (accepted.accepted > 0) outcome.first_accepted += 1.0 / static_cast<double>(kTrials);
  }
  return outcome;
}

std::array<double, 27> string_probability() {
  std::array<double, 27> probability{};
  for (int32_t a = 0; a < 3; ++a) {
    for (int32_t b = 0; b < 3; ++b) {
      for (int32_t c = 0; c < 3; ++c) {
        probability[static_cast<size_t>(a * 9 + b * 3 + c)] = target_row(0, 0)[static_cast<size_t>(a)] *
                                                              target_row(1, a)[static_cast<size_t>(b)] *
                                                              target_row(2, b)[static_cast<size_t>(c)];
      }
    }
  }
  return probability;
}

double cells(const std::array<double, 27>& probability) {
  return static_cast<double>(
      std::count_if(probability.begin(), probability.end(), [](double p) { return p > 0; }));
}

TEST(Rejection, ChainIsExactAndAcceptsTheOverlap) {
  const Outcome outcome = simulate(accept_chain);
  const std::array<double, 27> probability = string_probability();
  EXPECT_LT(chi_square(outcome.strings, probability), chi_square_limit(cells(probability) - 1));
  // sum min(p, q) of the first row: 0.2 + 0.3 + 0.2.
  EXPECT_NEAR(outcome.first_accepted, 0.7, share_limit(0.7, static_cast<double>(kTrials)));
}

// Mean accepted drafts by summing over all drafts: chain 0.7 + 0.2 * 0.5 + 0.3 * 0.3 + 0.2 * 0.65 = 1.02,
// block 1.09. The number accepted is 0, 1 or 2, so its standard deviation is at most 1.
TEST(Rejection, BlockIsExactAndLonger) {
  const Outcome block = simulate(accept_block);
  const std::array<double, 27> probability = string_probability();
  EXPECT_LT(chi_square(block.strings, probability), chi_square_limit(cells(probability) - 1));
  const double limit = kAlphaZTwoSided / std::sqrt(static_cast<double>(kTrials));
  EXPECT_NEAR(block.mean_accepted, 1.09, limit);
  EXPECT_NEAR(simulate(accept_chain).mean_accepted, 1.02, limit);
}

Accepted keeps_the_draft(const Chain& chain) {
  const size_t bonus = 2 * kVocab;
  return {2, draw(chain.target_probability.subspan(bonus, kVocab), 0.5)};
}
Accepted redraws_from_the_target(const Chain& chain) {  // right test, wrong replacement
  Accepted accepted = accept_chain(chain);
  const size_t row = static_cast<size_t>(accepted.accepted) * kVocab;
  if (accepted.accepted < 2) accepted.next = draw(chain.target_probability.subspan(row, kVocab), 0.37);
  return accepted;
}

TEST(Rejection, TheTestFindsWrongRules) {
  const std::array<double, 27> probability = string_probability();
  const double limit = chi_square_limit(cells(probability) - 1);
  EXPECT_GT(chi_square(simulate(keeps_the_draft).strings, probability), limit);
  EXPECT_GT(chi_square(simulate(redraws_from_the_target).strings, probability), limit);
}

TEST(Rejection, EqualDistributionsAcceptEverything) {
  const std::vector<double> p = {0.2, 0.3, 0.5, 0.2, 0.3, 0.5, 0.1, 0.1, 0.8};
  const std::vector<double> q(p.begin(), p.begin() + 6);
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    const std::vector<int32_t> draft = {static_cast<int32_t>(seed % 3), static_cast<int32_t>(seed / 3 % 3)};
    const Chain chain{.draft = draft, .target_probability = p, .draft_probability = q, .anchor = {seed, 0}};
    ASSERT_EQ(accept_chain(chain).accepted, 2);
    ASSERT_EQ(accept_block(chain).accepted, 2);
  }
}

TEST(Rejection, AnImpossibleDraftIsNeverKept) {
  const std::vector<double> p = {0.0, 0.4, 0.6, 0.2, 0.3, 0.5};
  const std::vector<double> one_hot = {1.0, 0.0, 0.0};
  const std::vector<int32_t> draft = {0};
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    const Chain chain{
        .draft = draft, .target_probability = p, .draft_probability = one_hot, .anchor = {seed, 0}};
    for (const Rule rule : {accept_chain, accept_block}) {
      const Accepted accepted = rule(chain);
      ASSERT_EQ(accepted.accepted, 0);
      ASSERT_NE(accepted.next, 0);
    }
  }
}

TEST(Rejection, EmptyChainIsPlainSampling) {
  const std::vector<double> p = {0.25, 0.25, 0.5};
  for (const Rule rule : {accept_chain, accept_block}) {
    const Accepted accepted = rule({.target_probability = p, .anchor = {3, 4}});
    EXPECT_EQ(accepted.accepted, 0);
    EXPECT_EQ(accepted.next, draw(p, uniform({3, 5}, NoiseStream::kResidual)));
  }
}

TEST(Draw, ByCumulativeWeight) {
  const std::vector<double> weights = {0.0, 2.0, 0.0, 6.0, 0.0};
  EXPECT_EQ(draw(weights, 0x1p-53), 1);
  EXPECT_EQ(draw(weights, 0.2499), 1);
  EXPECT_EQ(draw(weights, 0.2501), 3);
  EXPECT_EQ(draw(weights, 1 - 0x1p-53), 3);
}

// One request, two drafts, c_1 = 0.8; speed of 1, 2, 3 rows: 1, 0.5, 0.45. The confidence of the second draft
// depends on the first: 0.9 after A, 0 after B. Theta_l = expected tokens * speed.
double throughput(int64_t length, double second_confidence) {
  const double speed[] = {1.0, 0.5, 0.45};
  const double expected[] = {1.0, 1.8, 1.8 + 0.8 * second_confidence};
  return expected[length] * speed[length];
}

// Lengthens while it pays, looking only at confidences that do not depend on the draft to be offered.
int64_t causal_length(double second_confidence) {
  int64_t length = 0;
  while (length < 2 && throughput(length + 1, second_confidence) > throughput(length, second_confidence))
    ++length;
  return length;
}

// The best of all lengths: looks at c_2, which depends on x_1, to decide whether x_1 is offered.
int64_t searched_length(double second_confidence) {
  int64_t best = 0;
  for (int64_t length = 1; length <= 2; ++length) {
    if (throughput(length, second_confidence) > throughput(best, second_confidence)) best = length;
  }
  return best;
}

enum class Tokens : uint8_t { kCoupled, kByToken, kByBlock };

double share_of_a(int64_t (*schedule)(double), Tokens tokens) {
  const std::vector<double> p = {0.7, 0.3, 0.7, 0.3, 0.7, 0.3};
  const std::vector<double> q = {0.5, 0.5, 0.5, 0.5};
  int64_t first_is_a = 0;
  for (int64_t trial = 0; trial < kTrials; ++trial) {
    const NoiseKey anchor{static_cast<uint64_t>(trial), 0};
    std::vector<int32_t> draft;
    int32_t target = 0;
    if (tokens == Tokens::kCoupled) {
      const auto choose = [&](double a, double b, int64_t position) {
        const NoiseKey at{anchor.seed, position};
        return std::log(a) + gumbel(at, 0) >= std::log(b) + gumbel(at, 1) ? 0 : 1;
      };
      draft = {choose(0.5, 0.5, 1), choose(0.5, 0.5, 2)};
      target = choose(0.7, 0.3, 1);
    } else {
      for (uint32_t depth = 1; depth <= 2; ++depth) {
        draft.push_back(draw(std::span(q).first(2), uniform(anchor, NoiseStream::kDraft, depth)));
      }
    }
    const int64_t length = schedule(draft[0] == 0 ? 0.9 : 0.0);
    draft.resize(static_cast<size_t>(length));
    if (tokens != Tokens::kCoupled) {
      const Rule rule = tokens == Tokens::kByToken ? accept_chain : accept_block;
      const Accepted accepted =
          rule({.draft = draft,
                .target_probability = std::span(p).first(static_cast<size_t>(2 * (length + 1))),
                .draft_probability = std::span(q).first(static_cast<size_t>(2 * length)),
                .vocab = 2,
                .anchor = anchor});
      target = accepted.accepted > 0 ? draft[0] : accepted.next;
    }
    if (target == 0) ++first_is_a;
  }
  return static_cast<double>(first_is_a) / static_cast<double>(kTrials);
}

// Alpha 1e-6 and n = 300000: a deviation of 0.0055 is found with probability 0.95; the bias is 0.15.
TEST(Rejection, AppendixAScheduleMustNotLookAtTheDraft) {
  EXPECT_NEAR(throughput(2, 0.9), 1.134, 1e-12);
  EXPECT_NEAR(throughput(2, 0.0), 0.81, 1e-12);
  const double n = static_cast<double>(kTrials);
  for (const Tokens tokens : {Tokens::kByToken, Tokens::kByBlock}) {
    EXPECT_NEAR(share_of_a(causal_length, tokens), 0.70, share_limit(0.70, n));
    EXPECT_NEAR(share_of_a(searched_length, tokens), 0.85, share_limit(0.85, n));
  }
  // Coupled noise is exact even under the search that looks.
  EXPECT_NEAR(share_of_a(searched_length, Tokens::kCoupled), 0.70, share_limit(0.70, n));
}

}  // namespace
}  // namespace ft::verify
