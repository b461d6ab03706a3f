// Prompt lookup: drafts what followed the last tokens when they occurred before. Needs no weights.
//
// The longest run of 4 to 2 tokens at the end of the history that has occurred before decides; the
// continuations of its newest occurrences, up to 8, are merged into a tree by their tokens. An occurrence
// that overlaps the end goes on in its own period. (Prompt lookup decoding,
// apoorvumang/prompt-lookup-decoding; the tree of several occurrences is ours.)
#pragma once

#include <vector>

#include "draft/drafter.h"
#include "draft/ngram_index.h"
#include "draft/tree_builder.h"

namespace ft::draft {

class Ngram final : public Drafter {
 public:
  static constexpr int kDepthMax = 8;

  // Serves `sequences` open sequences. `vocab_size` is the width of the distributions of drawn chains, which
  // give probability 1 to the token that was drafted.
  Ngram(int32_t sequences, int64_t vocab_size);

  std::string_view name() const override { return "ngram"; }
  bool has_ngram() const override { return true; }
  int depth_max() const override { return kDepthMax; }
  // Each request brings its whole history, so nothing is observed and a snapshot is empty.
  void open(SequenceId sequence, int64_t length_max, const DraftSnapshot* from = nullptr) override;
  std::unique_ptr<DraftSnapshot> snapshot(SequenceId, int64_t) override { return nullptr; }
  void observe(const ForwardOutput&, std::span<const ObservedRows>) override {}
  void propose(std::span<const ProposeRequest> requests, std::span<DraftTree> trees) override;
  void close(SequenceId) override {}

 private:
  void propose_one(const ProposeRequest& request, DraftTree& tree);

  int64_t vocab_size_;
  std::vector<NgramIndex> indices_;  // by sequence
  TreeBuilder builder_;
};

}  // namespace ft::draft
