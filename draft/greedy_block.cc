#include "draft/greedy_block.h"

#include <algorithm>
#include <span>

namespace ft::draft {

GreedyBlock draft_greedy_block(DsparkNetwork& network, MarkovHead& markov, const BlockAnchor& anchor,
                               const DsparkNetwork::StageVisitor& visit) {
  network.draft(std::span(&anchor, 1), network.block_size(), visit);
  GreedyBlock block;
  int32_t token = anchor.token;
  for (int j = 0; j < network.block_size(); ++j) {
    const std::span<const float> base = network.base_logits(0, j);
    markov.run(std::span(&token, 1));
    const std::span<const float> bias = markov.bias(0);
    const size_t first = block.logits.size();
    for (size_t v = 0; v < base.size(); ++v) block.logits.push_back(base[v] + bias[v]);
    block.base_logits.insert(block.base_logits.end(), base.begin(), base.end());
    block.confidence.push_back(network.hidden_confidence(0, j) + markov.confidence()[0]);
    const auto row = block.logits.begin() + static_cast<std::ptrdiff_t>(first);
    token = static_cast<int32_t>(std::max_element(row, block.logits.end()) - row);
    block.tokens.push_back(token);
  }
  return block;
}

}  // namespace ft::draft
