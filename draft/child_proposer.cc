#include "draft/child_proposer.h"

#include <array>

#include "core/categorical.h"
#include "core/check.h"

namespace ft::draft {

void ChildProposer::propose(const ProposeRequest& request, std::span<const float> logits,
                            std::optional<float> first_score, int32_t node, TreeBuilder& builder,
                            DraftTree& tree) {
  if (first_score.has_value()) first_score = bounded_score(*first_score);
  if (request.draw) return draw_child(request, logits, first_score, node, builder, tree);
  std::array<RankedChild, kBranchMax> ranked;
  const size_t wanted = request.shape == TreeShape::kChain ? 1 : ranked.size();
  const Ranking ranking{request.temperature, {request.seed, request.position + builder.depth() + 1}};
  const std::span children =
      std::span(ranked).first(ranking_.rank(logits, ranking, std::span(ranked).first(wanted)));
  std::array<float, kBranchMax> scores;
  conditional_scores(children, scores);
  if (first_score.has_value()) scores[0] = *first_score;
  std::array<TreeBuilder::Child, kBranchMax> scored;
  for (size_t j = 0; j < children.size(); ++j) scored[j] = {children[j].token, scores[j]};
  builder.expand(node, std::span(scored).first(children.size()));
}

void ChildProposer::draw_child(const ProposeRequest& request, std::span<const float> logits,
                               std::optional<float> first_score, int32_t node, TreeBuilder& builder,
                               DraftTree& tree) {
  FT_CHECK(request.temperature > 0.0, request.temperature);
  const size_t before = tree.probability.size();
  tree.probability.resize(before + logits.size());
  const std::span probability = std::span(tree.probability).subspan(before);
  const double largest = softmax(logits, request.temperature, probability);
  if (largest == 0.0) {
    tree.probability.resize(before);
    return;
  }
  // Keyed by the anchor: a draft that a later step makes for the same position is another draw
  // (core/noise.h).
  const NoiseKey anchor{request.seed, request.position};
  const auto depth = static_cast<uint32_t>(builder.depth() + 1);
  const int32_t token = draw(probability, uniform(anchor, NoiseStream::kDraft, depth));
  const TreeBuilder::Child drawn{token, first_score.value_or(log_odds(static_cast<float>(largest)))};
  builder.expand(node, std::span(&drawn, 1));
}

}  // namespace ft::draft
