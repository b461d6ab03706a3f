#include "eval/draft_command.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>

#include "core/model.h"
#include "core/mtp.h"
#include "core/safetensors.h"
#include "draft/dspark_network.h"
#include "draft/greedy_block.h"
#include "draft/markov_head.h"
#include "eval/prefill.h"

namespace ft::eval {

namespace {

Result<void> check_sequences(const ModelConfig& config, std::span<const std::vector<int32_t>> sequences) {
  for (size_t i = 0; i < sequences.size(); ++i) {
    const std::vector<int32_t>& tokens = sequences[i];
    if (tokens.empty()) return fail(ErrorCode::kInvalidArgument, "sequence {} is empty", i);
    if (static_cast<int64_t>(tokens.size()) > config.max_position_embeddings)
      return fail(ErrorCode::kTooLarge, "sequence {} has {} tokens, the model takes {}", i, tokens.size(),
                  config.max_position_embeddings);
    for (int32_t token : tokens)
      if (token < 0 || token >= config.vocab_size)
        return fail(ErrorCode::kInvalidArgument, "sequence {}: token {} is outside the vocabulary of {}", i,
                    token, config.vocab_size);
  }
  return {};
}

// Tensors on their way into the file. A vector keeps its memory when it is moved, so the list may grow.
class Tensors {
 public:
  void add(std::string name, std::vector<int64_t> shape, std::vector<float> values) {
    floats_.push_back(std::move(values));
    list_.push_back({std::move(name), DType::kF32, std::move(shape), floats_.back().data()});
  }
  void add(std::string name, std::vector<int32_t> values) {
    ints_.push_back(std::move(values));
    list_.push_back(
        {std::move(name), DType::kI32, {static_cast<int64_t>(ints_.back().size())}, ints_.back().data()});
  }
  std::span<const TensorToWrite> list() const { return list_; }

 private:
  std::vector<TensorToWrite> list_;
  std::vector<std::vector<float>> floats_;
  std::vector<std::vector<int32_t>> ints_;
};

int32_t greedy_token(const ForwardOutput& output, int64_t vocab) {
  const auto last = output.logits.last(static_cast<size_t>(vocab));
  return static_cast<int32_t>(std::ranges::max_element(last) - last.begin());
}

// The rows of a chain at [first, first + count), token by token from `token_of(position)`.
template <class TokenOf>
std::vector<Row> chain(SequenceId sequence, int64_t first, int64_t count, TokenOf token_of) {
  std::vector<Row> rows;
  for (int64_t i = 0; i < count; ++i)
    rows.push_back(
        {token_of(first + i), static_cast<int32_t>(first + i), sequence, static_cast<int32_t>(i) - 1});
  return rows;
}

std::vector<int32_t> in_order(int64_t count) {
  std::vector<int32_t> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

class DraftRun {
 public:
  DraftRun(Backend& backend, const Checkpoint& checkpoint, const CacheLimits& limits, int32_t chunk)
      : vocab_(checkpoint.config().vocab_size), chunk_(chunk), model_(backend, checkpoint, limits) {
    if (checkpoint.weights().dspark != nullptr) {
      network_.emplace(backend, checkpoint, limits);
      markov_.emplace(backend, network_->weights(), 1);
    }
    if (!checkpoint.weights().mtp.empty()) mtp_.emplace(backend, checkpoint, 0, limits);
  }

  void run(size_t index, const std::vector<int32_t>& tokens, Tensors& tensors) {
    const auto length = static_cast<int64_t>(tokens.size());
    const SequenceId sequence = model_.cache().open(length).value();
    const SequenceId context = network_ ? network_->cache().open(length).value() : 0;
    const SequenceId ahead = mtp_ ? mtp_->cache().open(length).value() : 0;
    std::vector<int32_t> next_tokens(tokens.begin() + 1, tokens.end());
    std::vector<float> mtp_logits;
    prefill(model_, sequence, tokens, chunk_, [&](const ForwardOutput& output, int64_t first, int64_t count) {
      if (first + count == length) next_tokens.push_back(greedy_token(output, vocab_));
      if (network_)
        network_->append(output.auxiliary, in_order(count),
                         chain(context, first, count, [](int64_t) { return 0; }));
      if (mtp_)
        look_ahead(output,
                   chain(ahead, first, count,
                         [&](int64_t position) { return next_tokens[static_cast<size_t>(position)]; }),
                   mtp_logits);
    });
    const int32_t anchor = next_tokens.back();
    const std::string suffix = "." + std::to_string(index);
    if (network_) {
      draft::GreedyBlock block = draft_greedy_block(*network_, *markov_, {context, anchor});
      const auto positions = static_cast<int64_t>(block.tokens.size());
      tensors.add("anchor" + suffix, {anchor});
      tensors.add("base_logits" + suffix, {positions, vocab_}, std::move(block.base_logits));
      tensors.add("logits" + suffix, {positions, vocab_}, std::move(block.logits));
      tensors.add("confidence" + suffix, {positions}, std::move(block.confidence));
      tensors.add("tokens" + suffix, std::move(block.tokens));
      network_->cache().close(context);
    }
    if (mtp_) {
      tensors.add("mtp_input_ids" + suffix, std::move(next_tokens));
      tensors.add("mtp_logits" + suffix, {length, vocab_}, std::move(mtp_logits));
      mtp_->cache().close(ahead);
    }
    model_.cache().close(sequence);
  }

 private:
  // Appends the MTP logits of `rows` and commits them.
  void look_ahead(const ForwardOutput& output, const std::vector<Row>& rows, std::vector<float>& logits) {
    KvTransaction transaction = mtp_->cache().begin();
    const Matrix streams = mtp_->forward(transaction.stage(rows), output.streams);
    const std::span<const float> values = mtp_->logits(streams);
    logits.insert(logits.end(), values.begin(), values.end());
    std::move(transaction).commit(in_order(static_cast<int64_t>(rows.size())));
  }

  int64_t vocab_;
  int32_t chunk_;
  Model model_;
  std::optional<draft::DsparkNetwork> network_;
  std::optional<draft::MarkovHead> markov_;
  std::optional<MtpBlock> mtp_;
};

}  // namespace

Result<void> run_draft(Backend& backend, const Checkpoint& checkpoint,
                       std::span<const std::vector<int32_t>> sequences, const std::string& out_path,
                       int32_t chunk) {
  const ModelWeights& weights = checkpoint.weights();
  if (weights.dspark == nullptr && weights.mtp.empty())
    return fail(
        ErrorCode::kInvalidArgument,
        "the checkpoint has neither a DSpark draft (mtp.0.main_proj) nor an MTP block (mtp.0.e_proj)");
  const Result<void> checked = check_sequences(checkpoint.config(), sequences);
  if (!checked) return checked;
  CacheLimits limits;
  limits.sequences = 1;
  limits.rows = chunk;
  limits.context = 1;
  for (const std::vector<int32_t>& tokens : sequences)
    limits.context = std::max(limits.context, static_cast<int64_t>(tokens.size()));
  DraftRun run(backend, checkpoint, limits, chunk);
  Tensors tensors;
  for (size_t i = 0; i < sequences.size(); ++i) run.run(i, sequences[i], tensors);
  return write_safetensors(out_path, tensors.list());
}

}  // namespace ft::eval
