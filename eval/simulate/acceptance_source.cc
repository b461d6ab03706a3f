#include "eval/simulate/acceptance_source.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "core/check.h"

namespace ft::eval {

namespace {

constexpr double kRateLeast = 0.001;
constexpr double kRateMost = 0.999;
constexpr double kSpreadMost = 6.0;

double sigmoid(double x) {
  return 1.0 / (1.0 + std::exp(-x));
}

double logit(double rate) {
  const double bounded = std::clamp(rate, kRateLeast, kRateMost);
  return std::log(bounded / (1.0 - bounded));
}

// The argument in [low, high] at which a rising function has this value.
template <class Rising>
double solve(double value, double low, double high, Rising rising) {
  for (int i = 0; i < 60; ++i) {
    const double middle = 0.5 * (low + high);
    (rising(middle) < value ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

double mean_for(double rate, double spread) {
  const double bounded = std::clamp(rate, kRateLeast, kRateMost);
  return solve(bounded, -40.0, 40.0, [&](double mean) { return logit_normal(mean, spread).mean; });
}

// The spread whose chances, of this mean, vary by `variance`.
double spread_for(double rate, double variance) {
  return solve(variance, 0.0, kSpreadMost,
               [&](double spread) { return logit_normal(mean_for(rate, spread), spread).variance; });
}

double quotient(double part, double whole) {
  return whole > 0.0 ? part / whole : 0.0;
}

DepthRates rates_of(const DepthRanks& ranks) {
  const auto hits = [&](size_t rank) { return static_cast<double>(ranks.hits[rank]); };
  const auto reached = static_cast<double>(ranks.reached);
  return {quotient(hits(0), reached), quotient(hits(1), reached - hits(0)),
          quotient(hits(2), reached - hits(0) - hits(1))};
}

// Mean and variance of predictions in bins.
LogitNormal moments(const CalibrationFigures& figures) {
  LogitNormal found;
  for (const ReliabilityBin& bin : figures.bins) found.mean += bin.predicted;
  found.mean = quotient(found.mean, static_cast<double>(figures.count));
  for (const ReliabilityBin& bin : figures.bins) {
    if (bin.count == 0) continue;
    const double off = bin.predicted / static_cast<double>(bin.count) - found.mean;
    found.variance += static_cast<double>(bin.count) * off * off;
  }
  found.variance = quotient(found.variance, static_cast<double>(figures.count));
  return found;
}

double first_depth_rate(const AcceptCounts& counts) {
  return quotient(static_cast<double>(counts.accepted_at_depth[0]), static_cast<double>(counts.steps));
}

}  // namespace

LogitNormal logit_normal(double mean, double spread) {
  if (spread == 0.0) return {sigmoid(mean), 0.0};
  // The midpoint rule over +-6 standard deviations, which is exact to many digits for a function so smooth.
  constexpr int kPoints = 121;
  constexpr double kReach = 6.0;
  double weight = 0.0, sum = 0.0, squares = 0.0;
  for (int i = 0; i < kPoints; ++i) {
    const double z = -kReach + 2.0 * kReach * i / (kPoints - 1);
    const double density = std::exp(-0.5 * z * z);
    const double value = sigmoid(mean + spread * z);
    weight += density;
    sum += density * value;
    squares += density * value * value;
  }
  const double average = sum / weight;
  return {average, std::max(0.0, squares / weight - average * average)};
}

AcceptanceSource::AcceptanceSource(std::vector<DomainRates> domains, double spread)
    : domains_(std::move(domains)), spread_(spread) {
  FT_CHECK(!domains_.empty());
  for (const DomainRates& domain : domains_) {
    FT_CHECK(!domain.depths.empty(), domain.name);
    std::vector<double>& means = means_.emplace_back();
    for (const DepthRates& depth : domain.depths) means.push_back(mean_for(depth.first, spread));
  }
}

Result<AcceptanceSource> AcceptanceSource::of_run(const CellRun& run) {
  if (run.ranks.empty() || run.calibration.empty())
    return fail(ErrorCode::kInvalidArgument, "\"{}\" drafted nothing to take acceptance from",
                cell_name(run.cell));
  std::vector<DepthRates> all;
  for (const DepthRanks& ranks : run.ranks) all.push_back(rates_of(ranks));
  std::map<std::string, AcceptCounts> by_domain;
  AcceptCounts total;
  for (const PromptRun& prompt : run.prompts) {
    by_domain[prompt.domain].add(prompt.counts);
    total.add(prompt.counts);
  }
  std::vector<DomainRates> domains;
  for (const auto& [name, counts] : by_domain) {
    if (counts.requests == 0) continue;
    const double shift = logit(first_depth_rate(counts)) - logit(first_depth_rate(total));
    DomainRates domain{name, static_cast<double>(counts.requests), all};
    for (DepthRates& depth : domain.depths) depth.first = sigmoid(logit(depth.first) + shift);
    domains.push_back(std::move(domain));
  }
  const LogitNormal predicted = moments(run.calibration[0]);
  return AcceptanceSource(std::move(domains), spread_for(predicted.mean, predicted.variance));
}

int AcceptanceSource::depth_max() const {
  size_t depth = 0;
  for (const DomainRates& domain : domains_) depth = std::max(depth, domain.depths.size());
  return static_cast<int>(depth);
}

size_t AcceptanceSource::domain_at(double uniform) const {
  double all = 0.0;
  for (const DomainRates& domain : domains_) all += domain.weight;
  double left = uniform * all;
  for (size_t i = 0; i + 1 < domains_.size(); ++i) {
    left -= domains_[i].weight;
    if (left < 0.0) return i;
  }
  return domains_.size() - 1;
}

const DepthRates& AcceptanceSource::rates(size_t domain, int depth) const {
  const std::vector<DepthRates>& depths = domains_[domain].depths;
  return depths[std::min(static_cast<size_t>(depth), depths.size()) - 1];
}

double AcceptanceSource::log_odds(size_t domain, int depth, double normal) const {
  const std::vector<double>& means = means_[domain];
  return means[std::min(static_cast<size_t>(depth), means.size()) - 1] + spread_ * normal;
}

AcceptanceSource AcceptanceSource::scaled(double factor) const {
  std::vector<DomainRates> domains = domains_;
  for (DomainRates& domain : domains)
    for (DepthRates& depth : domain.depths) depth.first = std::min(0.99, depth.first * factor);
  return AcceptanceSource(std::move(domains), spread_);
}

}  // namespace ft::eval
