#include "draft/dspark.h"

#include <algorithm>

#include "core/check.h"

namespace ft::draft {

namespace {

// Nodes that one Markov pass takes: W2 is read once per pass, and the biases of all of them are held at once.
constexpr int64_t kMarkovRowsMax = 64;

CacheLimits cache_limits(const DraftLimits& limits) {
  CacheLimits cache;
  cache.sequences = limits.sequences;
  cache.rows = limits.rows;
  cache.context = limits.context;
  return cache;
}

}  // namespace

Dspark::Dspark(Backend& backend, const Checkpoint& checkpoint, const DraftLimits& limits)
    // A context key depends on its own row alone, so no row has to wait for what comes after it.
    : ModelDrafter(backend, limits,
                   {.name = "dspark",
                    .window = checkpoint.config().sliding_window,
                    .feature_width = checkpoint.weights().dspark->main_proj.cols,
                    .open_rows = 0}),
      rows_max_(limits.rows),
      network_(backend, checkpoint, cache_limits(limits)),
      markov_(backend, network_.weights(),
              std::min<int64_t>(int64_t{limits.sequences} * TreeBuilder::kFrontierMax, kMarkovRowsMax)),
      logits_(static_cast<size_t>(checkpoint.config().vocab_size)) {
  const auto sequences = static_cast<size_t>(limits.sequences);
  anchors_.reserve(sequences);
  expansions_.reserve(sequences * TreeBuilder::kFrontierMax);
  tokens_.reserve(sequences * TreeBuilder::kFrontierMax);
}

void Dspark::catch_up() {
  ring_.catch_up(network_.cache(), targets_, rows_max_,
                 [&](std::span<const Row> rows, std::span<const int32_t> source_rows) {
                   network_.append(ring_.features(), source_rows, rows);
                 });
}

// A block is as long as the network was trained for, or as long as it can be: which one a request gets must
// not depend on the others.
int Dspark::block_for(const ProposeRequest& request) const {
  return std::min(request.model_depth, request.nodes_max) > network_.block_size() ? network_.positions_max()
                                                                                  : network_.block_size();
}

void Dspark::propose(std::span<const ProposeRequest> requests, std::span<DraftTree> trees) {
  FT_CHECK(requests.size() == trees.size(), requests.size(), trees.size());
  for (DraftTree& tree : trees) {
    tree.nodes.clear();
    tree.probability.clear();
  }
  propose_blocks(network_.block_size(), requests, trees);
  if (network_.positions_max() > network_.block_size())
    propose_blocks(network_.positions_max(), requests, trees);
}

// For the requests whose blocks are of this length.
void Dspark::propose_blocks(int positions, std::span<const ProposeRequest> requests,
                            std::span<DraftTree> trees) {
  begin_pass();
  anchors_.clear();
  for (size_t i = 0; i < requests.size(); ++i) {
    if (block_for(requests[i]) != positions || !add_to_pass(requests[i], trees[i], positions)) continue;
    anchors_.push_back({targets_.back().sequence, requests[i].anchor});
  }
  if (anchors_.empty()) return;
  catch_up();
  network_.draft(anchors_, positions);
  for (int depth = 0; depth < positions; ++depth) {
    expand_level();
    for (size_t block = 0; block < anchors_.size(); ++block) builders_[block].descend();
  }
  finish_pass();
}

void Dspark::expand_level() {
  expansions_.clear();
  tokens_.clear();
  for (size_t block = 0; block < anchors_.size(); ++block) {
    for (int32_t node : builders_[block].frontier()) {
      expansions_.push_back({block, node});
      tokens_.push_back(node == TreeBuilder::kAnchor ? anchors_[block].token : builders_[block].token(node));
    }
  }
  const auto pass_max = static_cast<size_t>(markov_.rows_max());
  for (size_t first = 0; first < expansions_.size(); first += pass_max) {
    const size_t count = std::min(pass_max, expansions_.size() - first);
    markov_.run(std::span(tokens_).subspan(first, count));
    for (size_t i = 0; i < count; ++i)
      add_children(expansions_[first + i], markov_.bias(i), markov_.confidence()[i]);
  }
}

void Dspark::add_children(const Expansion& expansion, std::span<const float> bias, float confidence_logit) {
  TreeBuilder& builder = builders_[expansion.block];
  const int row = builder.depth();
  const std::span<const float> base = network_.base_logits(expansion.block, row);
  for (size_t v = 0; v < logits_.size(); ++v) logits_[v] = base[v] + bias[v];
  // The confidence is a function of the token before, so it speaks of the first child (dspark.md 1.6, 6.2).
  const float confidence = network_.hidden_confidence(expansion.block, row) + confidence_logit;
  proposer_.propose(*requests_[expansion.block], logits_, confidence, expansion.node, builder,
                    constraints_[expansion.block], *trees_[expansion.block]);
}

}  // namespace ft::draft
