#include "eval/scripted_drafter.h"

#include <algorithm>

#include "core/check.h"
#include "core/noise.h"
#include "draft/tree_builder.h"

namespace ft::eval {

ScriptedDrafter::ScriptedDrafter(std::unique_ptr<draft::Drafter> inner, double rate)
    : DrafterWrapper(std::move(inner)), rate_(rate) {
  FT_CHECK(rate_ > 0.0 && rate_ < 1.0, rate_);
}

void ScriptedDrafter::propose(std::span<const draft::ProposeRequest> requests,
                              std::span<draft::DraftTree> trees) {
  DrafterWrapper::propose(requests, trees);
  for (size_t i = 0; i < requests.size(); ++i) {
    FT_CHECK(!requests[i].draw);
    const auto found = known_.find(requests[i].seed);
    if (requests[i].use_model && found != known_.end()) script(requests[i], found->second, trees[i]);
  }
}

void ScriptedDrafter::script(const draft::ProposeRequest& request, const std::vector<int32_t>& tokens,
                             draft::DraftTree& tree) const {
  tree.nodes.clear();
  const draft::AcceptanceTable& table = draft::acceptance_of(request);
  const float score = draft::log_odds(static_cast<float>(rate_));
  float path = 1.0f;
  const draft::ModelDepth inner = model_depth();
  const int32_t depth_max =
      std::min(request.nodes_max, std::clamp(request.model_depth, inner.trained, inner.most));
  for (int32_t depth = 1; depth <= depth_max; ++depth) {
    const auto place = static_cast<size_t>(request.position + depth);
    if (place >= tokens.size()) break;
    const bool right = uniform({request.seed, request.position + depth}, NoiseStream::kDraft) < rate_;
    const int32_t token = tokens[place];
    path *= table.probability(draft::DraftSource::kModel, depth, 0, score);
    tree.nodes.push_back({.token = right       ? token
                                   : token > 0 ? token - 1
                                               : 1,
                          .parent = depth - 2,
                          .path_probability = path,
                          .score = score,
                          .rank = 0,
                          .depth = static_cast<uint8_t>(depth),
                          .source = draft::DraftSource::kModel});
  }
}

}  // namespace ft::eval
