// Where a request ends, as a pure function of its tokens.
#pragma once

#include <cstdint>
#include <span>

namespace ft::verify {

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

}  // namespace ft::verify
