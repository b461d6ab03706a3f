// From a drafter's score to the probability that the target takes the token, learned outcome by outcome.
#pragma once

#include "draft/acceptance_table.h"

namespace ft::scheduler {

// Outcomes that shape an estimate: about the last 1 / (1 - keep) count.
inline constexpr double kOutcomeKeep = 1.0 - 1.0 / 4000.0;

// A logistic regression with two parameters, updated per outcome by a Newton step with forgetting.
class OnlineLogistic {
 public:
  void start(draft::LogisticMap prior);
  void observe(float score, bool hit);
  draft::LogisticMap parameters() const { return {static_cast<float>(scale_), static_cast<float>(offset_)}; }

  // Everything that is learned, for keeping it.
  template <class Self, class Visit>
  static void visit_state(Self& self, Visit visit) {
    visit(self.scale_);
    visit(self.offset_);
    visit(self.p00_);
    visit(self.p01_);
    visit(self.p11_);
  }

 private:
  double scale_ = 1.0;
  double offset_ = 0.0;
  // Inverse Hessian of the loss.
  double p00_ = 1.0;
  double p01_ = 0.0;
  double p11_ = 1.0;
};

}  // namespace ft::scheduler
