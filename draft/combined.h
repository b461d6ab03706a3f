// All sources of drafts together: a model's drafter, prompt lookup, the client's prediction and what a
// constraint forces. Each request says which of them may propose for it, and gets one tree.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "draft/bound_tree.h"
#include "draft/ngram.h"
#include "draft/tree_merge.h"

namespace ft::draft {

class Combined final : public Drafter {
 public:
  // `model` has no n-grams of its own, and may be null; `name` outlives this object.
  Combined(std::string_view name, std::unique_ptr<Drafter> model, const DraftLimits& limits,
           int64_t vocab_size);

  std::string_view name() const override { return name_; }
  std::string_view model_name() const override { return model_ != nullptr ? model_->model_name() : ""; }
  bool has_ngram() const override { return true; }
  int depth_max() const override;
  ModelDepth model_depth() const override { return model_ != nullptr ? model_->model_depth() : ModelDepth(); }
  void open(SequenceId sequence, int64_t length_max, const DraftSnapshot* from = nullptr) override;
  // A snapshot of the model's part only: n-grams are found again in the history.
  std::unique_ptr<DraftSnapshot> snapshot(SequenceId sequence, int64_t length) override;
  void observe(const ForwardOutput& output, std::span<const ObservedRows> observed) override;
  // The model runs once, for all the requests that use it. A drawn chain comes from one source: from the
  // model if the request uses it, else from n-grams.
  void propose(std::span<const ProposeRequest> requests, std::span<DraftTree> trees) override;
  void close(SequenceId sequence) override;

 private:
  bool asks_model(const ProposeRequest& request) const {
    return model_ != nullptr && request.use_model && request.nodes_max > 0 && request.predicted.empty();
  }
  void propose_with_model(const ProposeRequest& request, DraftTree& model_tree, DraftTree& tree);

  std::string_view name_;
  std::unique_ptr<Drafter> model_;
  Ngram ngram_;
  TreeMerge merge_;
  BoundTree bound_;
  int64_t vocab_size_;

  // Scratch of propose(): the requests that the model answers, and its answers.
  std::vector<ProposeRequest> model_requests_;
  std::vector<DraftTree> model_trees_;
  DraftTree ngram_tree_;
};

}  // namespace ft::draft
