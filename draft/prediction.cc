#include "draft/prediction.h"

#include <algorithm>

#include "draft/tree_builder.h"

namespace ft::draft {

namespace {

// That the next token is the predicted one, given that the last one was: where the acceptance model begins.
constexpr float kPredictedChance = 0.9f;

}  // namespace

void draft_prediction(const ProposeRequest& request, int64_t vocab_size, DraftTree& tree) {
  tree.nodes.clear();
  tree.probability.clear();
  const AcceptanceTable& table = acceptance_of(request);
  const size_t length =
      std::min({request.predicted.size(), static_cast<size_t>(std::max(request.nodes_max, 0)),
                static_cast<size_t>(kPredictedMost)});
  DraftNode node;
  node.path_probability = 1.0f;
  node.score = log_odds(kPredictedChance);
  node.source = DraftSource::kPrediction;
  for (size_t i = 0; i < length; ++i) {
    node.token = request.predicted[i];
    node.parent = static_cast<int32_t>(i) - 1;
    node.depth = static_cast<uint8_t>(i + 1);
    node.path_probability *= table.probability(node.source, node.depth, 0, node.score);
    tree.nodes.push_back(node);
  }
  if (!request.draw) return;
  const auto vocab = static_cast<size_t>(vocab_size);
  tree.probability.assign(length * vocab, 0.0);
  for (size_t i = 0; i < length; ++i)
    tree.probability[i * vocab + static_cast<size_t>(request.predicted[i])] = 1.0;
}

}  // namespace ft::draft
