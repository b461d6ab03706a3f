// How likely drafted tokens are accepted in a simulation: by domain and depth, from a recorded run or as
// stated, and how well the draft knows it in advance.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "eval/accept/cell_run.h"

namespace ft::eval {

// At one depth, of a node that the target's path has reached.
struct DepthRates {
  double first = 0.0;   // the target takes the first child
  double second = 0.0;  // the second, where it does not take the first (dspark.md 6.1, "s2")
  double third = 0.0;   // the third, where it takes neither
};

struct DomainRates {
  std::string name;
  double weight = 1.0;  // share of the requests, in proportion
  std::vector<DepthRates> depths;
};

// Chances of first children spread around their mean: their log odds are normal with this mean and `spread`.
// A draft sees the log odds of each node, so `spread` is what it knows; 0: it knows the mean only.
class AcceptanceSource {
 public:
  AcceptanceSource(std::vector<DomainRates> domains, double spread);

  // From a cell of a result of `accept` with its domains: the rates of ranks by depth, shifted per domain by
  // the log odds that its first depth has over the mean; the spread that gives the predictions at depth 1
  // their variance.
  static Result<AcceptanceSource> of_run(const CellRun& run);

  const std::vector<DomainRates>& domains() const { return domains_; }
  double spread() const { return spread_; }
  int depth_max() const;
  // The domain of a number that is uniform in [0, 1).
  size_t domain_at(double uniform) const;
  // Log odds of a first child at `depth` >= 1, for a standard normal number; depths beyond the last are like
  // it.
  double log_odds(size_t domain, int depth, double normal) const;
  const DepthRates& rates(size_t domain, int depth) const;

  // The same with every rate of first children times `factor`, at most 0.99. For asking what a result depends
  // on.
  AcceptanceSource scaled(double factor) const;

 private:
  std::vector<DomainRates> domains_;
  double spread_;
  std::vector<std::vector<double>> means_;  // of the log odds: [domain][depth - 1]
};

// E[sigmoid(mean + spread * z)] and the variance of it, z standard normal.
struct LogitNormal {
  double mean = 0.0;
  double variance = 0.0;
};
LogitNormal logit_normal(double mean, double spread);

}  // namespace ft::eval
