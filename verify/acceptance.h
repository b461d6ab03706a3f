// Which drafted tokens stand, as pure functions: following the target through a tree, and where a request
// ends.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "verify/token_tree.h"

namespace ft::verify {

struct Accepted {
  std::vector<int32_t> path;  // node indices, the anchor first: the rows to commit
  int32_t bonus = 0;          // the target's token after the last node of the path
};

// Follows the target's own tokens while they are in the tree. target_token[node] is the target's choice after
// that node. Emitted: the tokens of path[1..], then bonus. The same tokens for every tree (dspark.md 6.3,
// rules a and b).
Accepted accept(const TokenTree& tree, std::span<const int32_t> target_token);

enum class FinishReason : uint8_t { kNone, kStop, kLength };

// When a request ends.
struct StopRule {
  std::span<const int32_t> end_tokens = {};   // the model's own; tokens like any other if ignore_eos
  std::span<const int32_t> stop_tokens = {};  // the request's; always in effect
  bool ignore_eos = false;
  int64_t tokens_left = 0;  // how many tokens the request may still emit, >= 0

  bool stops(int32_t token) const;
  // Whether `token` as the `count`th (from 1) token of a step is the request's last, and why. A stop token
  // that is also the last allowed one is kStop.
  FinishReason finish_after(int32_t token, int64_t count) const;
};

struct Truncated {
  int64_t kept = 0;  // how many of the emitted tokens remain; a stop token is kept as the last one
  FinishReason reason = FinishReason::kNone;
};

// Cuts a step's emitted tokens at the first stop token or at tokens_left, whichever comes first, as
// finish_after() says. Nothing after the cut is ever emitted.
Truncated truncate(std::span<const int32_t> emitted, const StopRule& rule);

}  // namespace ft::verify
