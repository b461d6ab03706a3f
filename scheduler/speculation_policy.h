// Which drafted nodes are worth verifying, over all requests at once: the set that maximises expected emitted
// tokens per second (dspark.md 3.1, 6.2).
//
//   rate(S) = (requests that emit + sum of path probabilities in S) / (draft seconds + verify seconds of the
//   rows)
//
// The target's keyed tokens decide what is emitted, so under coupled acceptance any set is exact and the
// search may look at everything. Under rejection acceptance only the two causal modes are (dspark.md 3.3).
// Pure; no allocation once warm.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "draft/drafter.h"
#include "scheduler/cost_model.h"

namespace ft::scheduler {

enum class SelectionMode : uint8_t {
  kGlobal,    // the best leading part of all candidates by value per cost; coupled acceptance only
  kStepwise,  // best first, stopping at the first node that does not raise the rate (the paper's algorithm)
  kTwoStepBudget,  // how many: from the confidences of two steps ago; which: the most probable now (in
                   // production)
};

// A request that decodes in this step. `nodes` parents first; estimates never above the parent's.
struct Candidates {
  std::span<const draft::DraftNode> nodes;
  std::span<const float> probability;  // estimated path probability of each
  int32_t nodes_max = 0;               // drafted rows at most
  // Share of a row's experts that rows next to it have chosen too, in layers that route by score.
  float expert_overlap = 0.0f;
};

// What the step contains before any drafted row.
struct StepBase {
  int32_t rows = 0;            // anchors and prompt rows
  int32_t rows_max = 0;        // of the whole step
  int32_t emitting = 0;        // requests that will emit a token
  int32_t running = 0;         // requests in all; those that read prompts do not emit, but their time counts
  double draft_seconds = 0.0;  // already spent on the candidates
  std::span<const int32_t> anchors;  // their tokens, for the experts of hash layers
};

// How experts are chosen, as far as it is known before a row is run.
struct ExpertLayout {
  int32_t experts = 0;  // routed experts of a layer
  int32_t per_token = 0;
  int32_t score_layers = 0;
  int32_t vocab = 0;                        // V
  std::vector<const int32_t*> hash_tables;  // [V, per_token] of each layer that routes by token
};

class SpeculationPolicy {
 public:
  SpeculationPolicy(const CostModel& costs, const ExpertLayout& experts, SelectionMode mode);

  // Fills kept[r] for requests[r]: the nodes to verify, as indices in order, closed under parents. Returns
  // the expected rate (tokens per second) of the choice. Ties: shallower first, then the earlier request.
  double select(std::span<const Candidates> requests, const StepBase& base,
                std::vector<std::vector<int32_t>>& kept);

  // Expected distinct (layer, expert) pairs of the last selection's rows.
  double expected_experts() const { return expected_experts_; }

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

  void order(std::span<const Candidates> requests, const StepBase& base, float worthless);
  double begin_experts(const StepBase& base, size_t candidates);
  const uint16_t* hash_experts(int32_t token) const {
    return hash_ids_.data() + static_cast<size_t>(token) * ids_per_token_;
  }
  double new_hash_experts(int32_t token) const;
  void use_hash_experts(int32_t token);
  double own_score_experts(const Candidates& request) const;
  const draft::DraftNode& node_of(std::span<const Candidates> requests, const Entry& entry) const;
  size_t budget(std::span<const Candidates> requests, const StepBase& base);

  const CostModel& costs_;
  SelectionMode mode_;
  size_t ids_per_token_;            // experts of one token in all hash layers together
  double score_pairs_;              // pairs that one row activates in the layers that route by score
  double score_all_;                // pairs that these have
  double score_share_;              // one of them as a part of all
  std::vector<uint16_t> hash_ids_;  // [V, ids_per_token_], numbered through over the hash layers
  double expected_experts_ = 0.0;

  std::vector<uint8_t> hash_used_;   // per expert of the hash layers: 1 if the step uses it
  bool exact_hash_ = true;           // else hash_expected_ stands for every token
  double hash_expected_ = 0.0;       // experts that one more row is expected to add there
  double hash_unused_by_row_ = 1.0;  // share of them that a row leaves
  double score_unused_ = 1.0;        // share of the score layers' pairs that no row uses

  static constexpr uint32_t kLastRank = 511;  // of value per cost
  static constexpr uint32_t kDepths = 4;      // told apart among equal ranks
  std::vector<float> density_;                // of the nodes of one request
  std::vector<int32_t> offsets_;
  std::vector<Entry> entries_;  // as listed
  std::vector<Entry> sorted_;
  // Per node whether it is in, the requests' nodes one after the other, and before them the anchor of all,
  // which is.
  std::vector<uint8_t> taken_;
  // What selection keeps of each request.
  struct Quota {
    size_t first = 0;                // place of its first node
    int32_t room = 0;                // rows that it may still have
    double own_score_experts = 0.0;  // that a row of it does not share with rows next to it
  };
  std::vector<Quota> quotas_;

  // Path probabilities of the last two steps, falling: what kTwoStepBudget decides by. step_ counts its
  // calls.
  std::array<std::vector<float>, 2> past_;
  size_t step_ = 0;
};

}  // namespace ft::scheduler
