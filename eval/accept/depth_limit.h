// A drafter whose trees are cut at a depth, for the depth axis of the acceptance grid. Its time is that of
// the whole draft.
#pragma once

#include <algorithm>
#include <memory>

#include "draft/drafter.h"

namespace ft::eval {

class DepthLimit final : public draft::Drafter {
 public:
  DepthLimit(std::unique_ptr<draft::Drafter> inner, int32_t depth)
      : inner_(std::move(inner)), depth_(depth) {}

  std::string_view name() const override { return inner_->name(); }
  std::string_view model_name() const override { return inner_->model_name(); }
  bool has_ngram() const override { return inner_->has_ngram(); }
  int depth_max() const override { return std::min(inner_->depth_max(), depth_); }
  draft::ModelDepth model_depth() const override { return inner_->model_depth(); }
  void open(SequenceId sequence, int64_t length_max, const draft::DraftSnapshot* from) override {
    inner_->open(sequence, length_max, from);
  }
  std::unique_ptr<draft::DraftSnapshot> snapshot(SequenceId sequence, int64_t length) override {
    return inner_->snapshot(sequence, length);
  }
  void observe(const ForwardOutput& output, std::span<const draft::ObservedRows> observed) override {
    inner_->observe(output, observed);
  }
  void propose(std::span<const draft::ProposeRequest> requests, std::span<draft::DraftTree> trees) override;
  void close(SequenceId sequence) override { inner_->close(sequence); }

 private:
  std::unique_ptr<draft::Drafter> inner_;
  int32_t depth_;
};

}  // namespace ft::eval
