#include "eval/synthetic_drafts.h"

#include <algorithm>
#include <span>

namespace ft::eval {

namespace {

uint64_t mix(uint64_t x) {  // splitmix64
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// In [0, 1), of bits that nothing else looks at.
float unit(uint64_t bits) {
  return static_cast<float>(bits >> 40) * 0x1p-24f;
}

}  // namespace

uint64_t SyntheticDrafts::bits(int64_t step, SequenceId sequence, int32_t token, int32_t depth) const {
  return mix(seed_ + static_cast<uint64_t>(step) * 0x10001u + (static_cast<uint64_t>(sequence) << 40) +
             (static_cast<uint64_t>(token) << 8) + static_cast<uint64_t>(depth));
}

int32_t SyntheticDrafts::child(uint64_t bits, int32_t rank) {
  // Few tokens are frequent, as in text: half of all draws fall on an eighth of the vocabulary.
  const float u = unit(bits);
  const auto token = static_cast<int32_t>(u * u * u * static_cast<float>(kVocab - draft::kBranchMax - 1));
  return token + rank;
}

void SyntheticDrafts::invent(draft::TreeBuilder& builder, const draft::ProposeRequest& asked, int64_t step,
                             Draft& draft) const {
  draft.expansions.clear();
  draft.children.clear();
  builder.start(asked, draft::DraftSource::kModel, kDepth);
  int32_t left = asked.nodes_max;
  for (; !builder.frontier().empty() && left > 0; builder.descend()) {
    const int32_t depth = builder.depth();
    // What is left is spread over the levels that are left.
    int32_t level = (left + kDepth - depth - 1) / (kDepth - depth);
    for (size_t place = 0; place < builder.frontier().size() && level > 0; ++place) {
      const int32_t node = builder.frontier()[place];
      const int32_t count = std::min(level, draft::kBranchMax);
      const int32_t token = node == draft::TreeBuilder::kAnchor ? asked.anchor : builder.token(node);
      const uint64_t random = bits(step, asked.sequence, token, depth);
      for (int32_t rank = 0; rank < count; ++rank) {
        // Log odds of the first child between 2 and 0, those of the others below; noise of one in each.
        const float score =
            (rank == 0 ? 2.0f - 0.4f * static_cast<float>(depth) : -1.0f) + unit(random << (20 * rank));
        draft.children.push_back({child(random, rank), score});
      }
      draft.expansions.push_back({depth, static_cast<int32_t>(place), count});
      builder.expand(node, std::span(draft.children).last(static_cast<size_t>(count)));
      level -= count;
      left -= count;
    }
  }
}

void SyntheticDrafts::build(draft::TreeBuilder& builder, const draft::ProposeRequest& asked,
                            const Draft& draft, draft::DraftTree& tree) {
  builder.start(asked, draft::DraftSource::kModel, kDepth);
  std::span<const draft::TreeBuilder::Child> children = draft.children;
  for (const Draft::Expansion& expansion : draft.expansions) {
    while (builder.depth() < expansion.depth) builder.descend();
    const auto count = static_cast<size_t>(expansion.count);
    builder.expand(builder.frontier()[static_cast<size_t>(expansion.place)], children.first(count));
    children = children.subspan(count);
  }
  builder.finish(tree);
}

int32_t SyntheticDrafts::target(int64_t step, SequenceId sequence, int32_t token, int32_t depth) const {
  const uint64_t random = bits(step, sequence, token, depth);
  const float u = unit(mix(~random));
  return child(random, u < 0.8f ? 0 : u < 0.9f ? 1 : draft::kBranchMax);
}

}  // namespace ft::eval
