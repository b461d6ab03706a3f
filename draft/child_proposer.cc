#include "draft/child_proposer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <exception>
#include <limits>

#include "core/categorical.h"
#include "core/check.h"

namespace ft::draft {

void ChildProposer::propose(const ProposeRequest& request, std::span<const float> logits,
                            std::optional<float> first_score, int32_t node, TreeBuilder& builder,
                            NodeConstraints& states, DraftTree& tree) {
  if (first_score.has_value()) first_score = bounded_score(*first_score);
  if (states.bound()) {
    try {
      const Constraint& state = states.at(builder, node);
      if (const auto forced = state.forced(); !forced.empty() && !request.draw) {
        const TreeBuilder::Child only{forced.front(), kScoreMost, true};
        builder.expand(node, std::span(&only, 1));
        return;
      }
      mask_.resize((logits.size() + 31) / 32);
      state.fill_mask(mask_);
    } catch (const std::exception&) {
      return;  // a constraint that fails has no drafts; sampling meets it too, and says so
    }
  }
  if (request.draw)
    return draw_child(request, states.bound() ? only_allowed(logits) : logits, first_score, node, builder,
                      tree);
  std::array<RankedChild, kBranchMax> ranked;
  const size_t wanted = request.shape == TreeShape::kChain ? 1 : ranked.size();
  const Ranking ranking{request.temperature, {request.seed, request.position + builder.depth() + 1}};
  const auto rank = [&](std::span<const float> of) {
    return std::span(ranked).first(ranking_.rank(of, ranking, std::span(ranked).first(wanted)));
  };
  std::span children = rank(logits);
  const auto is_allowed = [&](const RankedChild& child) { return allows(child.token); };
  if (states.bound() && !std::ranges::all_of(children, is_allowed)) {
    // What the draft is sure of is its own first child; where that is forbidden, nothing was said of the others.
    if (!is_allowed(children.front())) first_score.reset();
    children = rank(only_allowed(logits));
  }
  std::array<float, kBranchMax> scores;
  conditional_scores(children, scores);
  if (first_score.has_value()) scores[0] = *first_score;
  std::array<TreeBuilder::Child, kBranchMax> scored;
  for (size_t j = 0; j < children.size(); ++j) scored[j] = {children[j].token, scores[j]};
  builder.expand(node, std::span(scored).first(children.size()));
}

std::span<const float> ChildProposer::only_allowed(std::span<const float> logits) {
  allowed_.assign(logits.size(), -std::numeric_limits<float>::infinity());
  for (size_t w = 0; w < mask_.size(); ++w)
    for (uint32_t bits = mask_[w]; bits != 0; bits &= bits - 1) {
      const size_t token = w * 32 + static_cast<size_t>(std::countr_zero(bits));
      allowed_[token] = logits[token];
    }
  return allowed_;
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
