#include "draft/feature_ring.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"

namespace ft::draft {

int64_t FeatureRing::Saved::bytes() const {
  return static_cast<int64_t>(features.bytes() + next_tokens.size() * sizeof(int32_t));
}

FeatureRing::FeatureRing(Backend& backend, int32_t sequences, int32_t window, int64_t cols, int64_t rows_max)
    : backend_(backend),
      window_(window),
      kept_(window + kSnapshotBehind),
      copy_(backend, std::max<int64_t>(rows_max, kept_)) {
  const int64_t rows = int64_t{sequences} * kept_;
  memory_ = backend.allocate(static_cast<size_t>(rows * cols) * sizeof(float));
  features_ = Matrix(memory_.f32(), rows, cols);
  next_tokens_.assign(static_cast<size_t>(rows), kUnknown);
  sequences_.resize(static_cast<size_t>(sequences));
  const auto scratch = static_cast<size_t>(std::max(rows, rows_max));
  rows_.reserve(scratch);
  source_rows_.reserve(scratch);
  target_rows_.reserve(scratch);
}

void FeatureRing::open(SequenceId sequence, const Saved* from) {
  at(sequence) = {};
  if (from == nullptr) return;
  at(sequence) = {from->base, from->length};
  const auto count = static_cast<int64_t>(from->next_tokens.size());
  target_rows_.clear();
  for (int64_t i = 0; i < count; ++i) {
    const int32_t to = row(sequence, from->length - count + i);
    target_rows_.push_back(to);
    next_tokens_[static_cast<size_t>(to)] = from->next_tokens[static_cast<size_t>(i)];
  }
  copy_.scatter(features_, target_rows_, Matrix(from->features.f32(), count, features_.cols));
}

void FeatureRing::observe(Matrix features, std::span<const ObservedRows> observed, const SequenceMap& own) {
  source_rows_.clear();
  target_rows_.clear();
  for (const ObservedRows& rows : observed) {
    const SequenceId sequence = own.own(rows.sequence);
    Sequence& known = at(sequence);
    const auto count = static_cast<int64_t>(rows.rows.size());
    FT_CHECK(rows.next_tokens.size() == rows.rows.size(), rows.next_tokens.size(), rows.rows.size());
    if (known.length == 0) known.base = rows.first_position;
    FT_CHECK(rows.first_position == known.base + known.length, rows.first_position, known.base, known.length);
    // Two rows must not race for one slot: of more than there are slots, the last stay.
    for (int64_t i = std::max<int64_t>(0, count - kept_); i < count; ++i) {
      const int32_t to = row(sequence, known.length + i);
      source_rows_.push_back(rows.rows[static_cast<size_t>(i)]);
      target_rows_.push_back(to);
      next_tokens_[static_cast<size_t>(to)] = rows.next_tokens[static_cast<size_t>(i)];
    }
    known.length += count;
  }
  copy_.run(features_, target_rows_, features, source_rows_);
}

void FeatureRing::learn(SequenceId sequence, std::span<const int32_t> history) {
  const Sequence& known = at(sequence);
  FT_CHECK(static_cast<int64_t>(history.size()) == known.base + known.length + 1, history.size(), known.base,
           known.length);
  for (int64_t position = std::max<int64_t>(0, known.length - window_); position < known.length; ++position)
    next_tokens_[static_cast<size_t>(row(sequence, position))] =
        history[static_cast<size_t>(known.base + position + 1)];
}

FeatureRing::Saved FeatureRing::save(SequenceId sequence, int64_t first, int64_t length) {
  const Sequence& known = at(sequence);
  FT_CHECK(first >= std::max<int64_t>(0, known.length - kept_) && first <= length && length <= known.length,
           first, length, known.length);
  Saved saved;
  saved.base = known.base;
  saved.length = length;
  source_rows_.clear();
  for (int64_t position = first; position < length; ++position) {
    source_rows_.push_back(row(sequence, position));
    saved.next_tokens.push_back(next_token(sequence, position));
  }
  if (source_rows_.empty()) return saved;
  saved.next_tokens.back() = kUnknown;
  const auto count = static_cast<int64_t>(source_rows_.size());
  saved.features = backend_.allocate(static_cast<size_t>(count * features_.cols) * sizeof(float));
  copy_.gather(Matrix(saved.features.f32(), count, features_.cols), features_, source_rows_);
  return saved;
}

}  // namespace ft::draft
