#include "eval/quality/checks.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "core/log_sum_exp.h"
#include "core/safetensors.h"
#include "eval/prefill.h"
#include "eval/report.h"
#include "eval/statistics.h"

namespace ft::eval {

namespace {

// A ratio of sums over items, with its interval over items.
Interval ratio(std::span<const double> parts, std::span<const double> wholes, uint64_t seed) {
  return bootstrap(
      parts.size(),
      [&](std::span<const int32_t> counts) {
        double part = 0.0;
        double whole = 0.0;
        for (size_t i = 0; i < parts.size(); ++i) {
          part += counts[i] * parts[i];
          whole += counts[i] * wholes[i];
        }
        return whole > 0.0 ? part / whole : 0.0;
      },
      seed);
}

size_t first_choice(std::span<const float> logits) {
  return static_cast<size_t>(std::ranges::max_element(logits) - logits.begin());
}

}  // namespace

TokenComparison compare_tokens(const TokenLists& expected, const TokenLists& got) {
  TokenComparison comparison;
  for (size_t i = 0; i < expected.size(); ++i) {
    const size_t longer = std::max(expected[i].size(), got[i].size());
    const size_t shorter = std::min(expected[i].size(), got[i].size());
    comparison.tokens += static_cast<int64_t>(longer);
    comparison.differ += static_cast<int64_t>(longer - shorter);
    for (size_t k = 0; k < shorter; ++k) comparison.differ += expected[i][k] != got[i][k] ? 1 : 0;
  }
  return comparison;
}

Json answer_figures(const std::vector<Prompt>& prompts, const std::vector<std::string>& replies,
                    uint64_t seed) {
  std::set<std::string> domains = {"all"};
  for (const Prompt& prompt : prompts)
    if (!prompt.answer.empty() && !prompt.domain.empty()) domains.insert(prompt.domain);
  Json list = Json::array();
  for (const std::string& domain : domains) {
    std::vector<double> right;
    double sum = 0.0;
    for (size_t i = 0; i < prompts.size(); ++i) {
      if (prompts[i].answer.empty() || (domain != "all" && prompts[i].domain != domain)) continue;
      right.push_back(replies[i].find(prompts[i].answer) != std::string::npos ? 1.0 : 0.0);
      sum += right.back();
    }
    const std::vector<double> ones(right.size(), 1.0);
    list.push_back({{"domain", domain},
                    {"questions", right.size()},
                    {"right", sum},
                    {"rate", interval_json(ratio(right, ones, seed))}});
  }
  return list;
}

Result<std::vector<SequenceScore>> score_sequences(Model& model, const TokenLists& sequences, int64_t chunk) {
  const auto vocab = static_cast<size_t>(model.config().vocab_size);
  std::vector<SequenceScore> scores;
  for (const std::vector<int32_t>& tokens : sequences) {
    const auto logits = sequence_logits(model, tokens, chunk);
    if (!logits) return tl::make_unexpected(logits.error());
    SequenceScore score;
    for (size_t i = 0; i + 1 < tokens.size(); ++i) {
      const std::span<const float> row(logits->data() + i * vocab, vocab);
      score.nats += log_sum_exp(row, 1.0) - static_cast<double>(row[static_cast<size_t>(tokens[i + 1])]);
      ++score.tokens;
    }
    scores.push_back(score);
  }
  return scores;
}

Json perplexity_figures(const std::string& text, std::span<const SequenceScore> scores, uint64_t seed) {
  std::vector<double> nats;
  std::vector<double> tokens;
  int64_t all = 0;
  for (const SequenceScore& score : scores) {
    nats.push_back(score.nats);
    tokens.push_back(static_cast<double>(score.tokens));
    all += score.tokens;
  }
  const Interval mean = ratio(nats, tokens, seed);
  return {
      {"text", text}, {"tokens", all}, {"nats", interval_json(mean)}, {"perplexity", std::exp(mean.value)}};
}

Result<Json> golden_figures(Model& model, const std::string& tokens, const std::string& logits,
                            int64_t chunk) {
  const auto sequences = read_token_lists(tokens);
  if (!sequences) return tl::make_unexpected(sequences.error());
  const auto file = SafetensorsFile::open(logits);
  if (!file) return tl::make_unexpected(file.error());
  const auto vocab = static_cast<size_t>(model.config().vocab_size);
  int64_t positions = 0;
  int64_t same = 0;
  double largest = 0.0;
  for (size_t i = 0; i < sequences->size(); ++i) {
    const std::string name = fmt::format("logits.{}", i);
    const StoredTensor* recorded = (*file)->find(name);
    const std::vector<int64_t> shape = {static_cast<int64_t>((*sequences)[i].size()),
                                        model.config().vocab_size};
    if (recorded == nullptr || recorded->dtype != DType::kF32 || recorded->shape != shape)
      return fail(ErrorCode::kInvalidFile, "{}: {} is not F32 {}", logits, name, shape_text(shape));
    const auto own = sequence_logits(model, (*sequences)[i], chunk);
    if (!own) return tl::make_unexpected(own.error());
    std::vector<float> expected(own->size());
    std::memcpy(expected.data(), recorded->data, expected.size() * sizeof(float));
    for (size_t k = 0; k < own->size(); ++k)
      largest =
          std::max(largest, std::abs(static_cast<double>((*own)[k]) - static_cast<double>(expected[k])));
    for (size_t row = 0; row < (*sequences)[i].size(); ++row, ++positions)
      same += first_choice(std::span(*own).subspan(row * vocab, vocab)) ==
                      first_choice(std::span(expected).subspan(row * vocab, vocab))
                  ? 1
                  : 0;
  }
  return Json{{"file", logits},
              {"positions", positions},
              {"largest_difference", largest},
              {"same_first_choice",
               positions > 0 ? static_cast<double>(same) / static_cast<double>(positions) : 0.0}};
}

}  // namespace ft::eval
