// What drafters with a network of their own have in common: they keep the target's features of committed rows
// until they are asked, take them into their own cache then, and grow one tree per request.
#pragma once

#include <string_view>
#include <vector>

#include "draft/child_proposer.h"
#include "draft/feature_ring.h"
#include "draft/sequence_map.h"
#include "draft/tree_builder.h"

namespace ft::draft {

class ModelDrafter : public Drafter {
 public:
  std::string_view name() const final { return name_; }
  std::string_view model_name() const final { return name_; }
  void open(SequenceId sequence, int64_t length_max, const DraftSnapshot* from = nullptr) final;
  std::unique_ptr<DraftSnapshot> snapshot(SequenceId sequence, int64_t length) final;
  void observe(const ForwardOutput& output, std::span<const ObservedRows> observed) final;
  void close(SequenceId sequence) final;

 protected:
  struct Traits {
    std::string_view name;
    int32_t window = 0;         // rows that its attention sees
    int64_t feature_width = 0;  // of a committed row's features
    // Newest rows of a sequence that stay out of its cache, because they depend on the token after them.
    int64_t open_rows = 0;
  };
  ModelDrafter(Backend& backend, const DraftLimits& limits, const Traits& traits);

  // The network's own cache.
  virtual KvCache& cache() = 0;
  // The features of the target's rows, [rows, feature_width].
  virtual Matrix features(const ForwardOutput& output) const = 0;

  // A pass of the network: one entry of each of these per request that takes part.
  void begin_pass();
  // Adds a request, whose tree will grow `depth` deep with at most `frontier_max` nodes of a level expanded.
  // False if it does not ask the model, or nothing was observed yet of its sequence.
  bool add_to_pass(const ProposeRequest& request, DraftTree& tree, int depth,
                   int32_t frontier_max = TreeBuilder::kFrontierMax);
  // Writes the trees of the pass.
  void finish_pass();

  FeatureRing ring_;
  std::vector<FeatureRing::Target> targets_;  // how far each is to be taken in
  std::vector<const ProposeRequest*> requests_;
  std::vector<DraftTree*> trees_;
  std::vector<TreeBuilder> builders_;
  std::vector<NodeConstraints> constraints_;  // of each of them
  ChildProposer proposer_;

 private:
  std::string_view name_;
  int64_t open_rows_;
  SequenceMap sequences_;
};

}  // namespace ft::draft
