#include "verify/rejection.h"

#include <algorithm>
#include <vector>

#include "core/check.h"

namespace ft::verify {

namespace {

// Below this a difference of two distributions is rounding, and p itself is drawn from (dspark.md 2.3).
constexpr double kResidualMassMin = 1e-8;

std::span<const double> row(std::span<const double> rows, int64_t index, int64_t vocab) {
  return rows.subspan(static_cast<size_t>(index * vocab), static_cast<size_t>(vocab));
}

void check(const ChainInput& input) {
  const int64_t length = std::ssize(input.draft);
  FT_CHECK(input.vocab > 0 && std::ssize(input.target_probability) == (length + 1) * input.vocab &&
               std::ssize(input.draft_probability) == length * input.vocab,
           input.vocab, length, input.target_probability.size(), input.draft_probability.size());
  for (const int32_t token : input.draft) FT_CHECK(token >= 0 && token < input.vocab, token, input.vocab);
}

// The noise of the token `index` places after the anchor's next: x_{index+1}, or what replaces it.
double noise(const ChainInput& input, int64_t index, NoiseStream stream) {
  return uniform({input.key.seed, input.key.position + index}, stream);
}

// sum_v max(weight * p - q, 0), and the summands.
double residual(std::span<const double> p, std::span<const double> q, double weight,
                std::vector<double>& out) {
  out.resize(p.size());
  double mass = 0.0;
  for (size_t v = 0; v < p.size(); ++v) {
    out[v] = std::max(weight * p[v] - q[v], 0.0);
    mass += out[v];
  }
  return mass;
}

// The token after `accepted` drafts that stand, drawn from what the stopping rule leaves of p.
ChainAccepted finish(const ChainInput& input, int64_t accepted, double weight) {
  const std::span<const double> p = row(input.target_probability, accepted, input.vocab);
  const double u = noise(input, accepted, NoiseStream::kResidual);
  if (accepted == std::ssize(input.draft)) return {accepted, draw(p, u)};
  std::vector<double> rest;
  const double mass = residual(p, row(input.draft_probability, accepted, input.vocab), weight, rest);
  return {accepted, mass < kResidualMassMin ? draw(p, u) : draw(rest, u)};
}

}  // namespace

ChainAccepted accept_chain(const ChainInput& input) {
  check(input);
  const int64_t length = std::ssize(input.draft);
  for (int64_t k = 0; k < length; ++k) {
    const size_t token = static_cast<size_t>(input.draft[static_cast<size_t>(k)]);
    const double p = row(input.target_probability, k, input.vocab)[token];
    const double q = row(input.draft_probability, k, input.vocab)[token];
    if (!(noise(input, k, NoiseStream::kAcceptance) * q < p)) return finish(input, k, 1.0);
  }
  return finish(input, length, 1.0);
}

ChainAccepted accept_block(const ChainInput& input) {
  check(input);
  const int64_t length = std::ssize(input.draft);
  std::vector<double> rest;
  int64_t accepted = 0;
  double accepted_weight = 1.0;
  double weight = 1.0;
  for (int64_t k = 1; k <= length; ++k) {
    const size_t token = static_cast<size_t>(input.draft[static_cast<size_t>(k - 1)]);
    const double p = row(input.target_probability, k - 1, input.vocab)[token];
    const double q = row(input.draft_probability, k - 1, input.vocab)[token];
    weight = q > 0.0 ? std::min(1.0, weight * p / q) : (p > 0.0 ? weight : 0.0);
    double stop_here = weight;
    if (k < length && weight < 1.0) {
      const double mass = residual(row(input.target_probability, k, input.vocab),
                                   row(input.draft_probability, k, input.vocab), weight, rest);
      stop_here = mass / (mass + 1.0 - weight);
    }
    if (noise(input, k - 1, NoiseStream::kAcceptance) <= stop_here) {
      accepted = k;
      accepted_weight = weight;
    }
  }
  return finish(input, accepted, accepted_weight);
}

}  // namespace ft::verify
