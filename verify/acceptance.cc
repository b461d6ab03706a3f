#include "verify/acceptance.h"

#include <algorithm>

namespace ft::verify {

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

}  // namespace ft::verify
