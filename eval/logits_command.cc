#include "eval/logits_command.h"

#include <algorithm>

#include "core/safetensors.h"
#include "eval/prefill.h"

namespace ft::eval {

Result<void> run_logits(const LogitsOptions& options) {
  const auto sequences = read_token_lists(options.tokens);
  if (!sequences) return tl::make_unexpected(sequences.error());
  if (options.chunk < 1)
    return fail(ErrorCode::kInvalidArgument, "chunk is {}, expected at least 1", options.chunk);
  auto session = open_session(options.session);
  if (!session) return tl::make_unexpected(session.error());
  size_t longest = 1;
  for (size_t i = 0; i < sequences->size(); ++i) {
    const size_t length = (*sequences)[i].size();
    if (static_cast<int64_t>(length) > session->config().max_position_embeddings)
      return fail(ErrorCode::kTooLarge, "{}: list {} has {} tokens, the model's context is {}",
                  options.tokens, i, length, session->config().max_position_embeddings);
    longest = std::max(longest, length);
  }
  CacheLimits limits;
  limits.context = static_cast<int64_t>(longest);
  limits.rows = static_cast<int32_t>(std::min<int64_t>(options.chunk, limits.context));
  Model model(*session->backend, *session->checkpoint, limits);
  std::vector<std::vector<float>> logits;
  std::vector<TensorToWrite> tensors;
  for (size_t i = 0; i < sequences->size(); ++i) {
    auto rows = sequence_logits(model, (*sequences)[i], options.chunk);
    if (!rows) return fail(rows.error().code, "{}: list {}: {}", options.tokens, i, rows.error().message);
    logits.push_back(std::move(*rows));
    tensors.push_back({fmt::format("logits.{}", i),
                       DType::kF32,
                       {static_cast<int64_t>((*sequences)[i].size()), session->config().vocab_size},
                       logits.back().data()});
  }
  return write_safetensors(options.out, tensors);
}

}  // namespace ft::eval
