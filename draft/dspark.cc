#include "draft/dspark.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/check.h"
#include "draft/child_share.h"

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

float sigmoid(float x) {
  return 1.0f / (1.0f + std::exp(-x));
}

}  // namespace

Dspark::Dspark(Backend& backend, const Checkpoint& checkpoint, const DraftLimits& limits)
    : network_(backend, checkpoint, cache_limits(limits)),
      markov_(backend, network_.weights(),
              std::min<int64_t>(int64_t{limits.sequences} * TreeBuilder::kFrontierMax, kMarkovRowsMax)),
      sequences_(limits.sequences),
      builders_(static_cast<size_t>(limits.sequences)),
      logits_(static_cast<size_t>(checkpoint.config().vocab_size)) {
  const auto sequences = static_cast<size_t>(limits.sequences);
  rows_.reserve(static_cast<size_t>(limits.rows));
  tap_rows_.reserve(static_cast<size_t>(limits.rows));
  anchors_.reserve(sequences);
  requests_.reserve(sequences);
  expansions_.reserve(sequences * TreeBuilder::kFrontierMax);
  tokens_.reserve(sequences * TreeBuilder::kFrontierMax);
}

void Dspark::open(SequenceId sequence, int64_t length_max) {
  const Result<SequenceId> own = network_.cache().open(length_max);
  FT_CHECK(own.has_value(), own.error().message);
  sequences_.open(sequence, *own);
}

void Dspark::close(SequenceId sequence) {
  network_.cache().close(sequences_.close(sequence));
}

void Dspark::observe(const ForwardOutput& output, std::span<const ObservedRows> observed) {
  rows_.clear();
  tap_rows_.clear();
  for (const ObservedRows& sequence : observed) {
    const SequenceId own = sequences_.own(sequence.sequence);
    FT_CHECK(sequence.first_position == network_.cache().length(own), sequence.first_position,
             network_.cache().length(own));
    for (size_t i = 0; i < sequence.rows.size(); ++i) {
      const int32_t parent = i == 0 ? kCommitted : static_cast<int32_t>(rows_.size()) - 1;
      const auto position = static_cast<int32_t>(sequence.first_position) + static_cast<int32_t>(i);
      rows_.push_back({0, position, own, parent});
      tap_rows_.push_back(sequence.rows[i]);
    }
  }
  network_.append(output.taps, tap_rows_, rows_);
}

void Dspark::propose(std::span<const ProposeRequest> requests, std::span<DraftTree> trees) {
  FT_CHECK(requests.size() == trees.size(), requests.size(), trees.size());
  anchors_.clear();
  requests_.clear();
  for (const ProposeRequest& request : requests) {
    if (request.nodes_max <= 0) continue;
    const SequenceId own = sequences_.own(request.sequence);
    FT_CHECK(request.position == network_.cache().length(own), request.position,
             network_.cache().length(own));
    builders_[anchors_.size()].start(request.shape, request.nodes_max, depth_max());
    anchors_.push_back({own, request.anchor});
    requests_.push_back(&request);
  }
  if (!anchors_.empty()) network_.draft(anchors_);
  for (int depth = 0; depth < depth_max() && !anchors_.empty(); ++depth) {
    expand_level();
    for (size_t block = 0; block < anchors_.size(); ++block) builders_[block].descend();
  }
  size_t block = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    trees[i].nodes.clear();
    if (requests[i].nodes_max > 0) builders_[block++].finish(trees[i]);
  }
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
  const ProposeRequest& request = *requests_[expansion.block];
  const int row = builder.depth();
  const std::span<const float> base = network_.base_logits(expansion.block, row);
  for (size_t v = 0; v < logits_.size(); ++v) logits_[v] = base[v] + bias[v];
  std::array<RankedChild, kBranchMax> children;
  const size_t wanted = request.shape == TreeShape::kChain ? 1 : children.size();
  const Ranking ranking{request.temperature, {request.seed, request.position + row + 1}};
  const size_t count = ranking_.rank(logits_, ranking, std::span(children).first(wanted));
  // The confidence is a function of the token before, so it speaks of the first child (dspark.md 1.6, 6.2).
  const float confidence = sigmoid(network_.hidden_confidence(expansion.block, row) + confidence_logit);
  std::array<float, kBranchMax> shares;
  share_remainder(confidence, ranking.greedy(), std::span(children).first(count), shares);
  for (size_t i = 0; i < count; ++i) builder.add(expansion.node, children[i].token, shares[i]);
}

}  // namespace ft::draft
