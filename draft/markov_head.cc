#include "draft/markov_head.h"

#include "core/check.h"

namespace ft::draft {

namespace {

// Columns [first, first + count) of a weight with one row, which are contiguous.
Weight columns(const Weight& weight, int64_t first, int64_t count) {
  FT_CHECK(weight.rows == 1 && weight.scale == nullptr && first + count <= weight.cols, weight.rows,
           weight.cols);
  Weight part = weight;
  part.data = static_cast<const uint8_t*>(weight.data) + first * (weight.data_bytes() / weight.cols);
  part.cols = count;
  return part;
}

// Rows of 16 floats keep every matrix aligned to 64 bytes.
int64_t padded(int64_t count) {
  return (count + 15) / 16 * 16;
}

}  // namespace

Weight hidden_confidence(const DsparkWeights& weights) {
  return columns(weights.confidence, 0, weights.confidence.cols - weights.markov_w1.cols);
}

Weight markov_confidence(const DsparkWeights& weights) {
  const int64_t rank = weights.markov_w1.cols;
  return columns(weights.confidence, weights.confidence.cols - rank, rank);
}

MarkovHead::MarkovHead(Backend& backend, const DsparkWeights& weights, int64_t rows_max)
    : backend_(backend),
      weights_(weights),
      confidence_weight_(markov_confidence(weights)),
      rows_max_(rows_max),
      vocab_(weights.markov_w2.rows) {
  const int64_t rank = weights.markov_w1.cols;
  const int64_t floats = 2 * padded(rows_max) + padded(rows_max * rank) + padded(rows_max * vocab_);
  memory_ = backend.allocate(static_cast<size_t>(floats) * sizeof(float));
  tokens_ = static_cast<int32_t*>(memory_.data());
  confidence_ = Matrix(memory_.f32() + padded(rows_max), 0, 1);
  embeddings_ = Matrix(confidence_.data + padded(rows_max), 0, rank);
  bias_ = Matrix(embeddings_.data + padded(rows_max * rank), 0, vocab_);
  host_bias_.resize(static_cast<size_t>(rows_max * vocab_));
  host_confidence_.resize(static_cast<size_t>(rows_max));
}

void MarkovHead::run(std::span<const int32_t> tokens) {
  rows_ = tokens.size();
  const auto rows = static_cast<int64_t>(rows_);
  FT_CHECK(rows > 0 && rows <= rows_max_, rows, rows_max_);
  embeddings_.rows = bias_.rows = confidence_.rows = rows;
  backend_.upload(tokens_, tokens.data(), tokens.size_bytes());
  backend_.gather_rows(tokens_, weights_.markov_w1, embeddings_);
  const LinearInput input =
      weights_.markov_w1.format == WeightFormat::kBF16 ? LinearInput::kBF16 : LinearInput::kAsIs;
  backend_.linear(embeddings_, weights_.markov_w2, bias_, input, LinearOutput::kF32);
  backend_.linear(embeddings_, confidence_weight_, confidence_, input, LinearOutput::kF32);
  backend_.download(host_bias_.data(), bias_.data, rows_ * static_cast<size_t>(vocab_) * sizeof(float));
  backend_.download(host_confidence_.data(), confidence_.data, rows_ * sizeof(float));
}

}  // namespace ft::draft
