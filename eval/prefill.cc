#include "eval/prefill.h"

#include <algorithm>
#include <numeric>

namespace ft::eval {

void prefill(Model& model, SequenceId sequence, std::span<const int32_t> tokens, int64_t chunk,
             const ChunkVisitor& visit) {
  std::vector<Row> rows;
  std::vector<int32_t> indices;
  const auto total = static_cast<int64_t>(tokens.size());
  const int64_t step = std::min<int64_t>(chunk, model.cache().limits().rows);
  for (int64_t first = 0; first < total; first += step) {
    const int64_t count = std::min(step, total - first);
    const int64_t length = model.cache().length(sequence);
    rows.clear();
    for (int64_t i = 0; i < count; ++i)
      rows.push_back({tokens[static_cast<size_t>(first + i)], static_cast<int32_t>(length + i), sequence,
                      static_cast<int32_t>(i) - 1});
    indices.resize(static_cast<size_t>(count));
    std::iota(indices.begin(), indices.end(), 0);
    KvTransaction transaction = model.cache().begin();
    const RowRange prompt{0, count};
    const bool is_long = count > kLongPromptRows && model.backend().prefill_gemm() != PrefillGemm::kInvariant;
    const ForwardOutput output =
        model.forward(transaction.stage(rows), indices, std::span(&prompt, is_long ? 1 : 0));
    if (visit) visit(output, first, count);
    std::move(transaction).commit(indices);
  }
}

Result<std::vector<float>> sequence_logits(Model& model, std::span<const int32_t> tokens, int64_t chunk) {
  if (tokens.empty()) return fail(ErrorCode::kInvalidArgument, "the sequence is empty");
  const int64_t vocab = model.config().vocab_size;
  for (int32_t token : tokens)
    if (token < 0 || token >= vocab)
      return fail(ErrorCode::kInvalidArgument, "token {} is outside the vocabulary of {}", token, vocab);
  const Result<SequenceId> sequence = model.cache().open(static_cast<int64_t>(tokens.size()));
  if (!sequence) return tl::make_unexpected(sequence.error());
  std::vector<float> logits;
  logits.reserve(tokens.size() * static_cast<size_t>(vocab));
  prefill(model, *sequence, tokens, chunk, [&](const ForwardOutput& output, int64_t, int64_t) {
    logits.insert(logits.end(), output.logits.begin(), output.logits.end());
  });
  model.cache().close(*sequence);
  return logits;
}

}  // namespace ft::eval
