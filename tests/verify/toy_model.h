// A deterministic language model of 24 tokens, and reading a path out of a tree.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "verify/token_tree.h"

namespace ft::verify {

constexpr size_t kToyVocab = 24;

// Logits are a hash of the last three tokens, so a row depends on its whole short path. Another salt is
// another model.
inline std::vector<float> model_logits(const std::vector<int32_t>& context, uint64_t salt = 0) {
  uint64_t state = 1469598103934665603ull + salt;
  for (size_t i = context.size() > 3 ? context.size() - 3 : 0; i < context.size(); ++i) {
    state = (state ^ static_cast<uint64_t>(context[i])) * 1099511628211ull;
  }
  std::mt19937_64 rng(state);
  std::vector<float> logits(kToyVocab);
  for (float& logit : logits) logit = std::normal_distribution<float>(0, 1.5f)(rng);
  return logits;
}

// The tokens from below the anchor down to `node`.
inline std::vector<int32_t> path_to(const TokenTree& tree, int32_t node) {
  std::vector<int32_t> tokens;
  for (; node > 0; node = tree[node].parent) tokens.push_back(tree[node].token);
  std::reverse(tokens.begin(), tokens.end());
  return tokens;
}

// The model's rows for every node of a tree whose anchor is the context's last token: [tree.size(), vocab].
inline std::vector<float> tree_logits(const std::vector<int32_t>& context, const TokenTree& tree) {
  std::vector<float> logits;
  for (int32_t node = 0; node < tree.size(); ++node) {
    std::vector<int32_t> here = context;
    const std::vector<int32_t> path = path_to(tree, node);
    here.insert(here.end(), path.begin(), path.end());
    const std::vector<float> row = model_logits(here);
    logits.insert(logits.end(), row.begin(), row.end());
  }
  return logits;
}

}  // namespace ft::verify
