// The single checks of `quality`.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/model.h"
#include "eval/results/result_file.h"
#include "eval/session.h"

namespace ft::eval {

using TokenLists = std::vector<std::vector<int32_t>>;

// How many tokens of two lists of completions differ: by position, a longer one's rest included.
struct TokenComparison {
  int64_t tokens = 0;  // compared: the longer of each pair
  int64_t differ = 0;
};
TokenComparison compare_tokens(const TokenLists& expected, const TokenLists& got);

// {"domain", "questions", "right", "rate": {"value","low","high"}} for "all" and every domain, of prompts
// with an answer.
Json answer_figures(const std::vector<Prompt>& prompts, const std::vector<std::string>& replies,
                    uint64_t seed);

// Nats of each sequence's tokens after its first, and how many these are.
struct SequenceScore {
  double nats = 0.0;
  int64_t tokens = 0;
};
Result<std::vector<SequenceScore>> score_sequences(Model& model, const TokenLists& sequences, int64_t chunk);
// {"text", "tokens", "nats": per token with its interval over sequences, "perplexity"}.
Json perplexity_figures(const std::string& text, std::span<const SequenceScore> scores, uint64_t seed);

// {"file", "positions", "largest_difference", "same_first_choice"} of the model's logits beside recorded
// ones.
Result<Json> golden_figures(Model& model, const std::string& tokens, const std::string& logits,
                            int64_t chunk);

}  // namespace ft::eval
