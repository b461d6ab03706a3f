// The selection of the engine: the best leading part of all candidates, ordered by value per cost. For
// coupled acceptance, where a selection may look at everything.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "scheduler/speculation/expert_pricing.h"
#include "scheduler/speculation/node_selection.h"

namespace ft::scheduler {

// Ties: shallower nodes first, then the earlier request.
class GlobalSelection final : public NodeSelection {
 public:
  // `costs` must outlive it.
  GlobalSelection(const CostModel& costs, const ExpertLayout& experts);

  double select(std::span<const Candidates> requests, const StepBase& base,
                std::vector<std::vector<int32_t>>& kept) override;
  bool causal() const override { return false; }

 private:
  // One candidate of one request, in the order of selection, with what selection needs to know of it.
  struct Entry {
    float probability = 0.0f;
    int32_t place = 0;   // in taken_
    int32_t parent = 0;  // its parent's place
    uint16_t request = 0;
    uint16_t key = 0;  // the lower, the more value per cost, then the shallower
  };
  // A leading part of the order: what a step of its rows would emit, take and activate.
  struct Reach {
    double tokens = 0.0;
    double seconds = 0.0;
    double experts = 0.0;
    size_t length = 0;

    // Whether it emits more tokens per second.
    bool faster_than(const Reach& other) const { return tokens * other.seconds > other.tokens * seconds; }
  };
  // What selection keeps of each request.
  struct Quota {
    size_t first = 0;                // place of its first node
    int32_t room = 0;                // rows that it may still have
    double own_score_experts = 0.0;  // that a row of it does not share with rows before it
  };

  Reach begin(std::span<const Candidates> requests, const StepBase& base);
  float worthless(const StepBase& base, const Reach& start) const;
  void list_entries(std::span<const Candidates> requests, const StepBase& base, float worthless);
  void sort_entries();
  Reach walk(std::span<const Candidates> requests, const StepBase& base, const Reach& start);
  void collect(std::span<const Candidates> requests, std::vector<std::vector<int32_t>>& kept) const;
  int32_t token_of(std::span<const Candidates> requests, const Entry& entry) const {
    return requests[entry.request]
        .nodes[static_cast<size_t>(entry.place) - quotas_[entry.request].first]
        .token;
  }

  static constexpr uint32_t kLastRank = 511;  // of value per cost
  static constexpr uint32_t kDepths = 4;      // told apart among equal ranks

  const CostModel& costs_;
  ExpertPricing pricing_;
  std::vector<float> density_;  // of the nodes of one request
  std::vector<int32_t> offsets_;
  std::vector<Entry> entries_;  // as listed
  std::vector<Entry> sorted_;
  uint32_t last_key_ = 0;
  // Per node whether it is in, the requests' nodes one after the other, and before them the anchor of all,
  // which is.
  std::vector<uint8_t> taken_;
  std::vector<Quota> quotas_;
};

}  // namespace ft::scheduler
