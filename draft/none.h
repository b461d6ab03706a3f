// The drafter that never proposes: plain decoding, one token a step.
#pragma once

#include "draft/drafter.h"

namespace ft::draft {

class None final : public Drafter {
 public:
  std::string_view name() const override { return "none"; }
  int depth_max() const override { return 0; }
  void open(SequenceId, int64_t, const DraftSnapshot*) override {}
  std::unique_ptr<DraftSnapshot> snapshot(SequenceId, int64_t) override { return nullptr; }
  void observe(const ForwardOutput&, std::span<const ObservedRows>) override {}
  void propose(std::span<const ProposeRequest>, std::span<DraftTree> trees) override {
    for (DraftTree& tree : trees) {
      tree.nodes.clear();
      tree.probability.clear();
    }
  }
  void close(SequenceId) override {}
};

}  // namespace ft::draft
