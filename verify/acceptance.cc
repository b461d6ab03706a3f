#include "verify/acceptance.h"

#include <algorithm>

#include "core/check.h"

namespace ft::verify {

Accepted accept(const TokenTree& tree, std::span<const int32_t> target_token) {
  FT_CHECK(tree.size() > 0 && std::ssize(target_token) == tree.size(), tree.size(), target_token.size());
  Accepted accepted;
  for (int32_t node = 0; node != -1; node = tree.child(node, accepted.bonus)) {
    accepted.path.push_back(node);
    accepted.bonus = target_token[static_cast<size_t>(node)];
  }
  return accepted;
}

bool StopRule::stops(int32_t token) const {
  const auto among = [token](std::span<const int32_t> ids) {
    return std::find(ids.begin(), ids.end(), token) != ids.end();
  };
  return (!ignore_eos && among(end_tokens)) || among(stop_tokens);
}

FinishReason StopRule::finish_after(int32_t token, int64_t count) const {
  if (stops(token)) return FinishReason::kStop;
  return count == tokens_left ? FinishReason::kLength : FinishReason::kNone;
}

Truncated truncate(std::span<const int32_t> emitted, const StopRule& rule) {
  const int64_t most = std::min(std::ssize(emitted), static_cast<std::ptrdiff_t>(rule.tokens_left));
  for (int64_t i = 0; i < most; ++i) {
    if (rule.stops(emitted[static_cast<size_t>(i)])) return {i + 1, FinishReason::kStop};
  }
  return {most, most == rule.tokens_left ? FinishReason::kLength : FinishReason::kNone};
}

}  // namespace ft::verify
