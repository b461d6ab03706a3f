#include "scheduler/canary.h"

#include <fmt/format.h>

#include <cstring>

#include "core/noise.h"

namespace ft::scheduler {

Canary::Canary(double rate, int64_t vocab) : rate_(rate), vocab_(static_cast<size_t>(vocab)) {}

bool Canary::chosen() {
  if (rate_ <= 0.0) return false;
  return uniform({0, calls_++}, NoiseStream::kToken) < rate_;
}

Canary::Outcome Canary::run(Model& model, const Check& check) {
  Outcome outcome;
  const int64_t length = model.cache().length(check.sequence);
  if (length != check.first_position + static_cast<int64_t>(check.tokens.size())) return outcome;
  if (!model.cache().rewind(check.sequence, check.first_position)) return outcome;
  expected_.clear();
  for (int32_t row : check.logit_rows) {
    const auto logits = check.logits.subspan(static_cast<size_t>(row) * vocab_, vocab_);
    expected_.insert(expected_.end(), logits.begin(), logits.end());
  }
  for (size_t i = 0; i < check.tokens.size(); ++i) {
    const auto position = static_cast<int32_t>(check.first_position) + static_cast<int32_t>(i);
    const Row row{check.tokens[i], position, check.sequence, kCommitted};
    constexpr int32_t kFirst[] = {0};
    KvTransaction transaction = model.cache().begin();
    const ForwardOutput output = model.forward(transaction.stage(std::span(&row, 1)), kFirst);
    const float* expected = expected_.data() + i * vocab_;
    ++outcome.checked;
    if (std::memcmp(output.logits.data(), expected, vocab_ * sizeof(float)) != 0) {
      if (outcome.mismatches++ == 0) {
        size_t v = 0;
        while (std::memcmp(&output.logits[v], &expected[v], sizeof(float)) == 0) ++v;
        outcome.first = fmt::format("position {}, logit of token {}: {:a} in the batch, {:a} alone", position,
                                    v, expected[v], output.logits[v]);
      }
    }
    std::move(transaction).commit(kFirst);
  }
  return outcome;
}

}  // namespace ft::scheduler
