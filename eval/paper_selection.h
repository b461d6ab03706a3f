// The paper's two causal selections (dspark.md 3.2, 3.3), for experiments with rejection acceptance: whether a node is
// verified depends on path probabilities, and on nothing that its token decides.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "core/error.h"
#include "scheduler/speculation/node_selection.h"

namespace ft::eval {

// Nodes in the order of their path probability. Ties: shallower first, then the earlier request.
class PaperSelection : public scheduler::NodeSelection {
 public:
  // `costs` must outlive it.
  explicit PaperSelection(const scheduler::CostModel& costs) : costs_(costs) {}

  double select(std::span<const scheduler::Candidates> requests, const scheduler::StepBase& base,
                std::vector<std::vector<int32_t>>& kept) final;
  bool causal() const final { return true; }

 protected:
  // How many nodes of the order may be taken at most.
  virtual size_t budget(std::span<const scheduler::Candidates> requests, const scheduler::StepBase& base) = 0;
  // Whether to stop at the first node that does not raise the rate.
  virtual bool stops_early() const = 0;

  const scheduler::CostModel& costs_;

 private:
  struct Entry {
    float probability = 0.0f;
    int32_t depth = 0;
    size_t request = 0;
    int32_t node = 0;
  };
  void order(std::span<const scheduler::Candidates> requests);
  double seconds(const scheduler::StepBase& base, int32_t rows) const;

  std::vector<Entry> sorted_;
  std::vector<std::vector<uint8_t>> taken_;
};

// The paper's algorithm S: best first, stopping at the first node that does not raise the rate.
class StepwiseSelection final : public PaperSelection {
 public:
  using PaperSelection::PaperSelection;

 protected:
  size_t budget(std::span<const scheduler::Candidates>, const scheduler::StepBase&) override {
    return SIZE_MAX;
  }
  bool stops_early() const override { return true; }
};

// The paper's algorithm A, which it runs in production: how many nodes, by the probabilities of two steps ago; which,
// by those of now.
class TwoStepSelection final : public PaperSelection {
 public:
  using PaperSelection::PaperSelection;

 protected:
  size_t budget(std::span<const scheduler::Candidates> requests, const scheduler::StepBase& base) override;
  bool stops_early() const override { return false; }

 private:
  std::array<std::vector<float>, 2> past_;  // path probabilities of the last two steps, falling
  size_t step_ = 0;
};

// "global" (empty: the engine's own), "stepwise" or "two-step". kInvalidArgument for any other.
Result<scheduler::MakeSelection> parse_selection(const std::string& name);

}  // namespace ft::eval
