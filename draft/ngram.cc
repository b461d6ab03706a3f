#include "draft/ngram.h"

#include <algorithm>
#include <array>

#include "core/check.h"

namespace ft::draft {

namespace {

// Chance that the next token repeats too after `length` tokens have repeated. Starting values by judgement:
// only their order matters for one tree, and the scheduler's calibration corrects their level.
float repeat_probability(int32_t length) {
  constexpr std::array<float, 9> kByLength = {0.0f, 0.0f, 0.35f, 0.5f, 0.65f, 0.75f, 0.8f, 0.85f, 0.9f};
  return kByLength[static_cast<size_t>(std::min<int32_t>(length, kByLength.size() - 1))];
}

// An occurrence that leads to no node of the tree.
constexpr int32_t kNowhere = -2;

// The distinct tokens that follow one node, and how many occurrences go there.
struct Continuations {
  struct Entry {
    int32_t token;
    int32_t count;
  };
  std::array<Entry, NgramMatch::kOccurrencesMax> entries;
  int32_t size = 0;
  int32_t total = 0;

  void add(int32_t token) {
    ++total;
    for (int32_t i = 0; i < size; ++i) {
      Entry& entry = entries[static_cast<size_t>(i)];
      if (entry.token == token) {
        ++entry.count;
        return;
      }
    }
    entries[static_cast<size_t>(size++)] = {token, 1};
  }

  // More occurrences first; equal ones stay in order, the newest first. Insertion sort: stable, no memory.
  void sort() {
    for (int32_t i = 1; i < size; ++i)
      for (int32_t k = i; k > 0; --k) {
        Entry& left = entries[static_cast<size_t>(k - 1)];
        Entry& right = entries[static_cast<size_t>(k)];
        if (left.count >= right.count) break;
        std::swap(left, right);
      }
  }
};

}  // namespace

static_assert(NgramMatch::kOccurrencesMax <= TreeBuilder::kChildrenMax);

Ngram::Ngram(int32_t sequences, int64_t vocab_size)
    : vocab_size_(vocab_size), indices_(static_cast<size_t>(sequences)) {}

void Ngram::open(SequenceId sequence, int64_t length_max, const DraftSnapshot*) {
  if (static_cast<size_t>(sequence) >= indices_.size()) indices_.resize(static_cast<size_t>(sequence) + 1);
  indices_[static_cast<size_t>(sequence)].reset(length_max);
}

void Ngram::propose(std::span<const ProposeRequest> requests, std::span<DraftTree> trees) {
  FT_CHECK(requests.size() == trees.size(), requests.size(), trees.size());
  for (size_t i = 0; i < requests.size(); ++i) propose_one(requests[i], trees[i]);
}

void Ngram::propose_one(const ProposeRequest& request, DraftTree& tree) {
  tree.nodes.clear();
  tree.probability.clear();
  if (request.nodes_max <= 0 || !request.use_ngram) return;
  const std::span<const int32_t> history = request.history;
  const NgramMatch match = indices_[static_cast<size_t>(request.sequence)].find(history);
  builder_.start(request, DraftSource::kNgram, kDepthMax);
  // The node that each occurrence has led to.
  std::array<int32_t, NgramMatch::kOccurrencesMax> at;
  at.fill(TreeBuilder::kAnchor);
  const int64_t last = static_cast<int64_t>(history.size()) - 1;
  const auto next_token = [&](int32_t occurrence) {
    const int64_t end = match.ends[static_cast<size_t>(occurrence)];
    return history[static_cast<size_t>(end + 1 + builder_.depth() % (last - end))];
  };
  while (match.count > 0 && !builder_.frontier().empty()) {
    const float repeat = repeat_probability(match.length + builder_.depth());
    std::array<int32_t, NgramMatch::kOccurrencesMax> next;
    next.fill(kNowhere);
    for (int32_t node : builder_.frontier()) {
      Continuations continuations;
      for (int32_t i = 0; i < match.count; ++i)
        if (at[static_cast<size_t>(i)] == node) continuations.add(next_token(i));
      continuations.sort();
      const auto count = static_cast<size_t>(continuations.size);
      std::array<TreeBuilder::Child, NgramMatch::kOccurrencesMax> children;
      float unnamed = 1.0f;  // probability of everything but the children so far
      for (size_t k = 0; k < count; ++k) {
        const Continuations::Entry entry = continuations.entries[k];
        const float probability =
            repeat * static_cast<float>(entry.count) / static_cast<float>(continuations.total);
        children[k] = {entry.token, log_odds(probability / unnamed)};
        unnamed -= probability;
      }
      const TreeBuilder::Added added = builder_.expand(node, std::span(children).first(count));
      for (size_t i = 0; i < static_cast<size_t>(match.count); ++i)
        for (int32_t k = 0; k < added.count; ++k)
          if (at[i] == node && next_token(static_cast<int32_t>(i)) == children[static_cast<size_t>(k)].token)
            next[i] = added.first + k;
    }
    at = next;
    builder_.descend();
  }
  builder_.finish(tree);
  if (!request.draw) return;
  const auto vocab = static_cast<size_t>(vocab_size_);
  tree.probability.assign(tree.nodes.size() * vocab, 0.0);
  for (size_t i = 0; i < tree.nodes.size(); ++i)
    tree.probability[i * vocab + static_cast<size_t>(tree.nodes[i].token)] = 1.0;
}

}  // namespace ft::draft
