#include "draft/model_drafter.h"

#include "core/check.h"
#include "draft/model_snapshot.h"

namespace ft::draft {

ModelDrafter::ModelDrafter(Backend& backend, const DraftLimits& limits, const Traits& traits)
    : ring_(backend, limits.sequences, traits.window, traits.feature_width, limits.rows),
      builders_(static_cast<size_t>(limits.sequences)),
      constraints_(static_cast<size_t>(limits.sequences)),
      name_(traits.name),
      open_rows_(traits.open_rows),
      sequences_(limits.sequences) {
  const auto sequences = static_cast<size_t>(limits.sequences);
  targets_.reserve(sequences);
  requests_.reserve(sequences);
  trees_.reserve(sequences);
}

void ModelDrafter::open(SequenceId sequence, int64_t length_max, const DraftSnapshot* from) {
  sequences_.open(sequence, open_own(cache(), ring_, length_max, from));
}

void ModelDrafter::close(SequenceId sequence) {
  cache().close(sequences_.close(sequence));
}

std::unique_ptr<DraftSnapshot> ModelDrafter::snapshot(SequenceId sequence, int64_t length) {
  return save_own(cache(), ring_, sequences_.own(sequence), length, open_rows_);
}

void ModelDrafter::observe(const ForwardOutput& output, std::span<const ObservedRows> observed) {
  ring_.observe(features(output), observed, sequences_);
}

void ModelDrafter::begin_pass() {
  targets_.clear();
  requests_.clear();
  trees_.clear();
}

bool ModelDrafter::add_to_pass(const ProposeRequest& request, DraftTree& tree, int depth,
                               int32_t frontier_max) {
  if (request.nodes_max <= 0 || !request.use_model) return false;
  const SequenceId own = sequences_.own(request.sequence);
  if (ring_.length(own) == 0) return false;
  FT_CHECK(request.position == ring_.base(own) + ring_.length(own), request.position, ring_.base(own),
           ring_.length(own));
  builders_[requests_.size()].start(request, DraftSource::kModel, depth, frontier_max);
  constraints_[requests_.size()].start(request.constraint);
  targets_.push_back({own, ring_.length(own) - open_rows_});
  requests_.push_back(&request);
  trees_.push_back(&tree);
  return true;
}

void ModelDrafter::finish_pass() {
  for (size_t i = 0; i < requests_.size(); ++i) builders_[i].finish(*trees_[i]);
}

}  // namespace ft::draft
