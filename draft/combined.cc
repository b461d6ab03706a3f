#include "draft/combined.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/check.h"
#include "draft/prediction.h"

namespace ft::draft {

namespace {

// Nodes of one request that memory is set aside for.
constexpr size_t kNodesMax = 128;

}  // namespace

Combined::Combined(std::string_view name, std::unique_ptr<Drafter> model, const DraftLimits& limits,
                   int64_t vocab_size)
    : name_(name),
      model_(std::move(model)),
      ngram_(limits.sequences, vocab_size),
      merge_(kNodesMax),
      bound_(kNodesMax),
      vocab_size_(vocab_size),
      model_trees_(static_cast<size_t>(limits.sequences)) {
  model_requests_.reserve(static_cast<size_t>(limits.sequences));
  for (DraftTree& tree : model_trees_) tree.nodes.reserve(kNodesMax);
  ngram_tree_.nodes.reserve(kNodesMax);
}

int Combined::depth_max() const {
  return model_ != nullptr ? std::max(model_->depth_max(), ngram_.depth_max()) : ngram_.depth_max();
}

void Combined::open(SequenceId sequence, int64_t length_max, const DraftSnapshot* from) {
  if (model_ != nullptr) model_->open(sequence, length_max, from);
  ngram_.open(sequence, length_max);
}

std::unique_ptr<DraftSnapshot> Combined::snapshot(SequenceId sequence, int64_t length) {
  return model_ != nullptr ? model_->snapshot(sequence, length) : nullptr;
}

void Combined::observe(const ForwardOutput& output, std::span<const ObservedRows> observed) {
  if (model_ != nullptr) model_->observe(output, observed);
}

void Combined::propose(std::span<const ProposeRequest> requests, std::span<DraftTree> trees) {
  FT_CHECK(requests.size() == trees.size(), requests.size(), trees.size());
  model_requests_.clear();
  std::ranges::copy_if(requests, std::back_inserter(model_requests_),
                       [&](const ProposeRequest& request) { return asks_model(request); });
  if (!model_requests_.empty())
    model_->propose(model_requests_, std::span(model_trees_).first(model_requests_.size()));
  size_t next = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    const ProposeRequest& request = requests[i];
    if (asks_model(request)) {
      propose_with_model(request, model_trees_[next++], trees[i]);
    } else if (!request.predicted.empty()) {
      draft_prediction(request, vocab_size_, trees[i]);
    } else {
      ngram_.propose(std::span(&request, 1), std::span(&trees[i], 1));
    }
    bound_.bind(request, trees[i]);
  }
}

void Combined::propose_with_model(const ProposeRequest& request, DraftTree& model_tree, DraftTree& tree) {
  ngram_tree_.nodes.clear();
  if (request.use_ngram && !request.draw) ngram_.propose(std::span(&request, 1), std::span(&ngram_tree_, 1));
  if (ngram_tree_.nodes.empty()) {
    tree.nodes.assign(model_tree.nodes.begin(), model_tree.nodes.end());
    std::swap(tree.probability, model_tree.probability);
  } else {
    merge_.merge(request, model_tree, ngram_tree_, tree);
  }
}

void Combined::close(SequenceId sequence) {
  if (model_ != nullptr) model_->close(sequence);
  ngram_.close(sequence);
}

}  // namespace ft::draft
